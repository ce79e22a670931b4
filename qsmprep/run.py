"""What one call of the program does: plan, build, execute, report - in that order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
import hashlib
import os
from pathlib import Path
import shutil
import sys

import qsmprep
from qsmprep.bids.atlas import Atlas, read_atlas
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.derivatives import atomic_write_text
from qsmprep.bids.models import Acquisition, Plan
from qsmprep.bids.output import check_output_dir, write_output_files
from qsmprep.bids.outputs import expected_outputs
from qsmprep.bids.plan import describe, summarise
from qsmprep.bids.status import StatusRow, read_status, skipped_rows, update_status
from qsmprep.errors import RequestError
from qsmprep.protocol import Protocol
from qsmprep.resources import Resources


class Exit(IntEnum):
    """What the exit status means."""

    DONE = 0
    """Every requested output exists."""
    INCOMPLETE = 1
    """Some are missing; the others are finished."""
    REFUSED = 2
    """Request, protocol or dataset at fault; nothing was run."""
    BUG = 70
    """The program is at fault."""


@dataclass(frozen=True)
class Request:
    """
    What a user asks for on the participant level.

    Parameters
    ----------
    bids_dir, out_dir
        Dataset and output folder.
    protocol
        All settings that change voxels.
    resources
        All that do not.
    participants, sessions
        Labels; none means all.
    filters
        Content of a BIDS filter file.
    database_dir
        Folder of a pybids database.
    plugin
        Name and arguments of a nipype plugin, instead of the cores of this machine.
    stop_on_first_crash
        Whether one failure ends all.
    write_graph
        Whether to draw the graph into the output folder.
    clean_work_dir
        Whether to start without intermediate results.
    command
        The command line, for the report.
    """

    bids_dir: Path
    out_dir: Path
    protocol: Protocol
    resources: Resources
    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    database_dir: Path | None = None
    plugin: Mapping[str, object] = field(default_factory=dict)
    stop_on_first_crash: bool = False
    write_graph: bool = False
    clean_work_dir: bool = False
    command: str = ""


ATLAS_NEEDED = """\
no atlas was given; regions need one. Give one of
  --atlas FOLDER   labelled heads: dataset_description.json, atlas-X_dseg.tsv and either one
                   tpl-*_T1w.nii.gz with tpl-*_dseg.nii.gz, or several sub-*/anat/ pairs
  --atlas none     maps only, no regions
