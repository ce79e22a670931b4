"""Adjusted means of groups and the differences between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.design import variables
from qsmprep.statistics.families import correct
from qsmprep.statistics.regression import Regression, estimates_table, level_name

WEIGHTS = ("equal", "observed")


def mean_rows(fitted: Regression, factor: str, weights: str) -> tuple[list, np.ndarray]:
    """
    Return the levels of a factor, and what each adjusted mean takes of each coefficient.

    Numbers are held at their mean over the rows used. Over other categories the mean is taken
    with equal weights (as R's emmeans does, so that a study with more women does not tell more
    about women), or with the weights of the cells observed.

    Returns
    -------
    levels
        Levels of `factor`, in order.
    rows : (levels, coefficients) array
        Adjusted means are these times the coefficients.
    """
    if weights not in WEIGHTS:
        raise RequestError(f"weights = {shown(weights)}; it is {' or '.join(map(shown, WEIGHTS))}")
    categories = dict(fitted.categories)
    levels = categories.pop(factor)
    names = [name for name in variables(fitted.formula.partition("~")[2]) if name != factor]
    numbers = {name: fitted.data[name].mean() for name in names if name not in categories}
    cells = list(product(*categories.values()))
    share = np.full(len(cells), 1 / len(cells))
    if weights == "observed" and categories:
        counts = fitted.data.groupby(list(categories), observed=True).size()
        share = np.array([counts.get(cell if len(cell) > 1 else cell[0], 0) for cell in cells])
        share = share / share.sum()
    grid = pd.DataFrame(
        [{factor: level, **dict(zip(categories, cell, strict=True)), **numbers}
         for level in levels for cell in cells]
    )  # fmt: skip
    for name in (factor, *categories):
        grid[name] = grid[name].astype(fitted.data[name].dtype)
    rows = fitted.x.model_spec.get_model_matrix(grid, context={}).to_numpy(float)
    return levels, np.einsum("c,lcp->lp", share, rows.reshape(len(levels), len(cells), -1))


def adjusted_means(
    fitted: Regression, factor: str, levels: Sequence, rows: np.ndarray, confidence: float
) -> pd.DataFrame:
    """
    Return a row per level: group, n, the observed mean, and the columns `ESTIMATES`.

    `levels` and `rows` are those of `mean_rows`.
    """
    table = _combined(fitted, list(map(level_name, levels)), rows, confidence)
    observed = [fitted.data[factor] == level for level in levels]
    y = fitted.result.model.endog
    table.insert(0, "group", table.pop("term"))
    table.insert(1, "n", [int(rows.sum()) for rows in observed])
    table.insert(2, "observed_mean", [float(y[rows.to_numpy()].mean()) for rows in observed])
    return table


def contrast_weights(
    levels: Sequence, contrasts: str | Mapping[str, Sequence[float]]
) -> tuple[list[str], np.ndarray]:
    """
    Return names and weights of contrasts.

    Parameters
    ----------
    levels
        Levels in order, the reference first.
    contrasts
        ``pairwise`` (later minus earlier level), ``reference`` (each minus the first), or weights
        per level by name.
    """
    k = len(levels)
    if isinstance(contrasts, Mapping):
        for name, given in contrasts.items():
            fits = isinstance(given, list | tuple) and len(given) == k
            fits = fits and all(isinstance(weight, int | float) for weight in given)
            if not fits or not any(given) or abs(sum(given)) > 1e-9:
                raise RequestError(
                    f"contrast {shown(name)}: {shown(given)} are no {k} weights that sum to 0, "
                    f"for {', '.join(map(level_name, levels))}"
                )
        if not contrasts:
            raise RequestError("contrasts is empty; leave it out for all pairs")
        return list(contrasts), np.array(list(contrasts.values()), float)
    if contrasts not in ("pairwise", "reference"):
        raise RequestError(
            f'contrasts = {shown(contrasts)}; it is "pairwise", "reference" or a table of weights'
        )
    pairs = [
        (i, j) for i, j in combinations(range(k), 2) if contrasts == "pairwise" or i == 0
    ]  # fmt: skip
    weights = np.zeros((len(pairs), k))
    for row, (first, second) in enumerate(pairs):
        weights[row, [first, second]] = -1, 1
    return [f"{level_name(levels[j])} - {level_name(levels[i])}" for i, j in pairs], weights


def differences(
    fitted: Regression,
    levels: Sequence,
    rows: np.ndarray,
    *,
    contrasts: str | Mapping[str, Sequence[float]],
    adjust: str,
    confidence: float,
) -> pd.DataFrame:
    """
    Return a row per contrast of adjusted means, whose `levels` and `rows` `mean_rows` gives.

    After the columns `ESTIMATES` come ``p_adjusted`` (over the contrasts of this table),
    ``cohens_d`` with its interval (difference by residual standard deviation, which is taken as
    known) and ``partial_eta2``.
    """
    names, combination = contrast_weights(levels, contrasts)
    table = _combined(fitted, names, combination @ rows, confidence)
    t2 = table["statistic"] ** 2
    return table.assign(
        p_adjusted=correct(table["p_value"], adjust),
        cohens_d=table["estimate"] / fitted.sigma,
        d_ci_low=table["ci_low"] / fitted.sigma,
        d_ci_high=table["ci_high"] / fitted.sigma,
        partial_eta2=t2 / (t2 + fitted.df) if fitted.classical else np.nan,
    )


def _combined(
    fitted: Regression, names: list[str], rows: np.ndarray, confidence: float
) -> pd.DataFrame:
    """Return a table of linear combinations of the coefficients."""
    covariance = fitted.result.cov_params().to_numpy()
    estimate = rows @ fitted.result.params.to_numpy()
    error = np.sqrt(np.einsum("ij,jk,ik->i", rows, covariance, rows).clip(0))
    return estimates_table(names, estimate, error, fitted.df, confidence)
