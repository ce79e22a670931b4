"""Linear models of many outcomes at once, with an intercept per participant where these repeat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_GRID = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 49)])
_STEPS = 55  # of bisection: 13 orders of magnitude over 48 gaps, down to rounding


@dataclass(frozen=True)
class Mixed:
    """
    Fitted models, one per outcome.

    Parameters
    ----------
    coefficients : (columns, outcomes) real array
        NaN for columns that have no row, and all of an outcome that cannot be fitted.
    covariance : (outcomes, columns, columns) real array
        Of the coefficients; 0 where these are NaN.
    variance : (outcomes,) real array
        Of residuals.
    ratio : (outcomes,) real array
        Variance of the intercepts of participants over that of residuals; 0 at the boundary.
    participants : (outcomes,) int array
        How many had a value.
    rows : (outcomes,) int array
        How many rows had a value.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    variance: np.ndarray
    ratio: np.ndarray
    participants: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class _Moments:
    """
    Sums that the likelihood is made of; first axis outcomes, second how often one was seen.

    `size` (K,), `count` (F, K) participants, `xx` (F, K, p, p), `xy` (F, K, p), `yy` (F, K): sums
    over participants of products of their sums; `all_*`: the same over rows.
    """

    size: np.ndarray
    count: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray
    all_xx: np.ndarray
    all_xy: np.ndarray
    all_yy: np.ndarray
    freedom: np.ndarray


