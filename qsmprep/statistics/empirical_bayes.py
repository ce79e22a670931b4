"""Estimates of one batch drawn towards what it does to all features."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-4
"""Relative change at which published implementations stop; theirs, so that numbers agree."""

_MOST = 1000


def shrink(
    z: np.ndarray, mean: np.ndarray, variance: np.ndarray, *, mean_only: bool, parametric: bool
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the posterior mean shift and variance of every feature in a batch.

    After Johnson et al. (2007, doi:10.1093/biostatistics/kxj037): the shifts of all features come
    from a normal and their variances from an inverse gamma distribution, both estimated by
    moments; or, not parametric, every feature is weighed with the estimates of all others by
    how likely these make its values. As in published implementations, with `mean_only` a batch
    counts as one observation, which shrinks more.

    Parameters
    ----------
    z : (rows, features) real array
        Standardised values of the batch; NaN where missing.
    mean, variance : (features,) real array
        Their estimates; NaN in features that are left out.
    mean_only
        Whether variances are left as they are.
    parametric
        Which prior.
    """
    mean, variance = mean.copy(), np.ones_like(mean) if mean_only else variance.copy()
    used = np.isfinite(mean) & np.isfinite(variance)
    mean[~used] = variance[~used] = np.nan
    if used.sum() > 1:  # or there is nothing to learn from
        way = _parametric if parametric else _weighted
        mean[used], variance[used] = way(z[:, used], mean[used], variance[used], mean_only)
    return mean, variance


def _parametric(
    z: np.ndarray, mean: np.ndarray, variance: np.ndarray, mean_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    centre, spread = mean.mean(), mean.var(ddof=1)
    if mean_only:
        return _posterior_mean(mean, 1, variance, centre, spread), variance
    typical, scatter = variance.mean(), max(variance.var(ddof=1), 1e-12 * variance.mean() ** 2)
    shape = (2 * scatter + typical**2) / scatter
    rate = (typical * scatter + typical**3) / scatter
    n = np.isfinite(z).sum(axis=0)
    shift, width = mean, variance
    for _ in range(_MOST):
        before = shift, width
        shift = _posterior_mean(mean, n, width, centre, spread)
        width = (0.5 * np.nansum((z - shift) ** 2, axis=0) + rate) / (n / 2 + shape - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Published programs do not take the sign from what they divide by: shifts below 0 are
            # not waited for. To stop elsewhere would change numbers by some 1e-6.
            changes = [np.abs(shift - before[0]) / before[0], np.abs(width / before[1] - 1)]
        if np.nanmax(changes) <= TOLERANCE:
            break
    return shift, width


def _posterior_mean(
    mean: np.ndarray, n: np.ndarray | int, variance: np.ndarray, centre: float, spread: float
) -> np.ndarray:
    return (spread * n * mean + variance * centre) / (spread * n + variance)


def _weighted(
    z: np.ndarray, mean: np.ndarray, variance: np.ndarray, _mean_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    n = np.isfinite(z).sum(axis=0)[:, None]
    one, two = np.nansum(z, axis=0)[:, None], np.nansum(z**2, axis=0)[:, None]
    # Sums of squares of every feature about the means of all.
    squares = two - 2 * mean * one + n * mean**2
    log = -0.5 * n * np.log(2 * np.pi * variance) - squares / (2 * variance)
    np.fill_diagonal(log, -np.inf)
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return weight @ mean, weight @ variance