`qsmprep-simulate` writes an atlas for the heads it simulates, in derivatives/atlas-simulated"""


def resolve(request: Request) -> tuple[Request, Atlas | None]:
    """Return the request with the atlas known by its content, and the atlas itself."""
    wanted = request.protocol.segmentation.atlas
    if not wanted:
        raise RequestError(ATLAS_NEEDED)
    if wanted == "none":
        return request, None
    atlas = read_atlas(wanted)
    protocol = request.protocol.with_atlas(f"{atlas.name}@{atlas.digest}")
    return Request(**(vars(request) | {"protocol": protocol})), atlas


def make_plan(request: Request) -> Plan:
    """Read the dataset and find what can be done."""
    return read_plan(
        request.bids_dir,
        participants=request.participants,
        sessions=request.sessions,
        filters=request.filters or None,
        database_dir=request.database_dir,
        need_t1w=request.protocol.segmentation.atlas != "none",
    )


def dry_run(request: Request) -> Exit:
    """Print what would be done, and do nothing."""
    request, _ = resolve(request)
    check_output_dir(request.out_dir, request.bids_dir, request.protocol.digest())
    plan = make_plan(request)
    print(f"protocol {request.protocol.name}, digest {request.protocol.digest()}")
    print(describe(plan))
    return Exit.DONE if plan.acquisitions and not plan.issues else _exit_of_plan(plan)


def _exit_of_plan(plan: Plan) -> Exit:
    return Exit.INCOMPLETE if plan.acquisitions else Exit.REFUSED


def run_participants(request: Request) -> Exit:
    """Make every output that can be made, and say what became of each acquisition."""
    request, atlas = resolve(request)
    digest = request.protocol.digest()
    check_output_dir(request.out_dir, request.bids_dir, digest)
    plan = make_plan(request)
    for issue in plan.issues:
        print(f"{issue.severity}: {issue}", file=sys.stderr)
    print(summarise(plan), flush=True)
    if not plan.acquisitions:
        raise RequestError(f"{request.bids_dir}: there is nothing to do")

    _write_head(request, digest)
    work_dir = _work_dir(request, digest)
    crashes = _execute(request, plan, atlas, work_dir)
    rows = [_outcome(request, atlas, a, crashes) for a in plan.acquisitions]
    rows += skipped_rows(plan)
    update_status(request.out_dir, rows)
    _write_pages(request, {row.participant_id for row in rows})
    return _conclude(rows, plan)


def rebuild_reports(request: Request) -> Exit:
    """Write all pages anew from what lies in the output folder."""
    participants = {row.participant_id for row in read_status(request.out_dir)}
    wanted = {f"sub-{label.removeprefix('sub-')}" for label in request.participants}
    if not participants:
        raise RequestError(f"{request.out_dir}: holds no results; run the participants first")
    if unknown := sorted(wanted - participants):
        raise RequestError(f"{request.out_dir}: holds no results of {', '.join(unknown)}")
    _write_pages(request, wanted or participants)
    return Exit.DONE


def _write_head(request: Request, digest: str) -> None:
    write_output_files(
        request.out_dir,
        bids_dir=request.bids_dir,
        protocol_name=request.protocol.name,
        protocol_digest=digest,
    )
    atomic_write_text(request.out_dir / "logs/protocol.toml", request.protocol.to_toml())


def _work_dir(request: Request, digest: str) -> Path:
    """Return where intermediate results of exactly this program and protocol lie."""
    work_dir = request.resources.work_dir / f"qsmprep-{code_digest()}-{digest}"
    if request.clean_work_dir:
        shutil.rmtree(work_dir, ignore_errors=True)
    work_dir.mkdir(parents=True, exist_ok=True)
    return work_dir


def code_digest() -> str:
    """
    Return the version with a fingerprint of the source.

    Nipype keeps results by their inputs alone, and would return what older code computed.
    """
    root = Path(qsmprep.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{qsmprep.__version__}-{digest.hexdigest()[:8]}"


def _execute(
    request: Request, plan: Plan, atlas: Atlas | None, work_dir: Path
) -> dict[str, list[str]]:
    """Run the graph; return what went wrong, by the name of the part it went wrong in."""
    # Before the first import of numba or ants, here and in the workers, which inherit it.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(request.resources.work_dir / "numba"))
    os.environ["OMP_NUM_THREADS"] = str(request.resources.omp_nthreads)
    from qsmprep.workflows.base import Study, build
    from qsmprep.workflows.execution import configure, execute

    crash_dir = request.out_dir / "logs"
    configure(crash_dir, request.stop_on_first_crash)
    study = Study(request.bids_dir, request.out_dir, request.protocol, atlas)
    workflow = build(study, plan.acquisitions, work_dir)
    return execute(
        workflow,
        resources=request.resources,
        crash_dir=crash_dir,
        plugin=request.plugin,
        graph=request.out_dir / "logs/graph.svg" if request.write_graph else None,
    )


def _outcome(
    request: Request, atlas: Atlas | None, acquisition: Acquisition, crashes: dict[str, list[str]]
) -> StatusRow:
    """Judge an acquisition by the files that are there, and name what kept the others away."""
    expected = expected_outputs(
        "acquisition",
        acquisition.stem,
        atlas=atlas.name if atlas else "",
        suffix=acquisition.suffix,
        echoes=len(acquisition.echo_times),
    )
    missing = [path.name for path in expected if not (request.out_dir / path).exists()]
    reasons = [
        reason
        for part in (acquisition, acquisition.t1w)
        if part is not None
        for reason in crashes.get(part.name_safe, [])
    ]
    if atlas and acquisition.t1w is None:
        reasons.append("no T1w: the maps are made, the regional table is not")
    if not missing and not reasons:
        return StatusRow.of(acquisition, "done")
    reasons = reasons or [f"{', '.join(missing)} not made"]
    has_map = not any(
        name.endswith("_Chimap.nii.gz") and "_space-" not in name for name in missing
    )
    return StatusRow.of(acquisition, "partial" if has_map else "failed", " | ".join(reasons))


def _write_pages(request: Request, participants: set[str]) -> None:
    from qsmprep.reports.participant import write_participant_page

    status = [asdict(row) for row in read_status(request.out_dir)]
    for participant in sorted(participants):
        write_participant_page(
            request.out_dir, participant, status=status, command=request.command
        )


def _conclude(rows: list[StatusRow], plan: Plan) -> Exit:
    """Print the closing summary, the unfinished ones last, and return the exit status."""
    counts = {
        status: sum(row.status == status for row in rows)
        for status in ("done", "partial", "skipped", "failed")
    }
    for row in rows:
        if row.status != "done":
            name = "_".join(part for part in row.identity if part != "n/a")
            print(f"{name}: {row.status}: {row.reason}", file=sys.stderr)
    print(", ".join(f"{n} {status}" for status, n in counts.items() if n or status == "done"))
    complete = counts["done"] == len(rows) and not plan.errors
    return Exit.DONE if complete else Exit.INCOMPLETE
