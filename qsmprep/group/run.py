"""The group level: from the tables of the participants to one table and an index page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys

from qsmprep.bids.quality import FILES, read_quality
from qsmprep.bids.status import StatusRow, read_status
from qsmprep.errors import InputError, RequestError
from qsmprep.files import replacing
from qsmprep.group.cohort import gather, outlier_table
from qsmprep.group.outputs import Identity, Outputs, find_outputs
from qsmprep.group.tables import join_quality, join_regions
from qsmprep.reports.group import write_group_page

_QUALITY = set(FILES.values())


def run_group(
    out_dir: Path,
    *,
    bids_dir: Path,
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
    bids_dir
        The dataset, whose ``participants.tsv`` names sites and groups; it need not be there.
    participants, sessions
        Labels, with or without ``sub-`` and ``ses-``; all where empty.
    dry_run
        Whether to name the tables and write nothing.

    Returns
    -------
    status
        0 if every acquisition is done, 1 if some are not; these are named.

    Raises
    ------
    RequestError
        If there are no results, or none of a participant or session.
    """
    wanted = [
        {f"{prefix}{label.removeprefix(prefix)}" for label in labels}
        for prefix, labels in (("sub-", participants), ("ses-", sessions))
    ]
    tables = [path for path in sorted(out_dir.glob("sub-*/**/anat/*_regions.tsv"))
              if all(not labels or labels & set(path.parts) for labels in wanted)]  # fmt: skip
    status = [row for row in read_status(out_dir) if _is_wanted(row.identity, wanted)]
    found = find_outputs(out_dir)
    outputs = {who: one for who, one in found.items() if _is_wanted(who, wanted)}
    known = {name for who in found for name in who[:2]}
    known |= {name for row in read_status(out_dir) for name in row.identity[:2]}
    if unknown := sorted(set().union(*wanted) - known):
        raise RequestError(f"{out_dir}: holds no results of {', '.join(unknown)}; see status.tsv")
    if not outputs:
        raise RequestError(f"{out_dir}: holds no map and no table; run the participants first")
    if dry_run:
        print("\n".join(map(str, tables)))
    else:
        page = _write(out_dir, bids_dir, tables, outputs, status)
        print(f"{len(tables)} table{'s' * (len(tables) != 1)} joined; report: {page}")
    without = [row for row in status if row.status != "done"]
    for row in without:
        name = "_".join(part for part in row.identity if part != "n/a")
        print(f"{name}: {row.status}: {row.reason}", file=sys.stderr)
    return 1 if without else 0


def _is_wanted(identity: Identity, wanted: list[set[str]]) -> bool:
    pairs = zip(identity[:2], wanted, strict=True)
    return all(not labels or name in labels for name, labels in pairs)


def _write(
    out_dir: Path,
    bids_dir: Path,
    tables: list[Path],
    outputs: dict[Identity, Outputs],
    status: list[StatusRow],
) -> Path:
    """Write the joined tables and their page, and return where it lies."""
    regions = join_regions(tables)
    quality = {who: _read(one) for who, one in outputs.items() if one.files.keys() & _QUALITY}
    cohort = gather(out_dir, bids_dir, outputs, status, regions, quality)
    joined = join_quality({outputs[who].stem: said for who, said in quality.items()})
    for name, table in (
        ("regions", regions),
        ("qc", joined),
        ("outliers", outlier_table(cohort)),
    ):
        with replacing(out_dir / f"group/{name}.tsv") as temporary:
            table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    return write_group_page(out_dir, cohort)


def _read(outputs: Outputs) -> dict[str, dict]:
    """Return what the files of quality say, without those of older versions."""
    try:
        said = read_quality(outputs.folder, outputs.stem)
    except ValueError as error:
        path = outputs.folder / f"{outputs.stem}_{FILES['maps']}"
        fact = f"it, or another file of quality beside it, is no JSON ({error})"
        raise InputError(path, fact, "run its participant again") from error
    return {about: part for about, part in said.items() if "verdict" in part}
