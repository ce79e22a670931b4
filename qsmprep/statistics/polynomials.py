"""Orthonormal polynomials of time, on bins or on the times themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from qsmprep.errors import RequestError

NAMES = ("mean", "linear", "quadratic", "cubic", "quartic", "quintic")


@dataclass(frozen=True)
class Polynomials:
    """
    Polynomials of degrees 1 to `order` that are orthonormal, and to a constant orthogonal.

    Parameters
    ----------
    middle, half
        Centre and half width of the range of times.
    to_basis : (order + 1, order + 1) array
        From Chebyshev polynomials on that range.
    steps : (n,) array
        Times that count as equally far apart, where they do.
    """

    middle: float
    half: float
    to_basis: np.ndarray
    steps: np.ndarray | None = None

    def __call__(self, times: np.ndarray) -> np.ndarray:
        """Return the polynomials at (n,) times as an (n, order) array."""
        times = np.asarray(times, float)
        if self.steps is not None:
            times = np.interp(times, self.steps, np.arange(len(self.steps)))
        scaled = (times - self.middle) / self.half
        return chebvander(scaled, len(self.to_basis) - 1) @ self.to_basis[:, 1:]


def orthonormal(
    points: np.ndarray, order: int, *, total: float, equal: bool = False
) -> Polynomials:
    """
    Return polynomials whose squares sum to `total` over points, and whose products to zero.

    Their leading coefficients are positive. On bins, every bin is a point, whatever number of
    rows it has, and `total` is 1, as in growth-curve analysis (Mirman et al., 2008,
    doi:10.1016/j.jml.2007.11.006). On continuous times every row is a point, and `total` the
    number of rows, so that coefficients do not depend on it.

    Parameters
    ----------
    points : (n,) array
        Times in order, of which more than `order` differ.
    order
        Highest degree.
    equal
        Polynomials of the number of a point instead of its time.
    """
    steps = points if equal else None
    points = np.arange(float(len(points))) if equal else points
    middle, half = (points[-1] + points[0]) / 2, np.ptp(points) / 2
    triangle = np.linalg.qr(chebvander((points - middle) / half, order), mode="r")
    to_basis = np.linalg.inv(triangle) * np.sign(np.diag(triangle)) * np.sqrt(total)
    return Polynomials(middle, half, to_basis, steps)


def degree_name(degree: int) -> str:
    """Return what a degree is called."""
    return NAMES[degree] if degree < len(NAMES) else f"degree {degree}"


def bin_times(times: np.ndarray, bins: int | Sequence[float]) -> np.ndarray:
    """
    Return the time of the bin that each time belongs to.

    Parameters
    ----------
    times : (n,) array
        Times of observations.
    bins
        Times of the bins: an observation belongs to the nearest, to the earlier of two. Or a
        number of bins with equally many observations, as far as ties allow, at their medians.

    Raises
    ------
    RequestError
        If that gives fewer than two bins.
    """
    if isinstance(bins, int):
        if bins < 2:
            raise RequestError(f"bins = {bins}: give 2 or more, or a list of times")
        edges = np.unique(np.quantile(times, np.linspace(0, 1, bins + 1)[1:-1]))
        place = np.searchsorted(edges, times, side="left")
        centres = np.array([np.median(times[place == k]) if (place == k).any() else np.nan
                            for k in range(len(edges) + 1)])  # fmt: skip
    else:
        centres = np.unique(np.asarray(bins, float))
        if len(centres) < 2 or len(centres) < len(bins) or not np.isfinite(centres).all():
            raise RequestError("bins: give two or more different times")
        place = np.argmin(abs(times[:, None] - centres), axis=1)
    binned = centres[place]
    if len(np.unique(binned)) < 2:
        raise RequestError(
            f"bins: all {len(times)} rows are in one bin; there is no growth to see"
        )
    return binned
