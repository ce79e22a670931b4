"""The page of a participant: everything a reader needs to accept or reject a map, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
import platform
import re
import tomllib
from typing import NamedTuple

import pandas as pd

from qsmprep.reports.pages import (
    MISSING,
    data_uri,
    distinct,
    flatten,
    generator,
    number,
    plain,
    read_json,
    render,
    split_label,
    worst,
    write_page,
)
from qsmprep.reports.regions import read_regions, reference_of, table_rows
from qsmprep.units import PPB_PER_PPM

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
    r"desc-(acquisition_|regions_)?qc\.json|Chimap\.json)"
)


class Kind(NamedTuple):
    """A kind of figure: its part of the file name, its heading and what to look for in it."""

    what: str
    heading: str
    alt: str
    look_for: str


FIGURES = (
    Kind(
        "mask",
        "Masks",
        "Outlines of the brain mask and of the trusted phase on slices of the magnitude",
        "The outer line should follow the brain; the inner one may leave out only "
        "what has no usable phase.",
    ),
    Kind(
        "field",
        "Field",
        "Axial slices of the total field, the local field and the noise of the field",
        "The total field should be smooth, without jumps of a whole turn; the local field "
        "should show anatomy and no shadow from the sinuses.",
    ),
    Kind(
        "chi",
        "Susceptibility",
        "Slices of the susceptibility map in three planes, grey scale in ppb",
        "Deep grey matter and veins should be bright, white matter dark, without streaks.",
    ),
    Kind(
        "r2star",
        "R2*",
        "Slices of the map of the relaxation rate R2* in three planes",
        "Deep grey matter should stand out; a bright rim at the sinuses is field, not iron.",
    ),
    Kind(
        "registration",
        "Registration of the T1w image",
        "Tissue borders of the T1w image drawn on slices of the magnitude",
        "The lines should meet the ventricles and the surface of the brain.",
    ),
    Kind(
        "labels",
        "Regions on the magnitude",
        "Coloured regions on slices of the magnitude, main regions named in the legend",
        "Each region should lie on its structure, on both sides.",
    ),
    Kind(
        "labelsChi",
        "Regions on the susceptibility",
        "Coloured regions on slices of the susceptibility map",
        "Pallidum and putamen should fill the bright nuclei and not reach beyond.",
    ),
    Kind(
        "regions",
        "Regional means",
        "Mean and standard deviation of the susceptibility of the main regions; the same "
        "numbers are in the table below",
        "Both sides should agree; the pallidum is highest in most adults.",
    ),
)

_FLICKER = ("registrationMagnitude", "registrationT1w")


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
    rows = {_stem(row): row for row in distinct(own)}
    pieces = _pieces(output_dir / participant)
    stems = sorted(rows.keys() | pieces.keys())
    acquisitions = [_acquisition(stem, rows.get(stem, {}), pieces.get(stem, [])) for stem in stems]
    page = render(
        "participant.html",
        participant=participant,
        verdict=worst([acquisition["status"] for acquisition in acquisitions]),
        acquisitions=acquisitions,
        generator=generator(output_dir),
        protocol=_protocol(output_dir),
        versions=_versions(),
        command=command,
        crashes=_crashes(output_dir / "logs", participant),
    )
    return write_page(page, output_dir / f"{participant}.html")


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


def _acquisition(stem: str, row: Mapping[str, object], pieces: list[Path]) -> dict:
    """Return what the page says about one acquisition."""
    by_name = {path.name.removeprefix(f"{stem}_"): path for path in pieces}
    sidecar = read_json(by_name.get("Chimap.json"))
    reason = plain(row.get("reason"))
    return {
        "stem": stem,
        # Without a row nobody vouches for the acquisition, whatever files there are.
        "status": plain(row.get("status", "partial")),
        "reason": "" if reason == MISSING else reason,
        "found": bool(pieces),
        "facts": _facts(sidecar),
        "notes": [plain(note) for note in [*sidecar.get("Notes", []), *_fringes(sidecar)]],
        "qc": _quality(by_name),
        "figures": _figures(by_name),
        "tables": [
            _table(path, sidecar)
            for name, path in by_name.items()
            if name.endswith("_regions.tsv")
        ],
    }


def _facts(sidecar: Mapping) -> list[tuple[str, str]]:
    """Return the decisions and measures a reader looks for first, none without a map."""
    if not sidecar:
        return []
    times = [number(1e3 * time, 2) for time in sidecar.get("EchoTimes", [])]
    strength = sidecar.get("MagneticFieldStrength")
    sources = [str(source) for source in sidecar.get("Sources", [])]
    t1w = sidecar.get("T1w") or [source for source in sources if "_T1w." in source]
    return [
        ("T1w image", plain(t1w or None)),
        ("Echo times", f"{', '.join(times)} ms" if times else MISSING),
        ("Field strength", f"{plain(strength)} T" if strength else MISSING),
        ("Phase coding", plain(sidecar.get("PhaseCoding"))),
        ("Sign of the phase", plain(sidecar.get("PhaseSign"))),
        ("Bipolar readout", plain(sidecar.get("BipolarReadout"))),
        ("Reference", _reference(sidecar.get("Reference"))),
        ("Convergence of the background", _convergence(sidecar.get("BackgroundConvergence"))),
        ("Convergence of the inversion", _convergence(sidecar.get("InversionConvergence"))),
        ("Protocol digest", plain(sidecar.get("GeneratedBy", {}).get("ProtocolDigest"))),
    ]


def _quality(by_name: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Return a row for each quality figure: its name, its value and what is said of it."""
    files = ("desc-acquisition_qc.json", "desc-qc.json", "desc-regions_qc.json")
    return [
        (name, f"{plain(figure['value'])} {figure['unit']} ({figure['verdict']})")
        for file in files
        for name, figure in read_json(by_name.get(file)).get("figures", {}).items()
    ]


