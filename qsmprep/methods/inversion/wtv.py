"""Least squares with weights that learn, and total variation that spares edges."""

from __future__ import annotations

from array_api_compat import array_namespace, is_numpy_array
import numpy as np

from qsmprep.methods.box import Box
from qsmprep.methods.differences import divergence, gradient, laplacian_spectrum
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.jit import compiled
from qsmprep.methods.solvers import Convergence
from qsmprep.methods.statistics import median_in

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
    weight2 = box.cut(_data_weight(noise, mask)) ** 2
    alpha = regularisation * inconsistency(local, inside, geometry)
    faces = _face_weights(box.cut(magnitude), inside, geometry, edge_fraction, edge_weight)
    kernel = dipole_kernel(local, geometry)

    # Penalty of the splitting z1 = grad chi; that of z2 = D chi is 1. It leaves the field's scale
    # to alpha, so that the result scales with the field.
    mu = PENALTY * regularisation
    normal = kernel**2 + mu * laplacian_spectrum(local, geometry) + 1e-8
    split = _Split(faces * (alpha / mu), geometry)

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
        change = _relative_change(chi, previous, inside)
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


def _relative_change(new, old, inside) -> float:
    xp = array_namespace(new)
    difference = xp.where(inside, new - old, 0.0)
    size = float(xp.sum(xp.where(inside, new, 0.0) ** 2))
    return (float(xp.sum(difference**2)) / size) ** 0.5 if size else 0.0


class _Split:
    """The gradient splitting: keeps its dual s1, and returns div(z1 - s1) after one shrinkage."""

    def __init__(self, thresholds, geometry):
        xp = array_namespace(thresholds)
        self.thresholds, self.geometry = thresholds, geometry
        self.dual = xp.zeros_like(thresholds)

    def __call__(self, chi):
        if is_numpy_array(chi):
            spread = _shrink_loop(chi, self.thresholds, self.dual, self.geometry.voxel_size)
            return _divergence_loop(spread, self.geometry.voxel_size)
        xp = array_namespace(chi)
        raw = gradient(chi, self.geometry) + self.dual
        size = xp.abs(raw) - self.thresholds
        shrunk = xp.where(size > 0, xp.copysign(size, raw), xp.zeros_like(raw))
        self.dual = raw - shrunk
        return divergence(shrunk - self.dual, self.geometry)


@compiled
def _shrink_loop(chi, thresholds, dual, voxel_size):
    """Shrink ``gradient(chi) + dual``, update `dual` in place and return their difference."""
    nx, ny, nz = chi.shape
    hx, hy, hz = 1 / voxel_size[0], 1 / voxel_size[1], 1 / voxel_size[2]
    spread = np.empty_like(dual)
    for i in range(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k in range(nz):
                k1 = k + 1 if k + 1 < nz else 0
                here = chi[i, j, k]
                steps = (
                    (chi[i1, j, k] - here) * hx,
                    (chi[i, j1, k] - here) * hy,
                    (chi[i, j, k1] - here) * hz,
                )
                for a in range(3):
                    raw = steps[a] + dual[a, i, j, k]
                    limit = thresholds[a, i, j, k]
                    kept = min(max(raw, -limit), limit)
                    dual[a, i, j, k] = kept
                    spread[a, i, j, k] = raw - kept - kept
    return spread


@compiled
def _divergence_loop(g, voxel_size):
    """Return the backward differences of `g`, summed over the axes, periodic."""
    _, nx, ny, nz = g.shape
    hx, hy, hz = 1 / voxel_size[0], 1 / voxel_size[1], 1 / voxel_size[2]
    out = np.empty(g.shape[1:], g.dtype)
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                # A negative index is the last voxel, as periodicity wants.
                out[i, j, k] = (
                    (g[0, i, j, k] - g[0, i - 1, j, k]) * hx
                    + (g[1, i, j, k] - g[1, i, j - 1, k]) * hy
                    + (g[2, i, j, k] - g[2, i, j, k - 1]) * hz
                )
    return out
