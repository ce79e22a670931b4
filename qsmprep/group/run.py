"""The group level: from the tables of the participants to those of the cohort, and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from qsmprep.bids.quality import FILES, read_quality
from qsmprep.bids.status import StatusRow, read_status
from qsmprep.errors import InputError, QSMPrepError, RequestError
from qsmprep.files import replacing
from qsmprep.group.change import write_changes
from qsmprep.group.cohort import gather, outlier_table
from qsmprep.group.cohort_files import write_cohort_tables
from qsmprep.group.cohort_table import (
    CohortTable,
    Members,
    is_wanted,
    read_members,
    wanted,
    with_values,
)
from qsmprep.group.lesions import with_lesions
from qsmprep.group.model_files import Plan, read_plan
from qsmprep.group.outputs import Outputs
from qsmprep.group.region_values import read_tables
from qsmprep.group.sources import protocols
from qsmprep.group.tables import join_quality
from qsmprep.reports.group import write_group_page
from qsmprep.resources import usable_cores

if TYPE_CHECKING:  # only who fits models waits for their libraries
    from qsmprep.group.models import Outcome

_QUALITY = set(FILES.values())

ON_TEMPLATE = "space_Chimap.nii.gz"
"""What `Outputs.files` calls susceptibility on the template."""


def run_group(
    out_dir: Path,
    *,
    bids_dir: Path,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    sites: Mapping[str, Path] | None = None,
    allow_protocols: bool = False,
    space: str = "",
    harmonise: str | None = None,
    models: Sequence[Path] = (),
    nprocs: int | None = None,
    dry_run: bool = False,
) -> int:
    """
    Join the tables of all participants in one or several output folders.

    Parameters
    ----------
    out_dir
        Output folder of the participant level.
    bids_dir
        The dataset, whose tables tell covariates; it need not be there.
    participants, sessions
        Labels, with or without ``sub-`` and ``ses-``; all where empty.
    sites
        Further output folders by their names.
    allow_protocols
        Whether results of several protocols may stand together.
    space
        ``participant`` for regions in the space of all sessions; empty for that of the echoes.
    harmonise
        How differences between scanners are taken out, None for not at all.
    models
        Files that say what is fitted.
    nprocs
        Cores that voxelwise models may use; all unless said. It changes no number.
    dry_run
        Whether to say what would be done and write nothing.

    Returns
    -------
    status
        0 if every acquisition is done, 1 if some are not; these are named.

    Raises
    ------
    RequestError
        If there are no results, or none of a participant or session.
    InputError
        If a table is not as it should be.
    """
    plan = _plan(models, harmonise)
    labels = wanted(participants, sessions)
    members = read_members(out_dir, bids_dir, sites or {}, labels, allow_protocols, space)
    status = _status(out_dir, members, labels)
    unfinished = 0
    if dry_run:
        _tell(out_dir, members, plan)
    else:
        unfinished = _write(out_dir, members, status, plan, nprocs or usable_cores())
    without = [row for row in status if row.status != "done"]
    for row in without:
        name = "_".join(part for part in row.identity if part != "n/a")
        print(f"{name}: {row.status}: {row.reason}", file=sys.stderr)
    return 1 if without or unfinished else 0


def _status(out_dir: Path, members: Members, labels: list[set[str]]) -> list[StatusRow]:
    """Return what became of those who are wanted; somebody without results is refused."""
    folders = dict.fromkeys([out_dir, *(source.folder for source in members.sources)])
    told = [row for folder in folders for row in read_status(folder)]
    known = members.known | {name for row in told for name in row.identity[:2]}
    if unknown := sorted(set().union(*labels) - known):
        raise RequestError(f"{out_dir}: holds no results of {', '.join(unknown)}; see status.tsv")
    if not members.outputs:
        raise RequestError(f"{out_dir}: holds no map and no table; run the participants first")
    return [row for row in told if is_wanted(row.identity, labels)]


def _plan(models: Sequence[Path], harmonise: str | None) -> Plan:
    """Return what is to be computed; what is asked for in vain is refused before that."""
    if not models:
        return Plan(harmonise={"method": harmonise} if harmonise else {})
    from qsmprep.group.harmonise_options import read_options
    from qsmprep.statistics.kinds import KINDS

    plan = read_plan(models, KINDS, harmonise or "")
    if plan.harmonise:
        read_options(plan.harmonise)
    return plan


def _write(
    out_dir: Path, members: Members, status: list[StatusRow], plan: Plan, nprocs: int
) -> int:
    """Write everything, and return how many models lack something."""
    cohort = _write_tables(out_dir, members)
    outcomes: list[Outcome] = []
    trouble = None
    try:
        outcomes = _analyse(out_dir, members, cohort, plan, nprocs)
    except QSMPrepError as error:  # the page shall be there all the same
        trouble = error
    harmonised = bool(plan.harmonise) and (out_dir / "group/harmonisation.html").is_file()
    page = _write_page(out_dir, members, cohort, status, outcomes, harmonised=harmonised)
    if trouble:
        raise trouble
    count = len(members.tables)
    print(f"{count} table{'s' * (count != 1)} joined; report: {page}")
    return sum(bool(outcome.failures) for outcome in outcomes)


def _tell(out_dir: Path, members: Members, plan: Plan) -> None:
    """Print what would be done, and what there is to know of it."""
    print("\n".join(map(str, members.tables)))
    people = members.acquisitions["participant_id"].nunique()
    folders = ", ".join(f"{source.folder} ({source.name})" for source in members.sources)
    print(
        f"{len(members.tables)} tables of {len(members.outputs)} acquisitions of {people} "
        f"participants in {folders} would be joined in {out_dir / 'group'}"
    )
    if plan.harmonise:
        print(f"would be harmonised by {plan.harmonise.get('method')}")
    for spec in plan.models:
        print(f"model {spec.name} ({spec.kind}) of {spec.source} would be fitted")
    _warn(members.notes)


def _write_tables(out_dir: Path, members: Members) -> CohortTable:
    """Write the tables of the cohort, and return it."""
    tables = read_tables(members.tables)
    cohort = with_lesions(out_dir / "group", with_values(members, tables), members)
    write_cohort_tables(out_dir / "group", cohort, members, tables)
    write_changes(out_dir / "group", members)
    _warn(cohort.notes)
    return cohort


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _write_page(
    out_dir: Path,
    members: Members,
    table: CohortTable,
    status: list[StatusRow],
    outcomes: Sequence[Outcome],
    *,
    harmonised: bool,
) -> Path:
    """Write the tables of quality and outliers and the page, and return where it lies."""
    outputs = {one.identity: one for one in members.outputs.values()}
    quality = {who: _read(one) for who, one in outputs.items() if one.files.keys() & _QUALITY}
    people = members.covariates.participants
    cohort = gather(out_dir, table, people, outputs, status, quality)
    joined = join_quality({outputs[who].stem: said for who, said in quality.items()})
    for name, content in (("qc", joined), ("outliers", outlier_table(cohort))):
        with replacing(out_dir / f"group/{name}.tsv") as temporary:
            content.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    return write_group_page(out_dir, cohort, _told(outcomes), harmonised=harmonised)


def _told(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Return what the page says of models; nothing is imported where there are none."""
    if not outcomes:
        return []
    from qsmprep.reports.model_page import models_section

    rows = models_section([outcome.page for outcome in outcomes if outcome.page])
    failed: list[dict[str, object]] = [
        {"name": outcome.spec.name, "kind": outcome.spec.kind, "failures": outcome.failures}
        for outcome in outcomes
        if not outcome.page
    ]
    return [*rows, *failed]


