"""Background removal and inversion at once, with total generalised variation."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.differences import divergence, gradient, laplacian_spectrum
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.methods.inversion.weights import data_weight
from qsmprep.methods.smv import WHOLE, sphere_spectrum
from qsmprep.methods.solvers import Convergence, relative_change

PENALTY = 0.2
"""Of the splittings, per unit of regularisation: changes the speed, not the solution."""

PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""Axes of the components of a symmetric gradient, as they are stored."""


def tgv(
    field,
    mask,
    geometry,
    *,
    noise,
    regularisation: float = 0.1,
    curvature: float = 2.0,
    max_radius: float = 8.0,
    max_iterations: int = 60,
    tolerance: float = 7e-3,
):
    r"""
    Susceptibility from a total field by single-step TGV (Chatnuntawech et al., 2017).

    .. math:: \min_{\chi, v} \tfrac12 \sum_i \|W M_i H_i * (D * \chi - f)\|_2^2
              + \alpha (\|\nabla \chi - v\|_1 + c \|\mathcal{E} v\|_1)

    with :math:`H_i` the identity minus the mean over a sphere and :math:`M_i` the voxels whose
    largest sphere inside the mask it is: the field of outer sources is harmonic and equals its
    means, so that it needs no removal and a local field does as well (NMR in Biomedicine
    30:e3570; the model is that of Langkammer et al., 2015,
    doi:10.1016/j.neuroimage.2015.02.041, with spheres for the Laplacian). It differs from there
    in: 1. :math:`\alpha` follows the part of the field that no susceptibility explains
    (`inconsistency`), so that one setting serves acquisitions of any quality; 2. `W`, by the
    noise of the field; 3. ADMM takes one descent for the gradient `v` instead of solving for it.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total or local field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    noise : (X, Y, Z) real array
        Standard deviation of the field, ppm; only its variation over the mask counts.
    regularisation
        Weight of the variation, in units of the inconsistency of the field, mm.
    curvature
        Cost of a change of slope per cost of a step, mm.
    max_radius
        Radius of the largest sphere, mm; the next are half as large each, down to a voxel.
    max_iterations
        Iterations at most.
    tolerance
        Relative change of susceptibility at which to stop.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the mask. Next to its surface, where no sphere fits,
        it continues smoothly.
    convergence : Convergence

    Raises
    ------
    ValueError
        If no sphere fits into the mask.
    """
    xp = array_namespace(field, mask, noise)
    reach = [math.ceil(max_radius / h) + 8 for h in geometry.voxel_size]
    box = Box(mask, (reach[0], reach[1], reach[2]))
    inside, total = box.cut(mask), box.cut(xp.where(mask, field, 0.0))
    kernel = dipole_kernel(total, geometry)
    weight2 = box.cut(data_weight(noise, mask)) ** 2
    layers = [
        Layer(total, within, weight2, high_pass, high_pass * kernel)
        for high_pass, within in _spheres(total, inside, geometry, max_radius)
    ]
    seen = sum(layer.data for layer in layers)
    alpha = regularisation * inconsistency(seen, inside, geometry)
    penalty = PENALTY * regularisation
    split = GeneralisedSplit(total, alpha, curvature, penalty, geometry)
    normal = sum(layer.response**2 for layer in layers)
    # The constant keeps the rounded mean, which no field shows, from being divided by zero.
    normal = normal + penalty * laplacian_spectrum(total, geometry) + 1e-6
    ones_inside = xp.astype(inside, total.dtype)

    chi, spread = xp.zeros_like(total), xp.zeros_like(total)
    change, iteration = float("inf"), 0
    while iteration < max_iterations and change > tolerance:
        iteration += 1
        previous = chi
        pulled = sum(layer.response * rfftn(layer.target) for layer in layers)
        chi_k = (pulled - penalty * rfftn(spread)) / normal
        for layer in layers:
            layer.update(irfftn(layer.response * chi_k, box.shape))
        chi = irfftn(chi_k, box.shape)
        spread = split(chi)
        change = relative_change(chi, previous, ones_inside)
    chi = xp.where(mask, box.paste(chi), 0.0)
    return chi, Convergence(iteration, change, change <= tolerance)


def _spheres(total, inside, geometry, largest: float):
    """Return high-passes, and 1 in the voxels that take each, from the largest sphere down."""
    xp = array_namespace(total)
    mask_k = rfftn(xp.astype(inside, total.dtype))
    taken = xp.zeros_like(inside)
    spheres, radius = [], largest
    while radius >= max(geometry.voxel_size):
        sphere = sphere_spectrum(total, geometry, radius)
        reached = inside & ~taken & (irfftn(mask_k * sphere, total.shape) > WHOLE)
        if bool(xp.any(reached)):
            spheres.append((1 - sphere, xp.astype(reached, total.dtype)))
        taken, radius = taken | reached, radius / 2
    if not spheres:
        raise ValueError(f"no sphere of {largest} mm or less fits into the mask")
    return spheres


