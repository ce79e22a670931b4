"""Background removal by the field that equals its spherical mean."""

from __future__ import annotations

from qsmprep.methods.smv import SphericalMean
from qsmprep.methods.solvers import conjugate_gradient


def ismv(
    field,
    mask,
    geometry,
    *,
    radius: float = 5.0,
    max_iterations: int = 100,
    tolerance: float = 1e-4,
):
    r"""
    Local field by iSMV (Wen et al., 2014, doi:10.1002/mrm.24998).

    The background is the field that equals its mean over a sphere wherever the sphere lies in the
    mask, and the total field in the rim. The paper repeats :math:`b \leftarrow M_e S b +
    (M - M_e) f`. Its fixed point is sought here by conjugate gradients on the same equations,
    :math:`(1 - M_e S M_e) b = M_e S (M - M_e) f` within :math:`M_e`, in far fewer steps.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size, mm.
    radius
        Radius of the sphere, mm; default of QSM.rs.
    max_iterations
        Iterations at most.
    tolerance
        Relative residual of the equations at which to stop.

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
    within = sphere.within
    rim = (1 - within) * sphere.total
    background, convergence = conjugate_gradient(
        lambda b: b - within * sphere.mean(b),  # b is zero but within
        within * sphere.mean(rim),
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    return *sphere.paste(sphere.total - background), convergence
