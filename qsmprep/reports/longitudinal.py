"""The page of a participant through time: what changed, and where to look for why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
import re
from typing import NamedTuple

from matplotlib.figure import Figure
import nibabel as nb
import numpy as np
import pandas as pd

from qsmprep.reports.figures import chi_planes, save_figure
from qsmprep.reports.pages import (
    MISSING,
    data_uri,
    generator,
    plain,
    read_json,
    render,
    write_page,
)
from qsmprep.reports.pictures import description
from qsmprep.reports.plots import draw
from qsmprep.reports.regions import main_regions, read_regions, reference_of, select, table_rows
from qsmprep.reports.sheet import Axcodes, Sheet, grey_window
from qsmprep.statistics.results import OBSERVED, Drawing

SPACE, LONGITUDINAL = "participant", "longitudinal"
"""As `qsmprep.bids.longitudinal` calls them in names and in ``status.tsv``."""

CHANGE_WINDOW_PPB = (-40.0, 40.0)
"""Grey scale of the difference of two maps."""

_TABLE = re.compile(rf"(?P<stem>sub-\w[\w+-]*?)_space-{SPACE}_seg-(?P<atlas>[^_]+)_change\.tsv")
_SIDES = {"L": "left", "R": "right", "B": "both", "M": "midline"}


class Volume(NamedTuple):
    """A volume with the size of its voxels, mm, and where its axes point."""

    values: np.ndarray
    voxel_size: tuple[float, ...]
    axcodes: Axcodes


def page_name(participant: str) -> str:
    """Return the name of the page, beside that of the participant."""
    return f"{participant}_{LONGITUDINAL}.html"


def write_longitudinal_page(
    output_dir: Path, participant: str, *, status: Sequence[Mapping[str, object]]
) -> Path | None:
    """
    Write ``OUT/sub-XX_longitudinal.html`` from what lies in the output folder.

    Parameters
    ----------
    output_dir
        Output folder of qsmprep.
    participant
        Label, with or without ``sub-``.
    status
        Rows of ``status.tsv``.

    Returns
    -------
    page
        Its path; None, and none is written, where no change was measured.
    """
    participant = f"sub-{participant.removeprefix('sub-')}"
    folder = Path(output_dir) / participant / "anat"
    series = [
        _series(Path(output_dir), path, found, change)
        for path in sorted(folder.glob(f"*_space-{SPACE}_seg-*_change.tsv"))
        if (found := _TABLE.fullmatch(path.name)) and len(change := _read(path))
    ]
    if not series:  # nor is one kept whose figures are not there any more
        (Path(output_dir) / page_name(participant)).unlink(missing_ok=True)
        return None
    row = row_of(status, participant)
    page = render(
        "longitudinal.html",
        participant=participant,
        status=plain(row.get("status", "partial")),
        reason="" if plain(row.get("reason")) == MISSING else plain(row.get("reason")),
        series=series,
        generator=generator(Path(output_dir)),
    )
    return write_page(page, Path(output_dir) / page_name(participant))


def row_of(status: Sequence[Mapping[str, object]], participant: str) -> Mapping[str, object]:
    """Return the row of a participant through time; an empty one where there is none."""
    rows = (
        row
        for row in status
        if row["participant_id"] == participant and row["suffix"] == LONGITUDINAL
    )
    return next(rows, {})


def _series(
    output_dir: Path, path: Path, found: re.Match[str], change: pd.DataFrame
) -> dict[str, object]:
    """Return what the page says of acquisitions that differ in their session alone."""
    sessions = [change["session_from"].iloc[0], *dict.fromkeys(change["session_to"])]
    stems = {session: _stem_of(found["stem"], session) for session in sessions}
    folders = {session: path.parent.parent / session / "anat" for session in sessions}
    tables, sidecars = {}, {}
    for session, stem in stems.items():
        start = f"{stem}_space-{SPACE}_"
        regions = folders[session] / f"{start}seg-{found['atlas']}_regions.tsv"
        if regions.is_file():
            tables[session] = read_regions(regions)
        sidecars[session] = read_json(folders[session] / f"{start}Chimap.json")
    told = sidecars[sessions[0]].get("Reference")
    preferred = told.get("name") if isinstance(told, Mapping) else told
    reference = reference_of(change, preferred if isinstance(preferred, str) else None)
    years = dict(zip(change["session_to"], change["years"], strict=True))
    years = {sessions[0]: 0.0 if all(np.isfinite(list(years.values()))) else np.nan} | years
    notes = read_json(path.with_suffix(".json")).get("Notes", [])
    where = path.parent.parent / "figures"
    start = f"{found['stem']}_space-{SPACE}_seg-{found['atlas']}"
    plot = None
    if len(tables) > 1:
        figure = draw(trajectories(tables, years, reference))
        plot = save_figure(figure, where / f"{start}_desc-change_figure.svg")
    lesions = where / f"{found['stem']}_space-baseline_desc-lesions_figure.png"
    images = {
        session: _session_images(folders[session] / f"{stem}_space-{SPACE}_")
        for session, stem in stems.items()
    }
    return {
        "stem": found["stem"],
        "anchor": path.name.removesuffix(".tsv"),
        "atlas": found["atlas"],
        "table": path.relative_to(output_dir).as_posix(),
        "reference": reference,
        "notes": notes if isinstance(notes, list) else [],
        "years": years,
        "plot": _picture(plot) if plot else None,
        "lesions": _picture(lesions) if lesions.is_file() else None,
        "voxels": int(images[sessions[0]]["mask"].values.sum()) if images[sessions[0]] else None,
        "pairs": [
            _pair(change, pair, reference, images, where / f"{stems[pair[1]]}_space-{SPACE}")
            for pair in ((sessions[0], later) for later in sessions[1:])
        ],
    }


def _read(path: Path) -> pd.DataFrame:
    words = ["participant_id", "session_from", "session_to", "acquisition", "run", "atlas",
             "index", "name", "hemisphere", "map", "reference", "units", "flag"]  # fmt: skip
    return pd.read_csv(
        path, sep="\t", na_values=["n/a"], keep_default_na=False, dtype=dict.fromkeys(words, str)
    )


def _stem_of(stem: str, session: str) -> str:
    """Return how the names of a session's outputs begin."""
    participant, *entities = stem.split("_")
    return "_".join([participant, session, *entities])


