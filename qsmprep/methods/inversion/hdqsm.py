"""Two fidelities: absolute differences find the wrong voxels, squares weigh the rest."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.admm import PENALTY, FieldFidelity, minimise_variation
from qsmprep.methods.inversion.damping import wiener_damping
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.inversion.weights import data_weight, face_weights


def hdqsm(
    field,
    mask,
    geometry,
    *,
    noise,
    magnitude,
    regularisation: float = 0.1,
    first_regularisation: float = 0.02,
    first_iterations: int = 20,
    damping: float = 0.1,
    edge_fraction: float = 0.3,
    edge_weight: float = 0.3,
    outside_weight: float = 0.3,
    max_iterations: int = 80,
    tolerance: float = 1e-2,
):
    r"""
    Susceptibility by hybrid data fidelity, HD-QSM (Lambert et al., 2022, doi:10.1002/mrm.29218).

    .. math:: \min_\chi \|W (D * \chi - f)\|_1 + \alpha_1 \mathrm{TV}(\chi), \qquad
              \min_\chi \tfrac12 \|W (1 - d) (D * \chi - f)\|_2^2
              + \alpha_2 \mathrm{TV}(\chi)

    with `d` what the first stage leaves unexplained, :math:`|D * \chi - f|`, relative to its
    maximum; the second starts from the first. It differs from there in: 1. the weights of total
    variation follow the part of the field that no susceptibility explains (`inconsistency`);
    2. gradients that coincide with an edge of the magnitude cost less; 3. outside the mask the
    field counts as zero, weakly, and susceptibility is damped, both of which curb streaks.

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
    regularisation
        Weight of total variation in the second stage, in units of the inconsistency of the
        field, mm.
    first_regularisation
        Weight of total variation in the first stage, mm.
    first_iterations
        Iterations of the first stage at most; 0 leaves it out. The paper's.
    damping
        Weight of the squared susceptibility, relative to that of a Wiener filter.
    edge_fraction
        Share of the voxel faces in the mask that count as edges, relative to all.
    edge_weight
        Cost of a gradient at an edge, relative to elsewhere.
    outside_weight
        Weight of the field outside the mask, which counts as zero, relative to inside.
    max_iterations
        Iterations of the second stage at most. The paper's.
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
    weight = xp.where(inside, box.cut(data_weight(noise, mask)), outside_weight)
    level = inconsistency(local, inside, geometry)
    faces = face_weights(box.cut(magnitude), inside, geometry, edge_fraction, edge_weight)
    ridge = damping * wiener_damping(local, inside, geometry)

    def stage(pull, start, regularisation, iterations):
        return minimise_variation(
            FieldFidelity(kernel, pull, start),
            (regularisation * level) * faces,
            start,
            geometry,
            inside=xp.astype(inside, local.dtype),
            penalty=PENALTY * regularisation,
            damping=ridge,
            max_iterations=iterations,
            tolerance=tolerance,
        )

    def pull_absolutely(field):
        # Of penalty `level`, so that the scale of the field is the threshold's as well.
        limit = level * weight
        return local + (field - local) - xp.clip(field - local, -limit, limit)

    first, _ = stage(pull_absolutely, xp.zeros_like(local), first_regularisation, first_iterations)
    weight2 = (weight * _trust(irfftn(kernel * rfftn(first), box.shape) - local, inside)) ** 2
    chi, convergence = stage(
        lambda field: (weight2 * local + field) / (weight2 + 1),
        first,
        regularisation,
        max_iterations,
    )
    return xp.where(mask, box.paste(chi), 0.0), convergence


def _trust(residual, inside):
    """Return 1 where nothing is left unexplained, falling to 0 at the largest residual."""
    xp = array_namespace(residual)
    left = xp.abs(residual) * xp.astype(inside, residual.dtype)
    largest = xp.max(left)
    return 1 - left / xp.where(largest > 0, largest, xp.ones_like(largest))
