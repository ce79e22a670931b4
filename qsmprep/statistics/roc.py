"""How well a number tells two groups apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.design import complete, need_columns
from qsmprep.statistics.regression import levels_of
from qsmprep.statistics.results import ESTIMATES, Drawing, Fitted
from qsmprep.statistics.rows import check_share, repeats


def roc(
    data: pd.DataFrame,
    *,
    value: str = "chi",
    group: str = "group",
    levels: Sequence = (),
    confidence: float = 0.95,
) -> Fitted:
    """
    Return the area under the ROC curve of a number, and what each threshold would do.

    Parameters
    ----------
    data
        A row per observation, independent of each other.
    value
        Column of numbers; higher ones speak for the second level.
    group
        Column with two levels.
    levels
        The two, the reference first; without, in the order of the alphabet.
    confidence
        Of the interval, between 0 and 1.

    Returns
    -------
    fitted
        Estimate ``AUC`` with the interval of DeLong on the logit scale; its p-value is that of
        0.5, by z. Tables ``thresholds`` (threshold, sensitivity, specificity, youden,
        positive and negative predictive value) and drawing ``curve``.

    Raises
    ------
    RequestError
        If there are not two groups of two or more.

    References
    ----------
    DeLong et al. 1988, doi:10.2307/2531595.
    """
    check_share("confidence", confidence)
    need_columns(data, (value,), numbers=True)
    used, excluded = complete(data, [value, group])
    order = list(levels) or levels_of(used[group])
    if len(set(map(shown, order))) != 2 or len(order) != 2:
        raise RequestError(f"{group} has the levels {shown(order)}; name two of them by levels")
    negative, positive = (used[value][used[group] == level].to_numpy(float) for level in order)
    strangers = used.index[~used[group].isin(order)]
    excluded = pd.concat([
        excluded, pd.DataFrame({"reason": f"{group} is not in levels"}, index=strangers)
    ])  # fmt: skip
    if min(len(positive), len(negative)) < 2:
        raise RequestError(
            f"{group}: {len(negative)} rows are {order[0]} and {len(positive)} are {order[1]}; "
            "both need two"
        )
    if np.ptp(np.concatenate([positive, negative])) == 0:
        raise RequestError(f"{value} is {positive[0]:g} in all rows: it tells no groups apart")
    auc, error = delong(positive, negative)
    thresholds = threshold_table(positive, negative)
    best = thresholds.iloc[int(np.argmax(thresholds["youden"]))]
    notes = [] if auc >= 0.5 else [
        f"The area is below 0.5: lower {value} speaks for {order[1]}; turn levels round."
    ]  # fmt: skip
    notes += repeats(used[used[group].isin(order)])
    if error == 0:
        notes.append("The groups do not overlap, so the area has no standard error.")
    return Fitted(
        pd.DataFrame([_row(auc, error, confidence)])[list(ESTIMATES)],
        {"n": len(positive) + len(negative), f"n_{order[0]}": len(negative),
         f"n_{order[1]}": len(positive), "converged": True,
         "best_threshold": float(best["threshold"])},
        f"How well {value} tells {order[1]} from {order[0]} is given as the area under the "
        "receiver operating characteristic, with standard error after DeLong et al. "
        "(doi:10.2307/2531595).",
        {"thresholds": thresholds},
        {"curve": _curve(thresholds, auc, value)},
        tuple(notes),
        excluded,
    )  # fmt: skip


def delong(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """Return the area under the curve and its standard error, ties counted half."""
    m, n = len(positive), len(negative)
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - stats.rankdata(positive)) / n
    below = 1 - (ranks[m:] - stats.rankdata(negative)) / m
    variance = above.var(ddof=1) / m + below.var(ddof=1) / n
    return float(above.mean()), float(np.sqrt(variance))


def _row(auc: float, error: float, confidence: float) -> dict[str, float | str]:
    """Return the estimate, with an interval that stays between 0 and 1."""
    row: dict[str, float | str] = dict.fromkeys(ESTIMATES, np.nan)
    row |= {"term": "AUC", "estimate": auc}
    if error == 0 or auc in (0, 1):
        return row
    z = (auc - 0.5) / error
    logit, spread = np.log(auc / (1 - auc)), error / (auc * (1 - auc))
    ends = logit + np.array([-1, 1]) * stats.norm.ppf((1 + confidence) / 2) * spread
    low, high = 1 / (1 + np.exp(-ends))
    return row | {"std_error": error, "statistic": z, "p_value": 2 * stats.norm.sf(abs(z)),
                  "ci_low": low, "ci_high": high}  # fmt: skip


def threshold_table(positive: np.ndarray, negative: np.ndarray) -> pd.DataFrame:
    """Return sensitivity and specificity of "at or above", for each value that occurs."""
    values = np.unique(np.concatenate([positive, negative]))
    hits = len(positive) - np.searchsorted(np.sort(positive), values)
    false = len(negative) - np.searchsorted(np.sort(negative), values)
    rest = len(positive) + len(negative) - hits - false
    sensitivity, specificity = hits / len(positive), 1 - false / len(negative)
    with np.errstate(invalid="ignore"):
        negative_value = (len(negative) - false) / rest
    return pd.DataFrame(
        {
            "threshold": values,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "youden": sensitivity + specificity - 1,
            "positive_predictive": hits / (hits + false),
            "negative_predictive": negative_value,
        }
    )


def _curve(thresholds: pd.DataFrame, auc: float, value: str) -> Drawing:
    """Return the curve and the diagonal of chance."""
    x = np.concatenate([[0.0], 1 - thresholds["specificity"].to_numpy()[::-1], [1.0]])
    y = np.concatenate([[0.0], thresholds["sensitivity"].to_numpy()[::-1], [1.0]])
    lines = [pd.DataFrame({"line": value, "x": x, "y": y}),
             pd.DataFrame({"line": "chance", "x": [0.0, 1.0], "y": [0.0, 1.0]})]  # fmt: skip
    data = pd.concat(lines, ignore_index=True).assign(ci_low=np.nan, ci_high=np.nan)
    data.insert(0, "panel", "")
    return Drawing(
        "trajectories",
        data,
        f"Receiver operating characteristic of {value}; area {auc:.3f}.",
        {"x": "1 - specificity", "y": "sensitivity"},
    )
