"""How far the edges between neighbouring voxels can be trusted."""

from __future__ import annotations

import math

import numpy as np

from qsmprep.jit import compiled

WEIGHTS = {
    "romeo": (True, True, True, True, False, False),
    "romeo2": (True, False, False, True, False, False),
    "romeo3": (True, True, False, True, False, False),
    "romeo6": (True, True, True, True, True, True),
}
"""Terms of a weight: coherence of phase, coherence of its gradient over echo time, linearity of
phase, coherence of magnitude, neither end dark, neither end brighter than tissue."""


def used_terms(weights: str) -> tuple[bool, ...]:
    """
    Return the terms of a set of weights.

    Raises
    ------
    ValueError
        If there is no such set.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights {weights!r} do not exist; choose {' or '.join(WEIGHTS)}")
    return WEIGHTS[weights]


def edge_ranks(phase, magnitude, mask, second, te_ratio: float, terms):
    """
    Rank the edges from every voxel to the next on each axis.

    Parameters
    ----------
    phase : (X, Y, Z) float32 array
        Wrapped, rad.
    magnitude : (X, Y, Z) float32 array
        Any unit.
    mask : (X, Y, Z) boolean array
        Edges have both ends in it.
    second : (X, Y, Z) float32 array or None
        Phase of another echo, rad.
    te_ratio
        Echo time of `phase` over that of `second`.
    terms
        Which terms make a weight, as in `WEIGHTS`.

    Returns
    -------
    ranks : (X, Y, Z, 4) uint8 array
        From 1 (best) to 255 along each axis, 0 for edges that do not exist; then 1 in the mask.
    """
    phase = np.ascontiguousarray(phase, dtype=np.float32)
    magnitude = np.ascontiguousarray(magnitude, dtype=np.float32)
    other = phase if second is None else np.ascontiguousarray(second, dtype=np.float32)
    coherent, gradient, *rest = terms
    half = np.float32(0)
    if any(terms[4:]) and mask.any():
        half = np.float32(np.percentile(magnitude[mask], 95) / 2)
    return _rank_loop(
        phase,
        other,
        magnitude,
        np.ascontiguousarray(mask),
        np.float32(te_ratio),
        half,
        (coherent, gradient and second is not None, *rest),
    )


@compiled
def mean_weights(ranks):
    """
    Mean weight of the edges of every voxel.

    Parameters
    ----------
    ranks : (X, Y, Z, 4) uint8 array
        As `edge_ranks` returns them.

    Returns
    -------
    mean : (X, Y, Z) float32 array
        Between 0 and 1; 0 where there is no edge.
    """
    nx, ny, nz = ranks.shape[:3]
    mean = np.zeros((nx, ny, nz), np.float32)
    count = np.zeros((nx, ny, nz), np.uint8)
    for axis in range(3):
        di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
        for i in range(nx - di):
            for j in range(ny - dj):
                for k in range(nz - dk):
                    rank = ranks[i, j, k, axis]
                    if rank > 0:
                        weight = np.float32(1) - np.float32(rank) / np.float32(255)
                        mean[i, j, k] += weight
                        mean[i + di, j + dj, k + dk] += weight
                        count[i, j, k] += 1
                        count[i + di, j + dj, k + dk] += 1
    return mean / np.maximum(count, 1).astype(np.float32)


@compiled
def _wrapped(x):
    turn = np.float32(2 * math.pi)
    return x - turn * np.round(x / turn)


# Functions of numbers alone, and conditions that do not change in the inner loop, let the compiler
# work on many edges at once: eight times faster than a function that looks up its numbers.
@compiled
def _rank_loop(phase, other, magnitude, mask, te_ratio, half, terms):
    nx, ny, nz = phase.shape
    ranks = np.zeros((nx, ny, nz, 4), np.uint8)
    straight_at_border = np.float32(0.9)  # as in ROMEO
    for axis in range(3):
        di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
        for i in range(nx - di):
            for j in range(ny - dj):
                for k in range(nz - dk):
                    u, v, w = i + di, j + dj, k + dk
                    if not (mask[i, j, k] and mask[u, v, w]):
                        continue
                    here, there = phase[i, j, k], phase[u, v, w]
                    step = _wrapped(here - there)
                    change = te_ratio * _wrapped(other[i, j, k] - other[u, v, w])
                    straight = straight_at_border
                    i0, j0, k0 = i - di, j - dj, k - dk
                    i3, j3, k3 = u + di, v + dj, w + dk
                    if min(i0, j0, k0) >= 0 and i3 < nx and j3 < ny and k3 < nz:
                        before = _wrapped(phase[i0, j0, k0] - 2 * here + there)
                        after = _wrapped(here - 2 * there + phase[i3, j3, k3])
                        straight = _straightness(before) * _straightness(after)
                    small = min(magnitude[i, j, k], magnitude[u, v, w])
                    large = max(magnitude[i, j, k], magnitude[u, v, w])
                    weight = _weight(terms, step, change, straight, small, large, half)
                    rank = int((np.float32(1) - weight) * np.float32(255) + np.float32(0.5))
                    ranks[i, j, k, axis] = max(rank, 1)
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                ranks[i, j, k, 3] = mask[i, j, k]
    return ranks


@compiled
def _straightness(bend):
    return max(np.float32(0), np.float32(1) - abs(bend) / np.float32(2))


@compiled
def _weight(terms, step, change, straight, small, large, half):
    """Return the weight of an edge, between 0.1 for each term and 1."""
    coherent, gradient, linear, similar, not_dark, not_bright = terms
    low, rest = np.float32(0.1), np.float32(0.9)
    weight, one, zero = np.float32(1), np.float32(1), np.float32(0)
    if coherent:
        weight *= low + rest * (one - abs(step) / np.float32(math.pi))
    if gradient:
        weight *= low + rest * max(zero, one - abs(step - change))
    if linear:
        weight *= low + rest * straight
    if similar:
        ratio = small / large if large > zero else zero
        weight *= low + rest * ratio * ratio
    if not_dark:
        bound = min(one, small / half) if half > zero else zero
        weight *= low + rest * (one + bound) / np.float32(2)
    if not_bright:
        bound = min(one, half / large) if large > zero else one
        weight *= low + rest * (one + bound) / np.float32(2)
    return weight
