"""Where phase can be trusted, and the brain that this alone shows."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, generate_binary_structure

from qsmprep.geometry import Geometry
from qsmprep.methods.morphology import dilate, erode, fill_holes, largest_component

CROSS = generate_binary_structure(3, 1)


def phase_quality(magnitude, geometry: Geometry, *, quality, bridges: float = 10.0):  # noqa: ARG001
    """
    Brain as the largest region of coherent phase (Otsu, 1979, doi:10.1109/TSMC.1979.4310076).

    Quality has two populations, tissue and noise, which Otsu's threshold parts. Skull and air
    around the brain have no phase; what still connects it to scalp and eyes is cut, and the brain
    then grows back to its own surface. QSMxT (Stewart et al., 2022, doi:10.1002/mrm.29048) masks
    by phase quality, too, but keeps the tissue around the brain.

    Parameters
    ----------
    magnitude : (X, Y, Z) real array
        Not looked at. NumPy only.
    geometry : Geometry
        Voxel size.
    quality : (X, Y, Z) real array
        Coherence of the phase of every voxel, 0 to 1.
    bridges : float
        Radius of the widest bridge that is cut, mm (ours: muscle at the temples is 8 mm in some).

    Returns
    -------
    mask : (X, Y, Z) boolean array
        The brain, in one piece and without cavities.

    Raises
    ------
    ValueError
        If no region of coherent phase is wider than a bridge.
    """
    coherent = coherent_phase(quality)
    core = largest_component(erode(coherent, bridges, geometry))
    if not core.any():
        raise ValueError(
            f"phase is coherent nowhere over more than {2 * bridges:g} mm: there is no brain"
        )
    # One voxel further than it was shrunk, or corners would be lost.
    back = bridges + max(geometry.voxel_size)
    return fill_holes(largest_component(dilate(core, back, geometry) & coherent))


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
    coherent = coherent_phase(quality) & brain
    trusted = fill_holes(largest_component(binary_erosion(coherent, CROSS)))
    trusted = binary_dilation(trusted, CROSS) & coherent
    trusted = fill_holes(trusted) & brain
    if trusted.sum() < 0.1 * brain.sum():
        raise ValueError("phase is incoherent in nine tenths of the brain")
    return trusted


def reliable_parts(trusted, quality):
    """
    Trusted mask with holes where phase is incoherent, for the first of two passes.

    Parameters
    ----------
    trusted : (X, Y, Z) boolean array
        Mask whose holes were filled. NumPy only.
    quality : (X, Y, Z) real array
        Coherence of the phase of every voxel, 0 to 1.

    Returns
    -------
    reliable : (X, Y, Z) boolean array
        In one piece.

    Raises
    ------
    ValueError
        If nothing is left.
    """
    reliable = largest_component(coherent_phase(quality) & trusted)
    if not reliable.any():
        raise ValueError("phase is coherent nowhere in the brain")
    return reliable


def coherent_phase(quality):
    """
    Return where phase is coherent, gaps of a single voxel closed.

    Parameters
    ----------
    quality : (X, Y, Z) real array
        Coherence of the phase of every voxel, 0 to 1. NumPy only.

    Returns
    -------
    coherent : (X, Y, Z) boolean array
    """
    coherent = quality > _otsu(quality)
    # Single voxels carry over noise: one step out and one back closes gaps of a voxel.
    return binary_erosion(binary_dilation(coherent, CROSS), CROSS, border_value=1)


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
