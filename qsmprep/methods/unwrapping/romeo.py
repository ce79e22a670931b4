"""Unwrapping along the paths one can trust most."""

from __future__ import annotations

import numpy as np

from qsmprep.methods.jit import compiled

TURN = np.float32(2 * np.pi)


def romeo(phase, magnitude, mask, te):
    """
    Unwrapped phase by ROMEO (Dymerska et al., 2021, doi:10.1002/mrm.28563).

    The first echo is unwrapped in space, along a tree of edges whose weights combine phase
    coherence, coherence of the phase gradient over echo time, linearity of the phase and
    coherence of the magnitude. Later echoes follow in time. This differs from there: each of
    them is predicted by the field of all echoes before it, weighted as the field map will be,
    not by the last echo alone; and every part of the mask gets a seed of its own.

    Parameters
    ----------
    phase : (E, X, Y, Z) float32 array
        Wrapped phase without receive offset, rad. NumPy only.
    magnitude : (E, X, Y, Z) float32 array
        Any unit.
    mask : (X, Y, Z) boolean array
        What to unwrap.
    te : sequence of E floats
        Echo times, s.

    Returns
    -------
    unwrapped : (E, X, Y, Z) float32 array
        rad, zero outside the mask.
    """
    second, te_ratio = _second(phase, te)
    first = unwrap_single(phase[0], magnitude[0], mask, second, te_ratio)
    unwrapped = np.zeros_like(phase)
    unwrapped[0] = first
    numerator = magnitude[0] ** 2 * np.float32(te[0]) * first
    denominator = magnitude[0] ** 2 * np.float32(te[0] ** 2)
    for echo in range(1, len(te)):
        rate = numerator / np.maximum(denominator, np.finfo(np.float32).tiny)
        expected = rate * np.float32(te[echo])
        unwrapped[echo] = np.where(
            mask, phase[echo] - TURN * np.round((phase[echo] - expected) / TURN), 0
        )
        numerator += magnitude[echo] ** 2 * np.float32(te[echo]) * unwrapped[echo]
        denominator += magnitude[echo] ** 2 * np.float32(te[echo] ** 2)
    return unwrapped


def unwrap_single(phase, magnitude, mask, second=None, te_ratio: float = 1.0):
    """
    Unwrap one volume in space.

    Parameters
    ----------
    phase : (X, Y, Z) float32 array
        Wrapped, rad.
    magnitude : (X, Y, Z) float32 array
        Any unit.
    mask : (X, Y, Z) boolean array
        What to unwrap.
    second : (X, Y, Z) float32 array, optional
        Wrapped phase of another echo, rad.
    te_ratio
        Echo time of `phase` over that of `second`.

    Returns
    -------
    unwrapped : (X, Y, Z) float32 array
        rad, zero outside the mask; the median lies within half a turn of zero.
    """
    phase = np.ascontiguousarray(phase, dtype=np.float32)
    weights = _edge_weights(phase, magnitude, second, te_ratio, mask)
    unwrapped = _grow(phase, _quantise(weights), np.ascontiguousarray(mask))
    if mask.any():
        unwrapped -= TURN * np.round(np.median(unwrapped[mask]) / TURN)
    return np.where(mask, unwrapped, np.float32(0))


def voxel_quality(phase, magnitude, te):
    """
    Mean weight of the six edges of every voxel: near 1 in tissue, near 0.3 in noise.

    Parameters
    ----------
    phase : (E, X, Y, Z) float32 array
        Wrapped, rad. NumPy only.
    magnitude : (E, X, Y, Z) float32 array
        Any unit.
    te : sequence of E floats
        Echo times, s.

    Returns
    -------
    quality : (X, Y, Z) float32 array
        Between 0 and 1.
    """
    everywhere = np.ones(phase.shape[1:], dtype=bool)
    second, te_ratio = _second(phase, te)
    weights = _edge_weights(phase[0], magnitude[0], second, te_ratio, everywhere)
    total = weights.sum(axis=0)
    for axis in range(3):
        total += np.roll(weights[axis], 1, axis=axis)
    return total / np.float32(6)


def _second(phase, te):
    """Return the second echo and the ratio of echo times, for the gradient coherence."""
    return (phase[1], te[0] / te[1]) if len(te) > 1 else (None, 1.0)


def _edge_weights(phase, magnitude, second, te_ratio, mask):
    """Return the (3, X, Y, Z) weights of the edges to the next voxel, 0 where one end is out."""
    other = phase if second is None else second
    return _edge_weights_loop(
        np.ascontiguousarray(phase, dtype=np.float32),
        np.ascontiguousarray(other, dtype=np.float32),
        second is not None,
        np.float32(te_ratio),
        np.ascontiguousarray(magnitude, dtype=np.float32),
        np.ascontiguousarray(mask),
    )


