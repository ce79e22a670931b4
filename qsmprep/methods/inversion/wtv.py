"""Least squares with weights that learn, and total variation that spares edges."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.differences import gradient, laplacian_spectrum
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.solvers import Convergence, relative_change
from qsmprep.methods.statistics import median_in
from qsmprep.methods.total_variation import GradientSplit

PENALTY = 0.5
"""Of the gradient splitting, per unit of regularisation: changes the speed, not the solution."""


def wtv(
    field,
    mask,
    geometry,
    *,
    noise,
    magnitude,
    regularisation: float = 0.2,
    edge_fraction: float = 0.3,
    edge_weight: float = 0.1,
    robust_every: int = 4,
    max_iterations: int = 60,
    tolerance: float = 1e-2,
):
    r"""
    Susceptibility by robust, edge-weighted total variation.

    .. math:: \min_\chi \tfrac12 \|W (D * \chi - f)\|_2^2
              + \alpha \sum_i g_i |\partial_i \chi|

    solved by ADMM with the splitting of Milovic et al. (2018, doi:10.1002/mrm.27073), whose
    linear form this is. It differs from there in: 1. :math:`\alpha` is `regularisation` times
    the part of the field that no susceptibility explains (`inconsistency`), so that one setting
    serves acquisitions and background removals of any quality; 2. `W` falls
    where the residual stays large, the idea of MERIT (Liu et al., 2013,
    doi:10.1002/mrm.24272); 3. gradients that coincide with an edge of the magnitude cost less.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Local field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    noise : (X, Y, Z) real array
        Standard deviation of the field, any unit, larger where echoes disagree; only its
        variation over the mask counts.
    magnitude : (X, Y, Z) real array
        Any unit; where its edges are, edges of susceptibility are likely.
    regularisation
        Weight of total variation, in units of the inconsistency of the field, mm.
    edge_fraction
        Share of the voxel faces in the mask that count as edges.
    edge_weight
        Cost of a gradient at an edge, relative to elsewhere.
    robust_every
        Iterations between two updates of the weights; 0 keeps them.
    max_iterations
        Iterations at most.
    tolerance
        Relative change of susceptibility at which to stop.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the mask.
    convergence : Convergence
    """
    xp = array_namespace(field, mask, noise, magnitude)
    box = Box(mask, MARGIN)
    inside, local = box.cut(mask), box.cut(xp.where(mask, field, 0.0))
    ones_inside = xp.astype(inside, local.dtype)
    weight2 = box.cut(_data_weight(noise, mask)) ** 2
    alpha = regularisation * inconsistency(local, inside, geometry)
    faces = _face_weights(box.cut(magnitude), inside, geometry, edge_fraction, edge_weight)
    kernel = dipole_kernel(local, geometry)

    # Penalty of the splitting z1 = grad chi; that of z2 = D chi is 1. It leaves the field's scale
    # to alpha, so that the result scales with the field.
    mu = PENALTY * regularisation
    normal = kernel**2 + mu * laplacian_spectrum(local, geometry) + 1e-8
    split = GradientSplit(faces * (alpha / mu), geometry)

    chi = xp.zeros_like(local)
    predicted_dual = xp.zeros_like(local)
    predicted = weight2 * local / (weight2 + 1)
    spread = xp.zeros_like(local)
    change = float("inf")
    iteration = 0
    while iteration < max_iterations and change > tolerance:
        iteration += 1
        previous = chi
        chi_k = (kernel * rfftn(predicted - predicted_dual) - mu * rfftn(spread)) / normal
        field_chi = irfftn(kernel * chi_k, box.shape)
        chi = irfftn(chi_k, box.shape)
        spread = split(chi)
        if robust_every and iteration >= 2 * robust_every and iteration % robust_every == 0:
            weight2 = _distrust(weight2, field_chi - local, inside)
        predicted = (weight2 * local + field_chi + predicted_dual) / (weight2 + 1)
        predicted_dual = predicted_dual + field_chi - predicted
        change = relative_change(chi, previous, ones_inside)
    chi = xp.where(mask, box.paste(chi), 0.0)
    return chi, Convergence(iteration, change, change <= tolerance)


def _data_weight(noise, mask):
    """Return one over the noise, 1 at its median and 1.5 at most, 0 outside the mask."""
    xp = array_namespace(noise, mask)
    typical = median_in(noise, mask)
    positive = xp.where(mask & (noise > 0), noise, xp.asarray(xp.inf, dtype=noise.dtype))
    weight = typical / positive
    return xp.where(weight > 1.5, xp.asarray(1.5, dtype=noise.dtype), weight)


def _distrust(weight2, residual, inside):
    """Return smaller weights for voxels whose residual lies beyond three standard deviations."""
    xp = array_namespace(weight2)
    typical = median_in(xp.abs(residual), inside)
    if typical == 0:
        return weight2
    excess = xp.abs(residual) / (3 * 1.4826 * typical)
    excess = xp.where(excess > 1, excess, xp.ones_like(excess))
    return weight2 / excess**2


def _face_weights(magnitude, inside, geometry, fraction: float, weight: float):
    """Return the cost of each voxel face, from 1 down to `weight` on the strongest `fraction`."""
    xp = array_namespace(magnitude, inside)
    steepness = xp.abs(gradient(magnitude, geometry))
    ranked = xp.sort(xp.concat([steepness[a, ...][inside] for a in range(3)]))
    threshold = ranked[min(int((1 - fraction) * ranked.shape[0]), ranked.shape[0] - 1)]
    # A ramp, not a step, or rounding of the magnitude would turn edges on and off.
    ramp = xp.clip(2 * steepness / threshold - 1.5, 0.0, 1.0) if threshold > 0 else steepness
    return xp.where(inside[None, ...], 1 - (1 - weight) * ramp, xp.ones_like(steepness))
