"""Who is seen through time in a run, what became of it, and what to do where a session fails."""

from __future__ import annotations

from collections.abc import Mapping, Set
import logging
from pathlib import Path

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.left_out import not_compared, rests_on, unlike_acquisitions, without
from qsmprep.bids.longitudinal import Longitudinal, expected_of_longitudinal, judge_longitudinal
from qsmprep.bids.models import Plan
from qsmprep.bids.status import StatusRow
from qsmprep.compute import compute, longitudinal_of
from qsmprep.request import Request

log = logging.getLogger("qsmprep")

OTHERS = "what is there was made of other sessions; the same command goes on from here"


def describe_through_time(request: Request, plan: Plan) -> list[str]:
    """Return what is said of sessions to be brought together, if that is asked for."""
    if not request.longitudinal:
        return []
    lines = []
    for one in longitudinal_of(request, plan):
        for series in one.series:
            names = ", ".join(f"ses-{session}" for session in series.sessions)
            lines.append(f"{one.key}: {names} of {series.stem}")
            lines += [f"{one.key}: {note}" for note in series.notes]
        lines += [f"{one.key}: {reason}" for reason in one.left_out]
    for row in rows_of_uncompared(request, plan):
        lines.append(f"{row.participant_id}_{row.suffix}: {row.status}: {row.reason}")
    return lines + unlike_acquisitions(plan) or [
        "--longitudinal: nothing was acquired, with a T1w, in two sessions of a participant"
    ]


def rows_of_uncompared(request: Request, plan: Plan) -> list[StatusRow]:
    """Return a row for each participant of whom faults leave nothing to compare."""
    return not_compared(plan, request.bids_dir) if request.longitudinal else []


def judge_through_time(
    request: Request,
    plan: Plan,
    atlas: Atlas,
    crashes: Mapping[str, list[str]],
    ending: str = "",
) -> list[StatusRow]:
    """Return what became of each participant through time."""
    names = {"atlas": atlas.name, "template": request.template.name}
    rows = []
    for one in longitudinal_of(request, plan):
        row = judge_longitudinal(one, request.out_dir, **names, crashes=crashes, ending=ending)
        if row.status != "failed" and not rests_on(one, request.out_dir, request.bids_dir):
            row = StatusRow.named(one.key, "failed", ending or OTHERS)
        rows.append(row)
    return rows


def unfinished_through_time(
    request: Request, plan: Plan, atlas: Atlas | None, left: Set[str]
) -> set[str]:
    """
    Return the labels of participants whose sessions have to be brought together, maybe again.

    Parameters
    ----------
    request, plan, atlas
        What is asked for.
    left
        Keys of acquisitions that are not done: some sessions of a participant are never computed
        without the others, or they would be compared without them.
    """
    if atlas is None:
        return set()
    return {
        one.participant
        for one in longitudinal_of(request, plan)
        if not _is_complete(request, one, atlas) or any(a.key in left for a in one.acquisitions)
    }


def compare_the_rest(
    request: Request,
    plan: Plan,
    atlas: Atlas | None,
    work_dir: Path,
    crashes: Mapping[str, list[str]],
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """
    Bring sessions together where another one of the participant has failed.

    A graph does not go on behind a step that failed. A second one, of the sessions that did not
    fail, finds all of their steps done, and has but the common space to make.

    Parameters
    ----------
    request, plan, atlas, work_dir
        What was computed, and where.
    crashes
        What went wrong there, by the part of the graph it went wrong in.

    Returns
    -------
    failed
        Why acquisitions are left out, by their keys.
    crashes
        All that went wrong.
    """
    failed: dict[str, str] = {}
    rest: list[Longitudinal] = []
    for one in longitudinal_of(request, plan) if atlas else ():
        faults = _faults(one, crashes)
        # What fails in the common space itself fails again.
        if not faults or one.name_safe in crashes or (atlas and _is_complete(request, one, atlas)):
            continue
        own = without(plan.only(one.acquisitions), faults)
        if remaining := longitudinal_of(request, own):
            failed |= faults
            rest += remaining
            names = ", ".join(f"ses-{session}" for session in remaining[0].sessions)
            log.warning("%s: %s are compared without what failed", one.key, names)
    if not rest:
        return {}, dict(crashes)
    wanted = {one.participant for one in rest}
    todo = without(plan, failed)
    todo = todo.only(a for a in todo.acquisitions if a.participant in wanted)
    again = compute(request, todo, atlas, work_dir)
    both = {
        part: list(dict.fromkeys([*crashes.get(part, []), *again.get(part, [])]))
        for part in crashes.keys() | again.keys()
    }
    return failed, both


def _faults(longitudinal: Longitudinal, crashes: Mapping[str, list[str]]) -> dict[str, str]:
    """Return what went wrong in sessions, by the keys of their acquisitions."""
    faults = {}
    for one in longitudinal.acquisitions:
        parts = (one, one.t1w) if one.t1w else (one,)
        reasons = [reason for part in parts for reason in crashes.get(part.name_safe, [])]
        if reasons:
            faults[one.key] = " | ".join(reasons)
    return faults


def _is_complete(request: Request, longitudinal: Longitudinal, atlas: Atlas) -> bool:
    names = {"atlas": atlas.name, "template": request.template.name}
    paths = expected_of_longitudinal(longitudinal, **names)
    return all((request.out_dir / path).exists() for path in paths) and rests_on(
        longitudinal, request.out_dir, request.bids_dir
    )
