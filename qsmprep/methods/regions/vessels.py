"""Veins inside and around a region."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy import ndimage

from qsmprep.geometry import Geometry
from qsmprep.methods.regions.rules import Rules

BESIDE = ndimage.generate_binary_structure(3, 2)
"""A voxel and the 18 that share a face or an edge with it."""

NORMALS = [
    normal
    for normal in product((-1, 0, 1), repeat=3)
    if normal > (0, 0, 0)  # one of each two that differ in sign
]
"""Of the thirteen planes that a disc may lie in, in voxels."""

SHARED = 1.5
"""Standard deviations above the tissue around, from which on a voxel shares a vein's signal."""

TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution relative to its median absolute deviation."""


def find_vessels(chi, r2star, inside, measured, geometry: Geometry, rules: Rules):
    """
    Return the voxels of veins in a region and beside it, those they share with tissue included.

    A vein is more paramagnetic than its region (by `vessel_outlier` standard deviations, taken
    from the median absolute deviation, and by `vessel_contrast`), decays no slower than the median
    of the region, and is narrow in two directions: it stands out, by the same amount, from the
    morphological opening of χ with flat discs of `vessel_width` in thirteen orientations, the
    largest of them. A disc fits into nuclei, however rich in iron, and into sheets such as the
    cortex and the substantia nigra, but not into a tube. Small round spots are taken, too:
    microbleeds. Voxels that touch a vein are taken with it if they exceed the mean of the tissue
    around it by one and a half standard deviations.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, in the surroundings of the region.
    r2star : (X, Y, Z) real array, or None
        R2*, 1/s.
    inside : (X, Y, Z) boolean array
        Voxels of the region, all of them measured.
    measured : (X, Y, Z) boolean array
        Where the maps are known.
    geometry : Geometry
        Voxel size.
    rules : Rules
        What a vein is.

    Returns
    -------
    vessels : (X, Y, Z) boolean array
        NumPy only.
    """
    core = np.zeros(inside.shape, dtype=bool)
    if not inside.any():
        return core
    values = chi[inside]
    centre = np.median(values)
    deviation = TO_DEVIATION * np.median(np.abs(values - centre))
    excess = max(rules.vessel_outlier * deviation, rules.vessel_contrast)
    # A vein beside the region shares its signal with the voxels at the border.
    suspects = ndimage.binary_dilation(inside, BESIDE) & measured & (chi > centre + excess)
    if r2star is not None:
        suspects &= r2star >= np.median(r2star[inside])
    if not suspects.any():
        return core
    core[suspects] = chi[suspects] - _wide_part(chi, measured, suspects, geometry, rules) > excess
    near = ndimage.binary_dilation(core, BESIDE)
    around = _local_mean(chi, inside & ~near, geometry, rules.vessel_width, centre)
    return core | (near & (chi > around + SHARED * deviation))


def _local_mean(chi, tissue, geometry: Geometry, width: float, otherwise: float):
    """Return the mean of tissue in a box about each voxel, that reaches beyond a vein."""
    size = [2 * int(np.ceil(width / 2 / edge)) + 1 for edge in geometry.voxel_size]
    part = ndimage.uniform_filter(tissue.astype(np.float32), size, mode="constant")
    total = ndimage.uniform_filter(np.where(tissue, chi, 0), size, mode="constant")
    some = part > 0.5 / np.prod(size)  # half a voxel: what is less is rounding
    return np.where(some, total / np.where(some, part, 1), otherwise)


def _wide_part(chi, measured, places, geometry: Geometry, rules: Rules):
    """Return the largest opening of `chi` with discs, at the places only; unknown is no limit."""
    discs = _discs(geometry, rules.vessel_width)
    reach = np.max([np.abs(disc).max(axis=0) for disc in discs], axis=0)
    width = [(2 * n, 2 * n) for n in reach]
    known = np.pad(measured, width)
    height = np.where(known, np.pad(chi, width), np.inf).ravel()
    strides = np.array([known.shape[1] * known.shape[2], known.shape[2], 1])
    at = np.flatnonzero(np.pad(places, width))
    widest = np.full(at.size, -np.inf, dtype=height.dtype)
    for disc in discs:
        steps = disc @ strides
        # All discs that hold a place, by their centres: each is worked out once.
        centres, back = np.unique(at[:, None] + steps, return_inverse=True)
        lowest = np.full(centres.size, np.inf, dtype=height.dtype)
        for step in steps:
            np.minimum(lowest, height[centres + step], out=lowest)
        lowest[~known.ravel()[centres]] = -np.inf
        np.maximum(widest, lowest[back].reshape(at.size, -1).max(axis=1), out=widest)
    return widest


def _discs(geometry: Geometry, width: float) -> list[np.ndarray]:
    """Return the voxels of discs, from their centres, one disc for each orientation."""
    size = np.array(geometry.voxel_size)
    reach = np.maximum(width / 2 // size, 1).astype(int)
    steps = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    # The next voxels always belong, or a disc across thick slices would be a line.
    near = np.abs(steps).max(axis=1) <= 1
    ball = steps[near | (np.linalg.norm(steps * size, axis=1) <= width / 2)]
    return [ball[ball @ normal == 0] for normal in NORMALS]
