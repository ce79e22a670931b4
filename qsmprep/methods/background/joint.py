"""Background removal by a joint fit of strong sources outside the mask and weak ones within."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
import math

from array_api_compat import array_namespace, device

from qsmprep.geometry import Geometry
from qsmprep.methods.box import Box
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.grids import doubled, halved
from qsmprep.methods.solvers import conjugate_gradient
from qsmprep.methods.statistics import median_in

COARSE_DAMPING = 0.2
"""Of the steps of outer sources there: changes the speed, not the solution."""

CONTRAST = 10.0
"""Strength of a contrast between tissues, relative to any other pattern of tissue."""


def joint(
    field,
    mask,
    geometry,
    *,
    noise,
    tissue: float = 0.05,
    outside: float = 100.0,
    error: float = 0.005,
    padding: float = 24.0,
    max_iterations: int = 100,
    tolerance: float = 2e-2,
):
    r"""
    Local field by a joint fit of tissue and outer sources (after Liu et al., 2011, and Liu et
    al., 2017, doi:10.1002/mrm.26331).

    .. math:: \min_\chi \sum_{r \in M} \frac{(f - D * \chi)^2}{\sigma^2 + \epsilon^2}
              + \sum_r \frac{\chi^2}{p^2}

    Projection onto dipole fields (`pdf`) leaves no place for tissue, so that outer sources
    explain what tissue at the surface makes. Here tissue has one: sources in the mask are likely
    of the size `tissue`, those around it `outside` times as strong, the ratio by which total
    field inversion (Liu et al., 2017) scales its unknowns. The field of the outer sources is
    removed.

    It differs from total field inversion in that: 1. both are penalised by their square, so that
    the result is linear in the field; 2. what strong sources on a grid twice as coarse explain is
    removed first, and a tenth of their strength is allowed on the fine grid: air and bone come in
    large bodies, and the fine grid needs few iterations; 3. in voxels noisier than most, what
    neither sources explain is taken for noise as far as its variance suggests.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field is known.
    geometry : Geometry
        Voxel size, mm, and field direction.
    noise : (X, Y, Z) real array
        Standard deviation of the field, ppm.
    tissue
        Standard deviation expected of susceptibility in the mask, ppm.
    outside
        That of sources around the mask, relative to `tissue`.
    error
        Of the model, ppm: what voxels of the grid cannot express; added to the noise.
    padding
        Width of the space around the mask where sources may lie, mm.
    max_iterations
        Iterations at most, on each of the two grids.
    tolerance
        Residual of the normal equations, relative, at which to stop on the fine grid; on the
        coarse one, whose field is larger, a tenth of it.

    Returns
    -------
    local : (X, Y, Z) real array
        Local field, ppm, zero outside the mask.
    valid : (X, Y, Z) boolean array
        The mask.
    convergence : Convergence
        Of the fine grid.
    """
    return separate(
        field,
        mask,
        geometry,
        noise=noise,
        tissues=(),
        tissue=tissue,
        outside=outside,
        error=error,
        padding=padding,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )


def separate(
    field,
    mask,
    geometry: Geometry,
    *,
    noise,
    tissues: Sequence,
    tissue: float,
    outside: float,
    error: float,
    padding: float,
    max_iterations: int,
    tolerance: float,
):
    """
    Take the field of outer sources away, as `joint` does.

    Parameters
    ----------
    field, mask, geometry, noise, tissue, outside, error, padding, max_iterations, tolerance
        As there.
    tissues : sequence of (X, Y, Z) real array
        Share of each voxel that is of one tissue; what these differ in is likely `CONTRAST` times
        as strong as another pattern. None are as good as those of `joint`.

    Returns
    -------
    local, valid, convergence
        As there.
    """
    xp = array_namespace(field, mask, noise)
    margin = [math.ceil(padding / h) for h in geometry.voxel_size]
    box = Box(mask, (margin[0], margin[1], margin[2]))
    inside = box.cut(mask)
    zero = xp.zeros(box.shape, dtype=field.dtype, device=device(field))
    typical = tissue**2 / (median_in(noise, mask) ** 2 + error**2)
    weight = xp.where(inside, tissue**2 / (box.cut(noise) ** 2 + error**2), zero)
    total = xp.where(inside, box.cut(field), zero)
    total = xp.where(inside, total - xp.sum(weight * total) / xp.sum(weight), zero)

    shares = [xp.where(inside, box.cut(share), zero) for share in tissues]
    coarse = _halved(total, weight, inside, geometry, outside, shares)
    sources, _ = coarse.sources(COARSE_DAMPING, tolerance / 10, max_iterations)
    sources = doubled(xp.where(coarse.inside, xp.zeros_like(sources), sources), box.shape)
    fine = _Grid(total, weight, inside, geometry, outside / 10, shares)
    fine.field = total = total - fine.field_of(xp.where(inside, zero, sources))
    sources, convergence = fine.sources(1.0, tolerance, max_iterations)

    local = total - fine.field_of(xp.where(inside, zero, sources))
    unexplained = local - fine.field_of(xp.where(inside, sources, zero))
    distrust = xp.where(weight < typical, 1 - weight / typical, zero)
    local = xp.where(inside, local - distrust * unexplained, zero)
    return box.paste(local), mask, convergence


class _Grid:
    """
    The problem on one grid, and how to solve it.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Field to explain, ppm.
    weight : (X, Y, Z) real array
        Of its voxels, zero outside the mask: squared strength of tissue over variance.
    inside : (X, Y, Z) boolean array
        The mask.
    geometry : Geometry
        Voxel size, mm, and field direction.
    outside
        Strength of outer sources relative to tissue.
    shares : sequence of (X, Y, Z) real array
        Of each voxel, that are of one tissue.
    """

    def __init__(self, field, weight, inside, geometry: Geometry, outside: float, shares):
        xp = array_namespace(field)
        self.field, self.weight, self.inside = field, weight, inside
        one = xp.ones_like(field)
        self.strength = xp.where(inside, one, outside * one)
        self.kernel = dipole_kernel(field, geometry)
        self.contrasts = _contrasts(shares, inside)

    def likely(self, x):
        """Return numbers, all as likely, times the root of the covariance of susceptibility."""
        xp = array_namespace(x)
        for contrast in self.contrasts:  # they are orthogonal: one after the other will do
            x = x + (CONTRAST - 1) * xp.sum(contrast * x) * contrast
        return self.strength * x

    def field_of(self, sources):
        """Return the field of susceptibility."""
        return irfftn(self.kernel * rfftn(sources), self.field.shape)

    def sources(self, damping: float, tolerance: float, max_iterations: int):
        """Return the likeliest susceptibility; `damping` of outer steps makes them quicker."""
        xp = array_namespace(self.field)
        one = xp.ones_like(self.field)
        step = xp.where(self.inside, one, damping * one)

        def normal(x):
            back = self.field_of(self.weight * self.field_of(self.likely(x)))
            return self.likely(back) + x

        x, convergence = conjugate_gradient(
            normal,
            self.likely(self.field_of(self.weight * self.field)),
            tolerance=tolerance,
            max_iterations=max_iterations,
            precondition=lambda rest: step * rest,
        )
        return self.likely(x), convergence


def _contrasts(shares, inside) -> list:
    """Return what tissues differ in: patterns of mean zero and unit length, all orthogonal."""
    found: list = []
    for share in shares:
        xp = array_namespace(share)
        zero, size = xp.zeros_like(share), xp.sum(xp.astype(inside, share.dtype))
        pattern = xp.where(inside, share - xp.sum(xp.where(inside, share, zero)) / size, zero)
        full = xp.sum(pattern**2)
        for other in found:
            pattern = pattern - xp.sum(other * pattern) * other
        left = xp.sum(pattern**2)
        # A tissue that is nowhere, or the same as another, tells nothing.
        if left > 1e-3 * full:
            found.append(pattern / left**0.5)
    return found


def _halved(field, weight, inside, geometry: Geometry, outside: float, shares) -> _Grid:
    """Return the problem on a grid twice as coarse; a voxel partly in the mask is inside."""
    xp = array_namespace(field)
    coarse = halved(weight)
    mean = halved(weight * field) / xp.where(coarse > 0, coarse, xp.ones_like(coarse))
    size = geometry.voxel_size
    twice = replace(geometry, voxel_size=(2 * size[0], 2 * size[1], 2 * size[2]))
    some = halved(xp.astype(inside, field.dtype)) > 0
    return _Grid(mean, coarse, some, twice, outside, [halved(share) for share in shares])
