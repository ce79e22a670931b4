"""The group level: from the tables of the participants to one table and an index page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
import json
from pathlib import Path
import sys

import pandas as pd

from qsmprep.bids.derivatives import replacing
from qsmprep.bids.status import StatusRow, read_status
from qsmprep.errors import RequestError
from qsmprep.group.tables import join_quality, join_regions
from qsmprep.reports.group import write_group_page


def run_group(
    out_dir: Path,
    *,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    dry_run: bool = False,
) -> int:
    """
    Join the tables of all participants in an output folder.

    Parameters
    ----------
    out_dir
        Output folder of the participant level.
    participants, sessions
        Labels, with or without ``sub-`` and ``ses-``; all where empty.
    dry_run
        Whether to name the tables and write nothing.

    Returns
    -------
    status
        0 if every acquisition has a table, 1 if some have none; these are named.

    Raises
    ------
    RequestError
        If there are no results, or none of a participant or session.
    """
    wanted = [
        {f"{prefix}{label.removeprefix(prefix)}" for label in labels}
        for prefix, labels in (("sub-", participants), ("ses-", sessions))
    ]
    tables = _find(out_dir, "regions.tsv", wanted)
    status = [row for row in read_status(out_dir) if _is_wanted(row, wanted)]
    everything = [
        path.relative_to(out_dir).parts[:-2] for path in _find(out_dir, "regions.tsv", [])
    ]
    known = {part for parts in everything for part in parts}
    known |= {name for row in read_status(out_dir) for name in row.identity[:2]}
    if unknown := sorted(set().union(*wanted) - known):
        raise RequestError(f"{out_dir}: holds no results of {', '.join(unknown)}; see status.tsv")
    if not tables:
        raise RequestError(f"{out_dir}: holds no regional table; run the participants first")
    if dry_run:
        print("\n".join(map(str, tables)))
    else:
        page = _write(out_dir, tables, wanted, status)
        print(f"{len(tables)} table{'s' * (len(tables) != 1)} joined; report: {page}")
    without = [row for row in status if row.status != "done"]
    for row in without:
        name = "_".join(part for part in row.identity if part != "n/a")
        print(f"{name}: {row.status}: {row.reason}", file=sys.stderr)
    return 1 if without else 0


def _is_wanted(row: StatusRow, wanted: list[set[str]]) -> bool:
    pairs = zip(row.identity[:2], wanted, strict=True)
    return all(not labels or name in labels for name, labels in pairs)


def _find(out_dir: Path, ending: str, wanted: list[set[str]]) -> list[Path]:
    """Return outputs of the participants and sessions that are wanted."""
    return [
        path
        for path in sorted(out_dir.glob(f"sub-*/**/anat/*_{ending}"))
        if all(not labels or labels & set(path.relative_to(out_dir).parts) for labels in wanted)
    ]


def _write(
    out_dir: Path, tables: list[Path], wanted: list[set[str]], status: list[StatusRow]
) -> Path:
    """Write the joined tables and their page, and return where it lies."""
    regions = join_regions(tables)
    quality = join_quality(
        {
            path.name.removesuffix("_desc-qc.json"): json.loads(path.read_text("utf-8"))
            for path in _find(out_dir, "desc-qc.json", wanted)
        }
    )
    for name, table in (("regions", regions), ("qc", quality)):
        with replacing(out_dir / f"group/{name}.tsv") as temporary:
            table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    return write_group_page(out_dir, regions, pd.DataFrame([asdict(row) for row in status]))
