"""Two steps: the well-conditioned part of k-space, then the rest."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.admm import PENALTY, SpectralFidelity, minimise_variation
from qsmprep.methods.inversion.damping import wiener_damping
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.inversion.weights import data_weight, face_weights
from qsmprep.methods.solvers import conjugate_gradient

FIRST_ITERATIONS = 10
"""Of the first step at most, of which a good field takes few."""


def rts(
    field,
    mask,
    geometry,
    *,
    noise,
    magnitude,
    threshold: float = 0.15,
    damping: float = 0.5,
    regularisation: float = 0.3,
    edge_fraction: float = 0.3,
    edge_weight: float = 0.3,
    outside_weight: float = 0.3,
    max_iterations: int = 60,
    tolerance: float = 1e-2,
):
    r"""
    Susceptibility by the rapid two-step method (Kames et al., 2018).

    .. math:: \chi_1 = \arg\min_\chi \|W (D * \chi - f)\|_2^2 + \lambda \|\chi\|_2^2, \qquad
              \min_\chi \tfrac12 \sum_{|D| > t} |\hat\chi - \hat\chi_1|^2
              + \alpha \sum_i g_i |\partial_i \chi|

    Least squares give the well-conditioned part of k-space, total variation the rest (NeuroImage
    167:276-283). It differs from there in: 1. the first step is regularised by :math:`\lambda`,
    not by ending after four iterations, and weighs the field by its noise; 2. :math:`\lambda` and
    :math:`\alpha` follow the part of the field that no susceptibility explains
    (`wiener_damping`, `inconsistency`), so that one setting serves acquisitions of any quality;
    3. gradients that coincide with an edge of the magnitude cost less.

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
        Any unit; where its edges are, edges of susceptibility are likely.
    threshold
        Magnitude of the dipole kernel above which k-space is well-conditioned, relative: the
        kernel ends at 2/3. The paper's.
    damping
        Weight of the squared susceptibility in the first step, relative to that of a Wiener
        filter.
    regularisation
        Weight of total variation, in units of the inconsistency of the field, mm.
    edge_fraction
        Share of the voxel faces in the mask that count as edges, relative to all.
    edge_weight
        Cost of a gradient at an edge, relative to elsewhere.
    outside_weight
        Weight of the field outside the mask, which counts as zero, relative to inside.
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
    kernel = dipole_kernel(local, geometry)
    weight2 = xp.where(inside, box.cut(data_weight(noise, mask)) ** 2, outside_weight**2)
    ridge = damping * wiener_damping(local, inside, geometry) + 1e-8
    first_k = rfftn(_damped_least_squares(local, weight2, kernel, ridge))

    well = xp.astype(xp.abs(kernel) > threshold, local.dtype)
    alpha = regularisation * inconsistency(local, inside, geometry)
    faces = face_weights(box.cut(magnitude), inside, geometry, edge_fraction, edge_weight)
    chi, convergence = minimise_variation(
        SpectralFidelity(well, well * first_k),
        alpha * faces,
        irfftn(well * first_k, box.shape),
        geometry,
        inside=xp.astype(inside, local.dtype),
        penalty=PENALTY * regularisation,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    return xp.where(mask, box.paste(chi), 0.0), convergence


def _damped_least_squares(local, weight2, kernel, ridge: float):
    """Return the susceptibility that explains the field best, and is itself small."""
    shape = local.shape

    def apply(chi):
        predicted = irfftn(kernel * rfftn(chi), shape)
        return irfftn(kernel * rfftn(weight2 * predicted), shape) + ridge * chi

    chi, _ = conjugate_gradient(
        apply,
        irfftn(kernel * rfftn(weight2 * local), shape),
        precondition=lambda rest: irfftn(rfftn(rest) / (kernel**2 + ridge), shape),
        tolerance=1e-3,
        max_iterations=FIRST_ITERATIONS,
    )
    return chi
