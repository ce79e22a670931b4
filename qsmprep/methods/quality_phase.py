"""Figures that say whether an acquisition is what susceptibility mapping needs."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from qsmprep.geometry import Geometry

SMOOTH_MM = 8.0
"""Standard deviation of the Gaussian that tells the smooth part of a field from its detail, mm."""


def smooth_field_ratio(field, mask, geometry: Geometry) -> float:
    """
    Spread of the smooth part of a field over the spread of its detail.

    The field of air and bone around the brain is smooth and much stronger than that of tissue
    (Schweser et al., 2017, doi:10.1002/nbm.3604); a scanner that filters its phase, as is done
    for susceptibility-weighted images, takes the smooth part away, tissue's own included.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, any unit. NumPy only.
    mask : (X, Y, Z) boolean array
        Where it is known.
    geometry : Geometry
        Voxel size.

    Returns
    -------
    ratio
        Dimensionless; of robust spreads, half the distance of the 16th and 84th percentile.
    """
    width = [SMOOTH_MM / h for h in geometry.voxel_size]
    share = gaussian_filter(mask.astype(np.float32), width)
    field = np.where(mask, field - np.median(field[mask]), 0).astype(np.float32)
    smooth = gaussian_filter(field, width)[mask] / share[mask]
    detail = field[mask] - smooth
    spreads = [np.subtract(*np.percentile(part, [84.1, 15.9])) for part in (smooth, detail)]
    return float(spreads[0] / spreads[1]) if spreads[1] > 0 else float("inf")


def cut_percent(mask) -> float:
    """
    Part of the largest section of a mask that lies on a face of the volume, percent.

    The largest over the six faces: 0 if air is on all sides, 100 for a slab out of the brain.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        Brain. NumPy only.
    """
    shares = []
    for axis in range(3):
        areas = mask.sum(axis=tuple(other for other in range(3) if other != axis))
        shares += [areas[end] / max(int(areas.max()), 1) for end in (0, -1)]
    return 100 * float(max(shares))


def clipped_percent(phase, mask) -> float:
    """
    Voxels of a mask whose phase is exactly the lowest or highest of its echo, percent.

    Phase takes every value alike, so that of 4096 or more steps the two at the ends hold 0.05 %;
    clipping collects there all that it cuts. The echo with the most counts.

    Parameters
    ----------
    phase : (E, X, Y, Z) real array
        Of every echo, any unit, wrapped. NumPy only.
    mask : (X, Y, Z) boolean array
        Where there is signal.
    """
    most = 0.0
    for echo in phase:
        values = echo[mask]
        ends = (values == values.min()) | (values == values.max())
        most = max(most, 100 * float(ends.mean()))
    return most
