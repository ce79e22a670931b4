"""How deep voxels lie below the surface of a lesion."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage, spatial

from qsmprep.geometry import Geometry

BLUR = 0.7
"""Gaussian that takes the steps off a mask, voxels."""

PAD = 3
"""Voxels of nothing around a mask, for the Gaussian."""

LEAST = 1e-3
"""Distance of what lies on the surface, mm: a voxel is inside or outside."""


def depth_of(lesion, geometry: Geometry, *, outside: float = math.inf):
    """
    Return the depth of every voxel's centre below the surface of a lesion.

    The surface is a level of the blurred mask, the one that holds as many voxels as the mask, so
    that the lesion keeps its volume. It is known where it cuts the lines between neighbouring
    centres; depth is the distance to the nearest of these points. For digital balls of 2 to 9 mm
    in voxels of 1 mm the error is 0.05 to 0.08 mm on average, with a standard deviation of
    0.13 mm; that of a distance transform less half a voxel has 0.23 mm.

    Parameters
    ----------
    lesion : (X, Y, Z) boolean array
        The lesion; beyond the volume there is none.
    geometry : Geometry
        Voxel size.
    outside
        Distance from the lesion that depth is wanted to, mm.

    Returns
    -------
    depth : (X, Y, Z) float array
        mm, positive in the mask, negative outside; -inf further away, or everywhere where there
        is no lesion.
    """
    lesion = np.asarray(lesion, dtype=bool)
    if not lesion.any():
        return np.full(lesion.shape, -np.inf)
    size = np.asarray(geometry.voxel_size, dtype=float)
    wide = np.pad(lesion, PAD)
    blurred = ndimage.gaussian_filter(wide.astype(float), BLUR)
    count = np.count_nonzero(wide)
    ranked = np.partition(blurred.ravel(), [-count - 1, -count])
    level = (ranked[-count] + ranked[-count - 1]) / 2
    tree = spatial.KDTree(_crossings(blurred, level) * size)
    distance = ndimage.distance_transform_edt(~wide, sampling=size)
    near = distance <= outside + size.max()  # the surface may lie a voxel from its nearest centre
    distance[~near] = np.inf
    distance[near] = tree.query(np.argwhere(near) * size)[0]
    distance[(distance > outside) & ~wide] = np.inf
    # Thin parts may lie below the level, and corners between parts above it.
    depth = np.where((blurred > level) == wide, distance, 0)
    depth = np.where(wide, 1, -1) * np.maximum(depth, LEAST)
    return depth[PAD:-PAD, PAD:-PAD, PAD:-PAD]


def _crossings(blurred, level: float):
    """Return where the level cuts the lines between neighbours, (N, 3) in voxels."""
    points = []
    for axis in range(3):
        here = np.moveaxis(blurred, axis, 0)[:-1]
        there = np.moveaxis(blurred, axis, 0)[1:]
        cut = (here > level) != (there > level)
        at = np.argwhere(cut).astype(float)
        at[:, 0] += ((level - here) / np.where(cut, there - here, 1))[cut]
        points.append(np.insert(at[:, 1:], axis, at[:, 0], axis=1))
    return np.concatenate(points)
