"""Tests and intervals of weighted coefficients of a mixed model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from qsmprep.statistics.mixed_fit import Fit


def degrees_of_freedom(fit: Fit, contrasts: np.ndarray) -> np.ndarray:
    """
    Return degrees of freedom after Satterthwaite, one per contrast.

    As in Kuznetsova et al. (2017, doi:10.18637/jss.v082.i13): those of a chi-square that has the
    mean and the variance of the estimated variance of the contrast.

    Parameters
    ----------
    contrasts : (c, p) array
        Weights of coefficients.
    """
    variance = np.einsum("cp,pq,cq->c", contrasts, fit.covariance, contrasts)
    slopes = np.einsum("cp,kpq,cq->ck", contrasts, fit.slopes, contrasts)
    uncertainty = np.einsum("ck,kl,cl->c", slopes, fit.spread, slopes)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(uncertainty > 0, 2 * variance**2 / uncertainty, np.inf)


def compare(
    fit: Fit, terms: Sequence[str], contrasts: np.ndarray, confidence: float, df: str
) -> pd.DataFrame:
    """
    Return contrasts of coefficients with standard errors, tests and intervals.

    Parameters
    ----------
    terms
        Names of the contrasts.
    contrasts : (c, p) array
        Weights of coefficients.
    confidence
        Of the intervals.
    df
        ``satterthwaite``, or ``normal`` for a z test.
    """
    estimate = contrasts @ fit.beta
    error = np.sqrt(np.einsum("cp,pq,cq->c", contrasts, fit.covariance, contrasts))
    free = (
        degrees_of_freedom(fit, contrasts)
        if df == "satterthwaite"
        else np.full(len(error), np.inf)
    )
    statistic = estimate / error
    reach = stats.t.ppf(0.5 + confidence / 2, free) * error
    return pd.DataFrame({
        "term": list(terms), "estimate": estimate, "std_error": error, "statistic": statistic,
        "df": np.where(np.isinf(free), np.nan, free),
        "p_value": 2 * stats.t.sf(abs(statistic), free),
        "ci_low": estimate - reach, "ci_high": estimate + reach,
    })  # fmt: skip


def joint_test(fit: Fit, contrasts: np.ndarray) -> tuple[float, int, float, float]:
    """
    Return F, its two degrees of freedom and p of contrasts that are zero together.

    Denominators of independent contrasts are joined as Fai and Cornelius do (1996,
    doi:10.1080/00949659608811740).
    """
    values, vectors = np.linalg.eigh(contrasts @ fit.covariance @ contrasts.T)
    turned = vectors.T @ contrasts
    rank = len(values)
    squares = (turned @ fit.beta) ** 2 / values
    free = np.minimum(degrees_of_freedom(fit, turned), 1e12)
    expected = np.sum(np.where(free > 2, free / np.where(free > 2, free - 2, 1.0), 0.0))
    if rank == 1:
        denominator = float(free[0])
    else:
        denominator = 2 * expected / (expected - rank) if expected > rank else 2.0
    f = float(squares.sum() / rank)
    return f, rank, denominator, float(stats.f.sf(f, rank, denominator))
