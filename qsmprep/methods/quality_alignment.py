"""Figures that say how well one image lies on another."""

from __future__ import annotations

import numpy as np

from qsmprep.geometry import Geometry

BINS = 32
REACH_MM = 12.0
"""Largest shift that is tried, mm."""

SAMPLES = 200_000
"""Voxels that are compared at each shift, spread evenly over the mask."""


def dice(one, other) -> float:
    """
    Overlap of two masks, 0 to 1 (Dice, 1945, doi:10.2307/1932409).

    Parameters
    ----------
    one, other : (X, Y, Z) boolean arrays
        NumPy only. NaN if both are empty.
    """
    total = int(one.sum()) + int(other.sum())
    return 2 * float((one & other).sum()) / total if total else float("nan")


def similarity(one, other, mask) -> float:
    """
    Normalised mutual information of two images, 1 to 2.

    The sum of both entropies over the joint one (Studholme et al., 1999,
    doi:10.1016/S0031-3203(98)00091-0), of histograms with bins of equal occupation.

    Parameters
    ----------
    one, other : (X, Y, Z) real arrays
        Of any contrast. NumPy only.
    mask : (X, Y, Z) boolean array
        Where they are compared.
    """
    return _mutual(*(_ranks(image, mask)[mask] for image in (one, other)))


def offset_mm(fixed, moving, mask, geometry: Geometry) -> float:
    """
    Shift along the voxel axes by which `moving` would resemble `fixed` the most, mm.

    Zero, give or take a voxel, where the two are aligned. Along each axis all shifts by whole
    voxels are tried, the one that gains the most is made, and so on from there.

    Parameters
    ----------
    fixed, moving : (X, Y, Z) real arrays
        Of any contrast. NumPy only.
    mask : (X, Y, Z) boolean array
        Where `fixed` is compared.
    geometry : Geometry
        Voxel size.
    """
    where = np.flatnonzero(mask)
    where = where[:: max(1, len(where) // SAMPLES)]
    still, moved = (_ranks(image, mask) for image in (fixed, moving))
    shift, alike = [0, 0, 0], _mutual(still.ravel()[where], moved.ravel()[where])
    for _ in range(2 * len(shift)):
        trials = [(axis, n) for axis in range(3) for n in _reach(geometry.voxel_size[axis])]
        gains = [
            _mutual(still.ravel()[where], _shifted(moved, shift, axis, n).ravel()[where]) - alike
            for axis, n in trials
        ]
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            break
        axis, n = trials[best]
        shift[axis], alike = n, alike + gains[best]
    return float(np.linalg.norm(np.multiply(shift, geometry.voxel_size)))


def _reach(edge: float) -> range:
    """Return the shifts that are tried along an axis, voxels."""
    most = max(1, round(REACH_MM / edge))
    return range(-most, most + 1)


def _shifted(volume, shift, axis: int, n: int):
    """Return a volume moved by `shift`, but by `n` voxels along one axis."""
    return np.roll(volume, [n if a == axis else s for a, s in enumerate(shift)], (0, 1, 2))


def _ranks(image, mask):
    """Return into which of the bins, equally filled within the mask, each voxel falls."""
    ends = np.unique(np.percentile(image[mask], np.linspace(0, 100, BINS + 1)[1:-1]))
    return np.searchsorted(ends, image, side="right")


def _mutual(one, other) -> float:
    """Return the normalised mutual information of two lists of ranks."""
    joint = np.bincount(one * BINS + other, minlength=BINS**2).reshape(BINS, BINS)
    both = _entropy(joint.ravel())
    return (_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / both if both else 1.0


def _entropy(counts) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
