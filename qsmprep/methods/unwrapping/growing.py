"""Unwrapping along a tree of edges, the best first."""

from __future__ import annotations

import math

import numpy as np

from qsmprep.jit import compiled

WAITS, DONE = 1, 2


@compiled
def grow(phase, nodes):
    """
    Unwrap in place, from voxel to voxel along the best edges (Prim's tree).

    Each connected part grows from the voxels that are done already, or if there are none, from
    one of its own; the very first is that with the best edges of all.

    Parameters
    ----------
    phase : (N,) float32 array
        rad, a flat volume.
    nodes : (X, Y, Z, 4) uint8 array
        Ranks of the edges to the next voxel along each axis, 0 where there is none; then the
        state of the voxel, which becomes `DONE` where it is `WAITS`.
    """
    ny, nz = nodes.shape[1:3]
    strides = np.array([ny * nz, nz, 1], np.int32)
    flat = nodes.reshape(phase.size, 4)
    # Edges that wait lie in one chain per rank. A slot is the edge and the next slot; slots are
    # used again, so that of the many that might be needed few touch memory.
    slots = np.empty((3 * phase.size, 2), np.int32)
    top = np.full(256, -1, np.int32)
    free = np.array([-1, 0], np.int32)  # first slot to use again, first never used
    best = 256
    for voxel in range(phase.size):
        if flat[voxel, 3] == DONE:
            best = _push(voxel, flat, strides, slots, top, free, best)
    _spread(phase, flat, strides, slots, top, free, best)
    seed = _best_voxel(flat)
    for number in range(-1, phase.size):
        voxel = seed if number < 0 else number
        if flat[voxel, 3] == WAITS:
            flat[voxel, 3] = DONE
            best = _push(voxel, flat, strides, slots, top, free, 256)
            _spread(phase, flat, strides, slots, top, free, best)


@compiled
def _spread(phase, flat, strides, slots, top, free, best):
    """Follow the edges that wait, and those that come to wait on the way."""
    turn = np.float32(2 * math.pi)
    while best < 256:
        slot = top[best]
        if slot < 0:
            best += 1
            continue
        edge = slots[slot, 0]
        top[best] = slots[slot, 1]
        slots[slot, 1] = free[0]
        free[0] = slot
        start = edge // 3
        end = start + strides[edge - 3 * start]
        known, new = (start, end) if flat[start, 3] == DONE else (end, start)
        if flat[new, 3] == DONE:
            continue
        phase[new] -= turn * np.round((phase[new] - phase[known]) / turn)
        flat[new, 3] = DONE
        best = _push(new, flat, strides, slots, top, free, best)


@compiled
def _push(voxel, flat, strides, slots, top, free, best):
    """Let the edges from `voxel` to voxels not yet reached wait; return the best rank waiting."""
    for side in range(2):
        for axis in range(3):
            start = voxel - side * strides[axis]
            rank = flat[start, axis] if start >= 0 else 0
            if rank == 0 or flat[start + (1 - side) * strides[axis], 3] != WAITS:
                continue
            slot = free[0]
            if slot >= 0:
                free[0] = slots[slot, 1]
            else:
                slot = free[1]
                free[1] += 1
            slots[slot, 0] = 3 * start + axis
            slots[slot, 1] = top[rank]
            top[rank] = slot
            best = min(best, rank)
    return best


@compiled
def _best_voxel(flat):
    """Return the waiting voxel with the best edges to the next voxels."""
    best, least = 0, 3 * 255 + 1
    for voxel in range(flat.shape[0]):
        if flat[voxel, 3] != WAITS:
            continue
        total = 0
        for axis in range(3):
            total += flat[voxel, axis] if flat[voxel, axis] > 0 else 255
        if total < least:
            best, least = voxel, total
    return best
