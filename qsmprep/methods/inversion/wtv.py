"""Least squares with weights that learn, and total variation that spares edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

from array_api_compat import array_namespace
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.methods.box import Box
from qsmprep.methods.differences import laplacian_spectrum
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.inconsistency import inconsistency, relative_inconsistency
from qsmprep.methods.inversion.weights import data_weight, distrust, face_weights
from qsmprep.methods.solvers import Convergence, relative_change
from qsmprep.methods.total_variation import GradientSplit

PENALTY = 0.5
"""Of the gradient splitting, per unit of regularisation: changes the speed, not the solution."""

NOISY = 0.1
"""Relative inconsistency of the field from which on susceptibility is damped in full."""


def wtv(
    field,
    mask,
    geometry,
    *,
    noise,
    magnitude,
    regularisation: float = 0.04,
    damping: float = 0.03,
    outside: float = 1.0,
    margin: float = 16.0,
    edge_fraction: float = 0.3,
    edge_weight: float = 0.1,
    robust_every: int = 4,
    robust_limit: float = 10.0,
    restorations: int = 0,
    max_iterations: int = 60,
    tolerance: float = 1e-2,
):
    r"""
    Susceptibility by robust, edge-weighted total variation.

    .. math:: \min_\chi \tfrac12 \|W (D * \chi - f)\|_2^2
              + \alpha \sum_i g_i |\partial_i \chi|

    solved by ADMM with the splitting of Milovic et al. (2018, doi:10.1002/mrm.27073), whose
    linear form this is. It differs from there in: 1. :math:`\alpha` is `regularisation` times
    the part of the field that no susceptibility explains (`inconsistency`), so that one setting
    serves acquisitions and background removals of any quality; 2. `W` falls
    where the residual stays large, the idea of MERIT (Liu et al., 2013,
    doi:10.1002/mrm.24272); 3. gradients that coincide with an edge of the magnitude cost less;
    4. an inconsistent field is damped; 5. sources outside the mask may take part; 6. contrast
    that total variation takes from small things may be restored by Bregman iterations (Osher et
    al., 2005, doi:10.1137/040605412): what a map leaves of the field is added to the field, and
    all is inverted again.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Local field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    noise : (X, Y, Z) real array
        Standard deviation of the field, ppm, larger where echoes disagree; only its
        variation over the mask counts.
    magnitude : (X, Y, Z) real array
        Any unit; where its edges are, edges of susceptibility are likely.
    regularisation
        Weight of total variation, in units of the inconsistency of the field, mm.
    damping
        Weight of the squared susceptibility, relative to the field's, where a tenth of the field's
        power or more fits no susceptibility. Below, it falls with the fourth power of that share:
        total variation alone fills well what a good field leaves open, and a poor one badly.
    outside
        Cost of gradients outside the mask, relative to inside. Small ones let sources there
        explain what background removal has left.
    margin
        Width of the space around the mask for such sources, mm.
    edge_fraction
        Share of the voxel faces in the mask that count as edges, relative to all.
    edge_weight
        Cost of a gradient at an edge, relative to elsewhere.
    robust_every
        Iterations between two updates of the weights; 0 keeps them.
    robust_limit
        Residual from which on a voxel is distrusted, in standard deviations.
    restorations
        Bregman iterations. Total variation takes from a thing in proportion to its surface over
        its volume; each gives most of it back, with some noise.
    max_iterations
        Iterations at most, of each inversion.
    tolerance
        Relative change of susceptibility at which to stop each of them.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the mask.
    convergence : Convergence
    """
    xp = array_namespace(field, mask, noise, magnitude)
    padding = [math.ceil(margin / h) for h in geometry.voxel_size]
    box = Box(mask, (padding[0], padding[1], padding[2]))
    inside, local = box.cut(mask), box.cut(xp.where(mask, field, 0.0))
    weight2 = box.cut(data_weight(noise, mask)) ** 2
    alpha = regularisation * inconsistency(local, inside, geometry)
    faces = face_weights(box.cut(magnitude), inside, geometry, edge_fraction, edge_weight)
    faces = xp.where(inside[None, ...], faces, xp.full_like(faces, outside))
    share = relative_inconsistency(local, inside, geometry)
    ridge = damping * min(share / NOISY, 1.0) ** 4
    kernel = dipole_kernel(local, geometry)
    solver = _Solver(
        geometry,
        kernel,
        ridge,
        faces * alpha,
        weight2,
        inside,
        robust_every,
        robust_limit,
        max_iterations,
        tolerance,
    )
    chi, done = solver(local, PENALTY * regularisation)
    target, iterations = local, done.iterations
    for restored in range(1, restorations + 1):
        # Sources outside are no contrast to restore: theirs counts as left over.
        own = irfftn(kernel * rfftn(xp.where(inside, chi, 0.0)), box.shape)
        target = target + xp.where(inside, local - own, 0.0)
        # Noise is in it once more, each time; a penalty that does not follow is slow.
        chi, done = solver(target, PENALTY * regularisation / (restored + 1))
        iterations += done.iterations
    chi = xp.where(mask, box.paste(chi), 0.0)
    return chi, replace(done, iterations=iterations)


@dataclass(frozen=True, eq=False)
class _Solver:
    """
    ADMM in the box around the brain.

    Parameters
    ----------
    geometry : Geometry
        Voxel size and field direction.
    kernel : (X, Y, Z') real array
        Of the dipole.
    ridge
        Cost of the squared susceptibility.
    costs : (3, X, Y, Z) real array
        Of gradients.
    weight2 : (X, Y, Z) real array
        Squared weight of the field of each voxel.
    inside : (X, Y, Z) boolean array
        The mask.
    robust_every, robust_limit, max_iterations, tolerance
        As of `wtv`.
    """

    geometry: Geometry
    kernel: np.ndarray
    ridge: float
    costs: np.ndarray
    weight2: np.ndarray
    inside: np.ndarray
    robust_every: int
    robust_limit: float
    max_iterations: int
    tolerance: float

    def __call__(self, target, mu: float):
        """
        Return susceptibility, and how the iteration ended.

        `mu` is the penalty of the splitting ``z1 = grad chi``; that of ``z2 = D chi`` is 1. It
        leaves the field's scale to the costs, so that the result scales with the field.
        """
        xp = array_namespace(target)
        kernel, weight2 = self.kernel, self.weight2
        normal = kernel**2 + mu * laplacian_spectrum(target, self.geometry) + (self.ridge + 1e-8)
        # No field shows the mean; divided by next to nothing, it would be rounding made large.
        normal[0, 0, 0] = 1.0
        inverse = 1 / normal
        split = GradientSplit(self.costs / mu, self.geometry)
        inside = xp.astype(self.inside, target.dtype)
        chi, predicted_dual, spread = (xp.zeros_like(target) for _ in range(3))
        field_chi, predicted = chi, weight2 * target / (weight2 + 1)
        change, iteration = float("inf"), 0
        while iteration < self.max_iterations and change > self.tolerance:
            iteration += 1
            previous = chi
            chi_k = (kernel * rfftn(predicted - predicted_dual) - mu * rfftn(spread)) * inverse
            field_chi = irfftn(kernel * chi_k, target.shape)
            chi = irfftn(chi_k, target.shape)
            spread = split(chi)
            every = self.robust_every
            if every and iteration >= 2 * every and iteration % every == 0:
                weight2 = distrust(weight2, field_chi - target, self.inside, self.robust_limit)
            predicted = (weight2 * target + field_chi + predicted_dual) / (weight2 + 1)
            predicted_dual = predicted_dual + field_chi - predicted
            change = relative_change(chi, previous, inside)
        return chi, Convergence(iteration, change, change <= self.tolerance)
