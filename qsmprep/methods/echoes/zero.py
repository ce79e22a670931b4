"""The phase at an echo time of zero."""

from __future__ import annotations

import numpy as np

from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.unwrapping.romeo import unwrap_single


def phase_at_zero(phase, magnitude, mask, te):
    """
    Return what two echoes say of the phase at an echo time of zero.

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

    Returns
    -------
    offset : (X, Y, Z) float32 array
        rad, not wrapped, with all the noise of two echoes.

    Raises
    ------
    ValueError
        If there are fewer than two echoes.
    """
    if len(te) < 2:
        raise ValueError("an offset shows only between two echoes; there is one")
    difference = wrap(phase[1] - phase[0])
    strength = np.sqrt(magnitude[0] * magnitude[1])
    evolution = unwrap_single(difference, strength, mask)
    return phase[0] - evolution * np.float32(te[0] / (te[1] - te[0]))


def weight_at_zero(magnitude, te):
    """
    Return what a voxel's phase at an echo time of zero is worth.

    Noise of phase goes with one over magnitude, and scaling the difference of two echoes back to
    zero enlarges it: a voxel that has lost its second echo tells next to nothing.

    Parameters
    ----------
    magnitude : (E, X, Y, Z) float32 array
        Any unit.
    te : sequence of E floats
        Echo times, s; two or more.

    Returns
    -------
    weight : (X, Y, Z) float32 array
        Inverse of the variance of :func:`phase_at_zero`, up to a factor; zero where there is no
        signal. NumPy only.
    """
    back = te[0] / (te[1] - te[0])
    lost = np.full(magnitude[0].shape, np.inf, np.float32)
    np.divide(magnitude[0], magnitude[1], out=lost, where=magnitude[1] > 0)
    return magnitude[0] ** 2 / ((1 + back) ** 2 + (back * lost) ** 2)
