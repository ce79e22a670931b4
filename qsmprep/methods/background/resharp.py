"""Background removal by spherical mean values, regularised."""

from __future__ import annotations

from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.smv import SphericalMean
from qsmprep.methods.solvers import conjugate_gradient


def resharp(
    field,
    mask,
    geometry,
    *,
    radius: float = 6.0,
    regularisation: float = 1e-4,
    max_iterations: int = 30,
    tolerance: float = 1e-4,
):
    r"""
    Local field by RESHARP (Sun and Wilman, 2014, doi:10.1002/mrm.24765).

    .. math:: \min_x \|M_e (H * x - H * f)\|_2^2 + \lambda \|x\|_2^2

    with `H` the identity minus the mean over a sphere and :math:`M_e` the mask that the sphere
    erodes. It differs from there in the solver, conjugate gradients preconditioned by
    :math:`1 / (|H|^2 + \lambda)`, which need a tenth of the iterations.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size, mm.
    radius
        Radius of the sphere, mm; default of QSM.rs. A larger one is more accurate inside and
        erodes more.
    regularisation
        Relative weight of the local field's size; default of QSM.rs.
    max_iterations
        Iterations at most.
    tolerance
        Relative residual of the normal equations at which to stop.

    Returns
    -------
    local : (X, Y, Z) real array
        Local field, ppm, zero outside `valid`.
    valid : (X, Y, Z) boolean array
        The mask without its rim.
    convergence : Convergence

    Raises
    ------
    ValueError
        If no sphere fits into the mask.
    """
    sphere = SphericalMean(field, mask, geometry, radius)
    high_pass = 1 - sphere.spectrum
    shape = sphere.box.shape

    def normal(x):
        seen = sphere.within * irfftn(high_pass * rfftn(x), shape)
        return irfftn(high_pass * rfftn(seen), shape) + regularisation * x

    seen = sphere.within * irfftn(high_pass * rfftn(sphere.total), shape)
    local, convergence = conjugate_gradient(
        normal,
        irfftn(high_pass * rfftn(seen), shape),
        tolerance=tolerance,
        max_iterations=max_iterations,
        precondition=lambda rest: irfftn(rfftn(rest) / (high_pass**2 + regularisation), shape),
    )
    return *sphere.paste(local), convergence
