"""The receive phase that all echoes share."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from qsmprep.methods.echoes.zero import phase_at_zero


def mcpc3ds(phase, magnitude, mask, te, geometry, *, sigma: float = 2.0):
    """
    Receive-phase offset by MCPC-3D-S (Eckstein et al., 2018, doi:10.1002/mrm.26963).

    The phase difference of the first two echoes, unwrapped and scaled back to an echo time of
    zero, leaves the offset. It differs from there in the smoothing, which counts only voxels of
    the mask, by their magnitude: wide plain Gaussians bias the offset at the mask's edge.

    Parameters
    ----------
    phase : (E, X, Y, Z) float32 array
        Wrapped phase of every echo, rad. NumPy only.
    magnitude : (E, X, Y, Z) float32 array
        Any unit.
    mask : (X, Y, Z) boolean array
        Where there is signal.
    te : sequence of E floats
        Echo times, s.
    geometry : Geometry
        Voxel size, mm.
    sigma
        Standard deviation of the Gaussian, mm (our own default, chosen on one simulated head).

    Returns
    -------
    offset : (X, Y, Z) float32 array
        rad, wrapped; zero far from the mask.

    Raises
    ------
    ValueError
        If there are fewer than two echoes.
    """
    offset = phase_at_zero(phase, magnitude, mask, te)
    weight = np.where(mask, magnitude[0], 0)
    width = [sigma / h for h in geometry.voxel_size]
    real = gaussian_filter(weight * np.cos(offset), width)
    imag = gaussian_filter(weight * np.sin(offset), width)
    return np.arctan2(imag, real).astype(np.float32)
