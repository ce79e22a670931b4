"""Cox models whose likelihood is penalised after Firth, for few events or separated groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2

from qsmprep.statistics.partial_likelihood import Histories, log_likelihood, score, shares

Array = np.ndarray


@dataclass(frozen=True)
class FirthFit:
    """
    Estimates of a Cox model with Firth's penalty.

    Parameters
    ----------
    beta : (p,) array
        Log hazard ratios.
    covariance : (p, p) array
        Inverse of the information at `beta`.
    ci_low, ci_high : (p,) array
        Limits of the profile of the penalised likelihood.
    chi2 : (p,) array
        Twice what the penalised log likelihood loses where a coefficient is held at 0.
    log_likelihood
        Penalised, at `beta`.
    converged
        Whether the maximum was found.
    """

    beta: Array
    covariance: Array
    ci_low: Array
    ci_high: Array
    chi2: Array
    log_likelihood: float
    converged: bool


def fit(x: Array, histories: Histories, confidence: float) -> FirthFit:
    r"""
    Maximise the partial likelihood with half the log determinant of its information added.

    .. math:: \ell^*(\beta) = \ell(\beta) + \tfrac12 \log \det I(\beta)

    which takes the first-order bias from the estimates and keeps them finite where groups are
    separated [1]_ [2]_. Tests and intervals are of the profile of this likelihood, whose penalty
    is of all coefficients, those held included.

    Parameters
    ----------
    x : (n, p) array
        Covariates, without a constant.
    histories
        Observation times of the same rows.
    confidence
        Of the intervals.

    References
    ----------
    .. [1] Firth D. Bias reduction of maximum likelihood estimates. Biometrika 1993;80:27-38.
       https://doi.org/10.1093/biomet/80.1.27
    .. [2] Heinze G, Schemper M. A solution to the problem of monotone likelihood in Cox
       regression. Biometrics 2001;57:114-119. https://doi.org/10.1111/j.0006-341X.2001.00114.x
    """
    # The penalty changes by a constant with the scale of the covariates, the estimates do not.
    scale = x.std(axis=0)
    x = (x - x.mean(axis=0)) / scale
    n_terms = x.shape[1]
    best, top, converged = _maximise(x, histories, np.zeros(n_terms), range(n_terms))
    covariance = np.linalg.inv(shares(x, histories, best).variance.sum(axis=0))
    width = chi2.ppf(confidence, 1) / 2
    limits, lost = np.empty((2, n_terms)), np.empty(n_terms)
    for term in range(n_terms):

        def drop(value: float, term: int = term) -> float:
            start = best.copy()
            start[term] = value
            free = [other for other in range(n_terms) if other != term]
            return top - _maximise(x, histories, start, free)[1]

        error = np.sqrt(covariance[term, term])
        lost[term] = 2 * max(drop(0.0), 0)
        for side, sign in enumerate((-1, 1)):
            limits[side, term] = _crossing(drop, best[term], sign * error, width)
    low, high = limits / scale
    return FirthFit(
        best / scale, covariance / np.outer(scale, scale), low, high, lost,
        top + np.log(scale).sum(), converged,
    )  # fmt: skip


def _crossing(drop, start: float, step: float, width: float) -> float:
    """Return where the profile has lost `width`, looking from its maximum in steps."""
    far = start + step
    for _ in range(50):
        if drop(far) > width:
            return float(brentq(lambda value: drop(value) - width, start, far, xtol=1e-9))
        far += step
    return float("nan")


def _maximise(x: Array, histories: Histories, start: Array, free) -> tuple[Array, float, bool]:
    """Return where the penalised likelihood is highest over some coefficients, and its value."""
    free = list(free)
    beta = start.copy()
    value, slope, information = _penalised(x, histories, beta)
    for _ in range(200):
        step = np.zeros_like(beta)
        step[free] = np.linalg.solve(information[np.ix_(free, free)], slope[free])
        # What is left to gain; rounding hides less where there are many events.
        if not free or slope @ step < 1e-13 * max(1, abs(value)):
            return beta, value, True
        # One that leaps too far meets risk sets of one, without information.
        step /= max(1, np.abs(step).max() / 2)
        for _ in range(40):
            new = _penalised(x, histories, beta + step)
            if new[0] >= value - 1e-12 * abs(value):
                break
            step /= 2
        else:
            return beta, value, False
        beta, (value, slope, information) = beta + step, new
    return beta, value, False


def _penalised(x: Array, histories: Histories, beta: Array) -> tuple[float, Array, Array]:
    """Return the penalised log likelihood, its derivative, and the information."""
    found = shares(x, histories, beta, third=True)
    information = found.variance.sum(axis=0)
    sign, log_det = np.linalg.slogdet(information)
    if sign <= 0:
        return -np.inf, np.zeros_like(beta), information
    bias = np.einsum("ab,abc->c", np.linalg.inv(information), found.third.sum(axis=0)) / 2
    value = log_likelihood(x, histories, beta, found) + log_det / 2
    return value, score(x, histories, found) + bias, information
