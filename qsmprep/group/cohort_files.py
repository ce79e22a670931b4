"""The tables of a cohort as files, each with a sidecar that tells what its columns are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

import qsmprep
from qsmprep.bids.derivatives import write_json
from qsmprep.bids.region_columns import COLUMNS, UNITS
from qsmprep.errors import RequestError
from qsmprep.files import replacing
from qsmprep.group import acquisition_keys
from qsmprep.group.cohort_table import CHI, IDS, CohortTable, Members
from qsmprep.group.region_values import Table, as_columns
from qsmprep.group.strict import text_of

OWN = {
    **{name: COLUMNS[name] for name in IDS},
    "output_folder": "output folder, as -d names it, or the name of the folder itself",
    **acquisition_keys.COLUMNS,
    "protocol": "digest of the protocol that made the outputs",
    "age": "age at the session where its table tells it, else that of participants.tsv",
    "years": "time since the first session of the participant",
}
"""What stands in the columns that are not of users."""

OWN_UNITS = {"field_strength": "T", "echo_times": "ms", "voxel_size": "mm", "age": "year",
             "years": "year", **UNITS}  # fmt: skip

WIDE = {
    "chi": (CHI, "mean", "ppb", "mean susceptibility"),
    "volume": (CHI, "volume_mm3", "mm^3", "volume"),
    "r2star": ("R2starmap", "mean", "1/s", "mean R2*"),
}
"""Kinds of columns of the wide table: map, statistic, unit and what it is."""


def write_cohort_tables(
    folder: Path, cohort: CohortTable, members: Members, tables: Sequence[Table]
) -> list[Path]:
    """
    Write the long and the wide table of a cohort with their sidecars, and return their paths.

    Parameters
    ----------
    folder
        Where they go, as ``regions.tsv`` and ``cohort.tsv``.
    cohort, members, tables
        What was read; see `qsmprep.group.cohort_table`.
    """
    joined = [str(name) for name in cohort.acquisitions if name not in IDS]
    long = _write_long(folder / "regions.tsv", cohort.acquisitions[joined], tables)
    described = _described(joined, members)
    header = tables[0].header.decode("utf-8-sig").split("\t") if tables else list(COLUMNS)
    own = {name: _column(COLUMNS.get(name, name), UNITS.get(name, "")) for name in header}
    _write_sidecar(long, cohort, "Regional values, one row per region, map and reference",
                   own | described)  # fmt: skip
    wide, columns = wide_table(cohort)
    path = folder / "cohort.tsv"
    with replacing(path) as temporary:
        text_of(wide).to_csv(temporary, sep="\t", index=False, lineterminator="\n", quoting=3)
    about = {"name": _column("name of the acquisition: how the names of its outputs begin")}
    about |= {name: _column(OWN[name]) for name in IDS} | described | columns
    extra = {"Atlas": cohort.atlas, "Reference": cohort.reference} if cohort.atlases else {}
    _write_sidecar(path, cohort, "One row per acquisition: covariates and regional values",
                   about, extra)  # fmt: skip
    return [long, path]


def _write_long(path: Path, joined: pd.DataFrame, tables: Sequence[Table]) -> Path:
    """Write the rows of all tables as they are, each followed by what is joined to it."""
    text = text_of(joined)
    endings = {
        name: ("\t" + "\t".join(cells) + "\n").encode()
        for name, cells in zip(text.index, text.to_numpy().tolist(), strict=True)
    }
    header = tables[0].header if tables else "\t".join(COLUMNS).encode()
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(header + ("\t" + "\t".join(joined.columns) + "\n").encode())
        for table in tables:
            file.write(table.body.replace(b"\n", endings[table.acquisition]))
    return path


def wide_table(cohort: CohortTable) -> tuple[pd.DataFrame, dict[str, dict]]:
    """
    Return a row per acquisition with regional values behind its covariates, and what they are.

    Regions are those of the atlas that most acquisitions have, under the reference of the maps.

    Raises
    ------
    RequestError
        If a covariate has the name of such a column.
    """
    parts, columns = [cohort.acquisitions.reset_index()], dict[str, dict]()
    for kind, (quantity, statistic, unit, what) in WIDE.items():
        if quantity not in cohort.maps or statistic not in cohort.region_values.rows:
            continue
        values = cohort.values(quantity, cohort.reference, cohort.atlas, statistic)
        values = as_columns(values.reset_index(drop=True), kind)
        zero = f" against {cohort.reference}" if kind == "chi" else ""
        columns |= {
            str(name): _column(f"{what} of {str(name).removeprefix(f'{kind}_')}{zero}", unit)
            for name in values
        }
        parts.append(values)
    if clash := [name for name in cohort.acquisitions if name in columns]:
        raise RequestError(
            f"column {clash[0]} of a table of the dataset has the name of a regional value; "
            "rename it there"
        )
    return pd.concat(parts, axis=1), columns


def _described(columns: Sequence[str], members: Members) -> dict[str, dict]:
    """Return what joined columns are: our words, or those of the dataset."""
    about = {}
    for name in columns:
        table, column = members.origin.get(name, ("", ""))
        if not table or name in OWN:
            about[name] = _column(OWN[name], OWN_UNITS.get(name, ""))
            continue
        said = members.covariates.described.get(table, {}).get(column, {})
        where = f"column {column} of {table}.tsv"
        about[name] = {"Description": where} | ({**said, "Source": where} if said else {})
    return about


def _column(description: str, unit: str = "") -> dict[str, str]:
    return {"Description": description} | ({"Units": unit} if unit else {})


def _write_sidecar(
    path: Path,
    cohort: CohortTable,
    description: str,
    columns: Mapping[str, Mapping],
    extra: Mapping[str, object] | None = None,
) -> None:
    acquisitions = cohort.acquisitions
    head = {
        "Description": description,
        **(extra or {}),
        "Participants": int(acquisitions["participant_id"].nunique()),
        "Acquisitions": len(acquisitions),
        "Notes": list(cohort.notes),
        "GeneratedBy": {"Name": "qsmprep", "Version": qsmprep.__version__},
    }
    # BIDS keeps the columns beside what is said of the table; ours come last, theirs win.
    write_json(path.with_suffix(".json"), {**head, **columns})
