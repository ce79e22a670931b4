"""The partial likelihood of a Cox model with Efron's ties, event by event, and its uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Histories:
    """
    Who was under observation when, and how that ended.

    Parameters
    ----------
    entry : (n,) array
        Time from which a row is at risk; minus infinity where it always was.
    stop : (n,) array
        Time of the event or of the last observation.
    event : (n,) array of bool
        Whether `stop` is the time of an event.
    stratum : (n,) array of int
        Rows are at risk together within a stratum only.
    """

    entry: Array
    stop: Array
    event: Array
    stratum: Array


@dataclass(frozen=True)
class Shares:
    """
    What each event adds to the partial likelihood.

    Of d events at one time, Efron lets the l-th (from 0) see all at risk, with those who have an
    event counted 1 - l/d each [1]_. Moments are those of the covariates among them, weighted by
    their hazards.

    Parameters
    ----------
    time, stratum, fraction : (m,) array
        Time, stratum and l/d of each of the m events.
    total : (m,) array
        Sum of the hazards at risk, relative to covariates of zero.
    mean : (m, p) array
        Mean of the covariates.
    variance : (m, p, p) array
        Their covariance.
    third : (m, p, p, p) array
        Their third central moment; empty unless asked for.

    References
    ----------
    .. [1] Efron B. The efficiency of Cox's likelihood function for censored data. J Am Stat Assoc
       1977;72:557-565. https://doi.org/10.1080/01621459.1977.10480613
    """

    time: Array
    stratum: Array
    fraction: Array
    total: Array
    mean: Array
    variance: Array
    third: Array


def shares(x: Array, histories: Histories, beta: Array, *, third: bool = False) -> Shares:
    """
    Return what each event adds to the partial likelihood at coefficients `beta`.

    Parameters
    ----------
    x : (n, p) array
        Covariates, without a constant.
    histories
        Observation times of the same rows.
    beta : (p,) array
        Log hazard ratios.
    third
        Whether third moments are wanted.
    """
    parts = []
    for stratum in np.unique(histories.stratum[histories.event]):
        rows = np.flatnonzero(histories.stratum == stratum)
        parts.append((stratum, *_sums(x[rows], histories, rows, beta, third)))
    stratum = np.concatenate([np.full(len(time), which) for which, time, _, _ in parts])
    time, fraction, sums = (np.concatenate(part) for part in list(zip(*parts, strict=True))[1:])
    n_columns = x.shape[1]
    total = sums[:, 0]
    raw = sums[:, 1:] / total[:, None]
    mean, second = raw[:, :n_columns], raw[:, n_columns : n_columns + n_columns**2]
    second = second.reshape(-1, n_columns, n_columns)
    variance = second - mean[:, :, None] * mean[:, None, :]
    skew = np.empty((0, n_columns, n_columns, n_columns))
    if third:
        skew = raw[:, n_columns + n_columns**2 :].reshape(-1, n_columns, n_columns, n_columns)
        for order in ("ma,mbc->mabc", "mb,mac->mabc", "mc,mab->mabc"):
            skew = skew - np.einsum(order, mean, second)
        skew = skew + 2 * np.einsum("ma,mb,mc->mabc", mean, mean, mean)
    return Shares(time, stratum, fraction, total, mean, variance, skew)


def _sums(
    x: Array, histories: Histories, rows: Array, beta: Array, third: bool
) -> tuple[Array, Array, Array]:
    """Return time, l/d and weighted sums of 1, x, x x', ... of each event of a stratum."""
    entry, stop, event = histories.entry[rows], histories.stop[rows], histories.event[rows]
    powers = [np.ones((len(x), 1)), x]
    for _ in range(1 + third):
        powers.append((powers[-1][:, :, None] * x[:, None, :]).reshape(len(x), -1))
    features = np.exp(x @ beta)[:, None] * np.hstack(powers)
    time, count = np.unique(stop[event], return_counts=True)
    of_events = np.zeros((len(time), features.shape[1]))
    np.add.at(of_events, np.searchsorted(time, stop[event]), features[event])
    at_risk = _from(stop, features, time) - _from(entry, features, time)
    which = np.repeat(np.arange(len(time)), count)
    fraction = (np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)) / count[which]
    return time[which], fraction, at_risk[which] - fraction[:, None] * of_events[which]


