"""What iterative inversions weigh: voxels by their noise, faces by the edges of the magnitude."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.differences import gradient
from qsmprep.methods.statistics import median_in


def data_weight(noise, mask):
    """
    Return weights of voxels, 1 at the median of the noise, 1.41 at most, 0 outside the mask.

    Half of the variance of a typical voxel is taken to be errors that noise does not know of,
    which are the same everywhere.
    """
    xp = array_namespace(noise, mask)
    typical = median_in(noise, mask)
    variance = xp.where(mask & (noise > 0), noise / typical, xp.zeros_like(noise)) ** 2 + 1
    return xp.where(mask, xp.sqrt(2 / variance), xp.zeros_like(variance))


def distrust(weight2, residual, inside, limit: float = 3.0):
    """Return smaller weights for voxels whose residual lies beyond `limit` deviations."""
    xp = array_namespace(weight2)
    typical = median_in(xp.abs(residual), inside)
    if typical == 0:
        return weight2
    excess = xp.abs(residual) / (limit * 1.4826 * typical)
    excess = xp.where(excess > 1, excess, xp.ones_like(excess))
    return weight2 / excess**2


def face_weights(magnitude, inside, geometry, fraction: float, weight: float):
    """Return the cost of each voxel face, from 1 down to `weight` on the strongest `fraction`."""
    xp = array_namespace(magnitude, inside)
    steepness = xp.abs(gradient(magnitude, geometry))
    values = xp.concat([steepness[a, ...][inside] for a in range(3)])
    ranked = xp.sort(values, stable=False)  # a stable sort takes twenty times as long
    threshold = ranked[min(int((1 - fraction) * ranked.shape[0]), ranked.shape[0] - 1)]
    # A ramp, not a step, or rounding of the magnitude would turn edges on and off.
    ramp = xp.clip(2 * steepness / threshold - 1.5, 0.0, 1.0) if threshold > 0 else steepness
    return xp.where(inside[None, ...], 1 - (1 - weight) * ramp, xp.ones_like(steepness))
