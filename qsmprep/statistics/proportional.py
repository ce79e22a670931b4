"""Whether hazard ratios are constant over time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import chi2
from statsmodels.nonparametric.smoothers_lowess import lowess

from qsmprep.statistics.partial_likelihood import Histories, Shares, residuals_at_events
from qsmprep.statistics.results import Drawing

Array = np.ndarray


def ph_test(
    x: Array, histories: Histories, found: Shares, terms: Mapping[str, list[int]]
) -> pd.DataFrame:
    r"""
    Return the score test of each term times g(t), with g one less the Kaplan-Meier curve.

    It asks whether a term :math:`x\,g(t)` would improve the model [1]_. This is the test of R's
    ``cox.zph`` since survival 3.0; lifelines and older R use an approximation to it that takes
    the covariance of the covariates to be the same at all events.

    Parameters
    ----------
    x, histories, found
        Covariates, observation times, and shares of the events at the estimates.
    terms
        Columns of `x` by the name of their term.

    Returns
    -------
    table
        Columns ``term``, ``statistic`` (chi squared), ``df``, ``p_value``; the last row, *global*,
        is of all terms at once.

    References
    ----------
    .. [1] Grambsch PM, Therneau TM. Proportional hazards tests and diagnostics based on weighted
       residuals. Biometrika 1994;81:515-526. https://doi.org/10.1093/biomet/81.3.515
    """
    time, residual = residuals_at_events(x, histories, found)
    moment = _without_events(histories, time)
    moment = moment - moment.mean()
    n_columns = x.shape[1]
    gradient = np.concatenate([np.zeros(n_columns), moment @ residual])
    powers = [np.einsum("m,mab->ab", moment**power, found.variance) for power in range(3)]
    information = np.block([[powers[0], powers[1]], [powers[1], powers[2]]])
    rows = []
    for name, columns in {**terms, "global": list(range(n_columns))}.items():
        used = [*range(n_columns), *(n_columns + column for column in columns)]
        part = gradient[used]
        # A term that does not vary late or early may leave nothing to test.
        statistic = float(part @ np.linalg.pinv(information[np.ix_(used, used)]) @ part)
        rows.append((name, statistic, len(columns), chi2.sf(statistic, len(columns))))
    return pd.DataFrame(rows, columns=["term", "statistic", "df", "p_value"])


def _without_events(histories: Histories, time: Array) -> Array:
    """Return one less the proportion without an event just before each time, strata pooled."""
    # Not by lifelines, which refuses curves that late entry brings to zero.
    steps, count = np.unique(histories.stop[histories.event], return_counts=True)
    at_risk = np.searchsorted(np.sort(histories.entry), steps)
    at_risk = at_risk - np.searchsorted(np.sort(histories.stop), steps)
    curve = np.concatenate([[1.0], np.cumprod(1 - count / at_risk)])
    return 1 - curve[np.searchsorted(steps, time)]


def residual_plot(
    names: list[str], beta: Array, x: Array, histories: Histories, found: Shares
) -> Drawing:
    """Return scaled Schoenfeld residuals over time, a panel per column, with a smooth line."""
    time, residual = residuals_at_events(x, histories, found)
    scaled = beta + len(time) * residual @ np.linalg.inv(found.variance.sum(axis=0))
    frames = []
    for name, y in zip(names, scaled.T, strict=True):
        panel = {"panel": name, "group": ""}
        frames.append(pd.DataFrame({**panel, "kind": "point", "x": time, "y": y}))
        # Robust smoothing would take the events of a rare category for outliers.
        with np.errstate(invalid="ignore"):  # no line where most events are at one time
            line = lowess(y, time, frac=2 / 3, it=0)
        line = np.unique(line[np.isfinite(line).all(axis=1)], axis=0)
        frames.append(pd.DataFrame({**panel, "kind": "line", "x": line[:, 0], "y": line[:, 1]}))
    data = pd.concat(frames, ignore_index=True).assign(ci_low=np.nan, ci_high=np.nan)
    return Drawing(
        "scatter",
        data,
        "Scaled Schoenfeld residuals: the log hazard ratio as each event would have it, with a "
        "smooth line (lowess); a line that rises or falls speaks against proportional hazards.",
        {"x": "Time", "y": "Log hazard ratio"},
    )
