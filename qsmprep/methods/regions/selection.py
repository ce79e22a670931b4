"""Which voxels each row of a table rests on, and what the rules took away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from qsmprep.geometry import Geometry
from qsmprep.methods.morphology import erode
from qsmprep.methods.regions.cortex import is_cortex
from qsmprep.methods.regions.rules import Rules
from qsmprep.methods.regions.vessels import find_vessels

WHOLE_BRAIN = "whole-brain"
"""Name of the row that every table ends with."""


@dataclass(frozen=True)
class Region:
    """
    A labelled part of the brain.

    Parameters
    ----------
    index
        Value of its voxels.
    name
        What it is called, the same on both sides.
    hemisphere
        ``L``, ``R``, or ``M`` on the midline.
    """

    index: int
    name: str
    hemisphere: str


@dataclass(frozen=True)
class Counts:
    """
    Voxels of a label, and what became of them, each counted once, in this order.

    Parameters
    ----------
    n_label
        All of them.
    n_outside_mask
        Outside the brain.
    n_untrusted
        In the brain, but not measured.
    n_eroded
        In the rim that erosion takes.
    n_partial_volume
        Of too little grey matter.
    n_vessel
        Veins and what touches them.
    n_interior
        Voxels of the label with six neighbours of the same label.
    """

    n_label: int
    n_outside_mask: int = 0
    n_untrusted: int = 0
    n_eroded: int = 0
    n_partial_volume: int = 0
    n_vessel: int = 0
    n_interior: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Count two labels as one."""
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Sample:
    """
    The voxels that a row rests on.

    Parameters
    ----------
    name
        Region.
    hemisphere
        ``L``, ``R``, ``M``, or ``B`` for both sides together.
    indices
        Labels that are pooled; none for the whole brain.
    voxels : (N,) integer array
        Where they are in the flattened volume.
    weights : (N,) real array, or None
        Share of each that is tissue of the region; None counts all as one.
    counts
        What became of the others.
    """

    name: str
    hemisphere: str
    indices: tuple[int, ...]
    voxels: np.ndarray
    weights: np.ndarray | None
    counts: Counts

    def pooled(self, other: Sample) -> Sample:
        """Return both sides of a region as one sample of all their voxels."""
        weights = None
        if self.weights is not None or other.weights is not None:  # an empty side has none
            weights = np.concatenate(
                [
                    np.ones(side.voxels.size) if side.weights is None else side.weights
                    for side in (self, other)
                ]
            )
        return Sample(
            self.name,
            "B",
            self.indices + other.indices,
            np.concatenate([self.voxels, other.voxels]),
            weights,
            self.counts + other.counts,
        )


@dataclass(frozen=True, eq=False)
class Head:
    """
    What the rules look at.

    Parameters
    ----------
    labels : (X, Y, Z) integer array
        Label of every voxel, before any mask.
    brain : (X, Y, Z) boolean array
        Brain.
    measured : (X, Y, Z) boolean array
        Where all maps are known and trusted.
    geometry : Geometry
        Voxel size.
    chi : (X, Y, Z) real array
        Susceptibility, ppm.
    r2star : (X, Y, Z) real array, or None
        R2*, 1/s.
    grey : (X, Y, Z) real array, or None
        Probability of grey matter; needed by rules on partial volume.
    mean_chi, mean_r2star : (X, Y, Z) real array, or None
        Mean of several sessions, in which vessels are sought instead: so all lose the same.
    """

    labels: np.ndarray
    brain: np.ndarray
    measured: np.ndarray
    geometry: Geometry
    chi: np.ndarray
    r2star: np.ndarray | None = None
    grey: np.ndarray | None = None
    mean_chi: np.ndarray | None = None
    mean_r2star: np.ndarray | None = None


def select_voxels(head: Head, regions: Sequence[Region], rules: Rules) -> list[Sample]:
    """
    Return a sample per region, one after each left-right pair, and one for the whole brain.

    The rules are for regions. The whole brain, which is a reference, keeps all that is measured.

    Parameters
    ----------
    head : Head
        Labels and maps.
    regions
        What the labels mean, in the order of the rows; no name twice on one side.
    rules : Rules
        What is taken away.

    Returns
    -------
    samples : list of Sample
        NumPy only.
    """
    boxes = ndimage.find_objects(head.labels)
    samples = []
    sides: dict[str, dict[str, Sample]] = {}
    for region in regions:
        box = boxes[region.index - 1] if region.index <= len(boxes) else None
        sample = _select(head, region, box, rules)
        samples.append(sample)
        pair = sides.setdefault(region.name, {})
        pair[region.hemisphere] = sample
        if region.hemisphere != "M" and {"L", "R"} <= set(pair):
            samples.append(pair["L"].pooled(pair["R"]))
    voxels = np.flatnonzero(head.brain & head.measured)
    size = int(np.count_nonzero(head.brain))
    counts = Counts(size, n_untrusted=size - voxels.size, n_interior=size)
    return [*samples, Sample(WHOLE_BRAIN, "B", (), voxels, None, counts)]


def _select(head: Head, region: Region, box, rules: Rules) -> Sample:
    """Return what the rules leave of one label."""
    indices = (region.index,)
    if box is None:
        empty = np.zeros(0, dtype=int)
        return Sample(region.name, region.hemisphere, indices, empty, None, Counts(0))
    cortex = is_cortex(region.name)
    erosion = rules.cortex_erosion if cortex else rules.erosion
    reach = max(erosion, rules.vessel_width)
    margin = [3 + int(reach / size) for size in head.geometry.voxel_size]
    box = tuple(
        slice(max(part.start - width, 0), part.stop + width)
        for part, width in zip(box, margin, strict=True)
    )
    body = head.labels[box] == region.index
    taken = {"n_outside_mask": ~head.brain[box], "n_untrusted": ~head.measured[box]}
    if erosion > 0:
        taken["n_eroded"] = ~erode(body, erosion, head.geometry)
    grey = None
    if cortex and rules.partial_volume != "none":
        if head.grey is None:
            raise ValueError("rules on partial volume need the probability of grey matter")
        grey = head.grey[box]
        least = rules.grey_matter if rules.partial_volume == "threshold" else 0
        taken["n_partial_volume"] = (grey < least) | (grey <= 0)
    inner = ndimage.binary_erosion(body, border_value=1)
    left, counts = body, {}
    for name, gone in taken.items():
        counts[name] = int(np.count_nonzero(left & gone))
        left = left & ~gone
    if rules.vessels:
        chi = head.chi if head.mean_chi is None else head.mean_chi
        r2star = head.r2star if head.mean_chi is None else head.mean_r2star
        vessels = find_vessels(
            chi[box],
            None if r2star is None else r2star[box],
            left,
            head.brain[box] & head.measured[box],
            head.geometry,
            rules,
        )
        counts["n_vessel"] = int(np.count_nonzero(left & vessels))
        left = left & ~vessels
    return Sample(
        region.name,
        region.hemisphere,
        indices,
        _flat_indices(left, box, head.labels.shape),
        grey[left] if grey is not None and rules.partial_volume == "weight" else None,
        Counts(int(body.sum()), n_interior=int(inner.sum()), **counts),
    )


def _flat_indices(part, box, shape):
    """Return where the voxels of a box are in the flattened volume."""
    corner = [side.start for side in box]
    return np.ravel_multi_index(
        tuple(axis + first for axis, first in zip(np.nonzero(part), corner, strict=True)), shape
    )
