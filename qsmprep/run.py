"""What one call of the program does: plan, build, execute, report - in that order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from enum import IntEnum
import logging
import os
from pathlib import Path
import platform
import signal
import threading
import time

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.left_out import without
from qsmprep.bids.lesion_regions import with_edited_regions
from qsmprep.bids.lesions import with_lesions
from qsmprep.bids.models import Plan
from qsmprep.bids.needs import with_masks, with_t1w
from qsmprep.bids.outcome import judge
from qsmprep.bids.output import check_output_dir
from qsmprep.bids.plan import describe, summarise
from qsmprep.bids.segmentations import with_segmentations
from qsmprep.bids.status import StatusRow, read_status, skipped_rows, update_status
from qsmprep.bids.summary import summarise_reasons
from qsmprep.compute import check_memory, compute, longitudinal_of, open_work_dir, parts_of
from qsmprep.errors import QSMPrepError, RequestError
from qsmprep.files import atomic_write_text
from qsmprep.provenance import boilerplate, code_digest, describe_machine, write_head
from qsmprep.request import Request, resolve, settings_of_t1w
from qsmprep.scratch import (
    ensure_temporary_folder,
    forget,
    room_to_write,
    set_environment,
)
from qsmprep.terminal import LogFile, TerminalHandler
from qsmprep.through_time import (
    compare_the_rest,
    describe_through_time,
    judge_through_time,
    rows_of_uncompared,
    unfinished_through_time,
)

log = logging.getLogger("qsmprep")

BATCH = 20
"""Participants whose graphs are made at once: looking for the next step takes ever longer."""


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


class Terminated(KeyboardInterrupt):
    """The run was asked to end by SIGTERM, as batch systems do before they kill."""


def make_plan(request: Request) -> Plan:
    """Read the dataset and find what can be done."""
    plan = read_plan(
        request.bids_dir,
        participants=request.participants,
        sessions=request.sessions,
        filters=request.filters or None,
        database_dir=request.database_dir,
        need_t1w=request.protocol.segmentation.atlas != "none",
    )
    if request.protocol.segmentation.atlas == "precomputed":
        plan = with_segmentations(plan, request.derivatives["segmentation"])
    if request.protocol.masking.method == "precomputed":
        plan = with_masks(plan, request.derivatives["masks"])
    for setting in settings_of_t1w(request.protocol):
        plan = with_t1w(plan, setting)
    if folder := request.derivatives.get("lesions"):
        plan = with_lesions(plan, folder, request.bids_dir, request.protocol.lesions.minimum_mm3)
        plan = with_edited_regions(plan, folder, longitudinal_of(request, plan))
    return plan


def dry_run(request: Request) -> Exit:
    """Print what would be done, and do nothing."""
    request, atlas = resolve(request)
    check_output_dir(request.out_dir, request.bids_dir, request.protocol.digest())
    plan = make_plan(request)
    print(f"protocol {request.protocol.name}, digest {request.protocol.digest()}")
    if atlas:
        print(_describe_atlas(atlas))
    print(describe(plan))
    for line in describe_through_time(request, plan):
        print(line)
    if not plan.acquisitions:
        return Exit.REFUSED
    check_memory(request, plan, atlas)
    lacking = skipped_rows(plan) + rows_of_uncompared(request, plan)
    return Exit.INCOMPLETE if lacking or _without_t1w(request, plan) else Exit.DONE


def run_participants(request: Request) -> int:
    """Make every output that can be made, and say what became of each acquisition."""
    request, atlas = resolve(request)
    digest = request.protocol.digest()
    check_output_dir(request.out_dir, request.bids_dir, digest)
    plan = make_plan(request)
    if not plan.acquisitions:
        raise RequestError(_nothing_to_do(request, plan))
    set_environment(request.resources)
    if request.resources.device != "cpu":
        from qsmprep.interfaces._device import check_device

        check_device(request.resources.device)
    if request.plugin:
        from qsmprep.workflows.execution import check_plugin

        check_plugin(request.plugin, request.resources.work_dir)
    check_memory(request, plan, atlas)
    work_dir = open_work_dir(request, plan)
    ensure_temporary_folder(work_dir)
    write_head(request, atlas)
    with _logging(request.out_dir / "logs", verbose=request.verbose):
        log.info("qsmprep %s, protocol %s", code_digest(), digest)
        log.info("command: %s", request.command)
        log.info("on %s", describe_machine(request.resources))
        if atlas:
            log.info("%s", _describe_atlas(atlas))
        for line in _issue_lines(plan):
            log.warning("%s", line)
        log.info("%s", summarise(plan))
        for line in describe_through_time(request, plan):
            log.info("%s", line)
        return _run(request, plan, atlas, work_dir)


def _run(request: Request, plan: Plan, atlas: Atlas | None, work_dir: Path) -> int:
    """Execute and report; what is finished is reported also where the execution breaks off."""
    ending, reason, trouble = 0, "", None
    processed = {f"sub-{acquisition.participant}" for acquisition in plan.acquisitions}
    skipped = skipped_rows(plan) + (rows_of_uncompared(request, plan) if atlas else [])
    rows = [row for row in skipped if row.participant_id not in processed]
    try:
        update_status(request.out_dir, rows)
        bugs = _write_pages(request, {row.participant_id for row in rows})
        batches = list(plan.batches(max(BATCH, 4 * request.resources.nprocs)))
        for number, batch in enumerate(batches, 1):
            if len(batches) > 1:
                log.info("part %d of %d, %s", number, len(batches), summarise(batch))
            crashes: dict[str, list[str]] = {}
            failed: dict[str, str] = {}
            todo = _unfinished(request, batch, atlas) if request.discard_work else batch
            if todo.acquisitions and not reason:
                try:
                    with _terminable():
                        crashes = compute(request, todo, atlas, work_dir)
                        if not request.stop_on_first_crash:
                            failed, crashes = compare_the_rest(
                                request, todo, atlas, work_dir, crashes
                            )
                except KeyboardInterrupt as error:
                    ending = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
                    reason = "interrupted; the same command goes on from here"
                except Exception as error:  # noqa: BLE001 - raised again below, after the report
                    bug = f"a bug ended the run ({type(error).__name__}: {error})"
                    reason, trouble = str(error) if isinstance(error, QSMPrepError) else bug, error
                if request.stop_on_first_crash and crashes:
                    reason = "not run, because of --stop-on-first-crash"
            judged = _judge(request, batch, atlas, crashes, reason)
            if request.discard_work:
                _discard(request, batch, judged, work_dir)
            if atlas:
                seen = without(batch, failed)
                judged += judge_through_time(request, seen, atlas, crashes, reason)
            participants = {row.participant_id for row in judged}
            told = judged + [row for row in skipped if row.participant_id in participants]
            rows += told
            update_status(request.out_dir, told)
            bugs += _write_pages(request, participants)
    finally:  # also where no space is left to write it
        status = _conclude(rows)
    if trouble or bugs:
        raise trouble or bugs[0]
    if ending:
        log.warning("qsmprep: interrupted; the same command goes on from here")
        return 128 + ending
    return status


def write_boilerplate(request: Request) -> Exit:
    """Write the methods section alone, and nothing is computed."""
    request, atlas = resolve(request)
    check_output_dir(request.out_dir, request.bids_dir, request.protocol.digest())
    print(atomic_write_text(request.out_dir / "CITATION.md", boilerplate(request, atlas)))
    return Exit.DONE


def _judge(
    request: Request,
    plan: Plan,
    atlas: Atlas | None,
    crashes: Mapping[str, list[str]],
    ending: str,
) -> list[StatusRow]:
    """Return what became of each acquisition."""
    names = {"atlas": atlas.name if atlas else "", "template": request.template.name}
    return [
        judge(acquisition, plan, request.out_dir, **names, crashes=crashes, ending=ending)
        for acquisition in plan.acquisitions
    ]


def _unfinished(request: Request, plan: Plan, atlas: Atlas | None) -> Plan:
    """Return the plan of what has not been done, as there is nothing left to find that out by."""
    known = {row.identity for row in read_status(request.out_dir) if row.status == "done"}
    rows = _judge(request, plan, atlas, {}, "")
    left = {
        acquisition.key
        for acquisition, row in zip(plan.acquisitions, rows, strict=True)
        if row.status != "done" or row.identity not in known
    }
    # What is seen through time needs all of its sessions again.
    wanted = unfinished_through_time(request, plan, atlas, left)
    return plan.only(a for a in plan.acquisitions if a.key in left or a.participant in wanted)


def _discard(request: Request, plan: Plan, rows: list[StatusRow], work_dir: Path) -> None:
    """Remove the intermediate results of what is done, and that nobody waits for."""
    waiting = {
        one.participant
        for one in longitudinal_of(request, plan)
        if any(row.status != "done" for row in rows if row.participant_id == one.stem)
    }
    parts: dict[bool, set[str]] = {False: set(), True: set()}
    for acquisition, row in zip(plan.acquisitions, rows, strict=True):
        finished = row.status == "done" and acquisition.participant not in waiting
        parts[finished] |= parts_of(plan.only([acquisition])).keys()
    forget(work_dir, parts[True] - parts[False])


def rebuild_reports(request: Request) -> Exit:
    """Write all pages anew from what lies in the output folder."""
    participants = {row.participant_id for row in read_status(request.out_dir)}
    wanted = {f"sub-{label.removeprefix('sub-')}" for label in request.participants}
    if not participants:
        raise RequestError(f"{request.out_dir}: holds no results; run the participants first")
    if unknown := sorted(wanted - participants):
        raise RequestError(
            f"{request.out_dir}: holds no results of {', '.join(unknown)}; see status.tsv"
        )
    with room_to_write(request.out_dir):
        bugs = _write_pages(request, wanted or participants)
    if bugs:
        raise bugs[0]
    return Exit.DONE


def _describe_atlas(atlas: Atlas) -> str:
    name = f"atlas {atlas.name}@{atlas.digest}" if atlas.members else f"labels {atlas.name}"
    return f"{name}, {len(atlas.regions)} regions, from {atlas.source}"


def _nothing_to_do(request: Request, plan: Plan) -> str:
    issues = "".join(f"\n{line}" for line in _issue_lines(plan))
    return f"{request.bids_dir}: there is nothing to do{issues}"


def _issue_lines(plan: Plan) -> list[str]:
    return summarise_reasons((issue.severity, str(issue)) for issue in plan.issues)


@contextmanager
def _logging(folder: Path, *, verbose: bool) -> Iterator[None]:
    """Write what the run tells to the terminal, and every step to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    # Jobs of one study start in the same second, on many machines.
    who = f"{platform.node().partition('.')[0]}-{os.getpid()}"
    name = f"qsmprep_{time.strftime('%Y%m%d-%H%M%S')}_{who}.log"
    terminal, file = TerminalHandler(), LogFile(folder / name, encoding="utf-8")
    terminal.setLevel(logging.DEBUG if verbose else logging.INFO)
    handlers = (terminal, file)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


@contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM end the block as Ctrl-C does, so that what is finished can be told."""

    def end(*_):
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # Python hands signals to the main thread only
        return
    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _without_t1w(request: Request, plan: Plan) -> bool:
    wanted = request.protocol.segmentation.atlas != "none"
    return wanted and any(acquisition.t1w is None for acquisition in plan.acquisitions)


def _write_pages(request: Request, participants: set[str]) -> list[Exception]:
    """Write the pages of some participants; return what went wrong in those not written."""
    from qsmprep.reports.longitudinal import write_longitudinal_page
    from qsmprep.reports.participant import write_participant_page

    status = [asdict(row) for row in read_status(request.out_dir)]
    bugs: list[Exception] = []
    for participant in sorted(participants):
        try:
            write_longitudinal_page(request.out_dir, participant, status=status)
            write_participant_page(
                request.out_dir, participant, status=status, command=request.command
            )
        except Exception as error:  # noqa: BLE001 - the others shall have theirs
            log.warning("%s: its page cannot be written (%s)", participant, error)
            bugs.append(error)
    return bugs


def _conclude(rows: list[StatusRow]) -> Exit:
    """Tell the unfinished and then how many there are of each kind; return the exit status."""
    unfinished = [
        ("_".join(part for part in row.identity if part != "n/a"), f"{row.status}: {row.reason}")
        for row in rows
        if row.status != "done"
    ]
    for line in summarise_reasons(unfinished):
        log.warning("%s", line)
    counts = {
        status: sum(row.status == status for row in rows)
        for status in ("done", "partial", "skipped", "failed")
    }
    log.info(", ".join(f"{n} {word}" for word, n in counts.items() if n or word == "done"))
    return Exit.DONE if counts["done"] == len(rows) else Exit.INCOMPLETE
