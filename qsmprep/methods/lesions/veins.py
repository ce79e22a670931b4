"""Veins in lesions: voxels that speak for blood, and whether a vein runs through the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from qsmprep.geometry import Geometry
from qsmprep.methods.lesions.components import TOUCHING
from qsmprep.methods.regions.rules import Rules
from qsmprep.methods.regions.vessels import find_vessels

CENTRAL = 0.5
"""Part of the greatest depth of a lesion that a central vein reaches."""

LEAST_DEPTH = 1.5
"""Depth that a lesion has where a central vein is looked for: 3 mm across."""

LEAST_LENGTH = 2.0
"""Length of a vein relative to its width: what is shorter is a spot."""


@dataclass(frozen=True, eq=False)
class Veins:
    """
    Veins of one lesion.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        Voxels of the lesion that are left out.
    n_voxels
        How many.
    fraction
        Part of the lesion's measured voxels.
    central
        Whether one vein, longer than wide, runs through the middle; None where a lesion is less
        than 3 mm across, so that nobody can say. An aid to a reader, no more.
    """

    mask: np.ndarray
    n_voxels: int
    fraction: float
    central: bool | None


def find_veins(
    chi, r2star, depth, measured, geometry: Geometry, rules: Rules, *, given=None
) -> Veins:
    """
    Return the voxels of veins in a lesion, by the rule for vessels in regions.

    The rule (`qsmprep.methods.regions.vessels.find_vessels`) compares with the median of the
    lesion itself, so that a rim of iron, which is a sheet, and a lesion that is bright as a whole
    stay. Whether a vein is central follows the definition of Sati et al. (2016,
    doi:10.1038/nrneurol.2016.166) as far as a map can tell: a single line through a lesion of at
    least 3 mm that comes near its middle. It differs from there in that no second plane is looked
    at by eye.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility around the lesion, ppm.
    r2star : (X, Y, Z) real array, or None
        R2*, 1/s: a vein decays no slower than its lesion.
    depth : (X, Y, Z) real array
        Depth in the lesion, mm, negative outside.
    measured : (X, Y, Z) boolean array
        Where the maps are known.
    geometry : Geometry
        Voxel size.
    rules : Rules
        What a vein is; without `vessels` only what is given is left out.
    given : (X, Y, Z) boolean array, or None
        Veins that are known, as from susceptibility-weighted images.

    Returns
    -------
    veins : Veins
        NumPy only.
    """
    inside = (depth > 0) & measured
    mask = np.zeros(inside.shape, dtype=bool)
    if rules.vessels:
        mask |= find_vessels(chi, r2star, inside, measured, geometry, rules)
    if given is not None:
        mask |= given
    mask &= inside
    size = int(np.count_nonzero(inside))
    taken = int(np.count_nonzero(mask))
    return Veins(mask, taken, taken / size if size else np.nan, _central(mask, depth, geometry))


def _central(vein, depth, geometry: Geometry) -> bool | None:
    deepest = depth.max()
    if deepest < LEAST_DEPTH:
        return None
    _, parts = ndimage.label(vein, TOUCHING)
    if parts != 1 or depth[vein].max() < CENTRAL * deepest:
        return False
    at = np.argwhere(vein) * np.asarray(geometry.voxel_size)
    if len(at) < 3:
        return False
    # A uniform line of length l has the variance l²/12, its voxels add theirs.
    spread = np.linalg.eigvalsh(np.cov(at.T))[::-1]
    spread = spread + np.mean(np.square(geometry.voxel_size)) / 12
    return bool(spread[0] >= LEAST_LENGTH**2 * spread[1])
