"""Joint label fusion: atlases that resemble the image here, and err differently, count more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsmprep.jit import compiled, compiled_sums
from qsmprep.methods.segmentation.fusion import CANDIDATES, Fusion, majority_vote

PATCH_RADIUS = 1
"""Of the cubes that are compared, voxels."""

SEARCH_RADIUS = 1
"""How far each step of the search looks for the atlas's most similar cube, voxels."""

SHARPNESS = 2.0
"""Power of the errors that two atlases share (Wang et al., 2013)."""

RIDGE = 0.3
"""Added to the diagonal of the shared errors, relative to its mean; evens the weights."""


def joint_label_fusion(
    image,
    atlas_images: Sequence[np.ndarray],
    atlas_labels: Sequence[np.ndarray],
    *,
    search_steps: int = 2,
) -> Fusion:
    """
    Fuse the labels of several atlases (Wang et al., 2013, doi:10.1109/TPAMI.2012.143).

    Around every voxel each atlas is searched for the cube most like the image's, cubes scaled to
    zero mean and unit norm. Weights minimise the expected error of the vote, given by how much
    any two atlases differ from the image at the same voxels. Every cube votes for all of its
    voxels. Only where atlases disagree, and beside it, is anything computed.

    Differs from the paper by the search, which walks to the best neighbour a few times instead
    of looking at all places in a large cube, and by the ridge, which is relative to the errors.

    Parameters
    ----------
    image : (X, Y, Z) real array
        Image to label, any unit. NumPy only.
    atlas_images : sequence of (X, Y, Z) real arrays
        Images of the atlases on its grid; any unit, of the same contrast.
    atlas_labels : sequence of (X, Y, Z) integer arrays
        Their labels.
    search_steps
        How often the search goes on from the best neighbour.

    Returns
    -------
    Fusion
    """
    disputed = _disputed(atlas_labels)
    if not disputed.any():
        return majority_vote(image, atlas_images, atlas_labels)
    pad = PATCH_RADIUS + SEARCH_RADIUS * search_steps
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in np.nonzero(disputed))
    target, *images = (
        _around(array, box, pad).astype(np.float32) for array in (image, *atlas_images)
    )
    labels = [_around(array, box, pad).astype(np.int32) for array in atlas_labels]
    points = np.flatnonzero(_around(disputed, box, pad)).astype(np.int32)
    patch, moves = (_cube(radius, target.shape) for radius in (PATCH_RADIUS, SEARCH_RADIUS))
    weights, places = _weigh(
        target.ravel(), _flat(images), points, patch, moves, np.int64(search_steps)
    )
    number = np.full(target.size, -1, np.int32)
    number[points] = np.arange(points.size)
    candidates, shares = _vote(number, points, weights, places, _flat(labels), patch)
    return Fusion.of_votes(atlas_labels[0], np.flatnonzero(disputed), candidates, shares)


def _disputed(segmentations: Sequence[np.ndarray]) -> np.ndarray:
    """Return the voxels at which not all agree, and their neighbours."""
    first, *others = segmentations
    disputed = np.zeros(first.shape, dtype=bool)
    for other in others:
        disputed |= other != first
    wide = disputed.copy()
    for axis in range(3):
        wide[_cut(axis, 1, None)] |= disputed[_cut(axis, None, -1)]
        wide[_cut(axis, None, -1)] |= disputed[_cut(axis, 1, None)]
    return wide


def _cut(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))


def _around(array, box: tuple[slice, ...], pad: int) -> np.ndarray:
    """Return the array in a box and `pad` voxels around it, zero beyond its edge."""
    inner = tuple(
        slice(max(s.start - pad, 0), min(s.stop + pad, n))
        for s, n in zip(box, array.shape, strict=True)
    )
    missing = [
        (inner_s.start - s.start + pad, s.stop + pad - inner_s.stop)
        for inner_s, s in zip(inner, box, strict=True)
    ]
    return np.pad(array[inner], missing)


def _flat(arrays) -> np.ndarray:
    """Return volumes as the rows of one array."""
    return np.stack(arrays).reshape(len(arrays), -1)


