"""What a model leaves in its folder: tables with sidecars, figures, provenance and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
import json
from pathlib import Path
import platform
import re
from typing import Any

import pandas as pd

from qsmprep import __version__
from qsmprep.files import atomic_write_text, replacing
from qsmprep.group.frames import ALL_REGIONS, regions_of
from qsmprep.group.model_figures import write_figures
from qsmprep.group.model_files import ModelSpec
from qsmprep.group.model_words import Origin, about, facts, methods
from qsmprep.group.region_values import column_name
from qsmprep.reports.model_page import ModelPage, write_model_page
from qsmprep.statistics.columns import describe_columns
from qsmprep.statistics.families import add_family
from qsmprep.statistics.results import Fitted

PACKAGES = ("numpy", "scipy", "pandas", "formulaic", "statsmodels", "lifelines", "nilearn")


def write_model(
    folder: Path,
    origin: Origin,
    fits: Mapping[str, Fitted],
    frame: pd.DataFrame,
    notes: Sequence[str],
    failures: Mapping[str, str],
) -> ModelPage:
    """
    Write everything that is known of a fitted model, and return what its page shows.

    Parameters
    ----------
    folder
        Folder of the model.
    origin
        What was asked for, and of which data.
    fits
        By region, or one under no name.
    frame
        The rows it could use.
    notes
        What to know about the rows.
    failures
        Why regions could not be fitted.
    """
    spec = origin.spec
    estimates = join_estimates(fits)
    excluded = _excluded(fits)
    versions = _versions()
    tables = {"estimates": estimates, "data": _data(spec, frame), "excluded": excluded}
    tables |= _join_tables(fits)
    made = about(origin, fits, versions)
    for name, table in tables.items():
        _write_table(folder, name, table, made, frame.columns)
    text = json.dumps(made, indent=2, ensure_ascii=False)
    atomic_write_text(folder / "model.json", text + "\n")
    confidence = float(spec.keys.get("confidence", 0.95))
    drawn, undrawn = write_figures(folder, estimates, fits, confidence)
    failed = (f"{region}: {why}" for region, why in failures.items())
    page = ModelPage(
        name=spec.name,
        kind=spec.kind,
        description=spec.description,
        formula=spec.formula,
        text=spec.text,
        fits=fits,
        estimates=estimates,
        drawings=drawn,
        methods=methods(origin, fits, versions),
        notes=(*notes, *failed, *undrawn),
        excluded=excluded,
        facts=facts(origin),
        versions=versions,
        files=tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))),
        confidence=confidence,
    )
    write_model_page(folder, page)
    return page


def join_estimates(fits: Mapping[str, Fitted]) -> pd.DataFrame:
    """Return the estimates of all regions, corrected for their number where there are several."""
    if list(fits) == [""]:
        return fits[""].estimates
    tables = [fitted.estimates.assign(region=region) for region, fitted in fits.items()]
    joined = pd.concat(tables, ignore_index=True)
    joined.insert(0, "region", joined.pop("region"))
    return add_family(joined)


def _join_tables(fits: Mapping[str, Fitted]) -> dict[str, pd.DataFrame]:
    """Return the further tables, those of the same name of all regions in one."""
    names = list(dict.fromkeys(name for fitted in fits.values() for name in fitted.tables))
    joined = {}
    for name in names:
        parts = []
        for region, fitted in fits.items():
            if name in fitted.tables:
                table = fitted.tables[name]
                if region:
                    table = table.copy()
                    table.insert(0, "region", region)
                parts.append(table)
        joined[name] = pd.concat(parts, ignore_index=True)
    return joined


def _excluded(fits: Mapping[str, Fitted]) -> pd.DataFrame:
    """Return which rows were left out where, and why."""
    parts = [
        pd.DataFrame({"row": fitted.excluded.index, "region": region or "all",
                      "reason": fitted.excluded["reason"].to_numpy()})
        for region, fitted in fits.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _data(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows a model could use, with the columns that it names."""
    words = set(re.findall(r"\w+", " ".join([spec.where, json.dumps(spec.keys, default=str)])))
    named = words | {"participant_id", "session_id", "acquisition_key"}
    asked = regions_of(frame) if spec.regions == ALL_REGIONS else spec.regions
    regions = {f"{word}_{column_name(name)}" for word in words for name in asked}
    columns = [name for name in frame if name in named | regions]
    data = frame[columns]
    data.insert(0, "row", frame.index)
    return data


def _write_table(
    folder: Path, name: str, table: pd.DataFrame, made: Mapping[str, Any], columns: pd.Index
) -> None:
    """Write a table of a model of data with `columns`, and what they and its own mean."""
    path = folder / f"{name}.tsv"
    with replacing(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    keys = ("Formula", "Atlas", "Reference", "Protocols", "Harmonisation", "Facts", "GeneratedBy",
            "Software")  # fmt: skip
    told = {key: made[key] for key in keys}
    described = describe_columns(table, kind=made["Kind"], name=name, data=columns)
    content = {**described, "Model": {"Name": made["Name"], **told}}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    atomic_write_text(path.with_suffix(".json"), text + "\n")


def _versions() -> dict[str, str]:
    found = {name: version(name) for name in PACKAGES}
    return {"qsmprep": __version__, "Python": platform.python_version(), **found}
