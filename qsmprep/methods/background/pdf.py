"""Background removal by projection onto the fields of dipoles outside the mask."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.weights import data_weight
from qsmprep.methods.solvers import conjugate_gradient


def pdf(
    field,
    mask,
    geometry,
    *,
    noise,
    padding: float = 40.0,
    max_iterations: int = 30,
    tolerance: float = 1e-3,
):
    r"""
    Local field by projection onto dipole fields (Liu et al., 2011, doi:10.1002/nbm.1670).

    .. math:: \min_\chi \|W (f - D * \chi)\|_2^2, \qquad \chi = 0 \text{ in the mask}

    The local field is what sources outside the mask do not explain; no rim is lost. Few
    iterations of conjugate gradients regularise: more of them explain tissue at the surface, too.

    It differs from the paper in that a constant field, which no dipole has, goes as well.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size, mm, and field direction.
    noise : (X, Y, Z) real array
        Standard deviation of the field, any unit; only its variation over the mask counts.
    padding
        Width of the space around the mask where sources may lie, mm; default of the MEDI
        toolbox, in voxels there.
    max_iterations
        Iterations at most; default of the MEDI toolbox.
    tolerance
        Relative residual of the normal equations at which to stop.

    Returns
    -------
    local : (X, Y, Z) real array
        Local field, ppm, zero outside the mask.
    valid : (X, Y, Z) boolean array
        The mask.
    convergence : Convergence
    """
    xp = array_namespace(field, mask, noise)
    margin = [math.ceil(padding / h) for h in geometry.voxel_size]
    box = Box(mask, (margin[0], margin[1], margin[2]))
    inside = box.cut(mask)
    total = box.cut(xp.where(mask, field, xp.zeros_like(field)))
    weight2 = box.cut(data_weight(noise, mask)) ** 2
    total = xp.where(inside, total - xp.sum(weight2 * total) / xp.sum(weight2), total)
    outside = xp.astype(~inside, total.dtype)
    kernel = dipole_kernel(total, geometry)

    def dipole_field(sources):
        return irfftn(kernel * rfftn(sources), box.shape)

    def normal(sources):
        return outside * dipole_field(weight2 * dipole_field(sources))

    sources, convergence = conjugate_gradient(
        normal,
        outside * dipole_field(weight2 * total),
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    local = xp.where(inside, total - dipole_field(sources), xp.zeros_like(total))
    return box.paste(local), mask, convergence
