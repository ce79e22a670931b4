"""Tests of the terms of a linear model."""

from __future__ import annotations

import re

from formulaic import Formula, model_matrix
from formulaic.parser.types import Factor, Term
import numpy as np
import pandas as pd
from scipy import stats
import statsmodels.api as sm

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.regression import Regression, quoted
from qsmprep.statistics.results import Fact


def term_tests(fitted: Regression, kind: int) -> pd.DataFrame:
    r"""
    Return the analysis-of-variance table of a fit.

    Type II compares models that lack the term and all that contain it; type III drops the term
    alone, with categories coded to sum to zero whatever coding the estimates use. Both test
    :math:`L\beta = 0` with :math:`L = X_t^T (I - P_r) X`, where :math:`P_r` projects on the
    terms kept; so they go with robust standard errors as well.

    Returns
    -------
    Table
        Columns term, sum_sq, df, f, p_value, partial_eta2; the last row is the residual. With
        robust errors sum_sq and partial_eta2 are missing.
    """
    if kind not in (2, 3):
        raise RequestError(f"anova = {shown(kind)}; it is 2 or 3")
    spec = fitted.x.model_spec
    terms = [_sum_coded(term, fitted) for term in spec.terms]
    x = model_matrix(Formula(terms), fitted.data, na_action="raise", context={})
    values = x.to_numpy(float)
    result = sm.OLS(fitted.result.model.endog, values).fit(use_t=True, **fitted.robust)
    slices = list(x.model_spec.term_slices.values())
    rows = []
    for term, columns, name in zip(spec.terms, slices, spec.terms, strict=True):
        if not term.factors or str(name) == "1":
            continue
        kept = np.concatenate([
            values[:, other_columns]
            for other, other_columns in zip(spec.terms, slices, strict=True)
            if other != term and (kind == 3 or not set(term.factors) <= set(other.factors))
        ] or [np.zeros((len(values), 0))], axis=1)  # fmt: skip
        hypothesis = _without(kept, values[:, columns]).T @ values
        rows.append({"term": str(name), **_wald(hypothesis, result, fitted)})
    left = {"term": "Residual", "sum_sq": result.ssr, "df": float(result.df_resid)}
    return pd.DataFrame([*rows, left])


def _sum_coded(term: Term, fitted: Regression) -> Term:
    """Return a term with its plain categories coded to sum to zero."""
    kinds = fitted.x.model_spec.encoder_state
    factors = []
    for factor in term.factors:
        kind = kinds.get(factor.expr, (None,))[0]
        plain = re.fullmatch(r"C\(([\w.]+|`[^`]+`)\)", factor.expr)
        if kind is Factor.Kind.CATEGORICAL and (plain or factor.expr in fitted.data):
            name = plain[1] if plain else quoted(factor.expr)
            factors.append(Factor(f"C({name}, contr.sum)", eval_method="python"))
        else:
            factors.append(factor)
    return Term(factors)


def _without(kept: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return columns with what others say of them removed."""
    if kept.shape[1] == 0:
        return columns
    return columns - kept @ np.linalg.lstsq(kept, columns, rcond=None)[0]


def _wald(hypothesis: np.ndarray, result, fitted: Regression) -> dict[str, Fact]:
    """Return the F test that a matrix times the coefficients is zero."""
    value = hypothesis @ result.params
    covariance = hypothesis @ result.cov_params() @ hypothesis.T
    df = np.linalg.matrix_rank(hypothesis)
    f = float(value @ np.linalg.pinv(covariance, rcond=1e-12) @ value) / df
    return {
        "sum_sq": f * df * result.scale if fitted.classical else np.nan,
        "df": float(df),
        "f": f,
        "p_value": float(stats.f.sf(f, df, fitted.df)),
        "partial_eta2": f * df / (f * df + fitted.df) if fitted.classical else np.nan,
    }
