"""How a map changes from the border of a lesion to its middle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from qsmprep.errors import ProtocolError, RequestError
from qsmprep.geometry import Geometry
from qsmprep.methods.lesions.noise import Covariance

SUSCEPTIBILITY = "susceptibility"
"""The only quantity that tells a rim from a solid lesion."""

DIRECTIONS = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)], dtype=float)
"""The 26 directions from a voxel to those that touch it."""

TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution relative to its median absolute deviation."""


@dataclass(frozen=True)
class RimRules:
    """
    What is rim, what is core, and from when on a rim is called one.

    Parameters
    ----------
    rim
        Greatest depth of the rim, mm.
    core
        Depth that the core begins beyond, mm.
    minimum_voxels
        Least number of voxels of either; with fewer there are no rim figures.
    bin_width
        Width of a bin of the radial profile, mm.
    outside
        How far the profile goes on outside the lesion, mm.
    sigmas
        Standard deviations of the core that the rim of a direction must exceed it by.
    contrast
        Least difference of rim and core, in a direction and of all, ppm.
    completeness
        Least part of the directions with a rim, of a lesion that appears as a shell.
    confidence
        Of the interval of the difference of rim and core.
    """

    rim: float = 1.5
    core: float = 2.5
    minimum_voxels: int = 10
    bin_width: float = 1.0
    outside: float = 4.0
    sigmas: float = 1.0
    contrast: float = 0.005
    completeness: float = 0.5
    confidence: float = 0.95

    def __post_init__(self):
        if not 0 < self.rim <= self.core:
            raise ProtocolError(
                f"[lesions] rim to {self.rim:g} mm and core from {self.core:g} mm: "
                "the core begins where the rim ends, or deeper"
            )
        if self.minimum_voxels < 2:
            raise ProtocolError(
                f"[lesions] minimum_voxels = {self.minimum_voxels}: 2 is the least"
            )
        if self.bin_width <= 0 or self.outside < 0:
            raise ProtocolError("[lesions] bins of the profile need a width above 0 mm")
        if self.sigmas < 0 or self.contrast < 0:
            raise ProtocolError("[lesions] sigmas and contrast: 0 is the least")
        if not 0 <= self.completeness <= 1:
            raise ProtocolError(
                f"[lesions] completeness = {self.completeness:g}: a part is 0 to 1"
            )
        if not 0 < self.confidence < 1:
            raise ProtocolError(f"[lesions] confidence = {self.confidence:g}: between 0 and 1")


@dataclass(frozen=True)
class ProfileBin:
    """
    Voxels of a lesion, or around it, of about one depth. NaN is what cannot be known.

    Parameters
    ----------
    low, high
        Depth, mm, `high` not included; negative outside.
    n_voxels
        How many.
    mean, std
        Of the map, in its unit; `std` has n - 1 degrees of freedom.
    """

    low: float
    high: float
    n_voxels: int
    mean: float
    std: float


@dataclass(frozen=True)
class Rim:
    """
    Rim figures of one lesion: a research aid that needs a human reading. NaN is not known.

    Parameters
    ----------
    n_rim, n_core
        Voxels of either.
    rim, core
        Mean susceptibility of either, ppm.
    difference, ci_low, ci_high
        Rim minus core with its confidence interval, ppm.
    completeness
        Part of the directions with rim voxels whose mean exceeds the core.
    n_directions
        Number of those directions, at most 26.
    shell_score
        1 - core / rim, both against normal-appearing white matter: 0 for a solid lesion, 1 for an
        empty shell. NaN where the rim is not above that white matter by `contrast`.
    appearance
        ``shell``, ``solid``, or nothing.
    flag
        Why figures are missing, or nothing.
    """

    n_rim: int
    n_core: int
    rim: float = np.nan
    core: float = np.nan
    difference: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan
    completeness: float = np.nan
    n_directions: int = 0
    shell_score: float = np.nan
    appearance: str = ""
    flag: str = ""


def require_susceptibility(quantity: str) -> None:
    """
    Raise an error unless the quantity of a map is susceptibility.

    Field and phase show solid lesions with a rim, too (Eskreis-Winkler et al., 2015,
    doi:10.1002/jmri.24745): 70 % of lesions on phase, of which three in four are solid.
    """
    if quantity != SUSCEPTIBILITY:
        raise RequestError(
            f"rim figures are for maps of susceptibility, not of {quantity}: "
            "on phase and field a solid lesion has a rim, too; give a Chimap"
        )


