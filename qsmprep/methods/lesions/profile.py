"""How a map changes from the border of a lesion to its middle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from qsmprep.errors import RequestError
from qsmprep.geometry import Geometry
from qsmprep.methods.lesions.noise import Covariance
from qsmprep.methods.lesions.rules import LesionRules

SUSCEPTIBILITY = "susceptibility"
"""The only quantity that tells a rim from a solid lesion."""

DIRECTIONS = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)], dtype=float)
"""The 26 directions from a voxel to those that touch it."""

TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution relative to its median absolute deviation."""


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
        empty shell. NaN where the rim is not above that white matter by `rim_contrast`.
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
    values, depth, allowed, rules: LesionRules, *, quantity: str
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
    rules : LesionRules
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
    first = -int(np.ceil(rules.profile_outside / rules.profile_width))
    inside = depth[allowed]
    deepest = inside.max(initial=0.0)
    last = int(np.floor(deepest / rules.profile_width)) + 1
    bins = []
    for number in range(first, last):
        low, high = number * rules.profile_width, (number + 1) * rules.profile_width
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
    rules: LesionRules,
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
    is at least `rim_contrast`, and the rim is complete enough; otherwise as solid.

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
    rules : LesionRules
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
    if min(n_rim, n_core) < rules.rim_voxels:
        return Rim(n_rim, n_core, flag="too small for a rim")
    values = [chi[part].astype(np.float64) for part in (rim, core)]
    rim_mean, core_mean = (float(part.mean()) for part in values)
    middle = np.argwhere(inside).mean(axis=0)
    sectors = [_directions(part, middle, geometry) for part in (rim, core)]
    difference = rim_mean - core_mean
    reach = np.nan
    if covariance is not None:
        error = covariance.error_of(rim / n_rim - core / n_core)
        reach = float(stats.norm.ppf(0.5 + rules.rim_confidence / 2) * error)
    spread = TO_DEVIATION * np.median(np.abs(values[1] - np.median(values[1])))
    least = core_mean + max(rules.rim_sigmas * max(spread, white_std), rules.rim_contrast)
    found = np.unique(sectors[0])
    exceeds = [values[0][sectors[0] == sector].mean() > least for sector in found]
    completeness = float(np.mean(exceeds))
    above = rim_mean - white_mean
    shell = (
        difference > reach
        and difference >= rules.rim_contrast
        and completeness >= rules.rim_completeness
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
        1 - (core_mean - white_mean) / above if above >= rules.rim_contrast else np.nan,
        "" if covariance is None else "shell" if shell else "solid",
    )


def _directions(part, middle, geometry: Geometry):
    """Return which of the 26 directions each voxel of a part lies in, from the middle."""
    way = (np.argwhere(part) - middle) * np.asarray(geometry.voxel_size)
    unit = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
    return np.argmax(way @ unit.T, axis=1)