def _cube(radius: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return flat offsets to the voxels of a cube, the nearest first."""
    steps = np.indices((2 * radius + 1,) * 3).reshape(3, -1).T - radius
    steps = steps[np.argsort((steps**2).sum(1), kind="stable")]
    return (steps @ [shape[1] * shape[2], shape[2], 1]).astype(np.int32)


@compiled_sums
def _scaled(image, centre, patch, out):
    """Fill `out` with a cube of zero mean and unit norm."""
    mean = np.float32(0)
    for k in range(patch.size):
        out[k] = image[centre + patch[k]]
        mean += out[k]
    mean /= patch.size
    power = np.float32(1e-12)  # or a cube of one value would divide by zero
    for k in range(patch.size):
        out[k] -= mean
        power += out[k] * out[k]
    out /= np.sqrt(power)


@compiled_sums
def _walk(image, start, cube, patch, moves, steps):
    """Return how far from `start` the image looks most like a scaled cube."""
    here, best = 0, 0
    highest = np.float32(-2)
    for _ in range(steps):
        for move in moves:
            total, power, likeness = np.float32(0), np.float32(0), np.float32(0)
            for k in range(patch.size):
                value = image[start + here + move + patch[k]]
                total += value
                power += value * value
                likeness += value * cube[k]
            spread = max(power - total * total / patch.size, np.float32(1e-12))
            likeness /= np.sqrt(spread)
            if likeness > highest:
                highest, best = likeness, here + move
        if best == here:
            break
        here = best
    return best


@compiled_sums
def _weigh(target, images, points, patch, moves, steps):
    """Return the weight of each atlas at each point, and how far away its cube lies."""
    n = images.shape[0]
    weights = np.empty((points.size, n), np.float32)
    places = np.empty((points.size, n), np.int32)
    cube = np.empty(patch.size, np.float32)
    errors = np.empty((n, patch.size), np.float32)
    shared = np.empty((n, n))
    for number in range(points.size):
        point = points[number]
        _scaled(target, point, patch, cube)
        for i in range(n):
            places[number, i] = _walk(images[i], point, cube, patch, moves, steps)
            _scaled(images[i], point + places[number, i], patch, errors[i])
            for k in range(patch.size):
                errors[i, k] = abs(errors[i, k] - cube[k])
        for i in range(n):
            for j in range(i + 1):
                product = np.float32(0)
                for k in range(patch.size):
                    product += errors[i, k] * errors[j, k]
                shared[i, j] = shared[j, i] = product**SHARPNESS
        ridge = RIDGE * np.trace(shared) / n + 1e-12
        for i in range(n):
            shared[i, i] += ridge
        solved = np.linalg.solve(shared, np.ones(n))
        weights[number] = solved / solved.sum()
    return weights, places


@compiled
def _vote(number, points, weights, places, labels, patch):
    """Return the labels with most votes at each point, and their parts of the votes."""
    n = weights.shape[1]
    candidates = np.zeros((points.size, CANDIDATES), np.int32)
    shares = np.zeros((points.size, CANDIDATES), np.float32)
    names = np.empty(patch.size * n, np.int32)
    votes = np.empty(patch.size * n, np.float32)
    for row in range(points.size):
        point = points[row]
        used = 0
        for offset in patch:
            voter = number[point + offset]
            if voter < 0:
                continue
            for i in range(n):
                label = labels[i, point + places[voter, i]]
                k = 0
                while k < used and names[k] != label:
                    k += 1
                if k == used:
                    names[k], votes[k] = label, 0
                    used += 1
                votes[k] += weights[voter, i]
        total = np.float32(0)
        for k in range(used):
            votes[k] = max(votes[k], np.float32(0))  # weights may be negative
            total += votes[k]
        for rank in range(min(used, CANDIDATES)):
            best = 0
            for k in range(used):
                if votes[k] > votes[best]:
                    best = k
            candidates[row, rank] = names[best]
            shares[row, rank] = votes[best] / total
            votes[best] = -1
    return candidates, shares