def _from(moment: Array, values: Array, time: Array) -> Array:
    """Return the sums of the values whose moment is at or after each time."""
    order = np.argsort(moment)
    ending = np.cumsum(values[order][::-1], axis=0)[::-1]
    ending = np.vstack([ending, np.zeros((1, values.shape[1]))])
    return ending[np.searchsorted(moment[order], time)]


def log_likelihood(x: Array, histories: Histories, beta: Array, found: Shares) -> float:
    """Return the log of the partial likelihood."""
    return float((x[histories.event] @ beta).sum() - np.log(found.total).sum())


def score(x: Array, histories: Histories, found: Shares) -> Array:
    """Return its derivative, shape (p,)."""
    return x[histories.event].sum(axis=0) - found.mean.sum(axis=0)


def residuals_at_events(x: Array, histories: Histories, found: Shares) -> tuple[Array, Array]:
    """
    Return time and Schoenfeld residual of each event: its covariates less those expected.

    Events at one time share the mean of what is expected then.
    """
    rows = np.flatnonzero(histories.event)
    rows = rows[np.lexsort((histories.stop[rows], histories.stratum[rows]))]
    _, tie, count = np.unique(
        np.column_stack([found.stratum, found.time]), axis=0, return_inverse=True,
        return_counts=True,
    )  # fmt: skip
    expected = np.zeros((len(count), x.shape[1]))
    np.add.at(expected, tie, found.mean)
    return found.time, x[rows] - (expected / count[:, None])[tie]


def score_residuals(x: Array, histories: Histories, beta: Array, found: Shares) -> Array:
    """
    Return what each row adds to the score, shape (n, p), its part in all risk sets included.

    The sum over rows is the score. lifelines takes Breslow's ties and no entries here, whence its
    robust errors differ from those of R, up to 5 % in the data of our tests.
    """
    hazard = np.exp(x @ beta)
    result = np.zeros(x.shape)
    for stratum in np.unique(found.stratum):
        rows = np.flatnonzero(histories.stratum == stratum)
        own = found.stratum == stratum
        time, fraction, mean = found.time[own], found.fraction[own], found.mean[own]
        step = np.column_stack([1 / found.total[own], mean / found.total[own][:, None]])
        passed = np.vstack([np.zeros((1, step.shape[1])), np.cumsum(step, axis=0)])
        # An event's own share of the l-th tied risk set is smaller by l/d.
        lent = np.vstack(
            [np.zeros((1, step.shape[1])), np.cumsum(fraction[:, None] * step, axis=0)]
        )
        seen_mean = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(mean, axis=0)])
        stop, event = histories.stop[rows], histories.event[rows]
        last = np.searchsorted(time, stop, side="right")
        first = np.searchsorted(time, stop, side="left")
        seen = passed[last] - passed[np.searchsorted(time, histories.entry[rows], side="right")]
        seen = seen - np.where(event[:, None], lent[last] - lent[first], 0)
        expected = hazard[rows, None] * (x[rows] * seen[:, :1] - seen[:, 1:])
        ties = np.maximum(last - first, 1)[:, None]
        jump = x[rows] - (seen_mean[last] - seen_mean[first]) / ties
        result[rows] = np.where(event[:, None], jump, 0) - expected
    return result


def concordance(risk: Array, histories: Histories) -> float:
    """
    Return how often, of two rows at risk together, that with the event had the higher risk.

    Equal risks count half, events at the same time not at all; pairs are of one stratum.
    """
    higher = pairs = 0.0
    for row in np.flatnonzero(histories.event):
        moment = histories.stop[row]
        later = (histories.stop > moment) | ((histories.stop == moment) & ~histories.event)
        later &= (histories.entry < moment) & (histories.stratum == histories.stratum[row])
        higher += (risk[later] < risk[row]).sum() + 0.5 * (risk[later] == risk[row]).sum()
        pairs += later.sum()
    return float(higher / pairs) if pairs else float("nan")
