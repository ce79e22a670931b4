"""Who the participants are: their site and their group, and where it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import csv
from dataclasses import dataclass
from pathlib import Path
import zlib

import nibabel as nb
import pandas as pd

from qsmprep.group.outputs import Identity, Outputs

SITE_COLUMNS = ("site", "site_id", "center", "centre", "scanner", "scanner_id")
GROUP_COLUMNS = ("group", "diagnosis", "dx", "clinical_group")
UNTOLD = "not told"


@dataclass(frozen=True)
class People:
    """
    Site and group of every acquisition.

    Parameters
    ----------
    site, group
        By whom the acquisition is of; `group` is empty where there is no such column.
    site_source, group_source
        Where they were read, as a phrase; the latter empty where there is no group.
    notes
        What a reader should know of them, in sentences.
    """

    site: dict[Identity, str]
    group: dict[Identity, str]
    site_source: str
    group_source: str
    notes: tuple[str, ...]


def read_people(
    folders: Iterable[Path], outputs: Mapping[Identity, Outputs], everybody: Iterable[Identity]
) -> People:
    """
    Return site and group of acquisitions, from ``participants.tsv`` or from their sidecars.

    Parameters
    ----------
    folders
        Where ``participants.tsv`` may lie; the first that has one counts.
    outputs
        What `qsmprep.group.outputs.find_outputs` found.
    everybody
        Whom the acquisitions are of.
    """
    everybody = list(everybody)
    table, notes = _read_table([folder / "participants.tsv" for folder in folders])
    sites, site_column = _column(table, SITE_COLUMNS)
    groups, group_column = _column(table, GROUP_COLUMNS)
    if site_column:
        site = {who: sites.get(who[0], UNTOLD) for who in everybody}
        source = f"column {site_column} of participants.tsv"
    else:
        site = {who: _acquisition_key(outputs.get(who)) for who in everybody}
        source = (
            "how they were acquired (manufacturer, model, field strength, echo times and voxel "
            "size, as the outputs tell)"
        )
        if table is not None:
            notes.append(f"participants.tsv has none of the columns {', '.join(SITE_COLUMNS)}.")
    if group_column:
        if unnamed := {who[0] for who in everybody} - groups.keys():
            notes.append(f"participants.tsv tells no {group_column} of {len(unnamed)} of them.")
    elif table is not None:
        notes.append(f"participants.tsv has none of the columns {', '.join(GROUP_COLUMNS)}.")
    return People(
        site=site,
        group={who: groups.get(who[0], UNTOLD) for who in everybody} if group_column else {},
        site_source=source,
        group_source=f"column {group_column} of participants.tsv" if group_column else "",
        notes=tuple(notes),
    )


def _read_table(paths: list[Path]) -> tuple[pd.DataFrame | None, list[str]]:
    """Return the first table that there is, and why there is none."""
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None, ["There is no participants.tsv: groups are not known."]
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, na_values=["n/a"], keep_default_na=False,
                            encoding="utf-8-sig", index_col=False,
                            quoting=csv.QUOTE_NONE)  # fmt: skip
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        return None, [f"participants.tsv cannot be read ({error}): groups are not known."]
    if "participant_id" not in table:
        return None, ["participants.tsv has no column participant_id: groups are not known."]
    names = table["participant_id"].fillna("").str.removeprefix("sub-")
    return table.assign(participant_id="sub-" + names), []


def _column(table: pd.DataFrame | None, wanted: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """Return what the first of some columns says of each participant, and its name."""
    names = {name.lower(): name for name in reversed(table.columns)} if table is not None else {}
    for column in wanted:
        if table is not None and column in names:
            told = table.drop_duplicates("participant_id").set_index("participant_id")
            values = told[names[column]].dropna().str.strip()
            if len(values := values[values != ""]):
                return {str(who): str(value) for who, value in values.items()}, names[column]
    return {}, ""


def _acquisition_key(outputs: Outputs | None) -> str:
    """Return how something was acquired as one phrase: equal phrases are one site."""
    sidecar = outputs.sidecar() if outputs else {}
    if outputs is None or not sidecar:
        return UNTOLD
    scanner = sidecar.get("Scanner")
    scanner = scanner if isinstance(scanner, dict) else {}
    names = (scanner.get(key) for key in ("Manufacturer", "ManufacturersModelName"))
    maker = " ".join(str(name).strip() for name in names if name)
    field = sidecar.get("MagneticFieldStrength")
    parts = [maker, f"{field:.2g} T" if isinstance(field, int | float) else ""]
    times = sidecar.get("EchoTimes")
    if isinstance(times, list) and times and all(isinstance(t, int | float) for t in times):
        ends = f"{1e3 * times[0]:.1f}" + (f"–{1e3 * times[-1]:.1f}" if len(times) > 1 else "")
        parts.append(f"{len(times)} echo{'es' * (len(times) > 1)} {ends} ms")
    if voxel := _voxel_size(outputs.files.get("Chimap.nii.gz")):
        parts.append(f"{voxel} mm")
    return ", ".join(part for part in parts if part) or UNTOLD


def _voxel_size(path: Path | None) -> str:
    try:
        zooms = nb.load(path).header.get_zooms()[:3] if path else ()  # type: ignore[attr-defined]
    except (OSError, ValueError, EOFError, zlib.error, nb.filebasedimages.ImageFileError):
        return ""
    return " × ".join(f"{edge:.2f}".rstrip("0").rstrip(".") for edge in zooms)
