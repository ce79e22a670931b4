"""How voxels of a map vary together, and what that leaves in means and their differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from qsmprep.geometry import Geometry

REACH = 4.0
"""Distance up to which voxels are taken to vary together, mm."""

FEWEST_PAIRS = 30
"""Pairs of voxels that a covariance rests on at least; of fewer it counts as none."""


@dataclass(frozen=True, eq=False)
class Covariance:
    """
    Covariance of two voxels by the step from one to the other.

    Parameters
    ----------
    values : (2 X + 1, 2 Y + 1, 2 Z + 1) real array
        In squares of the map's unit; the middle is the variance.
    """

    values: np.ndarray

    def error_of(self, weights) -> float:
        """Return the standard error of a weighted sum of voxels, (X, Y, Z) real weights."""
        together = _correlated(weights, self.values.shape)
        return float(np.sqrt(max(np.sum(together * self.values), 0.0)))


def covariance_of(values, inside, geometry: Geometry) -> Covariance | None:
    """
    Return how the voxels of tissue without structure vary together.

    Sample covariance of all pairs of voxels at each step (Cressie, 1993,
    doi:10.1002/9781119115151, section 2.4), taken as zero beyond `REACH`. It holds what noise and
    inversion leave, and what the tissue itself varies.

    Parameters
    ----------
    values : (X, Y, Z) real array
        Map, any unit.
    inside : (X, Y, Z) boolean array
        The tissue: normal-appearing white matter.
    geometry : Geometry
        Voxel size.

    Returns
    -------
    covariance : Covariance, or None
        None where there are fewer voxels than a covariance needs.
    """
    if np.count_nonzero(inside) < FEWEST_PAIRS:
        return None
    size = np.asarray(geometry.voxel_size)
    reach = np.floor(REACH / size).astype(int)
    shape = tuple(2 * reach + 1)
    residual = np.where(inside, values - np.mean(values[inside], dtype=float), 0.0)
    pairs = _correlated(inside.astype(float), shape)
    steps = np.indices(shape) - reach.reshape(3, 1, 1, 1)
    near = np.linalg.norm(steps * size.reshape(3, 1, 1, 1), axis=0) <= REACH
    known = near & (pairs > FEWEST_PAIRS - 0.5)  # what the transform rounds
    total = _correlated(residual, shape)
    return Covariance(np.where(known, total / np.where(known, pairs, 1), 0.0))


def _correlated(volume, shape):
    """Return the sum of products of voxels by their step, for steps that fit the odd shape."""
    reach = [n // 2 for n in shape]
    full = [fft.next_fast_len(n + r, real=True) for n, r in zip(volume.shape, reach, strict=True)]
    spectrum = fft.rfftn(volume, full)
    product = fft.irfftn(np.abs(spectrum) ** 2, full)
    at = np.ix_(*(np.arange(-r, r + 1) for r in reach))
    return product[at]
