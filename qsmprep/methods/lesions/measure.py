"""A row per lesion: size, susceptibility, what surrounds it, rim and core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
import math
from typing import Any

import numpy as np
from scipy import ndimage

from qsmprep.geometry import Geometry
from qsmprep.methods.lesions.depth import depth_of
from qsmprep.methods.lesions.noise import Covariance, covariance_of
from qsmprep.methods.lesions.profile import (
    SUSCEPTIBILITY,
    ProfileBin,
    Rim,
    radial_profile,
    require_susceptibility,
    rim_of,
)
from qsmprep.methods.lesions.rules import LesionRules
from qsmprep.methods.lesions.surroundings import WhiteMatter
from qsmprep.methods.lesions.veins import find_veins
from qsmprep.methods.regions import RegionStatistics, Rules, Sample, regional_statistics
from qsmprep.methods.regions.selection import Counts

VESSELS = Rules()
"""What a vein is unless somebody says otherwise."""


@dataclass(frozen=True, eq=False)
class LesionMaps:
    """
    What lesions are measured on, all on one grid.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility, ppm.
    brain : (X, Y, Z) boolean array
        Brain.
    measured : (X, Y, Z) boolean array
        Where all maps are known and trusted.
    white : (X, Y, Z) boolean array
        White matter; lesions may be part of it.
    geometry : Geometry
        Voxel size.
    r2star : (X, Y, Z) real array, or None
        R2*, 1/s.
    hemispheres : (X, Y, Z) integer array, or None
        1 on the left, 2 on the right, 0 elsewhere.
    veins : (X, Y, Z) boolean array, or None
        Veins that are known.
    mean_chi, mean_r2star : (X, Y, Z) real array, or None
        Means of several sessions: veins are sought in them, so that all have the same.
    quantity
        What `chi` shows; anything but ``susceptibility`` is refused.
    """

    chi: np.ndarray
    brain: np.ndarray
    measured: np.ndarray
    white: np.ndarray
    geometry: Geometry
    r2star: np.ndarray | None = None
    hemispheres: np.ndarray | None = None
    veins: np.ndarray | None = None
    mean_chi: np.ndarray | None = None
    mean_r2star: np.ndarray | None = None
    quantity: str = SUSCEPTIBILITY

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the maps and masks that there are, by name."""
        every = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in every.items() if isinstance(value, np.ndarray)}

    def cut(self, box: tuple[slice, ...]) -> LesionMaps:
        """Return the part of all of them in a box of voxels."""
        parts: dict[str, Any] = {name: array[box] for name, array in self.arrays().items()}
        return replace(self, **parts)


@dataclass(frozen=True)
class LesionRow:
    """
    One lesion in one session. NaN is what cannot be known; susceptibility is in ppm.

    Parameters
    ----------
    lesion
        Its number.
    hemisphere
        ``L`` or ``R``, the side of most of it; nothing on the midline or where sides are unknown.
    centre
        Mean position of its voxels, in voxels of the grid.
    chi
        Volume, voxels and susceptibility, as of a region; `n_vessel` counts voxels of veins. Its
        standard error is a lower bound, as that of voxels that are independent.
    white
        The same of the white matter beside it.
    white_side
        ``same``, ``contralateral``, or nothing.
    difference, difference_sem
        Mean of the lesion minus that of the white matter, and its standard error where voxels vary
        together as those of this white matter do, ppm.
    r2star, white_r2star
        Mean R2* of both, 1/s.
    vein_fraction
        Part of the measured voxels that veins take.
    central_vein
        Whether a vein runs through the middle; None where nobody can say.
    depth_mm
        Depth of the deepest voxel, mm.
    rim : Rim
        Rim figures.
    profile
        Susceptibility by depth.
    flag
        What to beware of, separated by semicolons, or nothing.
    """

    lesion: int
    hemisphere: str
    centre: tuple[float, float, float]
    chi: RegionStatistics
    white: RegionStatistics
    white_side: str
    difference: float
    difference_sem: float
    r2star: float
    white_r2star: float
    vein_fraction: float
    central_vein: bool | None
    depth_mm: float
    rim: Rim
    profile: tuple[ProfileBin, ...]
    flag: str


def measure_lesions(
    labels, maps: LesionMaps, rules: LesionRules, vessels: Rules = VESSELS
) -> list[LesionRow]:
    """
    Return a row per lesion.

    Which voxels count follows the rules of regions: the statistics rest on what is brain, was
    measured and is no vein, all voxels weigh the same, and `coverage` tells how much of the lesion
    was measured. Nothing is eroded: the rim is wanted.

    Parameters
    ----------
    labels : (X, Y, Z) integer array
        Number of the lesion of each voxel, 0 for none.
    maps : LesionMaps
        Maps and masks.
    rules : LesionRules
        White matter and rims.
    vessels : Rules
        Which voxels are veins; its other rules are not used.

    Returns
    -------
    rows : list of LesionRow
        In the order of their numbers. NumPy only.

    Raises
    ------
    RequestError
        If the map does not show susceptibility.
    ValueError
        If grids differ.
    """
    require_susceptibility(maps.quantity)
    labels = np.asarray(labels)
    if {array.shape for array in maps.arrays().values()} != {labels.shape}:
        raise ValueError("lesions and maps must lie on one grid")
    white = WhiteMatter(
        maps.white & maps.brain & maps.measured,
        labels,
        maps.geometry,
        rules,
        hemispheres=maps.hemispheres,
    )
    rows = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            rows.append(_measure(number, box, labels, maps, rules, vessels, white))
    return rows


