"""Masks grown, shrunk and cleaned in millimetres."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from qsmprep.geometry import Geometry


def dilate(mask, radius: float, geometry: Geometry):
    """
    Return every voxel whose centre lies within `radius` of the mask.

    What lies outside the volume is not in the mask.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        What to grow.
    radius : float
        Reach between voxel centres, mm.
    geometry : Geometry
        Voxel size.

    Returns
    -------
    dilated : (X, Y, Z) boolean array
        The mask and its surroundings.
    """
    mask = np.asarray(mask, dtype=bool)
    if radius < 0:
        raise ValueError(f"the radius is {radius} mm; give one that is not negative")
    if not mask.any():  # a distance to nothing is not defined
        return mask.copy()
    return _distance(~mask, geometry) <= radius * _ROUNDING


def erode(mask, radius: float, geometry: Geometry, *, border: bool = False):
    """
    Return every voxel of the mask whose centre is further than `radius` from what is not mask.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        What to shrink.
    radius : float
        Reach between voxel centres, mm.
    geometry : Geometry
        Voxel size.
    border : bool
        Whether what lies outside the volume counts as not mask. By default it counts as unknown
        and erodes nothing, so that a brain cut by the field of view keeps its first and last
        slices, and erosion is the dilation of the complement.

    Returns
    -------
    eroded : (X, Y, Z) boolean array
        The mask without its rim.
    """
    mask = np.asarray(mask, dtype=bool)
    if border:
        return erode(np.pad(mask, 1), radius, geometry)[1:-1, 1:-1, 1:-1]
    return ~dilate(~mask, radius, geometry)


def opening(mask, radius: float, geometry: Geometry):
    """
    Return the mask without parts thinner than twice the radius.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        What to clean.
    radius : float
        Reach between voxel centres, mm.
    geometry : Geometry
        Voxel size.

    Returns
    -------
    opened : (X, Y, Z) boolean array
        Erosion, then dilation.
    """
    return dilate(erode(mask, radius, geometry), radius, geometry)


def closing(mask, radius: float, geometry: Geometry):
    """
    Return the mask with gaps narrower than twice the radius filled.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        What to fill.
    radius : float
        Reach between voxel centres, mm.
    geometry : Geometry
        Voxel size.

    Returns
    -------
    closed : (X, Y, Z) boolean array
        Dilation, then erosion; as if the volume went on, so that its border gains nothing.
    """
    width = [int(np.ceil(radius / size)) + 1 for size in geometry.voxel_size]
    wide = np.pad(np.asarray(mask, dtype=bool), [(w, w) for w in width])
    closed = erode(dilate(wide, radius, geometry), radius, geometry)
    return closed[tuple(slice(w, -w) for w in width)]


def largest_component(mask):
    """
    Return the largest part of the mask whose voxels share faces.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        Parts of any number, possibly none.

    Returns
    -------
    component : (X, Y, Z) boolean array
        The part with the most voxels; of equals, the first in memory.
    """
    labels, count = ndimage.label(mask)
    if count == 0:
        return np.zeros(labels.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    return labels == 1 + np.argmax(sizes[1:])


def fill_holes(mask):
    """
    Return the mask with all cavities that do not reach the border of the volume.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        What to fill.

    Returns
    -------
    filled : (X, Y, Z) boolean array
        The mask without cavities; a tunnel is not a cavity.
    """
    # Labels of the background are quicker than ndimage.binary_fill_holes, which iterates.
    labels, count = ndimage.label(~np.asarray(mask, dtype=bool))
    faces = [np.take(labels, end, axis) for axis in range(labels.ndim) for end in (0, -1)]
    outside = np.zeros(count + 1, dtype=bool)
    outside[np.concatenate([face.ravel() for face in faces])] = True
    outside[0] = False
    return ~outside[labels]


# Distances that equal the radius but for rounding count as within it.
_ROUNDING = 1 + 1e-6


def _distance(inside, geometry: Geometry):
    """Return the distance of voxels to the nearest that is not `inside`, mm."""
    return ndimage.distance_transform_edt(inside, sampling=geometry.voxel_size)