def _quantise(weights):
    """Return ranks from 1 (best) to 255, and 0 for edges that do not exist."""
    ranks = np.maximum(np.round((1 - weights) * 255), 1).astype(np.uint8)
    ranks[weights <= 0] = 0
    return ranks


@compiled
def _wrapped(x):
    return x - np.float32(2 * np.pi) * np.round(x / np.float32(2 * np.pi))


@compiled
def _edge_weights_loop(phase, other, has_other, te_ratio, magnitude, mask):
    shape = phase.shape
    weights = np.zeros((3, *shape), np.float32)
    pi = np.float32(np.pi)
    low, rest = np.float32(0.1), np.float32(0.9)
    one, zero = np.float32(1), np.float32(0)
    for axis in range(3):
        di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
        for i in range(shape[0] - di):
            for j in range(shape[1] - dj):
                for k in range(shape[2] - dk):
                    ni, nj, nk = i + di, j + dj, k + dk
                    if not (mask[i, j, k] and mask[ni, nj, nk]):
                        continue
                    here, there = phase[i, j, k], phase[ni, nj, nk]
                    step = _wrapped(here - there)
                    weight = low + rest * (one - abs(step) / pi)
                    if has_other:
                        change = _wrapped(other[i, j, k] - other[ni, nj, nk])
                        coherence = max(zero, one - abs(step - change * te_ratio))
                        weight *= low + rest * coherence
                    linear = np.float32(0.9)
                    pi_, pj, pk = i - di, j - dj, k - dk
                    fi, fj, fk = ni + di, nj + dj, nk + dk
                    if min(pi_, pj, pk) >= 0 and fi < shape[0] and fj < shape[1] and fk < shape[2]:
                        before = _wrapped(phase[pi_, pj, pk] - 2 * here + there)
                        after = _wrapped(here - 2 * there + phase[fi, fj, fk])
                        linear = max(zero, one - abs(before / 2)) * max(zero, one - abs(after / 2))
                    weight *= low + rest * linear
                    weak = min(magnitude[i, j, k], magnitude[ni, nj, nk])
                    strong = max(magnitude[i, j, k], magnitude[ni, nj, nk])
                    ratio = weak / strong if strong > 0 else zero
                    weights[axis, i, j, k] = weight * (low + rest * ratio * ratio)
    return weights


@compiled
def _grow(phase, ranks, mask):
    """Grow a tree from the best voxel of every connected part, best edges first."""
    nx, ny, nz = phase.shape
    size = nx * ny * nz
    strides = np.array([ny * nz, nz, 1])
    flat, inside = phase.ravel(), mask.ravel()
    edges = ranks.reshape(3, size)
    out = flat.copy()
    done = np.zeros(size, np.bool_)
    # One stack of edges per rank, chained through `below`; an edge is pushed at most twice.
    top = np.full(256, -1, np.int64)
    below = np.full(6 * size, -1, np.int64)
    order = _seeds(edges, inside)
    for seed in order:
        if done[seed]:
            continue
        done[seed] = True
        best = _push_edges(seed, edges, strides, done, top, below, 256)
        while best < 256:
            item = top[best]
            if item < 0:
                best += 1
                continue
            top[best] = below[item]
            edge = item // 2
            start, axis = edge // 3, edge % 3
            end = start + strides[axis]
            known, new = (start, end) if item % 2 == 0 else (end, start)
            if done[new]:
                continue
            turn = np.float32(2 * np.pi)
            out[new] = flat[new] - turn * np.round((flat[new] - out[known]) / turn)
            done[new] = True
            best = _push_edges(new, edges, strides, done, top, below, best)
    return out.reshape(phase.shape)


@compiled
def _push_edges(voxel, edges, strides, done, top, below, best):
    """Stack the edges from `voxel` to voxels not yet reached; return the best rank waiting."""
    for axis in range(3):
        forward = edges[axis, voxel]
        if forward > 0 and not done[voxel + strides[axis]]:
            item = 2 * (3 * voxel + axis)
            below[item] = top[forward]
            top[forward] = item
            best = min(best, int(forward))
        start = voxel - strides[axis]
        backward = edges[axis, start] if start >= 0 else 0
        if backward > 0 and not done[start]:
            item = 2 * (3 * start + axis) + 1
            below[item] = top[backward]
            top[backward] = item
            best = min(best, int(backward))
    return best


@compiled
def _seeds(edges, inside):
    """Return the voxels of the mask, those with the best three edges first."""
    voxels = np.nonzero(inside)[0]
    cost = np.empty(voxels.size, np.int64)
    for n in range(voxels.size):
        total = 0
        for axis in range(3):
            rank = edges[axis, voxels[n]]
            total += rank if rank > 0 else 255
        cost[n] = total
    return voxels[np.argsort(cost, kind="mergesort")]
