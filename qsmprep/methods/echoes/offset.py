"""The receive phase that all echoes share."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from qsmprep.methods.echoes.polynomial import fit_polynomial
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.echoes.zero import phase_at_zero, weight_at_zero


def mcpc3ds(phase, magnitude, mask, te, geometry, *, sigma: float = 4.0, order: int = 4):
    """
    Receive-phase offset by MCPC-3D-S (Eckstein et al., 2018, doi:10.1002/mrm.26963).

    The phase difference of the first two echoes, unwrapped and scaled back to an echo time of
    zero, leaves the offset. It differs from there in that a polynomial of position is fitted to
    it first, and what that leaves is smoothed within the mask, both by the inverse of variance:
    plain Gaussians bias an offset with a slope at the mask's edge, narrow ones pass its noise on
    to the field, and voxels that dephase before the second echo tell nothing of it.

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
        Standard deviation of the Gaussian, mm (our own default).
    order
        Highest sum of the powers of x, y and z in the polynomial (our own default).

    Returns
    -------
    offset : (X, Y, Z) float32 array
        rad, wrapped; zero far from the mask.

    Raises
    ------
    ValueError
        If there are fewer than two echoes, or the order is negative.
    """
    zero = phase_at_zero(phase, magnitude, mask, te)
    weight = np.where(mask, weight_at_zero(magnitude, te), 0)
    trend = fit_polynomial(zero, weight, mask, order)
    width = [sigma / h for h in geometry.voxel_size]
    rest = zero - trend
    real = gaussian_filter(weight * np.cos(rest), width)
    imag = gaussian_filter(weight * np.sin(rest), width)
    return wrap(trend + np.arctan2(imag, real)).astype(np.float32)
