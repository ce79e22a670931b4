"""Fixed regions of lesions that somebody has edited: which series they are of, on which grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qsmprep.bids.entities import folder_of
from qsmprep.bids.headers import grid_difference, read_header
from qsmprep.bids.label_images import read_labels
from qsmprep.bids.lesions import EXTENSIONS
from qsmprep.bids.longitudinal import Longitudinal, Series
from qsmprep.bids.models import Acquisition, Fault, Issue, Plan
from qsmprep.bids.needs import select

ENDING = "_space-baseline_label-lesion_dseg"
"""What the names of such images end in, as that of the image they were made from."""


def with_edited_regions(plan: Plan, folder: Path, longitudinal: Sequence[Longitudinal]) -> Plan:
    """
    Return the plan with edited regions of lesions, without acquisitions whose regions are broken.

    An image that belongs to nothing that is processed is told of.

    Parameters
    ----------
    plan
        What would be processed, with its lesions.
    folder
        Derivatives in BIDS, ``sub-01/anat/sub-01_space-baseline_label-lesion_dseg.nii.gz`` on the
        grid of the first session's echoes, as the image of that name in the output folder.
    longitudinal
        Participants whose sessions are brought together.
    """
    found: dict[str, Path | Fault] = {}
    issues = list(plan.issues)
    for participant in longitudinal:
        given = _images(folder, participant.stem)
        for series in filter(None, (one.lesions for one in participant.series)):
            names = {f"{series.stem}{ENDING}{extension}" for extension in EXTENSIONS}
            own = [path for path in given if path.name in names]
            given = [path for path in given if path not in own]
            if own:
                checked = _check(own, series)
                found |= {one.key: checked for one in series.acquisitions}
        issues += [_unused(path, participant.participant) for path in given]

    def add(acquisition: Acquisition) -> Acquisition | Fault:
        regions = found.get(acquisition.key)
        if regions is None or acquisition.lesions is None:
            return acquisition
        if isinstance(regions, Fault):
            return regions
        return replace(acquisition, lesions=replace(acquisition.lesions, regions=regions))

    return select(replace(plan, issues=tuple(issues)), add)


def _images(folder: Path, stem: str) -> list[Path]:
    anat = folder / folder_of(stem) / "anat"
    return sorted(path for path in anat.glob(f"*{ENDING}.*") if path.name.endswith(EXTENSIONS))


def _check(paths: Sequence[Path], series: Series) -> Path | Fault:
    """Return the one image of a series, or what is wrong with it."""
    if len(paths) > 1:
        return Fault(paths[0], f"is there again as {paths[1].name}", "keep one of them")
    labels = read_labels(paths[0])
    if isinstance(labels, Fault):
        return labels
    echo, faults = read_header(series.acquisitions[0].files[0], n_volumes=None)
    if echo is None:
        return faults[0]
    difference = grid_difference(replace(echo, shape=echo.shape[:3]), labels.header)
    remedy = f"edit {series.stem}{ENDING} of the output folder, on its grid"
    return Fault(paths[0], difference, remedy) if difference else paths[0]


def _unused(path: Path, participant: str) -> Issue:
    return Issue(
        *(participant, None, None, "warning", path),
        "is of no acquisition whose lesions are seen in several sessions, and is not used",
        "name it as the image in the output folder that it was made from",
    )
