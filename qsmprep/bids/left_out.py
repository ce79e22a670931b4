"""Sessions that take no part in a comparison through time, and outputs that rest on others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
import json
from pathlib import Path

from qsmprep.bids.derivatives import bids_uri
from qsmprep.bids.entities import parse_name, split_entities
from qsmprep.bids.longitudinal import LONGITUDINAL, SPACE, Longitudinal, find_longitudinal
from qsmprep.bids.models import Acquisition, Issue, Plan
from qsmprep.bids.status import StatusRow

ALONE = "fewer than two sessions are left to be compared"

Kind = tuple[str, tuple[tuple[str, str], ...], str]
"""Participant, entities without session, and suffix: what sessions have to share."""


def plan_longitudinal(plan: Plan, bids_dir: Path) -> tuple[Longitudinal, ...]:
    """
    Return every participant who is seen through time, with why sessions are left out.

    Parameters
    ----------
    plan
        What will be processed, and what was found wrong with the rest.
    bids_dir
        The dataset, whose ``sessions.tsv`` tell the time.
    """
    faulty = _left_out(plan)
    return tuple(
        replace(one, left_out=faulty.get(one.participant, ()))
        for one in find_longitudinal(plan.acquisitions, bids_dir)
        if not _unlike_labels(one)
    )


def not_compared(plan: Plan, bids_dir: Path) -> list[StatusRow]:
    """
    Return a row for each participant whose sessions faults keep from being compared.

    Parameters
    ----------
    plan, bids_dir
        As in `plan_longitudinal`.
    """
    found = find_longitudinal(plan.acquisitions, bids_dir)
    reasons = {one.participant: _unlike_labels(one) for one in found}
    for who, left_out in _left_out(plan).items():
        reasons.setdefault(who, " | ".join([*left_out, ALONE]))
    return [
        StatusRow.named(f"sub-{who}_{LONGITUDINAL}", "skipped", reason)
        for who, reason in reasons.items()
        if reason
    ]


def unlike_acquisitions(plan: Plan) -> list[str]:
    """Return in sentences who came twice, but has nothing that was acquired twice."""
    people: dict[str, list[Acquisition]] = {}
    for one in plan.acquisitions:
        if one.session and one.t1w:
            people.setdefault(one.participant, []).append(one)
    lines = []
    for who, own in people.items():
        kinds = {(one.session, one.entities, one.suffix) for one in own}
        repeated = len({kind[1:] for kind in kinds}) < len(kinds)
        if len({one.session for one in own}) > 1 and not repeated:
            names = ", ".join(one.key for one in own)
            lines.append(
                f"sub-{who}_{LONGITUDINAL}: not compared: {names} differ in more than the session"
            )
    return lines


def without(plan: Plan, faults: Mapping[str, str]) -> Plan:
    """
    Return the plan without acquisitions that failed as they were computed.

    Parameters
    ----------
    plan
        As it was.
    faults
        What went wrong, by the keys of acquisitions.
    """
    issues = [
        Issue(
            one.participant,
            one.session,
            one.key,
            "error",
            None,
            faults[one.key],
            "the others are compared without it",
        )
        for one in plan.acquisitions
        if one.key in faults
    ]
    kept = plan.only(one for one in plan.acquisitions if one.key not in faults)
    return replace(kept, issues=(*plan.issues, *issues))


def rests_on(longitudinal: Longitudinal, out_dir: Path, bids_dir: Path) -> bool:
    """
    Tell whether the outputs in the common space were made of the images they would be made of now.

    Another session moves the common space, its labels and the voxels that all sessions know:
    tables of different sets of sessions must not lie beside each other.
    """
    images = [anatomy.path for anatomy in longitudinal.anatomies]
    if _sources(out_dir / longitudinal.image) != _uris(images, bids_dir):
        return False
    told = {
        frozenset(sources)
        for path in _outputs(longitudinal, out_dir)
        if path.name.endswith("_change.json") and (sources := _sources(path))
    }
    echoes = [[one.files[0] for one in series.acquisitions] for series in longitudinal.series]
    return told <= {frozenset(_uris(paths, bids_dir)) for paths in echoes}


def forget_others(longitudinal: Longitudinal, out_dir: Path, bids_dir: Path) -> int:
    """Remove outputs in the common space that rest on other sessions; return how many."""
    paths = _outputs(longitudinal, out_dir)
    if not paths or rests_on(longitudinal, out_dir, bids_dir):
        return 0
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _left_out(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return in sentences, by participant, what would be compared if it had no fault."""
    kept = {one.key for one in plan.acquisitions}
    sessions: dict[Kind, set[str]] = {}
    for one in plan.acquisitions:
        if one.session:
            kind = one.participant, one.entities, one.suffix
            sessions.setdefault(kind, set()).add(one.session)
    faults: dict[str, list[Issue]] = {}
    for issue in plan.errors:
        if issue.key and issue.session and issue.key not in kept:
            faults.setdefault(issue.key, []).append(issue)
            sessions.setdefault(_kind_of(issue), set()).add(issue.session)
    found: dict[str, list[str]] = {}
    for key, issues in faults.items():
        if len(sessions[_kind_of(issues[0])]) > 1:
            # An issue without a file calls itself by the key.
            told = [str(issue).removeprefix(f"{key}: ") for issue in issues]
            reason = f"{key} is left out: {' | '.join(told)}"
            found.setdefault(issues[0].participant, []).append(reason)
    for issue in plan.errors:
        if issue.key is None and (session := _closed_session(issue, plan)):
            reason = f"{session} is left out: {issue}"
            found.setdefault(issue.participant, []).append(reason)
    return {who: tuple(reasons) for who, reasons in found.items()}


