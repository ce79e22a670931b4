"""Groups compared with covariates held equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.anova import term_tests
from qsmprep.statistics.assumptions import METHOD as CHECKS
from qsmprep.statistics.assumptions import checks, diagnostics, influence
from qsmprep.statistics.design import variables
from qsmprep.statistics.families import REFERENCES
from qsmprep.statistics.linear import REMEDY, SOFTWARE, standard_errors
from qsmprep.statistics.means import adjusted_means, differences, mean_rows
from qsmprep.statistics.regression import (
    Regression,
    coefficients,
    facts,
    fit,
    level_name,
    levels_of,
    quoted,
)
from qsmprep.statistics.results import Drawing, Fitted
from qsmprep.statistics.rows import repeats


def ancova(
    data: pd.DataFrame,
    *,
    formula: str,
    factor: str = "group",
    levels: Sequence | Mapping[str, Sequence] | None = None,
    contrasts: str | Mapping[str, Sequence[float]] = "pairwise",
    adjust: str = "holm",
    weights: str = "equal",
    extra: str = "",
    anova: int = 3,
    covariance: str = "nonrobust",
    cluster: str = "",
    confidence: float = 0.95,
) -> Fitted:
    """
    Return differences between groups, adjusted for covariates.

    Parameters
    ----------
    data
        A row per observation.
    formula
        ``outcome ~ right-hand side`` that holds `factor`, e.g. ``chi ~ group + age + sex``.
    factor
        Column whose levels are compared.
    levels
        Order of the levels of `factor`, the reference first, or orders by column.
    contrasts
        ``pairwise`` (later minus earlier level), ``reference`` (each minus the first), or weights
        per level by name.
    adjust
        Correction over the contrasts of one model: ``holm``, ``bh``, ``bonferroni``, ``none``.
    weights
        How adjusted means go over other categories: ``equal`` or ``observed``.
    extra
        One more covariate, such as ``volume``: the model is fitted without and with it, on the
        same rows.
    anova
        Type of the table of terms, 2 or 3.
    covariance
        ``nonrobust`` or ``HC3``.
    cluster
        Column of what rows share.
    confidence
        Of intervals, between 0 and 1.

    Returns
    -------
    fitted
        Estimates per contrast, with p_adjusted, cohens_d and partial_eta2; tables ``means``,
        ``coefficients``, ``anova``, ``checks`` and ``influence``; drawings ``means``,
        ``contrasts`` and ``diagnostics``. With `extra`, terms and tables hold both models, those
        with it marked "with <extra>", and there are drawings of both.

    Raises
    ------
    RequestError
        If the formula, the columns or the number of rows do not allow it.

    References
    ----------
    Adjusted means: Searle, Speed and Milliken 1980, doi:10.1080/00031305.1980.10483031.
    """
    names = set(variables(formula.partition("~")[2] or formula))
    if factor not in names:
        raise RequestError(
            f"formula {shown(formula)} has no {factor}; add it, or name what is compared by factor"
        )
    if extra in names:
        raise RequestError(f"extra: {extra} is in the formula already")
    orders = dict(levels) if isinstance(levels, Mapping) else {factor: levels} if levels else {}
    if factor in data and factor not in orders:
        # Groups that are coded by numbers are groups all the same.
        orders[factor] = levels_of(data[factor])
        if len(orders[factor]) < 2:
            raise RequestError(f"{factor} is {orders[factor]} in all rows; nothing to compare")
    formulas = {"": formula}
    if extra:
        formulas[f"with {extra}"] = f"{formula} + {quoted(extra)}"
    fits = {
        name: fit(
            data, text, covariance=covariance, cluster=cluster, levels=orders,
            also=[extra] if extra else [],
        )
        for name, text in formulas.items()
    }  # fmt: skip
    levels_left = levels_of(fits[""].data[factor])
    if len(levels_left) < 2:
        raise RequestError(f"{factor} is {levels_left} in all complete rows; nothing to compare")
    parts = {name: _compared(
        fitted, factor, weights=weights, contrasts=contrasts, adjust=adjust, anova=anova,
        confidence=confidence,
    ) for name, fitted in fits.items()}  # fmt: skip
    return _joined(fits, parts, factor, extra, _method(
        formula, extra, anova, adjust, weights, standard_errors(covariance, cluster)
    ), cluster)  # fmt: skip


def _compared(
    fitted: Regression, factor: str, *, weights: str, contrasts, adjust: str, anova: int,
    confidence: float,
) -> Fitted:  # fmt: skip
    """Return what one fit says of the groups."""
    levels, rows = mean_rows(fitted, factor, weights)
    means = adjusted_means(fitted, factor, levels, rows, confidence)
    compared = differences(
        fitted, levels, rows, contrasts=contrasts, adjust=adjust, confidence=confidence
    )
    tested, notes = checks(fitted, factor)
    return Fitted(
        compared,
        facts(fitted),
        "",
        {
            "means": means,
            "coefficients": coefficients(fitted, confidence),
            "anova": term_tests(fitted, anova),
            "checks": tested,
            "influence": influence(fitted),
        },
        {
            "means": means_drawing(fitted, means, factor),
            "contrasts": _contrast_forest(fitted, compared),
            "diagnostics": diagnostics(fitted),
        },
        tuple(notes),
    )


def _joined(
    fits: Mapping[str, Regression], parts: Mapping[str, Fitted], factor: str, extra: str,
    method: str, cluster: str,
) -> Fitted:  # fmt: skip
    """Return results of one model, or of two side by side."""
    first, base = fits[""], parts[""]
    notes = [*first.notes, *([] if cluster else repeats(first.data, REMEDY))]
    tables = dict(base.tables)
    estimates, drawings, numbers = base.estimates, dict(base.drawings), dict(base.facts)
    numbers |= {f"n_{level}": int((first.data[factor] == level).sum())
                for level in levels_of(first.data[factor])}  # fmt: skip
    notes += base.notes
    if extra:
        label = f"with {extra}"
        other = parts[label]
        estimates = pd.concat([
            base.estimates, other.estimates.assign(term=other.estimates["term"] + f", {label}")
        ], ignore_index=True)  # fmt: skip
        for name, table in other.tables.items():
            both = [t.assign(covariates=c) for t, c in ((tables[name], "formula"), (table, label))]
            tables[name] = pd.concat([t for t in both if len(t)] or both, ignore_index=True)
        drawings |= {f"{name}_with_{extra}": value for name, value in other.drawings.items()}
        notes += [f"With {extra}: {note}" for note in other.notes if note not in base.notes]
        numbers[f"residual_sd_with_{extra}"] = other.facts["residual_sd"]
    return Fitted(
        estimates, numbers, method, tables, drawings, tuple(notes), first.excluded
    )  # fmt: skip


def _method(formula: str, extra: str, anova: int, adjust: str, weights: str, errors: str) -> str:
    """Return the sentences for a methods section."""
    twice = f", without and with {extra}" if extra else ""
    over = {"equal": "with equal weights", "observed": "with the weights observed"}[weights]
    return (
        f"Groups were compared by analysis of covariance, {formula}{twice}, fitted by ordinary "
        f"least squares with {SOFTWARE}{errors}; terms were tested by F tests of type "
        f"{'I' * anova}. Adjusted means (doi:10.1080/00031305.1980.10483031) are at the mean of "
        f"covariates that are numbers, averaged over other categories {over}; Cohen's d is their "
        f"difference by the residual standard deviation. Correction over contrasts: "
        f"{REFERENCES[adjust]}. {CHECKS}"
    )


def means_drawing(fitted: Regression, means: pd.DataFrame, factor: str) -> Drawing:
    """Return adjusted means with observations as they would be with covariates held equal."""
    groups = np.array([level_name(level) for level in fitted.data[factor]])
    at = dict(zip(means["group"], means["estimate"], strict=True))
    points = pd.DataFrame(
        {
            "group": groups,
            "kind": "point",
            "y": np.array([at[group] for group in groups]) + fitted.result.resid.to_numpy(),
        }
    )
    shown = means.rename(columns={"estimate": "y"}).assign(kind="mean")
    columns = ["group", "kind", "y", "ci_low", "ci_high"]
    data = pd.concat([shown[columns], points.reindex(columns=columns).astype(
        {"ci_low": float, "ci_high": float})], ignore_index=True)  # fmt: skip
    return Drawing(
        "adjusted_means",
        data,
        f"Adjusted means of {fitted.outcome} with confidence intervals, from {fitted.formula}; "
        "points are the group's mean plus the residual of each observation.",
        {"group": factor, "y": f"{fitted.outcome}, adjusted"},
    )


def _contrast_forest(fitted: Regression, compared: pd.DataFrame) -> Drawing:
    """Return contrasts with intervals."""
    data = compared.rename(columns={"term": "label"})
    return Drawing(
        "forest",
        data[["label", "estimate", "ci_low", "ci_high", "p_value"]].copy(),
        f"Differences of adjusted means of {fitted.outcome} with confidence intervals, from "
        f"{fitted.formula}.",
        {"estimate": f"difference of {fitted.outcome}", "null": "0"},
    )
