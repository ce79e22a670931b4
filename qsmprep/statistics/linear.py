"""Multiple linear regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from qsmprep.statistics.anova import term_tests
from qsmprep.statistics.assumptions import METHOD as CHECKS
from qsmprep.statistics.assumptions import checks, diagnostics, influence
from qsmprep.statistics.regression import Regression, coefficients, facts, fit
from qsmprep.statistics.results import Drawing, Fitted
from qsmprep.statistics.rows import repeats

REMEDY = 'kind = "mixed" or cluster = "participant_id" allow for it'
"""Of several rows of a participant."""

SOFTWARE = "statsmodels (doi:10.25080/Majora-92bf1922-011)"


def ols(
    data: pd.DataFrame,
    *,
    formula: str,
    covariance: str = "nonrobust",
    cluster: str = "",
    levels: Mapping[str, Sequence] | None = None,
    anova: int = 2,
    confidence: float = 0.95,
) -> Fitted:
    """
    Return the coefficients of a linear model, with tests of its terms and of its assumptions.

    Parameters
    ----------
    data
        A row per observation.
    formula
        ``outcome ~ right-hand side``, e.g. ``chi ~ duration + edss + age + sex``.
    covariance
        ``nonrobust``, or ``HC3`` for standard errors that allow unequal spread (MacKinnon and
        White 1985, doi:10.1016/0304-4076(85)90158-7).
    cluster
        Column of what rows share, such as participant_id: standard errors are then robust to
        dependence within (Cameron and Miller 2015, doi:10.3368/jhr.50.2.317).
    levels
        Order of categories by column, the reference first.
    anova
        Type of the table of terms, 2 or 3.
    confidence
        Of intervals, between 0 and 1.

    Returns
    -------
    fitted
        Estimates per coefficient; tables ``anova``, ``checks`` and ``influence``; drawings
        ``coefficients`` and ``diagnostics``.

    Raises
    ------
    RequestError
        If the formula, the columns or the number of rows do not allow it.
    """
    fitted = fit(data, formula, covariance=covariance, cluster=cluster, levels=levels)
    estimates = coefficients(fitted, confidence)
    tested, notes = checks(fitted)
    return Fitted(
        estimates,
        facts(fitted),
        f"A linear model {fitted.formula} was fitted by ordinary least squares with {SOFTWARE}"
        f"{standard_errors(covariance, cluster)}. Terms were tested by F tests of type "
        f"{'I' * anova}. {CHECKS}",
        {"anova": term_tests(fitted, anova), "checks": tested, "influence": influence(fitted)},
        {
            "coefficients": coefficient_forest(estimates, fitted),
            "diagnostics": diagnostics(fitted),
        },
        (*fitted.notes, *([] if cluster else repeats(fitted.data, REMEDY)), *notes),
        fitted.excluded,
    )


def standard_errors(covariance: str, cluster: str) -> str:
    """Return the end of the sentence that says where standard errors come from."""
    if cluster:
        return (
            f", with standard errors robust to dependence within {cluster} "
            "(doi:10.3368/jhr.50.2.317)"
        )
    if covariance == "HC3":
        return ", with HC3 standard errors (doi:10.1016/0304-4076(85)90158-7)"
    return ""


def coefficient_forest(estimates: pd.DataFrame, fitted: Regression) -> Drawing:
    """Return coefficients with intervals, on one scale: that of the outcome per unit."""
    shown = estimates[estimates["term"] != "Intercept"].rename(columns={"term": "label"})
    return Drawing(
        "forest",
        shown[["label", "estimate", "ci_low", "ci_high", "p_value"]].reset_index(drop=True),
        f"Coefficients of {fitted.formula} with confidence intervals: change of "
        f"{fitted.outcome} per unit, or from the reference level.",
        {"estimate": f"{fitted.outcome} per unit", "null": "0"},
    )
