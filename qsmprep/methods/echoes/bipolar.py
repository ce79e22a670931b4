"""Echoes read out in alternating directions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qsmprep.methods.box import Box
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.unwrapping.romeo import unwrap_single

SAMPLES = 100_000
"""Voxels that are asked, spread evenly over the mask."""
LEAST = 0.3
"""Radians across the mask below which a slope is left alone: it alters a field by less than its
noise, and that harmonically."""
CERTAIN = 6.0
"""Standard errors by which a slope must differ from zero."""


@dataclass(frozen=True)
class Readout:
    """
    What even echoes have that odd ones do not.

    Parameters
    ----------
    bipolar
        Whether that is more than chance.
    axis
        Of the voxels, along which their phase slopes most: ``i``, ``j`` or ``k``.
    slope
        Phase of the second echo, of the fourth and so on, less that of odd ones, rad/voxel.
    constant
        The same at the centre of the mask, rad; known but for what a shift of all frequencies
        does. Zero if not bipolar.
    """

    bipolar: bool
    axis: str
    slope: float
    constant: float


def correct_bipolar(phase, magnitude, mask, te):
    r"""
    Phase as if all echoes were read out in one direction, and what told that they were not.

    Eddy currents and delays shift the echoes of a bipolar readout in time, to and fro (Lu et al.,
    2008, Magn Reson Med 60:198). That is a phase, linear along the readout, whose sign
    alternates: the curvature of phase in echo time,

    .. math:: (\varphi_e - \varphi_{e-1}) - k (\varphi_{e+1} - \varphi_e), \quad
              k = (t_e - t_{e-1}) / (t_{e+1} - t_e)

    has it :math:`\pm (1 + k)` times, and neither offset nor field. Its gradient needs no
    unwrapping. With four echoes or more, the sign has to alternate, which that of eddy currents
    that die away does not.

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
    corrected : (E, X, Y, Z) float32 array
        rad, wrapped; the very `phase` if the readout is monopolar.
    readout : Readout or None
        None for fewer than three echoes, which cannot tell, and for masks without neighbours.
    """
    voxels = _spread(mask)
    if len(te) < 3 or not voxels.size:
        return phase, None
    readout = _recognise(phase, mask, voxels, te)
    if not readout.bipolar:
        return phase, readout
    axis = "ijk".index(readout.axis)
    shape = [1, 1, 1]
    shape[axis] = -1
    distance = (np.arange(mask.shape[axis]) - voxels[axis].mean()).reshape(shape)
    corrected = phase.copy()
    corrected[1::2] = wrap(phase[1::2] - (readout.slope * distance).astype(np.float32))
    constant = _constant(corrected[:3], magnitude[:3], mask, te[:3])
    corrected[1::2] = wrap(corrected[1::2] - np.float32(constant))
    return corrected, replace(readout, constant=constant)


def _recognise(phase, mask, voxels, te) -> Readout:
    """Return what the curvature of phase about every echo but the ends says of the readout."""
    triples = [slice(e - 1, e + 2) for e in range(1, len(te) - 1)]
    slopes, errors = np.array([_slopes(phase[s], voxels, te[s]) for s in triples]).swapaxes(0, 1)
    slopes[1::2] *= -1  # one row per triple, one column per axis
    axis = int(np.argmax(np.abs(np.median(slopes, axis=0))))
    slope = float(np.median(slopes[:, axis]))
    least, *_, most = sorted([*slopes[:, axis] * np.sign(slope), abs(slope)])
    bipolar = (
        abs(slope) > CERTAIN * errors[:, axis].max()
        and abs(slope) * Box(mask, (0, 0, 0)).size[axis] > LEAST
        and least > 0.5 * most
    )
    return Readout(bool(bipolar), "ijk"[axis], slope, 0.0)


def _spread(mask):
    """Return the indices of some voxels of a mask that have neighbours after them on all axes."""
    inside = mask[:-1, :-1, :-1] & mask[1:, :-1, :-1] & mask[:-1, 1:, :-1] & mask[:-1, :-1, 1:]
    voxels = np.argwhere(inside)
    return voxels[:: max(1, len(voxels) // SAMPLES)].T


def _ratio(te) -> float:
    return (te[1] - te[0]) / (te[2] - te[1])


def _slopes(phase, voxels, te):
    """Return slopes of what the middle one of three echoes has, rad/voxel, and their errors."""
    k = _ratio(te)
    first, second = wrap(phase[1] - phase[0]), wrap(phase[2] - phase[1])
    slopes, errors = [], []
    for axis in range(3):
        after = list(voxels)
        after[axis] = after[axis] + 1
        one, other = (wrap(d[tuple(after)] - d[tuple(voxels)]) for d in (first, second))
        slope = (one - k * other) / (1 + k)
        slopes.append(np.median(slope))
        # Of a median: its standard error in Gaussian noise, spread by the median deviation.
        spread = 1.4826 * np.median(np.abs(slope - slopes[-1]))
        errors.append(1.2533 * spread / np.sqrt(len(slope)))
    return slopes, errors


def _constant(phase, magnitude, mask, te) -> float:
    """Return the constant that the second of three echoes has, rad."""
    one, other = (
        unwrap_single(wrap(phase[e + 1] - phase[e]), magnitude[e + 1], mask) for e in (0, 1)
    )
    k = _ratio(te)
    return float(np.median((one - k * other)[mask]) / (1 + k))
