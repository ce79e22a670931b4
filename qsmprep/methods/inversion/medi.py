"""Morphology-enabled inversion: gradients where the magnitude has none cost, others are free."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.differences import gradient, laplacian_spectrum, weighted_laplacian
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.inconsistency import relative_inconsistency
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.inversion.weights import face_weights
from qsmprep.methods.solvers import Convergence, conjugate_gradient, relative_change

SMOOTHING = 1e-6
"""Added to squared gradients before their root is taken, (rad/mm)²; Cornell's."""

CLEAN = 0.003
"""Relative inconsistency of a field up to which an adaptive fidelity is the one given."""

LEAST = 1 / 30
"""Of the fidelity given, what an adaptive one falls to at most."""


def medi(
    field,
    mask,
    geometry,
    *,
    noise,
    magnitude,
    fidelity: float = 1000.0,
    adaptive: bool = True,
    edge_fraction: float = 0.3,
    merit: bool = True,
    phase_scale: float = 6.42,
    max_iterations: int = 10,
    tolerance: float = 0.1,
    cg_iterations: int = 100,
    cg_tolerance: float = 0.01,
):
    r"""
    Susceptibility by nonlinear MEDI (Liu et al., 2013, doi:10.1002/mrm.24272).

    .. math:: \min_x \lambda \|W (e^{i D * x} - e^{i b})\|_2^2 + \|M \nabla x\|_1

    by Gauss-Newton steps with reweighted gradients, as in Cornell's toolbox, whose defaults these
    are. It differs from there in that `M` falls over a ramp of gradients, not at a step, and that
    the fidelity follows the field if asked to.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Local field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    noise : (X, Y, Z) real array
        Standard deviation of the field, ppm; only its variation over the mask counts.
    magnitude : (X, Y, Z) real array
        Any unit; gradients cost nothing where its edges are.
    fidelity
        Weight of the data, :math:`\lambda`, relative, at the scale of phase given below.
    adaptive
        Whether the fidelity falls in proportion where more than 0.3 % of the field's power fits no
        susceptibility, to a thirtieth at most, so that one setting serves fields of any
        quality; Cornell's is fixed.
    edge_fraction
        Share of the voxel faces in the mask that count as edges, relative to all. Cornell's
        percentage of 0.9 is of voxels, each of which has three.
    merit
        Whether voxels of large residual lose weight from step to step.
    phase_scale
        Phase per field, rad/ppm; that of 3 T and 8 ms between echoes, at which published weights
        hold.
    max_iterations
        Gauss-Newton steps at most.
    tolerance
        Relative change of susceptibility at which to stop.
    cg_iterations
        Conjugate gradients at most within a step.
    cg_tolerance
        Relative residual at which they stop.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the mask.
    convergence : Convergence
    """
    return solve(
        field,
        mask,
        geometry,
        noise=noise,
        magnitude=magnitude,
        csf=None,
        csf_weight=0.0,
        fidelity=fidelity,
        adaptive=adaptive,
        edge_fraction=edge_fraction,
        merit=merit,
        phase_scale=phase_scale,
        outer=(max_iterations, tolerance),
        inner=(cg_iterations, cg_tolerance),
    )


def solve(
    field,
    mask,
    geometry,
    *,
    noise,
    magnitude,
    csf,
    csf_weight: float,
    fidelity: float,
    adaptive: bool,
    edge_fraction: float,
    merit: bool,
    phase_scale: float,
    outer: tuple[int, float],
    inner: tuple[int, float],
):
    """Return susceptibility and `Convergence`; parameters are those of `medi` and `medi0`."""
    xp = array_namespace(field, mask, noise, magnitude)
    box = Box(mask, MARGIN)
    inside, local = box.cut(mask), box.cut(xp.where(mask, field, 0.0)) * phase_scale
    ones = xp.astype(inside, local.dtype)
    if adaptive:
        share = relative_inconsistency(local, inside, geometry)
        fidelity *= max(LEAST, min(1, CLEAN / share)) if share else 1
    kernel = dipole_kernel(local, geometry)
    faces = face_weights(box.cut(magnitude), inside, geometry, edge_fraction, 0.0)
    weight = mean_normalised(box.cut(noise), inside)
    uneven = uneven_part(None if csf is None else box.cut(csf), local)

    def predicted(x):
        return irfftn(kernel * rfftn(x), box.shape)

    x = irfftn(rfftn(local) * kernel / (kernel**2 + 0.05), box.shape) * ones
    done = Convergence(0, float("inf"), False)
    while done.iterations < outer[0] and not done.converged:
        costs = faces**2 / xp.sqrt((faces * gradient(x, geometry)) ** 2 + SMOOTHING)
        data = 2 * fidelity * weight**2
        misfit = predicted(x) - local
        slope = weighted_laplacian(x, costs, geometry) + predicted(data * xp.sin(misfit))
        step, _ = conjugate_gradient(
            _hessian(predicted, data, costs, geometry, uneven, csf_weight),
            -(slope + csf_weight * uneven(x)),
            tolerance=inner[1],
            max_iterations=inner[0],
            precondition=_preconditioner(kernel, data, costs, inside, geometry),
        )
        x = x + step
        change = relative_change(x, x - step, ones)
        done = Convergence(done.iterations + 1, change, change < outer[1])
        if merit:
            weight = lessened(weight, predicted(x) - local, inside)
    chi = xp.where(mask, box.paste(x) / phase_scale, 0.0)
    return chi, done


def _hessian(predicted, data, costs, geometry, uneven, csf_weight):
    def apply(x):
        curvature = weighted_laplacian(x, costs, geometry) + predicted(data * predicted(x))
        return curvature + csf_weight * uneven(x) if csf_weight else curvature

    return apply


def _preconditioner(kernel, data, costs, inside, geometry):
    """Return the inverse of the normal equations with their weights averaged, in k-space."""
    xp = array_namespace(kernel, data)
    like = data
    cost = float(xp.mean(costs[0, ...][inside]))
    trust = float(xp.mean(data[inside]))
    inverse = 1 / (trust * kernel**2 + cost * laplacian_spectrum(like, geometry) + 1e-3 * trust)
    return lambda rest: irfftn(rfftn(rest) * inverse, like.shape)


def uneven_part(csf, like):
    """Return the function that keeps what departs from the mean over the fluid, zero elsewhere."""
    xp = array_namespace(like)
    if csf is None or not bool(xp.any(csf)):
        return xp.zeros_like
    fluid = xp.astype(csf, like.dtype)
    count = float(xp.sum(fluid))
    return lambda x: fluid * (x - float(xp.sum(fluid * x)) / count)


def mean_normalised(noise, inside):
    """Return one over the noise, 1 on average inside and 0 elsewhere."""
    xp = array_namespace(noise)
    known = inside & (noise > 0)
    weight = xp.where(known, 1 / xp.where(known, noise, xp.ones_like(noise)), 0.0)
    return weight / float(xp.mean(weight[inside]))


def lessened(weight, misfit, inside):
    """Return less weight where the residual lies beyond six standard deviations (MERIT)."""
    xp = array_namespace(weight)
    residual = 2 * weight * xp.abs(xp.sin(misfit / 2))  # |exp(i a) - exp(i b)|
    spread = float(xp.std(residual[inside]))
    if spread == 0:
        return weight
    excess = residual / (6 * spread)
    return weight / xp.where(excess > 1, excess, xp.ones_like(excess)) ** 2
