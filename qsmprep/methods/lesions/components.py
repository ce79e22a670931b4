"""Lesions of a mask, one label each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from qsmprep.geometry import Geometry

TOUCHING = np.ones((3, 3, 3), dtype=bool)
"""A voxel and the 26 that share a face, an edge or a corner with it."""

ROUNDING = 1 - 1e-5
"""Voxel sizes in headers are rounded: three voxels of 1 mm are to have 3 mm³."""


@dataclass(frozen=True, eq=False)
class Lesions:
    """
    Lesions of one image.

    Parameters
    ----------
    labels : (X, Y, Z) int32 array
        Number of the lesion of each voxel, 0 for none.
    volumes_mm3
        Volume of each lesion by its number, mm³.
    dropped_mm3
        Volumes of what was too small to be a lesion, mm³, the largest first.
    """

    labels: np.ndarray
    volumes_mm3: dict[int, float]
    dropped_mm3: tuple[float, ...] = ()


def find_lesions(image, geometry: Geometry, *, minimum_mm3: float = 3.0) -> Lesions:
    """
    Return the connected parts of a mask, or the labels that an image has.

    Voxels touch by faces, edges and corners. Parts are numbered from the largest on, so that
    numbers do not depend on how the axes of the image run; of two of the same size, the one whose
    first voxel comes first has the lower number.

    Parameters
    ----------
    image : (X, Y, Z) boolean or integer array
        Booleans are a mask. Integers are lesions with numbers of their own, which are kept
        whatever their size and in however many parts; negative ones are refused.
    geometry : Geometry
        Voxel size.
    minimum_mm3
        Least volume of a lesion of a mask, mm³.

    Returns
    -------
    lesions : Lesions
        NumPy only.

    Raises
    ------
    ValueError
        If the image is neither, or the least volume is negative.
    """
    image = np.asarray(image)
    if minimum_mm3 < 0:
        raise ValueError(f"a lesion cannot have less than {minimum_mm3:g} mm³; give 0 or more")
    if image.dtype != bool:
        return _numbered(image, geometry)
    parts, _ = ndimage.label(image, TOUCHING)
    sizes = np.bincount(parts.ravel())
    volumes = sizes * geometry.voxel_volume
    order = 1 + np.argsort(-sizes[1:], kind="stable")
    kept = [part for part in order if volumes[part] >= minimum_mm3 * ROUNDING]
    number = np.zeros(sizes.size, dtype=np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return Lesions(
        number[parts],
        {rank: float(volumes[part]) for rank, part in enumerate(kept, start=1)},
        tuple(float(volumes[part]) for part in order[len(kept) :]),
    )


def volumes_of(labels, geometry: Geometry) -> dict[int, float]:
    """Return the volume of every lesion of a label image by its number, mm³."""
    numbers, sizes = np.unique(labels, return_counts=True)
    return {
        int(number): float(size * geometry.voxel_volume)
        for number, size in zip(numbers, sizes, strict=True)
        if number
    }


def _numbered(image, geometry: Geometry) -> Lesions:
    if not np.issubdtype(image.dtype, np.integer):
        raise ValueError(f"lesions are booleans or integers, not {image.dtype}")
    if image.size and image.min() < 0:
        raise ValueError(f"a lesion has the number {image.min()}; numbers start at 1")
    return Lesions(image.astype(np.int32), volumes_of(image, geometry))