def _unlike_labels(longitudinal: Longitudinal) -> str:
    """Return what keeps the labels of sessions from being one segmentation, or nothing."""
    names: dict[tuple[str | None, ...], str] = {}
    for one in longitudinal.labelled:
        if one.labels_given:
            entities, _ = parse_name(one.labels_given.path)
            name = tuple(entities.get(entity) for entity in ("seg", "atlas", "desc"))
            names.setdefault(name, str(one.labels_given.path))
    if len(names) < 2:
        return ""
    first, *others = names.values()
    return (
        f"{first}: is another segmentation by its name than {', '.join(others)}; "
        "give a folder with the same one of all sessions"
    )


def _kind_of(issue: Issue) -> Kind:
    stem, _, suffix = str(issue.key).rpartition("_")
    entities = {k: v for k, v in split_entities(stem).items() if k not in ("sub", "ses")}
    return issue.participant, tuple(entities.items()), suffix


def _closed_session(issue: Issue, plan: Plan) -> str | None:
    """Return the session of which a fault of no single acquisition leaves nothing."""
    parts = issue.path.parts if issue.path else ()
    session = next((part for part in reversed(parts) if part.startswith("ses-")), None)
    own = {
        f"ses-{one.session}" for one in plan.acquisitions if one.participant == issue.participant
    }
    return session if own and session not in own else None


def _outputs(longitudinal: Longitudinal, out_dir: Path) -> list[Path]:
    """Return everything that was made of several sessions, sidecars and figures included."""
    folder = out_dir / longitudinal.stem
    names = (f"_space-{SPACE}_", f"_to-{SPACE}_", f"_from-{SPACE}_", "_space-baseline_")
    paths = {path for path in folder.glob("**/sub-*") if any(n in path.name for n in names)}
    # The table of lesions through time has no space in its name, but no session either.
    return sorted(paths | {*(folder / "anat").glob("*_lesions.*")} if paths else paths)


def _sources(path: Path) -> list[str]:
    """Return what a sidecar says an output was made from; nothing where it cannot be read."""
    sidecar = path.with_name(f"{path.name.partition('.')[0]}.json")
    try:
        return sorted(json.loads(sidecar.read_text("utf-8"))["Sources"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _uris(paths: Iterable[Path], bids_dir: Path) -> list[str]:
    return sorted(bids_uri(path, bids_dir) for path in paths)