def radial_profile(
    values, depth, allowed, rules: RimRules, *, quantity: str
) -> tuple[ProfileBin, ...]:
    """
    Return mean and spread of a map by depth, from outside to the middle.

    Parameters
    ----------
    values : (X, Y, Z) real array
        Map, any unit.
    depth : (X, Y, Z) real array
        Depth in the lesion, mm, negative outside.
    allowed : (X, Y, Z) boolean array
        Voxels that count: of the lesion those that were measured and are no vein, outside normal-
        appearing white matter.
    rules : RimRules
        Width of the bins and how far out they go.
    quantity
        What the map shows; ``susceptibility`` and ``R2star`` have profiles.

    Returns
    -------
    profile : tuple of ProfileBin
        NumPy only.
    """
    if quantity != "R2star":
        require_susceptibility(quantity)
    first = -int(np.ceil(rules.outside / rules.bin_width))
    inside = depth[allowed]
    deepest = inside.max(initial=0.0)
    last = int(np.floor(deepest / rules.bin_width)) + 1
    bins = []
    for number in range(first, last):
        low, high = number * rules.bin_width, (number + 1) * rules.bin_width
        part = values[allowed & (depth >= low) & (depth < high)].astype(np.float64)
        mean = float(part.mean()) if part.size else np.nan
        std = float(part.std(ddof=1)) if part.size > 1 else np.nan
        bins.append(ProfileBin(low, high, part.size, mean, std))
    return tuple(bins)


def rim_of(
    chi,
    depth,
    inside,
    geometry: Geometry,
    rules: RimRules,
    *,
    quantity: str,
    white_mean: float = np.nan,
    white_std: float = 0.0,
    covariance: Covariance | None = None,
) -> Rim:
    """
    Return how the rim of a lesion differs from its core.

    The interval is that of a normal distribution whose variance is that of the difference of two
    means in tissue that varies as the white matter around the lesion does: neighbouring voxels
    are not independent. A lesion appears as a shell if the interval lies above 0, the difference
    is at least `contrast`, and the rim is complete enough; otherwise as solid.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility, ppm.
    depth : (X, Y, Z) real array
        Depth in the lesion, mm.
    inside : (X, Y, Z) boolean array
        Voxels of the lesion that were measured and are no vein.
    geometry : Geometry
        Voxel size.
    rules : RimRules
        Depths and thresholds.
    quantity
        What the map shows; only ``susceptibility`` is taken.
    white_mean
        Mean of normal-appearing white matter, ppm, for the shell score.
    white_std
        Its standard deviation, ppm: where that of the core is less, it decides on completeness,
        because regularised maps have cores without any noise.
    covariance : Covariance, or None
        How its voxels vary together. Without it there are neither interval nor appearance.

    Returns
    -------
    rim : Rim
        NumPy only.

    Raises
    ------
    RequestError
        If the map shows anything but susceptibility.
    """
    require_susceptibility(quantity)
    rim, core = inside & (depth <= rules.rim), inside & (depth > rules.core)
    n_rim, n_core = int(np.count_nonzero(rim)), int(np.count_nonzero(core))
    if min(n_rim, n_core) < rules.minimum_voxels:
        return Rim(n_rim, n_core, flag="too small for a rim")
    values = [chi[part].astype(np.float64) for part in (rim, core)]
    rim_mean, core_mean = (float(part.mean()) for part in values)
    middle = np.argwhere(inside).mean(axis=0)
    sectors = [_directions(part, middle, geometry) for part in (rim, core)]
    difference = rim_mean - core_mean
    reach = np.nan
    if covariance is not None:
        error = covariance.error_of(rim / n_rim - core / n_core)
        reach = float(stats.norm.ppf(0.5 + rules.confidence / 2) * error)
    spread = TO_DEVIATION * np.median(np.abs(values[1] - np.median(values[1])))
    least = core_mean + max(rules.sigmas * max(spread, white_std), rules.contrast)
    found = np.unique(sectors[0])
    exceeds = [values[0][sectors[0] == sector].mean() > least for sector in found]
    completeness = float(np.mean(exceeds))
    above = rim_mean - white_mean
    shell = (
        difference > reach and difference >= rules.contrast and completeness >= rules.completeness
    )
    return Rim(
        n_rim,
        n_core,
        rim_mean,
        core_mean,
        difference,
        difference - reach,
        difference + reach,
        completeness,
        found.size,
        1 - (core_mean - white_mean) / above if above >= rules.contrast else np.nan,
        "" if covariance is None else "shell" if shell else "solid",
    )


def _directions(part, middle, geometry: Geometry):
    """Return which of the 26 directions each voxel of a part lies in, from the middle."""
    way = (np.argwhere(part) - middle) * np.asarray(geometry.voxel_size)
    unit = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
    return np.argmax(way @ unit.T, axis=1)
