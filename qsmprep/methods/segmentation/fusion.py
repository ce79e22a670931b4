"""One segmentation out of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CANDIDATES = 8
"""Labels kept for each disputed voxel: those with most votes."""


@dataclass(frozen=True)
class Fusion:
    """
    What several segmentations say together.

    Parameters
    ----------
    labels : (X, Y, Z) int32 array
        Winners.
    disputed : (V,) integer array
        Flat indices of voxels at which not all may agree; elsewhere the winner has all votes.
    candidates : (V, 8) int32 array
        Labels with votes there, the most first.
    shares : (V, 8) float32 array
        Their parts of the votes, zero where there are fewer candidates.
    """

    labels: np.ndarray
    disputed: np.ndarray
    candidates: np.ndarray
    shares: np.ndarray

    @classmethod
    def of_votes(cls, anyone, disputed, candidates, shares) -> Fusion:
        """Return the winners of the votes, and elsewhere what `anyone` says."""
        labels = np.array(anyone, dtype=np.int32, order="C")  # or ravel would copy
        labels.ravel()[disputed] = candidates[:, 0]
        return cls(labels, disputed, candidates, shares)

    def probability(self, label: int) -> np.ndarray:
        """Return the part of the votes that a label has, (X, Y, Z) float32."""
        share = (self.labels == label).astype(np.float32, order="C")
        votes = np.where(self.candidates == label, self.shares, 0)
        share.ravel()[self.disputed] = votes.sum(axis=1)
        return share

    def confidence(self) -> np.ndarray:
        """Return the part of the votes that the winner has, (X, Y, Z) float32."""
        share = np.ones(self.labels.shape, dtype=np.float32)
        share.ravel()[self.disputed] = self.shares[:, 0]
        return share


def majority_vote(_image, _atlas_images, atlas_labels: Sequence[np.ndarray]) -> Fusion:
    """
    Let every atlas vote (Heckemann et al., 2006, doi:10.1016/j.neuroimage.2006.05.061).

    Ties go to the lowest label, background included.

    Parameters
    ----------
    _image, _atlas_images
        Not looked at.
    atlas_labels : sequence of (X, Y, Z) integer arrays
        Labels of each atlas on one grid. NumPy only.

    Returns
    -------
    Fusion
    """
    first, *others = atlas_labels
    differ = np.zeros(first.shape, dtype=bool)
    for other in others:
        differ |= other != first
    disputed = np.flatnonzero(differ)  # few voxels are, and only they are counted
    votes = np.stack([labels.ravel()[disputed] for labels in atlas_labels])
    names = np.unique(votes)
    ranked = np.zeros((CANDIDATES, disputed.size), dtype=np.int32)
    counts = np.zeros((CANDIDATES, disputed.size), dtype=np.float32)
    for name in names:
        _insert(name, (votes == name).sum(axis=0, dtype=np.float32), ranked, counts)
    return Fusion.of_votes(first, disputed, ranked.T, counts.T / np.float32(len(atlas_labels)))


def _insert(name, count, ranked, counts) -> None:
    """Put a label behind those with as many votes, which are lower."""
    name = np.full(count.shape, name, dtype=np.int32)
    for place in range(CANDIDATES):
        ahead = count > counts[place]
        for mine, theirs in ((name, ranked[place]), (count, counts[place])):
            kept = np.where(ahead, theirs, mine)
            theirs[:] = np.where(ahead, mine, theirs)
            mine[:] = kept
