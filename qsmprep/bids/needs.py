"""What a protocol needs of each acquisition beside its echoes: a T1w, or a mask made before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qsmprep.bids.dataset import NO_T1W
from qsmprep.bids.derivatives import derivative_path
from qsmprep.bids.headers import grid_difference, read_header
from qsmprep.bids.models import Acquisition, Fault, Issue, Plan


def with_masks(plan: Plan, folder: Path) -> Plan:
    """
    Return the plan with the brain mask of each acquisition, without those that have none.

    Parameters
    ----------
    plan
        What would be processed.
    folder
        Derivatives in BIDS, ``sub-01/[ses-1/]anat/sub-01_[ses-1_][acq-x_]desc-brain_mask.nii.gz``
        with all entities of the acquisition and on its grid; an output folder of qsmprep is one.
    """
    return select(plan, lambda acquisition: _with_mask(acquisition, folder))


def with_t1w(plan: Plan, setting: str) -> Plan:
    """Return the plan without the acquisitions that have no T1w, which a setting needs."""
    # They are not made after all.
    issues = tuple(issue for issue in plan.issues if (issue.fact, issue.remedy) != NO_T1W)
    return select(replace(plan, issues=issues), lambda one: _check_t1w(one, setting))


def select(plan: Plan, check: Callable[[Acquisition], Acquisition | Fault]) -> Plan:
    """Return the plan with what passes a check, and the faults of the rest."""
    kept, issues = [], list(plan.issues)
    for acquisition in plan.acquisitions:
        checked = check(acquisition)
        if isinstance(checked, Acquisition):
            kept.append(checked)
        else:
            who = acquisition.participant, acquisition.session, acquisition.key
            issues.append(Issue(*who, "error", *checked))
    return Plan(tuple(kept), tuple(issues))


def _check_t1w(acquisition: Acquisition, setting: str) -> Acquisition | Fault:
    if acquisition.t1w:
        return acquisition
    path = acquisition.files[0]
    return Fault(path, f"no T1w image, which {setting} needs", "add one, or set another method")


def _with_mask(acquisition: Acquisition, folder: Path) -> Acquisition | Fault:
    path = folder / derivative_path(acquisition.stem, suffix="mask", desc="brain")
    found = next((place for place in (path, path.with_suffix("")) if place.exists()), None)
    if found is None:
        fact = f"is missing, the brain mask of {acquisition.key}"
        return Fault(path, fact, "add it, or use masking.method bet")
    mask, faults = read_header(found)
    echo, broken = read_header(acquisition.files[0], n_volumes=None)
    if mask is None or echo is None:
        return (*faults, *broken)[0]
    if difference := grid_difference(replace(echo, shape=echo.shape[:3]), mask):
        return Fault(found, difference, "resample it to the echoes, labels as they are")
    return replace(acquisition, brain_mask=found)
