"""What cannot be the echoes of one acquisition, whatever their sidecars say."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

NEGATIVE = 0.25
"""Part of its maximum by which a magnitude may be negative: interpolation overshoots."""

JUMP = 0.9
"""Part of its range by which phase differs from voxel to voxel where it wraps."""

MANY_JUMPS = 1e-3
"""Part of the voxels at which wraps are more than chance."""


class Slip(NamedTuple):
    """
    Something wrong with one echo.

    Parameters
    ----------
    part
        0 for magnitude or real part, 1 for phase or imaginary part.
    echo
        Its number, from 0.
    fact, remedy
        What is wrong, and what can be done about it.
    """

    part: int
    echo: int
    fact: str
    remedy: str


def find_slip(first, second, *, cartesian: bool = False) -> Slip | None:
    """
    Return the first thing that is wrong with both parts of the echoes.

    Parameters
    ----------
    first, second : (E, X, Y, Z) real arrays
        Magnitude and phase, or real and imaginary part, as read, in any unit. NumPy only.
    cartesian
        Whether they are real and imaginary.
    """
    names = ("real part", "imaginary part") if cartesian else ("magnitude", "phase")
    for part, (name, echoes) in enumerate(zip(names, (first, second), strict=True)):
        for number, echo in enumerate(echoes):
            if echo.min() == echo.max():
                fact = f"its {name} is {echo.flat[0] + 0.0:g} everywhere"  # not -0
                return Slip(part, number, fact, "export the series again")
        for one, other in combinations(range(len(echoes)), 2):
            if np.array_equal(echoes[one], echoes[other]):
                fact = f"its {name} in echo {other + 1} is that of echo {one + 1}"
                return Slip(part, other, fact, "convert the series again")
    if not cartesian and (first.min() < -NEGATIVE * first.max() or _swapped(first, second)):
        fact = "its magnitude looks like phase"
        return Slip(0, 0, fact, "check which file is part-mag and which is part-phase")
    return None


def _swapped(magnitude, phase) -> bool:
    """
    Return whether the one looks like the other, whatever the coding.

    Phase jumps by its whole range where it wraps, which no magnitude does. Where phase is masked
    and does not wrap: magnitudes of two echoes resemble each other more than their phases do, and
    change less from voxel to voxel, where noise turns phase about; both have to be the other way
    round.
    """
    jumps = _jumps(magnitude[0])
    if jumps > MANY_JUMPS and jumps > 10 * _jumps(phase[0]):
        return True
    if len(magnitude) < 2:
        return False
    rough = [_roughness(part[0]) for part in (magnitude, phase)]
    if rough[0] <= 2 * rough[1]:
        return False
    likeness = [np.corrcoef(part[0].ravel(), part[1].ravel())[0, 1] for part in (magnitude, phase)]
    return bool(likeness[1] > max(likeness[0], 0.8))


def _jumps(volume) -> float:
    """Return the part of voxels that differ from the next one by nearly the whole range."""
    limit = JUMP * (float(volume.max()) - float(volume.min()))
    # At the rim of a mask any image jumps, but from nothing.
    inside = (volume[1:] != 0) & (volume[:-1] != 0)
    return float(np.mean((np.abs(np.diff(volume, axis=0)) > limit) & inside))


def _roughness(volume) -> float:
    """Return the mean step between neighbours over the standard deviation."""
    steps = [np.abs(np.diff(volume, axis=axis)).mean() for axis in range(3)]
    return float(np.mean(steps) / max(float(volume.std()), 1e-30))
