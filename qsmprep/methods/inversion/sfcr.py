"""Structural features of the magnitude, then of susceptibility itself, fill the cone."""

from __future__ import annotations

from collections.abc import Callable

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.differences import (
    divergence,
    gradient,
    laplacian_spectrum,
    weighted_laplacian,
)
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.medi import lessened, mean_normalised, uneven_part
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.inversion.weights import face_weights
from qsmprep.methods.solvers import Convergence, conjugate_gradient, relative_change

WELL = 0.18
"""Magnitude of the dipole kernel above which the first step trusts the field."""

FROM_SECOND, FROM_FIRST = 0.13, 0.23
"""Magnitudes of the kernel up to which the second, and above which the first step is taken."""

PENALTY = 10.0
"""Of the splitting of the gradient at the start."""


def sfcr(
    field,
    mask,
    geometry,
    *,
    noise,
    first_fidelity: float = 500.0,
    second_fidelity: float = 1000.0,
    first_edges: float = 0.3,
    second_edges: float = 0.35,
    max_iterations: int = 20,
    tolerance: float = 0.01,
):
    r"""
    Susceptibility by SFCR (Bao et al., 2016, doi:10.1109/TMI.2016.2544958).

    A first step inverts the well-conditioned part of k-space under total variation that spares
    the edges of the signal; a second fits the field under one that spares the edges of the first
    result, with less weight on voxels of large residual. The result has each part of k-space from
    the step that knows it better. Numbers are those of the Johns Hopkins toolbox. It differs from
    there in that edges set in over a ramp of gradients, not at a step.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Local field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    noise : (X, Y, Z) real array
        Standard deviation of the field, ppm; only its variation over the mask counts. One over it
        weighs the data and shows the first step its edges.
    first_fidelity
        Weight of the data in the first step, 1/ppm for gradients per mm.
    second_fidelity
        Weight of the data in the second step, 1/ppm for gradients per mm.
    first_edges
        Share of the voxel faces in the mask that count as edges in the first step, relative.
    second_edges
        Share of those in the second step, relative.
    max_iterations
        Iterations of the second step at most; the first has two.
    tolerance
        Relative change of susceptibility at which the second step stops.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the mask.
    convergence : Convergence
        Of the second step.
    """
    return collaborate(
        field,
        mask,
        geometry,
        noise=noise,
        csf=None,
        csf_weight=0.0,
        fidelities=(first_fidelity, second_fidelity),
        edges=(first_edges, second_edges),
        max_iterations=max_iterations,
        tolerance=tolerance,
    )


def collaborate(
    field,
    mask,
    geometry,
    *,
    noise,
    csf,
    csf_weight: float,
    fidelities: tuple[float, float],
    edges: tuple[float, float],
    max_iterations: int,
    tolerance: float,
):
    """Return susceptibility and `Convergence` by both steps; see `sfcr` and `sfcr0`."""
    xp = array_namespace(field, mask, noise)
    box = Box(mask, MARGIN)
    inside, local = box.cut(mask), box.cut(xp.where(mask, field, 0.0))
    kernel = dipole_kernel(local, geometry)
    size = xp.abs(kernel)
    weight = mean_normalised(box.cut(noise), inside)
    uneven = uneven_part(None if csf is None else box.cut(csf), local)

    well = xp.astype(size > WELL, local.dtype)
    known = rfftn(local) * well / xp.where(size > WELL, kernel, xp.ones_like(kernel))
    first, _ = _bregman(
        _Spectral(well, known, fidelities[0]),
        face_weights(weight, inside, geometry, edges[0], 0.0),
        geometry,
        extra=(uneven, csf_weight * fidelities[0]),
        start=irfftn(known, box.shape),
        limits=(2, 0.1, 100, 1e-3),
    )
    second, convergence = _bregman(
        _Weighted(kernel, weight, local, inside, fidelities[1]),
        face_weights(first, inside, geometry, edges[1], 0.0),
        geometry,
        extra=(uneven, csf_weight * fidelities[1]),
        start=first,
        limits=(max_iterations, tolerance, 100, 1e-2),
    )
    share = sum(xp.astype(size > limit, local.dtype) for limit in (FROM_SECOND, FROM_FIRST)) / 2
    merged = irfftn(share * rfftn(first) + (1 - share) * rfftn(second), box.shape)
    return xp.where(mask, box.paste(merged), 0.0), convergence


class _Spectral:
    """Data in k-space: susceptibility where the kernel is large, nothing elsewhere."""

    def __init__(self, well, known, fidelity: float):
        self.well, self.fidelity = well, fidelity
        self.known, self.precision = known, fidelity * well

    def apply(self, x):
        return irfftn(self.precision * rfftn(x), x.shape)

    def right(self, like):
        return irfftn(self.fidelity * self.known, like.shape)

    def update(self, x) -> None:
        """Keep the data as they are."""


class _Weighted:
    """Data in space: the field with weights that learn from their residual."""

    def __init__(self, kernel, weight, local, inside, fidelity: float):
        self.kernel, self.weight, self.local = kernel, weight, local
        self.inside, self.fidelity = inside, fidelity
        xp = array_namespace(weight)
        self.precision = fidelity * float(xp.mean(weight[inside])) * kernel**2

    def _field(self, x):
        return irfftn(self.kernel * rfftn(x), x.shape)

    def apply(self, x):
        return self.fidelity * self._field(self.weight * self._field(x))

    def right(self, like):
        return self.fidelity * self._field(self.weight * self.local) + 0 * like

    def update(self, x) -> None:
        """Take weight from voxels of large residual."""
        self.weight = lessened(self.weight, self._field(x) - self.local, self.inside)


def _bregman(data, faces, geometry, *, extra: tuple[Callable, float], start, limits):
    """Minimise data and weighted total variation by split Bregman (Goldstein and Osher, 2009)."""
    xp = array_namespace(faces)
    uneven, even_weight = extra
    iterations, tolerance, cg_iterations, cg_tolerance = limits
    penalty, former_gap = PENALTY, float("inf")
    x, dual, done = start, xp.zeros_like(faces), Convergence(0, float("inf"), False)
    split = xp.zeros_like(faces)
    laplacian = laplacian_spectrum(start, geometry)
    while done.iterations < iterations and not done.converged:
        costs = penalty * faces**2
        mean_cost = float(xp.mean(costs))
        inverse = 1 / (data.precision + mean_cost * laplacian + 1e-3 * penalty)

        def normal(v, costs=costs):
            result = data.apply(v) + weighted_laplacian(v, costs, geometry)
            return result + even_weight * uneven(v) if even_weight else result

        def precondition(rest, inverse=inverse):
            return irfftn(rfftn(rest) * inverse, rest.shape)

        right = data.right(x) - penalty * divergence(faces * (split - dual), geometry)
        previous = x
        x, _ = conjugate_gradient(
            normal,
            right,
            start=x,
            tolerance=cg_tolerance,
            max_iterations=cg_iterations,
            precondition=precondition,
        )
        slope = faces * gradient(x, geometry)
        raw = slope + dual
        excess = xp.abs(raw) - 1 / penalty
        split = xp.where(excess > 0, xp.copysign(excess, raw), xp.zeros_like(raw))
        dual = raw - split
        data.update(x)
        change = relative_change(x, previous)
        done = Convergence(done.iterations + 1, change, change < tolerance)
        gap = float(xp.sum((slope - split) ** 2))
        if gap > 0.7**2 * former_gap:
            penalty, dual = 2 * penalty, dual / 2
        former_gap = gap
    return x, done
