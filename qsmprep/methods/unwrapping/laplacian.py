"""Unwrapping by the Laplacian, which does not see whole turns."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft

from qsmprep.jit import compiled
from qsmprep.methods.box import Box


def laplacian(phase, magnitude, mask, te):
    """
    Unwrapped phase by its Laplacian (Schofield and Zhu, 2003, doi:10.1364/OL.28.001194).

    Without paths, and so without path errors: noise and open fringes spread thinly instead of
    jumping. What is lost, besides the mean, is harmonic, and background removal takes that away
    anyway. This differs from there: 1. the Laplacian sums differences wrapped to half a turn, not
    their sines, so that it is exact where they are smaller; 2. only pairs of voxels in the mask
    count, so that noise around it does no harm; 3. a cosine transform inverts it, so that
    opposite faces of the volume do not touch.

    Parameters
    ----------
    phase : (E, X, Y, Z) float32 array
        Wrapped, rad. NumPy only.
    magnitude : (E, X, Y, Z) float32 array
        Not used.
    mask : (X, Y, Z) boolean array
        What to unwrap.
    te : sequence of E floats
        Not used: echoes are independent.

    Returns
    -------
    unwrapped : (E, X, Y, Z) float32 array
        rad, of zero mean in the mask, zero outside.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    del magnitude, te
    box = Box(mask, (0, 0, 0)).slices
    inside = np.ascontiguousarray(mask[box])
    eigenvalues = _eigenvalues(inside.shape)
    unwrapped = np.zeros(phase.shape, np.float32)
    for echo in range(phase.shape[0]):
        wrapped = np.ascontiguousarray(phase[echo][box], np.float32)
        spectrum = scipy.fft.dctn(_laplacian_loop(wrapped, inside), overwrite_x=True) / eigenvalues
        spectrum[0, 0, 0] = 0
        smooth = scipy.fft.idctn(spectrum, overwrite_x=True)
        unwrapped[echo][box] = np.where(inside, smooth - smooth[inside].mean(), 0)
    return unwrapped


def _eigenvalues(shape):
    """Return those of the seven-point Laplacian with mirrored ends; the zero is made one."""
    x, y, z = (2 * np.cos(np.pi * np.arange(n, dtype=np.float32) / n) - 2 for n in shape)
    eigenvalues = x[:, None, None] + y[:, None] + z
    eigenvalues[0, 0, 0] = 1
    return eigenvalues


@compiled
def _laplacian_loop(phase, mask):
    """Return the sum of the wrapped differences to the neighbours within the mask."""
    nx, ny, nz = phase.shape
    out = np.zeros_like(phase)
    turn = np.float32(2 * math.pi)
    for axis in range(3):
        di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
        for i in range(nx - di):
            for j in range(ny - dj):
                for k in range(nz - dk):
                    if not (mask[i, j, k] and mask[i + di, j + dj, k + dk]):
                        continue
                    step = phase[i + di, j + dj, k + dk] - phase[i, j, k]
                    step -= turn * np.round(step / turn)
                    out[i, j, k] += step
                    out[i + di, j + dj, k + dk] -= step
    return out
