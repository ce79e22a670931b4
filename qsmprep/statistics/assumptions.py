"""Whether residuals are as the tests of a linear model take them to be."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.diagnostic import het_breuschpagan

from qsmprep.statistics.regression import EXACT, Regression, inflation, levels_of, quoted
from qsmprep.statistics.results import Drawing

ALPHA = 0.05

SHAPIRO_MAX = 5000
"""Rows up to which the p-value of Shapiro and Wilk's test is accurate."""

METHOD = (
    "Residuals were examined by the tests of Breusch and Pagan in Koenker's form "
    "(doi:10.1016/0304-4076(81)90062-2), of Shapiro and Wilk (doi:10.1093/biomet/52.3-4.591; of "
    "D'Agostino and Pearson above 5000 rows) and, between groups, of Brown and Forsythe "
    "(doi:10.1080/01621459.1974.10482955), and by Cook's distance "
    "(doi:10.1080/00401706.1977.10489493)."
)


def checks(fitted: Regression, factor: str = "") -> tuple[pd.DataFrame, list[str]]:
    """
    Return a row per test of an assumption, and a sentence for each that fails.

    Parameters
    ----------
    fitted
        The model.
    factor
        Column whose groups are compared; empty for none.

    Returns
    -------
    table
        Columns check, test, statistic, df, p_value.
    notes
        What failed at 0.05 and what to do about it.
    """
    resid = fitted.result.resid.to_numpy()
    if fitted.result.ssr <= EXACT * fitted.result.centered_tss:
        return pd.DataFrame(columns=["check", "test", "statistic", "df", "p_value"]), []
    rows = [_normality(resid)] if len(resid) > 2 else []
    x = fitted.x.to_numpy(float)
    if x.shape[1] > 1 and (np.ptp(x, axis=0) == 0).any():
        lm, p, _, _ = het_breuschpagan(resid, x)
        rows.append(("equal spread along the fit", "Breusch-Pagan", lm, x.shape[1] - 1, p))
    if factor:
        groups = [
            resid[(fitted.data[factor] == level).to_numpy()]
            for level in levels_of(fitted.data[factor])
        ]
        if min(map(len, groups)) > 2:
            w, p = stats.levene(*groups, center="median")
            rows.append(("equal spread of groups", "Brown-Forsythe", w, len(groups) - 1, p))
        rows += _parallel(fitted, factor)
    table = pd.DataFrame(rows, columns=["check", "test", "statistic", "df", "p_value"])
    notes = [_sentence(row, fitted) for _, row in table[table["p_value"] < ALPHA].iterrows()]
    return table, notes + _influence_notes(fitted) + _inflation_notes(fitted)


def _normality(resid: np.ndarray) -> tuple:
    """Return the test of normal residuals."""
    if len(resid) <= SHAPIRO_MAX:
        return ("normal residuals", "Shapiro-Wilk", *_two(stats.shapiro(resid)))
    return ("normal residuals", "D'Agostino-Pearson", *_two(stats.normaltest(resid)))


def _two(found) -> tuple[float, float, float]:
    """Return statistic, no degrees of freedom, p-value."""
    return float(found.statistic), np.nan, float(found.pvalue)


