"""One segmentation out of several."""

from collections.abc import Sequence

import numpy as np


def majority_vote(segmentations: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the label most atlases gave each voxel, and the part of them that did.

    Ties go to the lowest label, background included (Heckemann et al., 2006,
    doi:10.1016/j.neuroimage.2006.05.061).

    Parameters
    ----------
    segmentations : sequence of (X, Y, Z) integer arrays
        Labels of each atlas on one grid.

    Returns
    -------
    labels : (X, Y, Z) integer array
        Winners. NumPy only.
    agreement : (X, Y, Z) real array
        Part of the atlases that gave the winner, 1 where all agree.
    """
    stack = np.stack(segmentations)
    labels = stack[0].copy()
    agreement = np.ones(labels.shape, dtype=np.float32)
    # Most voxels are undisputed, so only the others are counted.
    disputed = (stack != labels).any(axis=0)
    votes = stack[:, disputed]
    best = np.zeros(votes.shape[1], dtype=np.int16)
    winner = np.zeros(votes.shape[1], dtype=labels.dtype)
    for label in np.unique(votes):
        count = (votes == label).sum(axis=0, dtype=np.int16)
        ahead = count > best
        best[ahead], winner[ahead] = count[ahead], label
    labels[disputed] = winner
    agreement[disputed] = best / np.float32(len(stack))
    return labels, agreement
