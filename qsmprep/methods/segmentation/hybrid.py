"""T1w and susceptibility in one image, which shows deep grey matter better than either."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DEEP_NUCLEI = frozenset({
    "accumbens",
    "caudate",
    "dentate",
    "globus-pallidus-external",
    "globus-pallidus-internal",
    "pallidum",
    "pallidum-external",
    "pallidum-internal",
    "putamen",
    "red-nucleus",
    "substantia-nigra",
    "subthalamic-nucleus",
    "thalamus",
})  # fmt: skip
"""Names of the regions that iron shows."""

SCALE = 255.0
"""What the T1w is scaled to, as by those who published weights for susceptibility."""


def hybrid_image(t1w, chi, brain, known, *, weight: float) -> np.ndarray:
    """
    Return T1w less weighted susceptibility: iron, white in one and dark in the other, is dark.

    Parameters
    ----------
    t1w : (X, Y, Z) real array
        T1w image, arbitrary units. NumPy only.
    chi : (X, Y, Z) real array
        Susceptibility against anything, ppm.
    brain : (X, Y, Z) boolean array
        Brain; the image is zero outside.
    known : (X, Y, Z) boolean array
        Where there is susceptibility; elsewhere its median stands in.
    weight
        1/ppm, against a T1w of 0 to 255.

    Returns
    -------
    image : (X, Y, Z) float32 array
    """
    low, high = np.percentile(t1w[brain], (1, 99))
    image = np.clip((t1w - low) / (high - low), 0, 1) * SCALE
    inside = known & brain
    image[inside] -= weight * (chi[inside] - np.median(chi[inside]))
    return np.where(brain, image, 0).astype(np.float32)


def replace_labels(labels, better, replaced: Sequence[int]) -> np.ndarray:
    """
    Return labels, those of some regions taken from a better segmentation.

    Where either has such a region, the better one decides: what it takes from a region gets the
    label that it has there, and no voxel is left without one.

    Parameters
    ----------
    labels, better : (X, Y, Z) integer arrays
        Segmentations with the same indices. NumPy only.
    replaced
        Indices of the regions.
    """
    either = np.isin(labels, replaced) | np.isin(better, replaced)
    return np.where(either, better, labels)
