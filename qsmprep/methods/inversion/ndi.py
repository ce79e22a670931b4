"""Gradient descent that stops when the field is explained."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.inversion.weights import data_weight
from qsmprep.methods.solvers import Convergence

STEEPEST = 4 / 9
"""Largest square of the dipole kernel, which limits the step."""


def ndi(
    field,
    mask,
    geometry,
    *,
    noise,
    phase_scale: float = 6.42,
    max_iterations: int = 200,
    tolerance: float = 0.6,
):
    r"""
    Susceptibility by nonlinear dipole inversion (Polak et al., 2020, doi:10.1002/nbm.4271).

    .. math:: \min_\chi \tfrac{1}{2 s^2} \|W (e^{i s D * \chi} - e^{i s f})\|_2^2

    by gradient descent; what regularises is its early end. It differs from there in: 1. the
    momentum of Nesterov (1983); 2. the end, which comes when the field is explained down to
    `tolerance` times the part of it that no susceptibility can explain (`inconsistency`), so that
    one setting serves acquisitions of any quality.

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
    phase_scale
        Phase per field, rad/ppm. The default is that of 3 T and 8 ms between echoes, at which
        published weights hold; near 0 the fidelity is linear.
    max_iterations
        Iterations at most.
    tolerance
        Weighted residual of the field at which to stop, relative to its inconsistency.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the mask.
    convergence : Convergence
    """
    xp = array_namespace(field, mask, noise)
    box = Box(mask, MARGIN)
    inside, local = box.cut(mask), box.cut(xp.where(mask, field, 0.0))
    kernel = dipole_kernel(local, geometry)
    weight2 = box.cut(data_weight(noise, mask)) ** 2
    total = float(xp.sum(weight2))
    step = 1 / (STEEPEST * float(xp.max(weight2)))
    level = inconsistency(local, inside, geometry)

    chi = ahead = xp.zeros_like(local)
    iteration, pace, residual = 0, 1.0, float("inf")
    while iteration < max_iterations and residual > tolerance:
        iteration += 1
        misfit = irfftn(kernel * rfftn(ahead), box.shape) - local
        residual = (float(xp.sum(weight2 * misfit**2)) / total) ** 0.5 / level if level else 0.0
        force = weight2 * xp.sin(phase_scale * misfit) / phase_scale
        previous, chi = chi, ahead - step * irfftn(kernel * rfftn(force), box.shape)
        former, pace = pace, (1 + (1 + 4 * pace**2) ** 0.5) / 2
        ahead = chi + ((former - 1) / pace) * (chi - previous)
    chi = xp.where(mask, box.paste(chi), 0.0)
    return chi, Convergence(iteration, residual, residual <= tolerance)
