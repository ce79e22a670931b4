"""Where phase can be trusted."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, generate_binary_structure

from qsmprep.methods.morphology import fill_holes, largest_component


def trusted_mask(brain, quality):
    """
    Part of the brain whose phase is coherent, without interior holes.

    Quality has two populations, tissue and noise; Otsu's threshold (1979,
    doi:10.1109/TSMC.1979.4310076) parts them. Incoherent voxels at the surface are left out.
    Those inside stay, as a hole there would spoil their surroundings; their field noise is what
    keeps them from doing harm.

    Parameters
    ----------
    brain : (X, Y, Z) boolean array
        Brain mask. NumPy only.
    quality : (X, Y, Z) real array
        Coherence of the phase of every voxel, 0 to 1.

    Returns
    -------
    trusted : (X, Y, Z) boolean array

    Raises
    ------
    ValueError
        If less than a tenth of the brain can be trusted.
    """
    coherent = quality > _otsu(quality)
    # Single voxels carry over noise: one step out and one back closes gaps of a voxel.
    cross = generate_binary_structure(3, 1)
    closed = binary_erosion(binary_dilation(coherent, cross), cross, border_value=1)
    trusted = fill_holes(largest_component(binary_erosion(closed & brain, cross)))
    trusted = binary_dilation(trusted, cross) & closed & brain
    trusted = fill_holes(trusted) & brain
    if trusted.sum() < 0.1 * brain.sum():
        raise ValueError("phase is incoherent in nine tenths of the brain")
    return trusted


def _otsu(values, bins: int = 256) -> float:
    """Return the threshold that parts `values` into two classes of least variance."""
    counts, edges = np.histogram(values, bins=bins)
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    total = np.cumsum(counts * centres)
    mean_below = total[:-1] / np.maximum(below, 1)
    mean_above = (total[-1] - total[:-1]) / np.maximum(above, 1)
    between = below * above * (mean_above - mean_below) ** 2
    return float(edges[1:-1][np.argmax(between)])