def trajectories(
    tables: Mapping[str, pd.DataFrame], years: Mapping[str, float], reference: str
) -> Drawing:
    """
    Return the means of the main regions over time.

    Parameters
    ----------
    tables
        Tables of regions by the names of their sessions, in the order of time.
    years
        Since the first session, NaN where not known: sessions are numbered then.
    reference
        Of susceptibility.
    """
    # Sessions of one day would be drawn above each other.
    known = all(np.isfinite(list(years.values()))) and len(set(years.values())) > 1
    first = next(iter(tables.values()))
    names = main_regions(first)
    rows = []
    for number, (session, table) in enumerate(tables.items(), 1):
        chi = select(table, "Chimap", reference)
        for row in chi[chi["name"].isin(names)].to_dict("records"):
            if row["hemisphere"] == "B":
                continue
            reach = 1.96 * row["sem"]
            rows.append({
                "panel": row["name"].replace("-", " "), "line": _SIDES[row["hemisphere"]],
                "x": years[session] if known else number, "y": row["mean"],
                "ci_low": row["mean"] - reach, "ci_high": row["mean"] + reach,
                "place": names.index(row["name"]),
            })  # fmt: skip
    data = pd.DataFrame(rows, columns=["panel", "line", "x", "y", "ci_low", "ci_high", "place"])
    data = data.sort_values("place", kind="stable", ignore_index=True).drop(columns="place")
    # Each session is also a point, or nobody would see where on a line the sessions are.
    points = data.drop(columns=["ci_low", "ci_high"])
    points["line"] += OBSERVED
    data = pd.concat([data, points], ignore_index=True)
    numbered = ", ".join(f"{number} {session}" for number, session in enumerate(tables, 1))
    time = "years since the first session" if known else f"session: {numbered}"
    return Drawing(
        "trajectories", data, "Means of the main regions over time.",
        {"x": time, "y": f"χ against {reference} (ppb)", "line": "side"},
    )  # fmt: skip


def _session_images(start: Path) -> dict[str, Volume]:
    """Return what a session looks like in the space of all; nothing where a file is missing."""
    names = {"chi": "Chimap", "t1w": "T1w", "mask": "desc-trusted_mask"}
    paths = {what: start.with_name(f"{start.name}{name}.nii.gz") for what, name in names.items()}
    if not all(path.is_file() for path in paths.values()):
        return {}
    found = {}
    for what, path in paths.items():
        image = nb.Nifti1Image.from_filename(path)
        values = image.get_fdata(dtype=np.float32)
        found[what] = Volume(
            values > 0 if what == "mask" else values,
            tuple(float(edge) for edge in image.header.get_zooms()[:3]),
            nb.aff2axcodes(image.affine),
        )
    return found


def _pair(
    change: pd.DataFrame,
    sessions: tuple[str, str],
    reference: str,
    images: Mapping[str, Mapping[str, Volume]],
    start: Path,
) -> dict:
    """Return rows and pictures of two sessions."""
    rows = change[change["session_to"] == sessions[1]]
    rate = select(rows, "R2starmap", None)
    main, others = table_rows(rows, reference)
    drawn: dict[str, list[dict]] = {}
    if all(images[session] for session in sessions):
        figures = list(_frames(sessions, images))
        for what, parts in groupby(figures, key=lambda figure: figure[0]):
            drawn[what] = []
            for name, figure in ((name, figure) for _, name, figure in parts):
                path = start.with_name(f"{start.name}_desc-{name}_figure.png")
                drawn[what].append(_picture(save_figure(figure, path)))
    return {
        "sessions": sessions,
        "years": rows["years"].iloc[0],
        "main": main,
        "others": others,
        "r2star": not rate.empty,
        "drawn": drawn,
    }


def _frames(
    sessions: tuple[str, str], images: Mapping[str, Mapping[str, Volume]]
) -> Iterator[tuple[str, str, Figure]]:
    """Yield what each figure of two sessions belongs to, its name, and it."""
    first, later = (images[session] for session in sessions)
    mask, size, axes = first["mask"]
    for session, image, name in zip(sessions, (first, later), ("first", "later"), strict=True):
        yield (
            "chi",
            f"{name}Chi",
            chi_planes(image["chi"].values, mask, size, axes, title=f"Susceptibility, {session}"),
        )
    for session, image, name in zip(sessions, (first, later), ("first", "later"), strict=True):
        sheet = Sheet(mask, size, axes, title=f"T1w, {session}")
        sheet.show(image["t1w"].values, "gray", grey_window(first["t1w"].values, mask))
        sheet.figure.set_label(f"The same slices of the T1w image, {session}.")
        yield "t1w", f"{name}T1w", sheet.figure
    difference = np.where(mask, later["chi"].values - first["chi"].values, 0)
    yield "change", "change", chi_planes(
        difference, mask, size, axes, window_ppb=CHANGE_WINDOW_PPB,
        title=f"{sessions[1]} less {sessions[0]}",
    )  # fmt: skip


def _picture(path: Path) -> dict[str, str]:
    return {"uri": data_uri(path), "alt": description(path)}
