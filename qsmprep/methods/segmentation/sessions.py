"""One segmentation of a head out of those of its sessions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

WHOLE = 1 << 20
"""What the shares of one image amount to; sums of integers do not depend on their order."""

SLAB = 4
"""Planes that are looked at together."""


def fuse_sessions(
    labels: Sequence[np.ndarray], matrices: Sequence[np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """
    Return the labels that most of several segmentations give each voxel.

    It differs from a vote of whole voxels (Heckemann et al., 2006,
    doi:10.1016/j.neuroimage.2006.05.061) in one thing. Two sessions would be undecided wherever
    they differ, and the lowest label would grow. Each image therefore gives every label the share
    that linear interpolation of that label alone would have there, and the largest sum wins:
    borders that are less than two voxels apart meet half-way.

    Ties go to the lowest label, background included. Where an image ends it has no vote. The
    order of the images does not count.

    Parameters
    ----------
    labels : sequence of (X, Y, Z) integer arrays
        Labels of each session, on any grid. NumPy only.
    matrices : sequence of (4, 4) arrays
        For each, from indices of the result to its own.
    shape
        Of the result.

    Returns
    -------
    fused : (X, Y, Z) int32 array
        Labels of all of them together; 0 where none of them has a voxel.
    """
    fused = np.zeros(shape, dtype=np.int32)
    for first in range(0, shape[0], SLAB):
        slab = fused[first : first + SLAB]
        places = np.indices(slab.shape).reshape(3, -1)
        places[0] += first
        pairs = zip(labels, matrices, strict=True)
        around = [pair for image, matrix in pairs for pair in _around(image, matrix, places)]
        names, shares = (np.stack(part) for part in zip(*around, strict=True))
        slab.ravel()[:] = _winners(names, shares)
    return fused


def _around(
    image: np.ndarray, matrix: np.ndarray, places: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield label and share of each of the eight voxels around some places."""
    index = matrix[:3, :3] @ places + matrix[:3, 3:]
    # Rounding of transforms must not make a neighbour of what lies on a voxel.
    index = np.round(index, 6)
    low = np.floor(index).astype(np.int64)
    part = index - low
    top = np.array(image.shape)[:, None] - 1
    for corner in product((0, 1), repeat=3):
        side = np.array(corner)[:, None]
        voxel = low + side
        inside = ((voxel >= 0) & (voxel <= top)).all(axis=0)
        share = np.where(side, part, 1 - part).prod(axis=0)
        name = image[tuple(np.clip(voxel, 0, top))]
        yield name.astype(np.int32), np.where(inside, np.rint(WHOLE * share), 0).astype(np.int64)


def _winners(names: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return, of (C, V) labels and shares, the label with the largest sum, the lowest of such."""
    winners = np.where((shares > 0).any(axis=0), names[0], 0)
    differ = (names != names[0]).any(axis=0)
    names, shares = names[:, differ], shares[:, differ]
    best = np.zeros(names.shape[1], dtype=np.int64)
    winner = np.zeros_like(best)
    for name in names:
        total = np.where(names == name, shares, 0).sum(axis=0)
        ahead = (total > best) | ((total == best) & (total > 0) & (name < winner))
        best, winner = np.where(ahead, total, best), np.where(ahead, name, winner)
    winners[differ] = winner
    return winners
