"""Total variation with a fidelity that is a signal's, not its phase's."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.differences import laplacian_spectrum
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.admm import PENALTY, FieldFidelity, minimise_variation
from qsmprep.methods.inversion.damping import wiener_damping
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.inversion.weights import data_weight, face_weights

NEWTON_STEPS = 3
"""Of the proximal operator; the first guess is right to the third order of the phase."""

HARMONIC_PENALTY = 3.0
"""Of the splitting of the harmonic field's Laplacian, mm⁴; the paper's, of penalty 1."""


def fansi(
    field,
    mask,
    geometry,
    *,
    noise,
    magnitude,
    regularisation: float = 0.1,
    damping: float = 0.1,
    phase_scale: float = 6.42,
    harmonic_weight: float = 0.0,
    edge_fraction: float = 0.3,
    edge_weight: float = 0.3,
    outside_weight: float = 0.3,
    max_iterations: int = 150,
    tolerance: float = 1e-2,
):
    r"""
    Susceptibility by nonlinear total variation (Milovic et al., 2018, doi:10.1002/mrm.27073).

    .. math:: \min_{\chi, h} \tfrac{1}{2 s^2} \|W (e^{i s (D * \chi + h)} - e^{i s f})\|_2^2
              + \alpha \sum_i g_i |\partial_i \chi| + \tfrac\beta2 \|M \nabla^2 h\|_2^2

    The harmonic field `h` that background removal has left is estimated along if `harmonic_weight`
    is not zero (Milovic et al., 2019, doi:10.1002/mrm.27483). It differs from there in:
    1. :math:`\alpha` follows the part of the field that no susceptibility explains
    (`inconsistency`); 2. gradients that coincide with an edge of the magnitude cost less;
    3. outside the mask the field counts as zero, weakly, and susceptibility is damped, both of
    which curb streaks; 4. susceptibility and `h` are updated together.

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
        Weight of total variation, in units of the inconsistency of the field, mm.
    damping
        Weight of the squared susceptibility, relative to that of a Wiener filter.
    phase_scale
        Phase per field, rad/ppm. The default is that of 3 T and 8 ms between echoes, at which
        published weights hold; near 0 the fidelity is linear.
    harmonic_weight
        Weight of the Laplacian of the harmonic field, mm⁴, relative to the field's; 0 goes
        without such a field. The paper's is 150.
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
    alpha = regularisation * inconsistency(local, inside, geometry)
    faces = face_weights(box.cut(magnitude), inside, geometry, edge_fraction, edge_weight)
    ones_inside = xp.astype(inside, local.dtype)

    def pull(field):
        return local + _pull_phase(phase_scale * (field - local), weight2) / phase_scale

    start = xp.zeros_like(local)
    fidelity = FieldFidelity(kernel, pull, start)
    if harmonic_weight:
        laplacian = laplacian_spectrum(local, geometry)
        fidelity = HarmonicFidelity(kernel, pull, start, laplacian, harmonic_weight * ones_inside)
    chi, convergence = minimise_variation(
        fidelity,
        alpha * faces,
        start,
        geometry,
        inside=ones_inside,
        penalty=PENALTY * regularisation,
        damping=damping * wiener_damping(local, inside, geometry),
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    return xp.where(mask, box.paste(chi), 0.0), convergence


class HarmonicFidelity(FieldFidelity):
    """
    A fidelity voxel by voxel to the field of susceptibility and a weakly harmonic one.

    The latter is eliminated from the normal equations, so that both are updated at once.

    Parameters
    ----------
    kernel, pull, start
        As in `FieldFidelity`.
    laplacian : (X, Y, Z // 2 + 1) array
        Eigenvalues of the negative Laplacian, 1/mm².
    weight : (X, Y, Z) array
        Of the squared Laplacian of the harmonic field, mm⁴.
    """

    def __init__(self, kernel, pull, start, laplacian, weight):
        xp = array_namespace(start)
        self.laplacian = laplacian
        # What the splitting of penalty p leaves of the Laplacian, which the weight w shrinks.
        self.shrinkage = HARMONIC_PENALTY / (HARMONIC_PENALTY + weight)
        self.curvature_dual = xp.zeros_like(start)
        self.curvature_k = self.target_k = xp.zeros_like(rfftn(start))
        self.share = 1 / (1 + HARMONIC_PENALTY * laplacian**2)
        super().__init__(kernel, pull, start)
        self.normal = kernel**2 * (1 - self.share)

    def update(self, chi_k) -> None:
        """Pull the field of the new `chi` and of the harmonic field that goes with it."""
        field_k = self.kernel * chi_k
        bent_k = HARMONIC_PENALTY * self.laplacian * self.curvature_k
        harmonic_k = self.share * (self.target_k - field_k + bent_k)
        target = self._target(irfftn(field_k + harmonic_k, self.shape))
        bent = irfftn(self.laplacian * harmonic_k, self.shape) + self.curvature_dual
        curvature = self.shrinkage * bent
        self.curvature_dual = bent - curvature
        self.target_k = rfftn(target)
        self.curvature_k = rfftn(curvature - self.curvature_dual)
        bent_k = HARMONIC_PENALTY * self.laplacian * self.curvature_k
        self.right = self.kernel * (self.target_k - self.share * (self.target_k + bent_k))


def _pull_phase(away, weight2):
    """Solve ``u + weight2 sin(u) = away`` for the phase difference `u`, rad."""
    xp = array_namespace(away)
    phase = away / (1 + weight2)
    for _ in range(NEWTON_STEPS):
        # Not below 1, or the step would lead to the maximum of the misfit at half a turn.
        slope = 1 + weight2 * xp.clip(xp.cos(phase), 0.0, 1.0)
        phase = phase - (phase + weight2 * xp.sin(phase) - away) / slope
    return phase