def patterns(values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows that have a value, and the columns that have values in just these."""
    there = np.isfinite(values)
    _, first, which = np.unique(
        np.packbits(there, axis=0), axis=1, return_index=True, return_inverse=True
    )
    for number, column in enumerate(first):
        yield there[:, column], np.flatnonzero(which.ravel() == number)


def fit(design: np.ndarray, values: np.ndarray, participants: np.ndarray | None = None) -> Mixed:
    r"""
    Fit :math:`y = X \beta + u_{participant} + e` by restricted maximum likelihood.

    Variances of rows of a participant depend on one ratio, :math:`\rho = \sigma_u^2 / \sigma^2`,
    and have a closed inverse; :math:`\beta` and :math:`\sigma^2` are profiled out. The root of the
    derivative with respect to :math:`\log \rho` is found by bisection, of all outcomes at once.
    After Laird and Ware (1982, doi:10.2307/2529876).

    Parameters
    ----------
    design : (rows, columns) real array
        Of similar scale; some of its columns must add up to ones. A column is left out where an
        outcome has only zeros of it.
    values : (rows, outcomes) real array
        NaN where missing.
    participants : (rows,) int array, optional
        Whose rows they are. Without, or where nobody has two rows, it is least squares.
    """
    outcomes, columns = values.shape[1], design.shape[1]
    if participants is None:
        participants = np.arange(len(design))
    centre = np.nan_to_num(np.nanmean(np.where(np.isfinite(values).any(0), values, 0), axis=0))
    used = np.zeros((outcomes, columns), bool)
    moments = _moments(design, values - centre, participants, used)
    ratio = _ratio(moments)
    xx, beta, left = _solve(moments, ratio)
    variance = np.where(moments.freedom > 0, left / np.maximum(moments.freedom, 1), np.nan)
    bad = ~np.isfinite(variance) | ~used.any(axis=1)
    covariance = np.linalg.inv(xx) * np.where(bad, 0, variance)[:, None, None]
    covariance *= used[:, :, None] & used[:, None, :]
    # The mean taken from outcomes comes back by what the columns say of a constant.
    beta += centre[:, None] * _constant(design)
    coefficients = np.where(used & ~bad[:, None], beta, np.nan).T
    rows = np.isfinite(values).sum(axis=0)
    return Mixed(
        coefficients,
        covariance,
        np.where(bad, np.nan, variance),
        np.where(bad, np.nan, ratio),
        moments.count.sum(axis=1).astype(int),
        rows,
    )


def intercepts(left: np.ndarray, participants: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """
    Return the predicted intercept of the participant of every row.

    Parameters
    ----------
    left : (rows, outcomes) real array
        Values less the fixed effects; NaN where missing.
    participants : (rows,) int array
        Whose rows they are, from 0.
    ratio : (outcomes,) real array
        Of variances, as `Mixed` has it.

    Returns
    -------
    intercepts : (rows, outcomes) real array
        The best linear unbiased prediction.
    """
    there = np.isfinite(left)
    people = int(participants.max()) + 1 if len(participants) else 0
    sums, counts = np.zeros((2, people, left.shape[1]))
    np.add.at(sums, participants, np.where(there, left, 0))
    np.add.at(counts, participants, there)
    return (ratio / (1 + ratio * counts) * sums)[participants]


def _constant(design: np.ndarray) -> np.ndarray:
    """Return the coefficients with which the columns give 1."""
    found, *_ = np.linalg.lstsq(design, np.ones(len(design)), rcond=None)
    return np.where(np.abs(found) < 1e-9, 0, found)


def _moments(
    design: np.ndarray, values: np.ndarray, participants: np.ndarray, used: np.ndarray
) -> _Moments:
    """Return the sums, and mark in `used` the columns that each outcome can say something of."""
    _, whose = np.unique(participants, return_inverse=True)
    columns, outcomes = design.shape[1], values.shape[1]
    largest = int(np.bincount(whose).max())
    size = np.arange(1, largest + 1)
    count = np.zeros((outcomes, largest))
    xx, xy = (
        np.zeros((outcomes, largest, columns, columns)),
        np.zeros((outcomes, largest, columns)),
    )
    yy = np.zeros((outcomes, largest))
    all_xx, all_xy = np.zeros((outcomes, columns, columns)), np.zeros((outcomes, columns))
    freedom = np.zeros(outcomes)
    for rows, which in patterns(values):
        x, y = design[rows], values[np.ix_(rows, which)]
        there = x.any(axis=0)
        if not rows.any() or np.linalg.matrix_rank(x[:, there]) < there.sum():
            continue
        used[which] = there
        _, local, seen = np.unique(whose[rows], return_inverse=True, return_counts=True)
        x_sums, y_sums = np.zeros((len(seen), columns)), np.zeros((len(seen), len(which)))
        np.add.at(x_sums, local, x)
        np.add.at(y_sums, local, y)
        for k in np.unique(seen):
            of = seen == k
            count[which, k - 1] = of.sum()
            xx[which, k - 1] = x_sums[of].T @ x_sums[of]
            xy[which, k - 1] = (x_sums[of].T @ y_sums[of]).T
            yy[which, k - 1] = (y_sums[of] ** 2).sum(axis=0)
        all_xx[which], all_xy[which] = x.T @ x, (x.T @ y).T
        freedom[which] = rows.sum() - there.sum()
    # Columns left out get a one, so that they solve to 0 and add nothing to the determinant.
    all_xx[:, range(columns), range(columns)] += ~used
    all_yy = np.nansum(values**2, axis=0)
    return _Moments(size, count, xx, xy, yy, all_xx, all_xy, all_yy, freedom)


def _solve(m: _Moments, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weighted normal matrices, the coefficients and the weighted sums of squares."""
    weight = ratio[:, None] / (1 + ratio[:, None] * m.size)
    xx = m.all_xx - np.einsum("fk,fkpq->fpq", weight, m.xx)
    xy = m.all_xy - np.einsum("fk,fkp->fp", weight, m.xy)
    beta = np.linalg.solve(xx, xy[..., None])[..., 0]
    left = m.all_yy - (weight * m.yy).sum(axis=1) - (xy * beta).sum(axis=1)
    return xx, beta, np.maximum(left, 0)


def _criterion(m: _Moments, ratio: np.ndarray) -> np.ndarray:
    """Return minus twice the restricted log likelihood, up to a constant."""
    xx, _, left = _solve(m, ratio)
    with np.errstate(divide="ignore"):
        return (
            (m.count * np.log1p(ratio[:, None] * m.size)).sum(axis=1)
            + np.linalg.slogdet(xx)[1]
            + m.freedom * np.log(left)
        )


def _derivative(m: _Moments, ratio: np.ndarray) -> np.ndarray:
    """Return the derivative of the criterion with respect to the ratio."""
    xx, beta, left = _solve(m, ratio)
    falls = 1 / (1 + ratio[:, None] * m.size) ** 2
    d_xx = np.einsum("fk,fkpq->fpq", falls, m.xx)
    squares = (
        m.yy
        - 2 * np.einsum("fp,fkp->fk", beta, m.xy)
        + np.einsum("fp,fkpq,fq->fk", beta, m.xx, beta)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            (m.count * m.size / (1 + ratio[:, None] * m.size)).sum(axis=1)
            - np.trace(np.linalg.solve(xx, d_xx), axis1=1, axis2=2)
            - m.freedom * (falls * squares).sum(axis=1) / left
        )


def _ratio(m: _Moments) -> np.ndarray:
    """Return the ratio of variances of every outcome."""
    outcomes = len(m.freedom)
    if len(m.size) == 1:
        return np.zeros(outcomes)
    along = np.array([_criterion(m, np.full(outcomes, ratio)) for ratio in _GRID])
    best = np.argmin(np.where(np.isnan(along), np.inf, along), axis=0)
    low = np.log(_GRID[np.maximum(best - 1, 1)])
    high = np.log(_GRID[np.clip(best + 1, 2, len(_GRID) - 1)])
    for _ in range(_STEPS):
        middle = (low + high) / 2
        falling = _derivative(m, np.exp(middle)) < 0
        low, high = np.where(falling, middle, low), np.where(falling, high, middle)
    found = np.exp((low + high) / 2)
    at_zero = _criterion(m, np.zeros(outcomes)) <= _criterion(m, found)
    return np.where(at_zero, 0.0, found)
