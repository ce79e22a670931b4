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
    voxels are tried; the result is the length of the three best ones together.

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
    best = []
    for axis, edge in enumerate(geometry.voxel_size):
        reach = max(1, round(REACH_MM / edge))
        shifts = range(-reach, reach + 1)
        alike = [
            _mutual(still.ravel()[where], np.roll(moved, shift, axis).ravel()[where])
            for shift in shifts
        ]
        best.append(shifts[int(np.argmax(alike))] * edge)
    return float(np.linalg.norm(best))


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