def _fringes(sidecar: Mapping) -> list[str]:
    """Return a warning if fringes end inside the brain."""
    found = sidecar.get("OpenFringes", {})
    if not found.get("lines"):
        return []
    return [
        f"Fringes end inside the brain, at {found['lines']} lines: coils were not combined well. "
        f"Maps are not to be trusted in the {found['voxels']} voxels beside them"
    ]


def _reference(reference: object) -> str:
    """Return the reference region with its own susceptibility, in words."""
    if not isinstance(reference, Mapping):
        return plain(reference)
    mean, spread = (reference.get(key) for key in ("mean_ppm", "sd_ppm"))
    text = plain(reference.get("name"))
    if isinstance(mean, int | float):
        text += f": {number(mean * PPB_PER_PPM)}"
        if isinstance(spread, int | float):
            text += f" ± {number(spread * PPB_PER_PPM)}"
        text += " ppb"
    if reference.get("against"):
        text += f", against {plain(reference['against'])}"
    if reference.get("n_voxels"):
        text += f" ({plain(reference['n_voxels'])} voxels)"
    return text


def _convergence(convergence: object) -> str:
    """Return how the inversion ended, in words."""
    if not isinstance(convergence, Mapping):
        return plain(convergence)
    verdict = "converged" if convergence.get("converged") else "NOT converged"
    return (
        f"{verdict} after {plain(convergence.get('iterations'))} iterations, "
        f"residual {plain(convergence.get('residual'))}"
    )


def _figures(by_name: Mapping[str, Path]) -> list[dict]:
    """Return the figures of an acquisition in the order of the page, absent ones without one."""
    drawn = {
        name.split("_")[0].removeprefix("desc-"): data_uri(path)
        for name, path in by_name.items()
        if "_figure." in name
    }
    figures = []
    for kind in FIGURES:
        figure = {**kind._asdict(), "uri": drawn.get(kind.what, ""), "frames": []}
        if kind.what == "registration" and all(name in drawn for name in _FLICKER):
            figure["frames"] = [drawn[name] for name in _FLICKER]
        figures.append(figure)
    return figures


def _table(path: Path, sidecar: Mapping) -> dict:
    """Return the regional table of an atlas under the reference of the protocol."""
    table = read_regions(path)
    preferred = sidecar.get("Reference")
    preferred = preferred.get("name") if isinstance(preferred, Mapping) else preferred
    reference = reference_of(table, preferred)
    main, others = table_rows(table, reference)
    chi = table[table["map"] == "Chimap"]
    return {
        "atlas": plain(next(iter(table["atlas"].dropna()), MISSING)),
        "reference": reference,
        "main": main,
        "others": others,
        "references": _means_by_reference(chi),
    }


def _means_by_reference(chi: pd.DataFrame) -> dict:
    """Return the means of whole structures under every reference of the table."""
    names = list(dict.fromkeys(chi["reference"].dropna()))
    whole = chi[chi["hemisphere"].isin(["B", "M"])]
    rows: dict[str, dict[str, float]] = {}
    for row in whole.to_dict("records"):
        rows.setdefault(row["name"], {})[row["reference"]] = row["mean"]
    return {"names": names, "rows": rows}


def _protocol(output_dir: Path) -> list[tuple[str, str]]:
    """Return every setting of the protocol, none where its file is not there."""
    path = output_dir / "logs" / "protocol.toml"
    if not path.is_file():
        return []
    settings = tomllib.loads(path.read_text(encoding="utf-8"))
    return [(name, plain(value)) for name, value in flatten(settings)]


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