def _parallel(fitted: Regression, factor: str) -> list[tuple]:
    """Return the F test of slopes that differ between groups, for covariates without one yet."""
    terms = fitted.x.model_spec.terms
    groups = [
        columns.to_numpy()
        for columns in (fitted.x.iloc[:, fitted.x.model_spec.term_slices[term]] for term in terms
                        if {f.expr for f in term.factors} <= {factor, f"C({quoted(factor)})"})
    ]  # fmt: skip
    if len(groups) != 1 or any(len(term.factors) > 1 for term in terms):
        return []
    numbers = [
        str(term) for term in terms
        if not {f.expr for f in term.factors} & {*fitted.categories, "1"}
        and fitted.x.iloc[:, fitted.x.model_spec.term_slices[term]].shape[1] == 1
    ]  # fmt: skip
    added = [
        groups[0] * fitted.x.iloc[:, [list(fitted.x.columns).index(name)]].to_numpy()
        for name in numbers if name in fitted.x.columns
    ]  # fmt: skip
    if not added:
        return []
    x = np.column_stack([fitted.x.to_numpy(float), *added])
    df1 = np.linalg.matrix_rank(x) - fitted.x.shape[1]
    df2 = len(x) - fitted.x.shape[1] - df1
    if df1 < 1 or df2 < 1:
        return []
    y = fitted.result.model.endog
    left = float(((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum())
    f = (fitted.result.ssr - left) / df1 / (left / df2)
    return [("same slopes in all groups", "F", f, df1, float(stats.f.sf(f, df1, df2)))]


def _sentence(row: pd.Series, fitted: Regression) -> str:
    """Return what a failed check means, with the way out."""
    spread = (
        'covariance = "HC3" gives standard errors that allow for that' if fitted.classical
        else "standard errors given here allow for that"
    )  # fmt: skip
    meaning = {
        "normal residuals": "residuals are not normal: see the diagnostics; with many rows the "
        "estimates hold, with few they may not",
        "equal spread along the fit": f"the spread of residuals changes along the fit: {spread}",
        "equal spread of groups": f"the spread of residuals differs between groups: {spread}",
        "same slopes in all groups": "slopes on covariates differ between groups: the difference "
        "of adjusted means holds at the mean of the covariates only",
    }[row["check"]]
    return f"{row['test']} p = {row['p_value']:.2g}: {meaning}."


def influence(fitted: Regression, most: int = 20) -> pd.DataFrame:
    """
    Return the rows that move the fit most.

    Returns
    -------
    table
        Columns row (its index), cooks_distance, leverage, studentised_residual, of at most `most`
        rows with a Cook's distance above 4 / n, the largest first.
    """
    found = _cook(fitted)
    return found[found["cooks_distance"] > 4 / len(found)].head(most).reset_index(drop=True)


def _cook(fitted: Regression) -> pd.DataFrame:
    """Return Cook's distance, leverage and internally studentised residual of all rows."""
    x, resid, p = fitted.x.to_numpy(float), fitted.result.resid.to_numpy(), fitted.x.shape[1]
    q, _ = np.linalg.qr(x)
    leverage = (q**2).sum(axis=1).clip(0, 1)
    # A row that alone decides a coefficient has leverage 1 and no residual to speak of.
    with np.errstate(divide="ignore", invalid="ignore"):
        student = resid / (fitted.sigma * np.sqrt(1 - leverage))
        cook = student**2 * leverage / (1 - leverage) / p
    alone = leverage > 1 - 1e-10
    student[alone], cook[alone] = np.nan, np.nan
    table = pd.DataFrame(
        {
            "row": fitted.data.index.map(str),
            "cooks_distance": cook,
            "leverage": leverage,
            "studentised_residual": student,
        }
    )
    return table.sort_values("cooks_distance", ascending=False, kind="stable")


def _influence_notes(fitted: Regression) -> list[str]:
    """Return sentences on rows that decide the result alone."""
    found = _cook(fitted)
    notes = []
    if found["cooks_distance"].max() > 1:
        worst = found.iloc[0]
        notes.append(
            f"Row {worst['row']} moves the fit by more than its uncertainty (Cook's distance "
            f"{worst['cooks_distance']:.2g}): fit once more without it."
        )
    if (alone := found[found["cooks_distance"].isna()]["row"].tolist()) and fitted.sigma > 0:
        notes.append(f"Row {alone[0]} alone decides a coefficient.")
    return notes


def _inflation_notes(fitted: Regression) -> list[str]:
    """Return a sentence on covariates that tell nearly the same."""
    terms = fitted.x.model_spec.terms
    if any(len(term.factors) > 1 for term in terms):
        return []  # products share variance with their factors by construction
    vif = pd.Series(inflation(fitted.x), index=fitted.x.columns).dropna()
    if vif.empty or vif.max() <= 10:
        return []
    return [
        f"{vif.idxmax()} is nearly told by the other columns (variance inflation "
        f"{vif.max():.3g}): its estimate is uncertain."
    ]


def diagnostics(fitted: Regression) -> Drawing:
    """Return residuals against the fit, and against the quantiles of a normal distribution."""
    resid = fitted.result.resid.to_numpy()
    quantiles = stats.norm.ppf((stats.rankdata(resid, "ordinal") - 0.5) / len(resid))
    fits = fitted.result.fittedvalues.to_numpy()
    data = pd.concat([
        pd.DataFrame({"panel": "residuals against the fit", "x": fits, "y": resid}),
        pd.DataFrame({"panel": "normal quantiles", "x": quantiles, "y": resid}),
    ], ignore_index=True)  # fmt: skip
    return Drawing(
        "diagnostics", data,
        "Left: residuals against what the model predicts; they should scatter evenly about 0. "
        "Right: residuals against quantiles of the normal distribution; they should follow a "
        "line.",
        {"x residuals against the fit": "predicted", "x normal quantiles": "normal quantile",
         "y": f"residual of {fitted.outcome}"},
    )  # fmt: skip
