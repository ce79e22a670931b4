"""The page of a participant: everything a reader needs to accept or reject a map, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
import platform
import re
import tomllib

import pandas as pd

from qsmprep.methods.verdicts import worst as worst_verdict
from qsmprep.reports.consensus import SOURCE, reporting
from qsmprep.reports.facts import facts, milliseconds, notes, read_grid
from qsmprep.reports.longitudinal import page_name, row_of
from qsmprep.reports.pages import (
    MISSING,
    distinct,
    flatten,
    generator,
    plain,
    read_json,
    render,
    split_label,
    worst,
    write_page,
)
from qsmprep.reports.pictures import FIGURES, FRAMES, LESIONS, pictures
from qsmprep.reports.quality import FILES, rows_of, sentences, summary, verdict_of
from qsmprep.reports.regions import read_regions, reference_of, table_rows

LIBRARIES = (
    "numpy",
    "scipy",
    "antspyx",
    "nibabel",
    "nilearn",
    "nipype",
    "numba",
    "pandas",
    "matplotlib",
)
"""Packages whose version can change a number or a figure."""

_PIECES = re.compile(
    r"(?P<stem>sub-\w[\w+-]*?)_(seg-[^_]+_regions\.tsv|desc-[^_]+_figure\.(png|svg)|"
    r"desc-(acquisition_|regions_)?qc\.json|Chimap\.(json|nii\.gz))"
)

_NO_REGIONS = "No regions were asked for (segmentation.atlas is none)."
_NOT_THERE = "Not there: its file is not in this folder."

OF_T1W = ("registration", "labelsChi", "labels", "regions", "iron")
"""Figures that need a T1w and labels."""


def write_participant_page(
    output_dir: Path,
    participant: str,
    *,
    status: Sequence[Mapping[str, object]],
    command: str,
) -> Path:
    """
    Write ``OUT/sub-XX.html`` from what lies in the output folder, and return its path.

    Parameters
    ----------
    output_dir
        Output folder of qsmprep. Pieces that are not there are named on the page, with the
        reason that `status` gives.
    participant
        Label, with or without ``sub-``.
    status
        Rows of ``status.tsv``: `participant_id session_id acquisition run suffix status reason`.
        Those of other participants are passed over.
    command
        The command line, as typed.
    """
    output_dir = Path(output_dir)
    participant = f"sub-{participant.removeprefix('sub-')}"
    own = [row for row in status if row["participant_id"] == participant]
    through = row_of(own, participant)
    own = [row for row in own if row is not through]
    rows = {_stem(row): row for row in distinct(own)}
    pieces = _pieces(output_dir / participant)
    made_by = generator(output_dir)
    protocol = _protocol(output_dir)
    acquisitions = [
        _acquisition(stem, rows.get(stem, {}), pieces.get(stem, []), made_by, protocol)
        for stem in sorted(rows.keys() | pieces.keys())
    ]
    page = render(
        "participant.html",
        participant=participant,
        status=worst([acquisition["status"] for acquisition in acquisitions]),
        verdict=worst_verdict([acquisition["verdict"] for acquisition in acquisitions]),
        acquisitions=acquisitions,
        through=_through(output_dir, participant, through),
        kinds={kind.what: kind for kind in (*FIGURES, LESIONS)},
        consensus=SOURCE,
        generator=made_by,
        protocol=[(name, plain(value)) for name, value in protocol.items()],
        methods=_methods(output_dir / "CITATION.md"),
        versions=_versions(),
        command=command,
        crashes=_crashes(output_dir / "logs", participant),
    )
    return write_page(page, output_dir / f"{participant}.html")


def _through(output_dir: Path, participant: str, row: Mapping[str, object]) -> dict | None:
    """Return what became of a participant through time, None where that was not asked for."""
    page = output_dir / page_name(participant)
    if not row and not page.is_file():
        return None
    reason = plain(row.get("reason"))
    return {
        "status": plain(row.get("status", "partial")),
        "reason": "" if reason == MISSING else reason,
        "page": page.name if page.is_file() else "",
    }


def _stem(row: Mapping[str, object]) -> str:
    """Return how the file names of an acquisition begin."""
    label, others = split_label(str(row["acquisition"]))
    acquisition = [f"acq-{label}" if label else "", *others]
    run = "" if row["run"] == MISSING else f"run-{row['run']}"
    parts = [row["participant_id"], row["session_id"], *acquisition, run]
    return "_".join(str(part) for part in parts if part not in ("", MISSING))


def _pieces(folder: Path) -> dict[str, list[Path]]:
    """Return what the page can show, by acquisition."""
    pieces: dict[str, list[Path]] = {}
    for path in sorted([*folder.glob("**/anat/*"), *folder.glob("figures/*")]):
        found = _PIECES.fullmatch(path.name)
        if found and "_space-" not in path.name:
            pieces.setdefault(found["stem"], []).append(path)
    return pieces


def _acquisition(
    stem: str,
    row: Mapping[str, object],
    pieces: list[Path],
    made_by: Mapping[str, str],
    protocol: Mapping[str, object],
) -> dict:
    """Return what the page says about one acquisition."""
    by_name = {path.name.removeprefix(f"{stem}_"): path for path in pieces}
    sidecar = read_json(by_name.get("Chimap.json"))
    grid = read_grid(by_name.get("Chimap.nii.gz"))
    reason = plain(row.get("reason"))
    reason = "" if reason == MISSING else reason
    quality = {
        about: content
        for about, (file, _) in FILES.items()
        if (content := read_json(by_name.get(file))).get("figures")
    }
    found = pictures(by_name)
    tables = [
        _table(path, sidecar) for name, path in by_name.items() if name.endswith("_regions.tsv")
    ]
    why = {
        kind.what: _why(kind.what, found, sidecar, protocol, reason)
        for kind in FIGURES
        if kind.what not in found
    }
    if not tables:
        why["table"] = _why("regions", found, sidecar, protocol, reason)
    return {
        "stem": stem,
        # Without a row nobody vouches for the acquisition, whatever files there are.
        "status": plain(row.get("status", "partial")),
        "reason": reason,
        "found": bool(pieces),
        "verdict": verdict_of(quality),
        "told": sentences(quality),
        "counts": summary(quality),
        "unjudged": {
            about: _NO_REGIONS
            if about == "regions" and _NO_REGIONS in why.values()
            else f"not judged, there is no {file}."
            for about, (file, _) in FILES.items()
            if about not in quality
        },
        "quality": {about: rows_of(quality.get(about, {})) for about in FILES},
        "missing": _missing(why),
        "why": why,
        "facts": facts(sidecar, grid),
        "notes": notes(sidecar),
        "pictures": found,
        "frames": [found[name] for name in FRAMES if name in found],
        "tables": tables,
        "reporting": reporting(sidecar, grid, quality, made_by) if sidecar else [],
    }


def _why(
    what: str, found: Mapping, sidecar: Mapping, protocol: Mapping[str, object], reason: str
) -> str:
    """Return why a piece is not there, as a sentence."""
    if what == "r2star" and len(milliseconds(sidecar)) == 1:
        return "There is one echo; R2* needs two."
    if what in OF_T1W and protocol.get("segmentation.atlas") == "none":
        return _NO_REGIONS
    if what == "iron" and "regions" in found:
        return (
            "The curve of iron over age is not drawn: the dataset gave no age in years for this "
            "participant, or the table has none of pallidum, putamen and caudate."
        )
    told = f" The run says of this acquisition: {reason}" if reason else ""
    return f"{_NOT_THERE}{told}"


def _missing(why: Mapping[str, str]) -> list[str]:
    """Return the names of what is missing; what was not asked for is not."""
    names = {kind.what: kind.name for kind in FIGURES} | {"table": "Table of regions"}
    return [names[what] for what, reason in why.items() if reason.startswith(_NOT_THERE)]


def _table(path: Path, sidecar: Mapping) -> dict:
    """Return the regional table of an atlas under all references, the protocol's first."""
    try:
        table = read_regions(path)
        preferred = sidecar.get("Reference")
        preferred = preferred.get("name") if isinstance(preferred, Mapping) else preferred
        first = reference_of(table, preferred if isinstance(preferred, str) else None)
        main, others = table_rows(table, first)
        names = [*{first: None} | dict.fromkeys(_chi(table)["reference"].dropna())]
        atlas = plain(next(iter(table["atlas"].dropna()), MISSING))
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        return {"trouble": f"{path.name} cannot be read ({error})."}
    means = {
        (row["name"], row["hemisphere"], row["reference"]): row["mean"]
        for row in _chi(table).to_dict("records")
    }
    for row in (*main, *others):
        who = row["name"], row["hemisphere"]
        row["means"] = [means.get((*who, name)) for name in names]
    return {"atlas": atlas, "references": names, "main": main, "others": others, "trouble": ""}


