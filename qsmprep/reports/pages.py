"""What the participant's and the group's page share: templates, words for numbers, one file."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
import json
import math
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from qsmprep.files import atomic_write_text

STATUSES = ("failed", "partial", "skipped", "done")
"""What can become of an acquisition, the worst first."""

MISSING = "n/a"

IDENTITY = ("participant_id", "session_id", "acquisition", "run")
"""Columns that say which acquisition a row is about."""

_MIME = {".png": "image/png", ".svg": "image/svg+xml"}


def render(template: str, **context: object) -> str:
    """Return a page as HTML; what is put into it is escaped."""
    css = Markup(_resource("report.css"))
    return _environment().get_template(template).render(css=css, **context)


@cache
def _environment() -> Environment:
    """Return what knows the templates; one for all pages of a cohort."""
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, plain=plain)
    return environment


def _resource(name: str) -> str:
    return files("qsmprep.data").joinpath(name).read_text(encoding="utf-8")


def write_page(html: str, path: Path) -> Path:
    """Write a page, and return where it is; nobody ever sees half a page."""
    return atomic_write_text(path, html)


def data_uri(path: Path) -> str:
    """Return a picture as an address that holds the picture itself."""
    return f"data:{_MIME[path.suffix]};base64,{b64encode(path.read_bytes()).decode()}"


def read_json(path: Path | None) -> dict:
    """Return the object in a JSON file, an empty one where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def number(value: object, digits: int = 1) -> str:
    """Return a number as text with a true minus sign, and ``n/a`` for what is missing."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return MISSING
    return f"{value:z.{digits}f}".replace("-", "−")  # and no sign where nothing is left


def plain(value: object) -> str:
    """Return any value of a sidecar as a phrase."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(plain, value)) or "none"
    return str(value)


def flatten(table: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Yield the dotted name and the value of every setting in nested tables."""
    for key, value in table.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        else:
            yield name, value


def generator(output_dir: Path) -> dict[str, str]:
    """Return name, version, protocol and digest of what made a derivative dataset."""
    description = read_json(output_dir / "dataset_description.json")
    made_by = (description.get("GeneratedBy") or [{}])[0]
    protocol = made_by.get("Protocol") or {}
    return {
        "name": plain(made_by.get("Name", "qsmprep")),
        "version": plain(made_by.get("Version")),
        "protocol": plain(protocol.get("Name")),
        "digest": plain(protocol.get("Digest")),
    }


def distinct(status: Iterable[Mapping]) -> list[dict]:
    """
    Return rows of ``status.tsv`` with a suffix after `acquisition` where it alone tells two apart.

    So are the files of a session named that has, say, MEGRE and T2starw with equal entities.
    """
    rows = [{**row, **{key: plain(row.get(key)) for key in IDENTITY}} for row in status]
    sharing = Counter(tuple(row[key] for key in IDENTITY) for row in rows)
    for row in rows:
        if sharing[tuple(row[key] for key in IDENTITY)] > 1:
            label, others = split_label(str(row["acquisition"]))
            row["acquisition"] = "_".join([f"{label}{plain(row.get('suffix'))}", *others])
    return rows


def split_label(acquisition: str) -> tuple[str, list[str]]:
    """Return the label of ``acq`` and the other entities in the column `acquisition`."""
    label, *others = acquisition.replace(MISSING, "").split("_")
    # The column reads highres_rec-norm, or rec-norm where there is no acq.
    return ("", [label, *others]) if "-" in label else (label, others)


def worst(statuses: Sequence[str]) -> str:
    """Return the worst of several statuses, ``skipped`` where there is none."""
    known = [status for status in STATUSES if status in statuses]
    return known[0] if known else "skipped"