class Layer:
    """
    The fidelity where one sphere fits, on the splitting ``predicted = response * chi``.

    Parameters
    ----------
    total : (X, Y, Z) array
        Total field, ppm.
    within : (X, Y, Z) array
        1 in the voxels of the layer, else 0.
    weight2 : (X, Y, Z) array
        Squared weights of voxels.
    high_pass, response : (X, Y, Z // 2 + 1) arrays
        What the field, and susceptibility, are multiplied by in k-space.
    """

    def __init__(self, total, within, weight2, high_pass, response):
        self.response, self.weight2 = response, within * weight2
        self.data = within * irfftn(high_pass * rfftn(total), total.shape)
        """The field less its spherical mean, ppm, zero outside the layer."""
        self.target = self.weight2 * self.data / (self.weight2 + 1)
        """What the next susceptibility should predict."""
        self.dual = array_namespace(total).zeros_like(total)

    def update(self, field):
        """Pull the prediction of the new susceptibility towards the data."""
        raw = field + self.dual
        predicted = (self.weight2 * self.data + raw) / (self.weight2 + 1)
        self.dual = raw - predicted
        self.target = predicted - self.dual


class GeneralisedSplit:
    """
    Total generalised variation, split for ADMM.

    A call takes the new susceptibility and returns the divergence, (X, Y, Z), of the gradient
    that its next update is pulled towards.

    Parameters
    ----------
    like : (X, Y, Z) array
        Volume whose shape, precision and device count.
    alpha
        Cost of a step, ppm mm.
    curvature
        Cost of a change of slope per cost of a step, mm.
    penalty
        Of the splitting of the gradient, mm².
    geometry : Geometry
        Voxel size.
    """

    def __init__(self, like, alpha: float, curvature: float, penalty: float, geometry):
        xp = array_namespace(like)
        self.geometry = geometry
        size2 = min(geometry.voxel_size) ** 2
        # Relative to `penalty`; of any size, but then the descent below would be slow.
        self.stiffness = size2 / 4
        limit = self.stiffness * 4 * sum(1 / h**2 for h in geometry.voxel_size)
        self.pace = 1 / (1 + limit)
        self.step, self.bend = alpha / penalty, alpha * curvature / (penalty * self.stiffness)
        self.slope = xp.stack([xp.zeros_like(like)] * 3)
        self.step_dual = xp.zeros_like(self.slope)
        self.bent = xp.stack([xp.zeros_like(like)] * 6)
        self.bend_dual = xp.zeros_like(self.bent)

    def __call__(self, chi):
        """Shrink, descend in the slope, and update the duals."""
        xp = array_namespace(chi)
        steps = gradient(chi, self.geometry)
        step = shrink(steps - self.slope + self.step_dual, self.step, (1.0,) * 3)
        bend = shrink(self.bent + self.bend_dual, self.bend, (1.0,) * 3 + (2.0,) * 3)
        misfit = steps - self.slope - step + self.step_dual
        force = symmetric_divergence(self.bent - bend + self.bend_dual, self.geometry)
        self.slope = self.slope + self.pace * (misfit + self.stiffness * force)
        self.bent = symmetric_gradient(self.slope, self.geometry)
        self.step_dual = self.step_dual + steps - self.slope - step
        self.bend_dual = self.bend_dual + self.bent - bend
        return divergence(xp.astype(step - self.step_dual + self.slope, chi.dtype), self.geometry)


def shrink(x, limit: float, counts):
    """Return vectors along the first axis, shorter by `limit`; `counts` repeat components."""
    xp = array_namespace(x)
    size = xp.sqrt(sum(count * x[a, ...] ** 2 for a, count in enumerate(counts)))
    excess = size - limit
    factor = xp.where(excess > 0, excess / xp.where(size > 0, size, xp.ones_like(size)), 0.0)
    return factor[None, ...] * x


def symmetric_gradient(v, geometry):
    """Return the symmetric part of the differences of a (3, X, Y, Z) array, (6, X, Y, Z)."""
    xp = array_namespace(v)
    parts = [gradient(v[a, ...], geometry) for a in range(3)]
    return xp.stack([0.5 * (parts[a][b, ...] + parts[b][a, ...]) for a, b in PAIRS])


def symmetric_divergence(e, geometry):
    """Return the negative adjoint of `symmetric_gradient`, off-diagonals counting twice."""
    xp = array_namespace(e)
    at = {pair: n for n, pair in enumerate(PAIRS)}
    return xp.stack(
        [
            divergence(xp.stack([e[at[min(a, b), max(a, b)], ...] for b in range(3)]), geometry)
            for a in range(3)
        ]
    )
