"""Survival that a Cox model predicts."""

from __future__ import annotations

from formulaic import ModelSpec
import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from scipy.stats import norm

from qsmprep.errors import RequestError
from qsmprep.statistics.partial_likelihood import Histories, Shares
from qsmprep.statistics.results import Drawing

Array = np.ndarray


def predicted_survival(
    matrix: pd.DataFrame,
    spec: ModelSpec,
    used: pd.DataFrame,
    focus: str,
    past: Histories,
    found: Shares,
    beta: Array,
    covariance: Array,
    confidence: float,
    strata: list[str],
) -> tuple[pd.DataFrame, Drawing]:
    """
    Return survival at mean and mean ± 1 SD of a column, or at each value of a text.

    Other numbers are at their mean, other texts at their most frequent value. The baseline hazard
    has Efron's ties; intervals are symmetric for log(-log S).

    Parameters
    ----------
    matrix, spec, used
        Covariates of the model, how they are made, and the columns they were made from.
    focus
        The column.
    past, found
        Observation times, and shares of the events at `beta`, of covariates less their means.
    beta, covariance
        Estimates.
    confidence
        Of the intervals.
    strata
        Names of the strata by their numbers.

    Returns
    -------
    table
        Columns ``stratum``, ``level``, `focus`, ``time``, ``survival``, ``ci_low``, ``ci_high``;
        a row at time 0 and at each event.
    drawing
        The same as curves, a panel per stratum.
    """
    levels = _levels(used, focus)
    rows = spec.get_model_matrix(levels, context={})[list(matrix.columns)]
    x = rows.to_numpy(float) - matrix.to_numpy(float).mean(axis=0)
    frames = []
    for stratum in np.unique(past.stratum):
        own = found.stratum == stratum
        for level, row in zip(levels.index, x, strict=True):
            curve = _curve(row, found, own, beta, covariance, confidence)
            head = {"stratum": strata[stratum], "level": level, focus: levels.loc[level, focus]}
            frames.append(pd.DataFrame(head, index=curve.index).join(curve))
    table = pd.concat(frames, ignore_index=True)
    # A step is drawn as two points: the value before and the value from then on.
    steps = table.loc[table.index.repeat(2)].reset_index(drop=True)
    edges = ["survival", "ci_low", "ci_high"]
    before = steps.groupby(["stratum", "level"], sort=False)[edges].shift()
    first = steps.index % 2 == 0
    steps.loc[first, edges] = before[first].fillna(1)
    drawing = Drawing(
        "trajectories",
        steps.rename(columns={"stratum": "panel", "level": "line", "time": "x", "survival": "y"})[
            ["panel", "line", "x", "y", "ci_low", "ci_high"]
        ],
        f"Survival predicted for values of {focus}, other numbers at their mean and texts at "
        f"their most frequent value, with {100 * confidence:g} % confidence bands.",
        {"x": "Time", "y": "Proportion without event"},
    )
    return table, drawing


def _levels(used: pd.DataFrame, focus: str) -> pd.DataFrame:
    """Return the rows for which survival is predicted, by their names."""
    needed = [str(name) for name in used]
    if focus not in needed:
        raise RequestError(f"focus {focus} is not in the formula; {', '.join(needed)} are")
    typical = {
        name: used[name].mean()
        if is_numeric_dtype(used[name]) and not is_bool_dtype(used[name])
        else used[name].mode().iloc[0]
        for name in needed
    }
    values: dict[str, object]
    if is_numeric_dtype(used[focus]) and not is_bool_dtype(used[focus]):
        mean, spread = used[focus].mean(), used[focus].std()
        values = {"mean - 1 SD": mean - spread, "mean": mean, "mean + 1 SD": mean + spread}
    else:
        values = {str(value): value for value in sorted(used[focus].unique())}
    return pd.DataFrame([{**typical, focus: value} for value in values.values()], index=[*values])


def _curve(
    x: Array, found: Shares, own: Array, beta: Array, covariance: Array, confidence: float
) -> pd.DataFrame:
    """Return survival of covariates `x` after each event of a stratum, with its interval."""
    ratio = np.exp(x @ beta)
    step = ratio / found.total[own]
    hazard = np.cumsum(step)
    reach = np.cumsum(step[:, None] * (x - found.mean[own]), axis=0)
    variance = np.cumsum(step**2) + np.einsum("ma,ab,mb->m", reach, covariance, reach)
    width = norm.ppf(0.5 + confidence / 2) * np.sqrt(variance) / hazard
    curve = pd.DataFrame(
        {
            "time": found.time[own],
            "survival": np.exp(-hazard),
            "ci_low": np.exp(-hazard * np.exp(width)),
            "ci_high": np.exp(-hazard * np.exp(-width)),
        }
    ).drop_duplicates("time", keep="last")
    start = pd.DataFrame({"time": [0.0], "survival": [1.0], "ci_low": [1.0], "ci_high": [1.0]})
    return pd.concat([start, curve], ignore_index=True)