def _chi(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["map"] == "Chimap"]


def _protocol(output_dir: Path) -> dict[str, object]:
    """Return every setting of the protocol, none where its file is not there."""
    path = output_dir / "logs" / "protocol.toml"
    try:
        return dict(flatten(tomllib.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return {}


def _methods(path: Path) -> list[tuple[str, str]]:
    """Return the methods text as headings, points and paragraphs, none where there is none."""
    if not path.is_file():
        return []
    kinds = {"# ": "heading", "- ": "point"}
    text = path.read_text(encoding="utf-8", errors="replace").replace("https://doi.org/", "doi:")
    return [
        (kinds.get(line[:2], "paragraph"), line[2:] if line[:2] in kinds else line)
        for line in text.replace("`", "").splitlines()
        if line.strip()
    ]


def _versions() -> list[tuple[str, str]]:
    """Return the versions of Python and of the libraries beside this page."""
    found = [("python", platform.python_version())]
    for name in LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return found


def _crashes(logs: Path, participant: str) -> list[tuple[str, str]]:
    """Return name and text of the crash files that mention a participant."""
    mention = re.compile(rf"{re.escape(participant)}(?![0-9A-Za-z])")
    crashes = []
    for path in sorted(logs.glob("*.txt")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if mention.search(path.name) or mention.search(text):
            crashes.append((path.name, text))
    return crashes
