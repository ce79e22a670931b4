"""Clusters of voxels: threshold-free enhancement, and labels above a threshold."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from qsmprep.jit import compiled

CONNECTIVITIES = {6: 1, 18: 2, 26: 3}
"""Voxels that touch by faces, also by edges, also by corners: SciPy's rank of each."""

EXTENT, HEIGHT = 0.5, 2.0
"""Powers of extent and height that Smith and Nichols recommend for volumes."""


def neighbours(mask, connectivity: int = 6):
    """
    Return the neighbours of every voxel of a mask.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        Where there are scores.
    connectivity
        6, 18 or 26.

    Returns
    -------
    neighbours : (V, connectivity) int32 array
        Places among the V voxels of the mask, in the order of `mask.nonzero()`; -1 where the
        neighbour is outside.
    """
    padded = np.pad(np.asarray(mask, dtype=bool), 1)
    place = np.full(padded.shape, -1, dtype=np.int32)
    place[padded] = np.arange(np.count_nonzero(padded), dtype=np.int32)
    offsets = np.argwhere(ndimage.generate_binary_structure(3, CONNECTIVITIES[connectivity])) - 1
    strides = np.array(place.strides) // place.itemsize
    steps = [int(step) for step in offsets @ strides if step]
    inside, flat = np.flatnonzero(padded), place.ravel()
    found = np.empty((inside.size, connectivity), dtype=np.int32)
    for column, step in enumerate(steps):
        found[:, column] = flat[inside + step]
    return found


def tfce(
    scores,
    neighbours,
    *,
    extent: float = EXTENT,
    height: float = HEIGHT,
    two_sided: bool = True,
):
    r"""
    Return the threshold-free cluster enhancement of scores, exactly.

    .. math:: \mathrm{TFCE}(v) = \int_0^{s(v)} e_v(h)^E \, h^H \, \mathrm{d}h

    where e_v(h) is the number of voxels in the cluster of v above h. Between two successive
    scores of a cluster its extent is constant, so that the integral is a finite sum: voxels are
    added from the highest down, clusters joined as they meet (union and find), and the terms
    added up from the lowest. This takes O(n log n) and knows no step.

    Parameters
    ----------
    scores : (V,) real array
        Of any statistic that is zero where nothing is found.
    neighbours : (V, K) integer array
        As the function of that name returns.
    extent, height
        E and H.
    two_sided
        Whether clusters of negative scores are enhanced, too, with a negative sign; else they
        are zero.

    Returns
    -------
    enhanced : (V,) float64 array
        In the unit of the scores to the power of H + 1, extent in voxels.

    Notes
    -----
    This differs from nilearn's and FSL's in:

    1. The integral is exact; theirs are sums over about 100 heights.
    2. nilearn 0.14 leaves out the height of a step, and takes a hundredth of the largest score of
       each permutation for it; its values are those here times 100 / max|score|, nearly. FSL
       keeps one step for all permutations, which has no effect on p-values.

    References
    ----------
    Smith and Nichols (2009), NeuroImage 44:83, doi:10.1016/j.neuroimage.2008.03.061
    """
    scores = np.ascontiguousarray(scores if two_sided else np.maximum(scores, 0))
    order = np.argsort(np.abs(scores))[::-1]
    enhanced = np.empty(scores.size)
    _enhance(scores, order, neighbours, float(extent), float(height), enhanced)
    return np.copysign(enhanced, scores)


@compiled
def _root(joined, voxel):
    """Return the voxel that stands for a cluster, and shorten the way to it."""
    while joined[voxel] != voxel:
        joined[voxel] = joined[joined[voxel]]
        voxel = joined[voxel]
    return voxel


@compiled
def _enhance(scores, order, neighbours, extent, height, enhanced):
    """Write the integral of every voxel, given from the largest absolute score down."""
    n = scores.size
    lower = np.full(n, -1, dtype=np.int32)  # the voxel at which the cluster of one grows
    joined = np.full(n, -1, dtype=np.int32)  # ways to the lowest voxel of a cluster so far
    count = np.ones(n, dtype=np.int32)
    squares = extent == 0.5 and height == 2.0
    for voxel in order:
        joined[voxel] = voxel
        positive = scores[voxel] > 0
        for other in neighbours[voxel]:
            if other >= 0 and joined[other] >= 0 and (scores[other] > 0) == positive:
                root = _root(joined, other)
                if root != voxel:
                    lower[root] = voxel
                    joined[root] = voxel
                    count[voxel] += count[root]
    for step in range(n - 1, -1, -1):
        voxel = order[step]
        below = lower[voxel]
        top = float(abs(scores[voxel]))
        base = float(abs(scores[below])) if below >= 0 else 0.0
        if squares:
            part = np.sqrt(float(count[voxel])) * (top * top * top - base * base * base) / 3
        else:
            power = height + 1
            part = float(count[voxel]) ** extent * (top**power - base**power) / power
        enhanced[voxel] = part + (enhanced[below] if below >= 0 else 0.0)


def clusters(scores, threshold: float, neighbours, *, two_sided: bool = True):
    """
    Label the clusters of scores above a threshold, those of each sign apart.

    Parameters
    ----------
    scores : (V,) real array
        A statistic.
    threshold
        What scores must exceed.
    neighbours : (V, K) integer array
        As the function of that name returns.
    two_sided
        Whether scores below minus the threshold form clusters, too.

    Returns
    -------
    labels : (V,) int32 array
        Number of the cluster of each voxel from 1, zero for none.
    sizes : (C,) int64 array
        Voxels of each cluster.
    masses : (C,) float64 array
        Sum of what its scores exceed the threshold by.
    """
    scores = np.ascontiguousarray(scores)
    labels = np.zeros(scores.size, dtype=np.int32)
    above = np.abs(scores) > threshold if two_sided else scores > threshold
    count = _label(scores, np.flatnonzero(above), above, neighbours, labels)
    inside = labels[above]
    sizes = np.bincount(inside, minlength=count + 1)[1:]
    excess = np.abs(scores[above]).astype(np.float64) - threshold
    return labels, sizes, np.bincount(inside, weights=excess, minlength=count + 1)[1:]


@compiled
def _label(scores, voxels, above, neighbours, labels):
    """Flood each cluster from its first voxel, and return how many there are."""
    waiting = np.empty(voxels.size, dtype=np.int64)
    count = 0
    for first in voxels:
        if labels[first]:
            continue
        count += 1
        labels[first] = count
        waiting[0] = first
        end = 1
        while end:
            end -= 1
            voxel = waiting[end]
            for other in neighbours[voxel]:
                if other < 0 or labels[other] or not above[other]:
                    continue
                if (scores[other] > 0) == (scores[voxel] > 0):
                    labels[other] = count
                    waiting[end] = other
                    end += 1
    return count