def _measure(
    number: int,
    box,
    labels,
    maps: LesionMaps,
    rules: LesionRules,
    vessels: Rules,
    white: WhiteMatter,
) -> LesionRow:
    """Return the row of one lesion; `box` holds all of it."""
    box = _wider(box, max(rules.profile_outside, vessels.vessel_width), maps.geometry)
    near, lesion = maps.cut(box), labels[box] == number
    seen = near.brain & near.measured
    depth = depth_of(lesion, maps.geometry, outside=rules.profile_outside)
    sought = (near.chi, near.r2star)
    if near.mean_chi is not None:
        sought = (near.mean_chi, near.mean_r2star)
    veins = find_veins(*sought, depth, seen, maps.geometry, vessels, given=near.veins)
    inside = lesion & seen & ~veins.mask
    beside = white.around(number)
    samples = [
        Sample("lesion", "", (number,), _flat(inside, box, labels.shape), None,
               _counts(lesion, near.brain, seen, veins.n_voxels)),
        Sample("white-matter", "", (number,), beside.voxels, None, _all(beside.voxels.size)),
    ]  # fmt: skip
    volume = maps.geometry.voxel_volume
    chi, around = regional_statistics(maps.chi, samples, voxel_volume=volume)
    r2star = [np.nan, np.nan]
    if maps.r2star is not None:
        rows = regional_statistics(maps.r2star, samples, voxel_volume=volume)
        r2star = [row.mean for row in rows]
    covariance = _covariance(beside.voxels, maps)
    rim = rim_of(
        near.chi,
        depth,
        inside,
        maps.geometry,
        rules,
        quantity=maps.quantity,
        white_mean=around.mean,
        white_std=around.std if np.isfinite(around.std) else 0.0,
        covariance=covariance,
    )
    allowed = inside | (near.white & seen & (labels[box] == 0))
    profile = radial_profile(near.chi, depth, allowed, rules, quantity=maps.quantity)
    outside = "partly outside the brain" if (lesion & ~near.brain).any() else ""
    flags = (chi.flag, beside.flag, rim.flag, outside)
    return LesionRow(
        number,
        _hemisphere(lesion, near.hemispheres),
        _centre(lesion, box),
        chi,
        around,
        beside.side,
        chi.mean - around.mean,
        _error(covariance, inside, beside.voxels, labels.shape),
        r2star[0],
        r2star[1],
        veins.fraction,
        veins.central,
        float(depth[lesion].max()),
        rim,
        profile,
        "; ".join(flag for flag in flags if flag),
    )


def _wider(box: Sequence[slice], reach: float, geometry: Geometry) -> tuple[slice, ...]:
    margin = [3 + int(reach / size) for size in geometry.voxel_size]
    return tuple(
        slice(max(part.start - width, 0), part.stop + width)
        for part, width in zip(box, margin, strict=True)
    )


def _flat(part, box, shape):
    """Return where the voxels of a box are in the flattened volume."""
    corner = [side.start for side in box]
    return np.ravel_multi_index(tuple((np.argwhere(part) + corner).T), shape)


def _covariance(voxels, maps: LesionMaps) -> Covariance | None:
    """Return how white matter varies, worked out in the box that holds it."""
    white, box = _unravelled(voxels, maps.chi.shape)
    return covariance_of(maps.chi[box], white, maps.geometry)


def _error(covariance: Covariance | None, inside, voxels, shape) -> float:
    """Return the standard error of the difference of two means, as if they were far apart."""
    if covariance is None or not inside.any():
        return np.nan
    white, _ = _unravelled(voxels, shape)
    errors = [covariance.error_of(part / np.count_nonzero(part)) for part in (inside, white)]
    return math.hypot(*errors)


def _unravelled(voxels, shape):
    """Return the mask of flat indices in the smallest box that holds them, and the box."""
    if voxels.size == 0:
        return np.zeros((1, 1, 1), dtype=bool), (slice(0, 1),) * 3
    at = np.stack(np.unravel_index(voxels, shape))
    low, high = at.min(axis=1), at.max(axis=1) + 1
    mask = np.zeros(high - low, dtype=bool)
    mask[tuple(at - low[:, None])] = True
    return mask, tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def _counts(lesion, brain, seen, n_vessel: int) -> Counts:
    """Return what became of the voxels of a lesion."""
    return Counts(
        int(np.count_nonzero(lesion)),
        n_outside_mask=int(np.count_nonzero(lesion & ~brain)),
        n_untrusted=int(np.count_nonzero(lesion & brain & ~seen)),
        n_vessel=n_vessel,
        n_interior=int(np.count_nonzero(ndimage.binary_erosion(lesion, border_value=1))),
    )


def _all(size: int) -> Counts:
    """Return the counts of a part that nothing was taken from."""
    return Counts(size, n_interior=size)


def _hemisphere(lesion, hemispheres) -> str:
    if hemispheres is None:
        return ""
    left, right = np.bincount(hemispheres[lesion], minlength=3)[1:3]
    return "" if left == right else "L" if left > right else "R"


def _centre(lesion, box) -> tuple[float, float, float]:
    x, y, z = np.argwhere(lesion).mean(axis=0) + [side.start for side in box]
    return float(x), float(y), float(z)