def _analyse(
    out_dir: Path, members: Members, cohort: CohortTable, plan: Plan, nprocs: int
) -> list[Outcome]:
    """Harmonise the values of a cohort, and fit models to them."""
    harmonised = None
    if plan.harmonise:
        from qsmprep.group.harmonise import run_harmonise

        harmonised = run_harmonise(cohort, plan.harmonise, out_dir)
        _warn(harmonised.notes)
    if not plan.models:
        return []
    from qsmprep.group.models import run_models

    maps = {
        name: one.files[ON_TEMPLATE]
        for name, one in members.outputs.items()
        if ON_TEMPLATE in one.files
    }
    chosen = {one.identity for one in members.outputs.values()}
    digests = {digest for who, digest in protocols(members.sources).items() if who in chosen}
    return run_models(plan.models, cohort, out_dir, harmonised, maps, sorted(digests), nprocs)


def _read(outputs: Outputs) -> dict[str, dict]:
    """Return what the files of quality say, without those of older versions."""
    try:
        said = read_quality(outputs.folder, outputs.stem)
    except ValueError as error:
        path = outputs.folder / f"{outputs.stem}_{FILES['maps']}"
        fact = f"it, or another file of quality beside it, is no JSON ({error})"
        raise InputError(path, fact, "run its participant again") from error
    return {about: part for about, part in said.items() if "verdict" in part}
