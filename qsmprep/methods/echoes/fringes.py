"""Fringes that end inside the head, where coils were combined without care."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import binary_dilation, find_objects, gaussian_filter, label

from qsmprep.methods.box import Box
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.echoes.zero import phase_at_zero

SMOOTHING = 1.5
"""Standard deviation of the Gaussian that takes the noise off the offset, mm: noise makes
vortices, too, but in pairs that smoothing joins."""
LENGTH = 15.0
"""Millimetres that a line of vortices must span; those of noise and of vessels are shorter."""


def open_fringes(phase, magnitude, mask, te, geometry):
    """
    Voxels about lines on which the receive phase has no value, and how many lines there are.

    About such a singularity the phase runs through a whole turn, so that a fringe ends there and
    no unwrapping is right (Robinson et al., 2017, doi:10.1002/nbm.3601). Field does not do so:
    what is looked at is the phase at an echo time of zero, smoothed. A line is a connected chain
    of loops of two by two voxels around which wrapped differences do not sum to zero.

    Parameters
    ----------
    phase : (E, X, Y, Z) float32 array
        Wrapped phase of two echoes or more, rad. NumPy only.
    magnitude : (E, X, Y, Z) float32 array
        Any unit.
    mask : (X, Y, Z) boolean array
        Where there is signal.
    te : sequence of E floats
        Echo times, s.
    geometry : Geometry
        Voxel size, mm.

    Returns
    -------
    near : (X, Y, Z) boolean array
        Voxels of the mask that touch a line.
    count : int
        Number of lines.
    """
    box = Box(mask, (0, 0, 0)).slices
    inside = mask[box]
    offset = phase_at_zero(phase, magnitude, mask, te)[box]
    signal = np.where(inside, magnitude[0][box] * np.exp(1j * offset), 0)
    width = [SMOOTHING / h for h in geometry.voxel_size]
    smooth = np.angle(gaussian_filter(signal, width))
    chains, _ = label(_vortices(smooth, inside), structure=np.ones((3, 3, 3)))
    long = [
        number
        for number, part in enumerate(find_objects(chains), 1)
        if math.hypot(
            *((s.stop - s.start) * h for s, h in zip(part, geometry.voxel_size, strict=True))
        )
        > LENGTH
    ]
    near = np.zeros(mask.shape, bool)
    near[box] = binary_dilation(np.isin(chains, long)) & inside
    return near, len(long)


def _vortices(phase, mask):
    """Return the corners of all loops of two by two voxels around which the phase turns."""
    corners = np.zeros(mask.shape, bool)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        here = [slice(None)] * 3
        here[one] = here[other] = slice(None, -1)

        def moved(array, *axes, here=tuple(here)):
            cut = list(here)
            for axis in axes:
                cut[axis] = slice(1, None)
            return array[tuple(cut)]

        around = [(), (one,), (one, other), (other,)]
        angles = [moved(phase, *axes) for axes in around]
        turn = sum(wrap(angles[n] - angles[n - 1]) for n in range(4))
        loop = np.abs(turn) > math.pi
        for axes in around:
            loop &= moved(mask, *axes)
        for axes in around:
            moved(corners, *axes)[loop] = True
    return corners
