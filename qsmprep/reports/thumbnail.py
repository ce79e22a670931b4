"""A susceptibility map as a small picture: array in, grey levels out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from qsmprep.reports.sheet import AXIAL, CORONAL, RAS, Axcodes, ras_size, slice_across, to_ras
from qsmprep.units import PPB_PER_PPM

WINDOW_PPB = (-100.0, 100.0)
"""Black and white, for everybody the same: pictures of a mosaic are there to be compared."""

WIDTH, HEIGHT = 288, 176
"""Of every picture, pixel; of 1.25 mm, so that a head of any size has room."""

_PIXEL_MM = 1.25


def chi_thumbnail(chi_ppm, voxel_size: Sequence[float], axcodes: Axcodes = RAS):
    """
    Return an axial and a coronal slice through the middle of what is not zero, side by side.

    Parameters
    ----------
    chi_ppm : (X, Y, Z) real array
        Susceptibility, ppm; zero outside the brain.
    voxel_size
        Edges of a voxel along the axes of the array, mm.
    axcodes
        Where these axes point.

    Returns
    -------
    grey : (HEIGHT, WIDTH) uint8 array
        Rows from top to bottom. The participant's left is on the left.
    """
    chi = to_ras(np.asarray(chi_ppm), axcodes)
    inside = np.isfinite(chi) & (chi != 0)
    if not inside.any():
        raise ValueError("the map is zero everywhere")
    size = ras_size(voxel_size, axcodes)
    picture = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for place, axis in enumerate((AXIAL, CORONAL)):
        middle = _middle(inside, axis)
        edges = [size[i] for i in range(3) if i != axis][::-1]  # of rows, then of columns
        pixels = _grey(slice_across(chi, axis, middle), slice_across(inside, axis, middle), edges)
        _paste(picture[:, place * WIDTH // 2 : (place + 1) * WIDTH // 2], pixels[::-1])
    return picture


def _middle(inside, axis: int) -> int:
    """Return the slice half-way between the ends of a mask."""
    occupied = np.flatnonzero(inside.any(axis=tuple(i for i in range(3) if i != axis)))
    return int(occupied[0] + occupied[-1]) // 2


def _grey(chi, inside, edges: Sequence[float]):
    """Return a slice as grey levels in pixels of equal edges, cropped to what is inside."""
    low, high = WINDOW_PPB
    levels = (np.where(inside, chi, 0) * PPB_PER_PPM - low) / (high - low)
    levels = np.where(inside, np.clip(levels, 0, 1), 0).astype(np.float32)
    rows, columns = np.nonzero(inside)
    if rows.size:
        levels = levels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    zoom = [edge / _PIXEL_MM for edge in edges]
    # Sheets of one pixel have nothing to interpolate between.
    larger = [max(round(n * factor), 1) for n, factor in zip(levels.shape, zoom, strict=True)]
    factors = [new / old for new, old in zip(larger, levels.shape, strict=True)]
    return (255 * ndimage.zoom(levels, factors, order=1, grid_mode=True, mode="nearest")).astype(
        np.uint8
    )


def _paste(half, pixels) -> None:
    """Put pixels into the middle of a field; what has no room is cut on all sides alike."""
    for axis in (0, 1):
        if (excess := pixels.shape[axis] - half.shape[axis]) > 0:
            pixels = np.take(pixels, range(excess // 2, excess // 2 + half.shape[axis]), axis=axis)
    top, left = ((room - used) // 2 for room, used in zip(half.shape, pixels.shape, strict=True))
    half[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
