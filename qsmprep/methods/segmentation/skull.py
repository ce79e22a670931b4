"""Whether a T1w still has its skull, and the brain around labels."""

import numpy as np
from scipy import ndimage

BRAIN_LITRES = (0.5, 2.3)
"""Volumes of filled brains, small children and large men included; heads are above 3 litres."""

BRAIN_HEIGHT = 140.0
"""Of a brain with its scalp, mm."""


def stripped_brain(t1w, voxel_size: tuple[float, float, float]) -> np.ndarray | None:
    """
    Return the brain of a T1w without skull, or None if it shows a head.

    A stripped brain is one compact body of brain size in a background of exact zeros, hardly
    touched by the edge of the volume. Heads are larger, or cut where the neck leaves the view.

    Parameters
    ----------
    t1w : (X, Y, Z) real array
        T1w image, arbitrary units.
    voxel_size
        Edge lengths of a voxel, mm.

    Returns
    -------
    brain : (X, Y, Z) boolean array or None
        The body, filled. NumPy only.
    """
    # A rim of air, so that the edge of the volume neither erodes the body nor closes a hole.
    signal = np.pad(np.nan_to_num(t1w) != 0, 1)
    # Opening drops the crumbs and threads that a stripping leaves behind.
    bodies, count = ndimage.label(ndimage.binary_opening(signal))
    if count == 0:
        return None
    largest = bodies == np.bincount(bodies.ravel())[1:].argmax() + 1
    whole = ndimage.binary_propagation(largest, mask=signal)
    brain = ndimage.binary_fill_holes(whole)[1:-1, 1:-1, 1:-1]
    litres = brain.sum() * np.prod(voxel_size) / 1e6
    one_body = whole.sum() > 0.95 * signal.sum()
    small = BRAIN_LITRES[0] < litres < BRAIN_LITRES[1]
    return brain if one_body and small and _fraction_cut(brain) < 0.05 else None


def brain_of_labelled(t1w, dseg, voxel_size: tuple[float, float, float]) -> np.ndarray:
    """
    Return the brain of a labelled head, with or without its skull.

    Parameters
    ----------
    t1w : (X, Y, Z) real array
        T1w image, arbitrary units.
    dseg : (X, Y, Z) integer array
        Its labels, zero outside.
    voxel_size
        Edge lengths of a voxel, mm.

    Returns
    -------
    brain : (X, Y, Z) boolean array
        NumPy only.
    """
    brain = stripped_brain(t1w, voxel_size)
    return labelled_brain(dseg, voxel_size) if brain is None else brain


def _fraction_cut(body) -> float:
    """Return the part of a body's surface that lies on the edge of the volume."""
    surface = body & ~ndimage.binary_erosion(body)
    inner = np.zeros_like(body)
    inner[1:-1, 1:-1, 1:-1] = True
    return float((surface & ~inner).sum() / surface.sum())


def upper_centre(body, affine) -> np.ndarray:
    """
    Return the centre of the upper part of a head: where its brain is, however long its neck.

    Parameters
    ----------
    body : (X, Y, Z) boolean array
        Head or brain. NumPy only.
    affine : (4, 4) array
        From voxels to mm, to the right, front and top.

    Returns
    -------
    centre : (3,) array
        mm.
    """
    largest, count = ndimage.label(body)
    if count > 1:
        body = largest == np.bincount(largest.ravel())[1:].argmax() + 1
    points = np.argwhere(body) @ affine[:3, :3].T + affine[:3, 3]
    top = np.percentile(points[:, 2], 99.9)
    return points[points[:, 2] > top - BRAIN_HEIGHT].mean(axis=0)


def labelled_brain(dseg, voxel_size: tuple[float, float, float]) -> np.ndarray:
    """
    Return the brain that labels cover, gaps closed, holes filled, 2 mm wider.

    Parameters
    ----------
    dseg : (X, Y, Z) integer array
        Labels, zero outside.
    voxel_size
        Edge lengths of a voxel, mm.

    Returns
    -------
    brain : (X, Y, Z) boolean array
        NumPy only.
    """
    reach = 6.0  # mm; sulci of manual labels are narrower than twice this
    margin = int(np.ceil(reach / min(voxel_size))) + 1
    outside = np.pad(dseg == 0, margin, constant_values=True)
    near = ndimage.distance_transform_edt(outside, sampling=voxel_size) <= reach
    closed = ndimage.distance_transform_edt(near, sampling=voxel_size) > reach - 2.0
    filled = ndimage.binary_fill_holes(closed | ~outside)
    return filled[(slice(margin, -margin),) * 3]
