"""What changed between the sessions of everybody, in one table."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

import qsmprep
from qsmprep.bids.change_columns import CHANGE_COLUMNS
from qsmprep.bids.derivatives import write_json
from qsmprep.bids.longitudinal import SPACE
from qsmprep.files import replacing
from qsmprep.group.cohort_table import Members
from qsmprep.group.sources import Source
from qsmprep.group.strict import join_cells, read_cells, text_of

WORDS = ("participant_id", "session_from", "session_to", "acquisition", "run", "atlas", "index",
         "name", "hemisphere", "map", "reference", "units", "flag")  # fmt: skip


def write_changes(folder: Path, members: Members) -> Path | None:
    """
    Write what changed in all participants as ``change.tsv``; nothing where nobody came twice.

    Parameters
    ----------
    folder
        Where it goes.
    members
        Whom the cohort is of; changes between sessions that are not in it are left out.

    Raises
    ------
    InputError
        If a table cannot be read.
    """
    who = members.acquisitions[["participant_id", "session_id"]]
    there = set(who.itertuples(index=False, name=None))
    parts = [_read(source) for source in members.sources]
    table = pd.concat(parts, ignore_index=True)
    ends = ("session_from", "session_to")
    kept = [
        all((row["participant_id"], row[end]) in there for end in ends)
        for row in table[["participant_id", *ends]].to_dict("records")
    ]
    path = folder / "change.tsv"
    if not any(kept):
        for former in (path, path.with_suffix(".json")):
            former.unlink(missing_ok=True)
        return None
    with replacing(path) as temporary:
        text_of(table[kept]).to_csv(
            temporary, sep="\t", index=False, lineterminator="\n", quoting=csv.QUOTE_NONE
        )
    columns = {**CHANGE_COLUMNS, "output_folder": "output folder, as in regions.tsv"}
    write_json(
        path.with_suffix(".json"),
        {
            "Description": "What changed, one row per region, map, reference and later session",
            "Participants": int(table.loc[kept, "participant_id"].nunique()),
            "GeneratedBy": {"Name": "qsmprep", "Version": qsmprep.__version__},
            **{name: {"Description": text} for name, text in columns.items()},
        },
    )
    return path


def _read(source: Source) -> pd.DataFrame:
    """Return the rows of all tables in an output folder."""
    paths = sorted(source.folder.glob(f"sub-*/anat/*_space-{SPACE}_seg-*_change.tsv"))
    if not paths:
        return pd.DataFrame(columns=[*CHANGE_COLUMNS, "output_folder"])
    cells = [read_cells(path, needs=list(CHANGE_COLUMNS)) for path in paths]
    table = join_cells(cells, text=WORDS, numbers=CHANGE_COLUMNS.keys() - set(WORDS))
    return table.assign(output_folder=source.name)
