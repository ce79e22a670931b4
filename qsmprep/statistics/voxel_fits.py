"""One linear model at every voxel, and again for any arrangement of its observations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qsmprep.jit import compiled

_CHUNK = 8192
"""Voxels at a time: a product of matrices stays in the processor's cache."""

_LEAST = 1e-7
"""Of the variance, left over by a perfect fit, in single precision."""


@dataclass(frozen=True)
class Pattern:
    """
    Voxels that the same observations lack.

    Parameters
    ----------
    voxels : (k,) integer array
        Their places.
    present : (n,) boolean array
        Observations there are.
    basis : (n, 1 + q) array
        As that of `VoxelFit`, for these observations; zero in the rows of others.
    residuals : (k, n) float32 array
        As those of `VoxelFit`, a row per voxel.
    """

    voxels: np.ndarray
    present: np.ndarray
    basis: np.ndarray
    residuals: np.ndarray


@dataclass(frozen=True)
class VoxelFit:
    """
    A linear model fitted at every voxel.

    Parameters
    ----------
    effect, std_error, t : (V,) float64 array
        Of the term tested; the first two in the unit of the data per unit of the term.
    df, n : (V,) int array
        Degrees of freedom and observations.
    basis : (n, 1 + q) array
        Orthonormal: the term tested without what nuisance explains, then nuisance.
    residuals : (n, V) float32 array
        Data without what nuisance explains, of length 1 at each voxel.
    patterns
        Voxels that some observations lack; their columns of `residuals` are zero.
    by_block : (n,) integer array
        Places of the observations, block after block.
    """

    effect: np.ndarray
    std_error: np.ndarray
    t: np.ndarray
    df: np.ndarray
    n: np.ndarray
    basis: np.ndarray
    residuals: np.ndarray
    patterns: tuple[Pattern, ...]
    by_block: np.ndarray

    def rearranged(self, orders=None, signs=None) -> Iterator[np.ndarray]:
        """
        Yield t at every voxel, (V,) float32, for arrangements of the residuals.

        Parameters
        ----------
        orders : (B, n) integer array, optional
            Places that the rows of the design are taken from, within blocks.
        signs : (B, n) array, optional
            Signs of the residuals.
        """
        given = orders if orders is not None else signs
        count, n = np.shape(given)
        orders = np.tile(np.arange(n), (count, 1)) if orders is None else np.asarray(orders)
        signs = np.ones((count, n)) if signs is None else np.asarray(signs, dtype=float)
        rows = self.basis[orders] * signs[..., None]
        rows = np.ascontiguousarray(rows.transpose(2, 0, 1).reshape(-1, n), dtype=np.float32)
        scores = np.empty((count, self.t.size), dtype=np.float32)
        for start in range(0, self.t.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            parts = (rows @ self.residuals[:, part]).reshape(-1, count, self.t[part].size)
            tested, left = parts[0], 1 - np.square(parts).sum(axis=0)
            scores[:, part] = tested * np.sqrt(
                self.df[part].astype(np.float32) / np.maximum(left, np.float32(_LEAST))
            )
        for pattern in self.patterns:
            _rearrange_pattern(
                orders, signs, self.by_block, pattern.present, pattern.basis, pattern.residuals,
                pattern.voxels, int(self.df[pattern.voxels[0]]), scores,
            )  # fmt: skip
        yield from scores


def estimable(images, tested, nuisance, least: int):
    """
    Return where the observations that are there tell the term tested from nuisance.

    Parameters
    ----------
    images : (n, V) real array
        Data, NaN where missing.
    tested : (n,) array
        Column of the term.
    nuisance : (n, q) array
        The other columns.
    least
        Observations that must be there.

    Returns
    -------
    known : (V,) boolean array
        False also where fewer than two degrees of freedom are left.
    """
    design = np.column_stack([tested, nuisance])
    known = np.zeros(images.shape[1], dtype=bool)
    for present, voxels in _patterns(images):
        rows = design[present]
        if len(rows) >= max(least, rows.shape[1] + 2):
            known[voxels] = np.linalg.matrix_rank(rows) == rows.shape[1]
    return known


def fit_voxels(images, tested, nuisance, blocks=None) -> VoxelFit:
    """
    Fit a linear model at every voxel by least squares.

    Parameters
    ----------
    images : (n, V) float32 array
        Data, NaN where missing. It is overwritten: hundreds of maps fit into memory once.
    tested : (n,) array
        Column of the term tested.
    nuisance : (n, q) array
        The other columns.
    blocks : (n,) integer array, optional
        Within which observations may be exchanged.
    """
    count, voxels = images.shape
    blocks = np.zeros(count, dtype=int) if blocks is None else np.asarray(blocks)
    effect, scale = np.zeros(voxels), np.zeros(voxels)
    n = np.full(voxels, count)
    whole = _basis(tested, nuisance)
    patterns = []
    for present, places in _patterns(images):
        if present.all():
            basis, length = whole
            for start in range(0, places.size, _CHUNK):
                chunk = places[start : start + _CHUNK]
                unit, norm = _residuals(images[:, chunk], basis)
                images[:, chunk] = unit
                effect[chunk], scale[chunk] = basis[:, 0] @ unit, norm / length
            continue
        basis, length = _basis(tested[present], nuisance[present])
        unit, norm = _residuals(images[np.ix_(present, places)], basis)
        effect[places], scale[places] = basis[:, 0] @ unit, norm / length
        n[places] = present.sum()
        patterns.append(_pattern(places, present, basis, unit))
        images[:, places] = 0
    df = n - 1 - np.shape(nuisance)[1]
    left = np.maximum(1 - effect**2, np.finfo(float).eps)
    t = effect * np.sqrt(df / left)
    return VoxelFit(
        effect=effect * scale,
        std_error=np.sqrt(left / df) * scale,
        t=t,
        df=df,
        n=n,
        basis=whole[0],
        residuals=images,
        patterns=tuple(patterns),
        by_block=np.argsort(blocks, kind="stable"),
    )


def _pattern(places, present, basis, unit) -> Pattern:
    """Return a pattern with rows for all observations."""
    rows = np.zeros((present.size, basis.shape[1]))
    rows[present] = basis
    residuals = np.zeros((places.size, present.size), dtype=np.float32)
    residuals[:, present] = unit.T
    return Pattern(places, present, rows, residuals)


def _patterns(images) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield which observations are there and at what voxels, that of all first."""
    present = np.vstack([np.packbits(~np.isnan(row)) for row in images])
    voxels = images.shape[1]
    gaps = np.flatnonzero(
        ~np.unpackbits(np.bitwise_and.reduce(present), count=voxels).astype(bool)
    )
    complete = np.ones(voxels, dtype=bool)
    complete[gaps] = False
    if complete.any():
        yield np.ones(images.shape[0], dtype=bool), np.flatnonzero(complete)
    if gaps.size:
        there = np.packbits(~np.isnan(images[:, gaps]), axis=0).T
        kinds, which = np.unique(there, axis=0, return_inverse=True)
        order = np.argsort(which.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(which.ravel()))[:-1]
        for kind, places in zip(kinds, np.split(order, ends), strict=True):
            yield np.unpackbits(kind, count=images.shape[0]).astype(bool), gaps[places]


def _basis(tested, nuisance) -> tuple[np.ndarray, float]:
    """Return the orthonormal basis, and the length of what nuisance leaves of the term."""
    nuisance, _ = np.linalg.qr(np.asarray(nuisance, dtype=float))
    rest = tested - nuisance @ (nuisance.T @ tested)
    rest -= nuisance @ (nuisance.T @ rest)  # once more, for the digits that the first step lost
    length = float(np.linalg.norm(rest))
    return np.column_stack([rest / length, nuisance]), length


def _residuals(values, basis) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, k) residuals of nuisance of length 1, zero where there are none, and lengths."""
    values, nuisance = values.astype(np.float64), basis[:, 1:]
    whole = np.linalg.norm(values, axis=0)
    values -= nuisance @ (nuisance.T @ values)
    norm = np.linalg.norm(values, axis=0)
    norm[norm <= _LEAST * whole] = 0  # constant but for rounding
    return np.divide(values, norm, out=np.zeros_like(values), where=norm > 0), norm


@compiled
def _rearrange_pattern(orders, signs, by_block, present, basis, residuals, voxels, df, scores):
    """Write t at the voxels of a pattern, the arrangement restricted to what is there."""
    n, columns = basis.shape
    rows = np.zeros((n, columns))
    sums = np.zeros(columns)
    for b in range(orders.shape[0]):
        following = 0
        for place in by_block:
            if present[place]:
                while not present[orders[b, by_block[following]]]:
                    following += 1
                taken = orders[b, by_block[following]]
                following += 1
                for c in range(columns):
                    rows[place, c] = basis[taken, c] * signs[b, place]
        for k in range(voxels.size):
            sums[:] = 0
            for i in range(n):
                for c in range(columns):
                    sums[c] += rows[i, c] * residuals[k, i]
            left = 1.0
            for c in range(columns):
                left -= sums[c] * sums[c]
            scores[b, voxels[k]] = sums[0] * np.sqrt(df / max(left, 1e-7))
