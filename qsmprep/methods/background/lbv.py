"""Background removal by a boundary value problem."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.differences import laplacian_spectrum, weighted_laplacian
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.solvers import conjugate_gradient


def lbv(
    field,
    mask,
    geometry,
    *,
    max_iterations: int = 100,
    tolerance: float = 1e-3,
):
    """
    Local field by the Laplacian boundary value problem (Zhou et al., 2014, doi:10.1002/nbm.3064).

    The background is the harmonic field that equals the total field in the outermost voxels of
    the mask, where the local field is taken as nothing. It differs from the paper in the solver:
    conjugate gradients, preconditioned by the Laplacian's inverse without the mask, instead of
    multigrid.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size, mm.
    max_iterations
        Iterations at most.
    tolerance
        Relative residual of Laplace's equation at which to stop; between the defaults of the MEDI
        toolbox (0.005) and SEPIA (0.0001).

    Returns
    -------
    local : (X, Y, Z) real array
        Local field, ppm, zero outside `valid`.
    valid : (X, Y, Z) boolean array
        The mask, without its outermost voxels.
    convergence : Convergence
    """
    xp = array_namespace(field, mask)
    box = Box(mask, (1, 1, 1))
    inside = inner = box.cut(mask)
    for axis in range(3):
        inner = inner & xp.roll(inside, 1, axis=axis) & xp.roll(inside, -1, axis=axis)
    total = xp.where(inside, box.cut(field), xp.zeros_like(box.cut(field)))
    within = xp.astype(inner, field.dtype)
    faces = xp.stack([xp.ones_like(total)] * 3)
    spectrum = laplacian_spectrum(total, geometry)
    spectrum[0, 0, 0] = spectrum[0, 0, 1]  # the mean does not matter, but must not be divided by 0

    def laplacian(x):
        return within * weighted_laplacian(x, faces, geometry)

    background, convergence = conjugate_gradient(
        laplacian,
        -laplacian((1 - within) * total),
        tolerance=tolerance,
        max_iterations=max_iterations,
        precondition=lambda rest: within * irfftn(rfftn(rest) / spectrum, box.shape),
    )
    return box.paste(within * total - background), box.paste(inner), convergence
