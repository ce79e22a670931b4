"""The log-rank test, with strata and with entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from qsmprep.statistics.partial_likelihood import Histories

Array = np.ndarray


@dataclass(frozen=True)
class LogRank:
    """
    What a log-rank test found.

    Parameters
    ----------
    observed, expected : (k,) array
        Events of each group, and those it would have if all had the same hazard.
    covariance : (k, k) array
        Of the difference.
    """

    observed: Array
    expected: Array
    covariance: Array

    @property
    def df(self) -> int:
        """Degrees of freedom."""
        return len(self.observed) - 1

    @property
    def statistic(self) -> float:
        """Chi squared."""
        difference = (self.observed - self.expected)[:-1]
        return float(difference @ np.linalg.pinv(self.covariance[:-1, :-1]) @ difference)

    @property
    def p_value(self) -> float:
        """
        Probability of a larger chi squared if hazards are equal.

        Missing where no event fell while both groups were at risk.
        """
        if np.trace(self.covariance) < 1e-9:
            return float("nan")
        return float(chi2.sf(self.statistic, self.df))


def log_rank(past: Histories, group: Array, k: int) -> LogRank:
    """
    Compare the hazards of groups [1]_.

    lifelines has the same test without strata and entries.

    Parameters
    ----------
    past
        Observation times.
    group : (n,) array of int
        Group of each row, from 0.
    k
        Number of groups.

    References
    ----------
    .. [1] Mantel N. Evaluation of survival data and two new rank order statistics arising in its
       consideration. Cancer Chemother Rep 1966;50:163-170.
    """
    observed = np.bincount(group[past.event], minlength=k).astype(float)
    expected, covariance = np.zeros(k), np.zeros((k, k))
    for stratum in np.unique(past.stratum):
        inside = past.stratum == stratum
        time, count = np.unique(past.stop[inside & past.event], return_counts=True)
        at_risk = np.empty((len(time), k))
        for which in range(k):
            own = inside & (group == which)
            stop, entry = np.sort(past.stop[own]), np.sort(past.entry[own])
            at_risk[:, which] = np.searchsorted(entry, time) - np.searchsorted(stop, time)
        total = at_risk.sum(axis=1)
        part = at_risk / total[:, None]
        expected += count @ part
        weight = count * (total - count) / np.maximum(total - 1, 1)
        covariance += np.diag(weight @ part) - (part * weight[:, None]).T @ part
    return LogRank(observed, expected, covariance)
