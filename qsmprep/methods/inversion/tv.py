"""Total variation with a fidelity that is diagonal in k-space."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import rfftn
from qsmprep.methods.inversion.admm import PENALTY, SpectralFidelity, minimise_variation
from qsmprep.methods.inversion.damping import wiener_damping
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.inversion.weights import face_weights


def tv(
    field,
    mask,
    geometry,
    *,
    magnitude,
    regularisation: float = 0.1,
    damping: float = 0.1,
    edge_fraction: float = 0.3,
    edge_weight: float = 0.3,
    max_iterations: int = 60,
    tolerance: float = 1e-2,
):
    r"""
    Susceptibility by total variation (Bilgic et al., 2014, doi:10.1002/mrm.25029).

    .. math:: \min_\chi \tfrac12 \|D * \chi - f\|_2^2 + \tfrac\lambda2 \|\chi\|_2^2
              + \alpha \sum_i g_i |\partial_i \chi|

    The field counts as zero outside the mask, which leaves two transforms to an iteration. It
    differs from there in: 1. :math:`\alpha` and :math:`\lambda`, zero there, follow the part of
    the field that no susceptibility explains (`inconsistency`, `wiener_damping`), so that one
    setting serves acquisitions of any quality; 2. a gradient at an edge of the magnitude costs
    less instead of nothing.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Local field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    magnitude : (X, Y, Z) real array
        Any unit; where its edges are, edges of susceptibility are likely.
    regularisation
        Weight of total variation, in units of the inconsistency of the field, mm.
    damping
        Weight of the squared susceptibility, relative to that of a Wiener filter.
    edge_fraction
        Share of the voxel faces in the mask that count as edges, relative to all.
    edge_weight
        Cost of a gradient at an edge, relative to elsewhere.
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
    xp = array_namespace(field, mask, magnitude)
    box = Box(mask, MARGIN)
    inside, local = box.cut(mask), box.cut(xp.where(mask, field, 0.0))
    kernel = dipole_kernel(local, geometry)
    alpha = regularisation * inconsistency(local, inside, geometry)
    faces = face_weights(box.cut(magnitude), inside, geometry, edge_fraction, edge_weight)
    chi, convergence = minimise_variation(
        SpectralFidelity(kernel**2, kernel * rfftn(local)),
        alpha * faces,
        xp.zeros_like(local),
        geometry,
        inside=xp.astype(inside, local.dtype),
        penalty=PENALTY * regularisation,
        damping=damping * wiener_damping(local, inside, geometry),
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    return xp.where(mask, box.paste(chi), 0.0), convergence
