"""What the voxels of echoes show to be wrong, where headers and sidecars say that all is well."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from qsmprep.errors import InputError
from qsmprep.interfaces._nifti import load

NEGATIVE = 0.1
"""Part of its maximum below zero that interpolation may bring a magnitude to."""

JUMP = 0.9
"""Part of its range by which phase differs from voxel to voxel where it wraps."""

MANY_JUMPS = 1e-3
"""Part of the voxels at which wraps are more than chance."""


def check_volumes(paths: Sequence[str], volumes: np.ndarray, what: str) -> None:
    """
    Refuse echoes that hold one value only, or the voxels of another echo.

    Parameters
    ----------
    paths
        One file per echo, or one for all.
    volumes : (E, X, Y, Z) array
        Their voxels.
    what
        ``magnitude``, ``phase``, ``real part`` or ``imaginary part``.

    Raises
    ------
    InputError
        If there is such an echo.
    """
    names = _names(paths, len(volumes))
    for number, volume in enumerate(volumes):
        path, where = names[number]
        if volume.min() == volume.max():
            raise InputError(
                path, f"its {what} is {volume.flat[0]:g} everywhere{where}", "export it again"
            )
    middle = volumes.shape[1] // 2
    for one, other in combinations(range(len(volumes)), 2):
        # Nearly all pairs differ in any slice.
        if np.array_equal(volumes[one, middle], volumes[other, middle]) and np.array_equal(
            volumes[one], volumes[other]
        ):
            path, where = names[other]
            raise InputError(
                path,
                f"has the voxels of echo {one + 1}{where}",
                "convert the series again",
            )


def check_parts(path: str, magnitude: np.ndarray, phase: np.ndarray) -> None:
    """
    Refuse a magnitude that is phase.

    Parameters
    ----------
    path
        File of the magnitude.
    magnitude, phase : (X, Y, Z) array
        Of one echo, in any unit.

    Raises
    ------
    InputError
        If it is negative, or jumps as phase does where the phase does not.
    """
    remedy = "if the names of magnitude and phase are swapped, exchange them; else export it again"
    low, high = float(magnitude.min()), float(magnitude.max())
    if low < -NEGATIVE * high:
        raise InputError(path, f"its magnitude is negative, down to {low:g}", remedy)
    jumps = _jumps(magnitude)
    if jumps > MANY_JUMPS and jumps > 10 * _jumps(phase):
        raise InputError(path, "its magnitude wraps as phase does", remedy)


def check_mask(path: str) -> None:
    """
    Refuse a mask that holds nothing, or what is no number.

    Raises
    ------
    InputError
        If it does.
    """
    mask, _ = load(path)
    if np.isnan(mask).any():
        raise InputError(path, "holds NaN", "set them to 0")
    if not (mask > 0).any():
        raise InputError(path, "holds no voxel", "draw it again")


def _jumps(volume: np.ndarray) -> float:
    """Return the part of voxels that differ from the next one by nearly the whole range."""
    limit = JUMP * (float(volume.max()) - float(volume.min()))
    return float(np.mean(np.abs(np.diff(volume, axis=0)) > limit))


def _names(paths: Sequence[str], n_echoes: int) -> list[tuple[str, str]]:
    """Return the file of each echo, and which of its volumes that is."""
    if len(paths) == n_echoes:
        return [(path, "") for path in paths]
    return [(paths[0], f" in volume {number}") for number in range(1, n_echoes + 1)]
