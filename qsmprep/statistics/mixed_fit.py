"""Fit linear mixed models, leave out what the data do not bear, and compare what was fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import minimize

from qsmprep.statistics.likelihood import (
    Products,
    Structure,
    Value,
    evaluate,
    without_effect,
    without_units,
    weighted,
)

ZERO = 1e-4
"""Standard deviation, in that of the noise, below which a random effect counts as absent."""


@dataclass(frozen=True)
class Fit:
    """
    A linear mixed model with its best parameters.

    Parameters
    ----------
    beta, covariance : (p,), (p, p) array
        Coefficients and their covariance.
    slopes : (k, p, p) array
        Derivative of the covariance by the k variance parameters.
    spread : (k, k) array
        Covariance of the variance parameters.
    sigma2
        Variance of the noise.
    effects
        Names of the random effects of participants that remain.
    between : (r, r) array
        Their covariance.
    unit_variance
        Variance of units within participants; missing where there is none.
    log_likelihood
        Restricted or full, with all constants.
    parameters
        Number of variance parameters.
    converged
        Whether a maximum was found.
    dropped
        What was left out of the random effects, in this order, because it was estimated as zero.
    deviations, unit_deviations : (m, r), (m, u) array
        Predicted random effects of participants, and of their units in order of appearance.
    sums, structure, theta
        What it was fitted to, and where the maximum is.
    """

    beta: np.ndarray
    covariance: np.ndarray
    slopes: np.ndarray
    spread: np.ndarray
    sigma2: float
    effects: tuple[str, ...]
    between: np.ndarray
    unit_variance: float | None
    log_likelihood: float
    parameters: int
    converged: bool
    dropped: tuple[str, ...]
    deviations: np.ndarray
    unit_deviations: np.ndarray
    sums: Products
    structure: Structure
    theta: np.ndarray


def fit_mixed(sums: Products, effects: Sequence[str], units: bool, reml: bool) -> Fit:
    """
    Return the model that maximises the likelihood, without components that it puts at zero.

    A fit on the boundary (a variance of zero, a correlation of one) has no standard errors of its
    variances, and stopping there or short of a maximum is what makes other software's coefficients
    differ. So components are left out, one by one, until a maximum is inside: first the
    correlation between random effects, then slopes from the last, then units, then the first
    effect, which is the intercept.

    Parameters
    ----------
    sums
        See `qsmprep.statistics.likelihood.products`.
    effects
        Names of the random effects of participants.
    units
        Whether units within participants have an intercept of their own.
    reml
        Restricted likelihood.
    """
    structure = Structure(len(effects), len(effects) > 1, units)
    names, dropped = list(effects), []
    while True:
        theta, converged = maximise(sums, structure, reml)
        out = _component_at_zero(structure, theta, converged)
        if out is None:
            return _describe(sums, structure, theta, reml, tuple(names), converged, tuple(dropped))
        if out == "correlation":
            dropped.append("the correlation of the random effects")
            structure = replace(structure, correlated=False)
        elif out == "units":
            dropped.append("the variance of units")
            sums, structure = without_units(sums), replace(structure, units=False)
        else:
            dropped.append(f"the variance of {names.pop(out)}")
            sums = without_effect(sums, out)
            structure = replace(structure, effects=len(names))


def _component_at_zero(
    structure: Structure, theta: np.ndarray, converged: bool
) -> int | str | None:
    """Return what to leave out next: an effect by its place, a word, or nothing."""
    sizes = np.abs(np.diag(structure.triangle(theta)))
    effect_at_zero = bool((sizes < ZERO).any())
    unit_at_zero = structure.units and abs(theta[-1]) < ZERO
    if converged and not effect_at_zero and not unit_at_zero:
        return None
    if structure.correlated and (effect_at_zero or not unit_at_zero):
        return "correlation"
    slopes = [i for i in range(1, structure.effects) if sizes[i] < ZERO]
    if slopes:
        return slopes[-1]
    if unit_at_zero:
        return "units"
    if effect_at_zero:
        return 0
    if structure.effects > 1:
        return structure.effects - 1  # no maximum was found: try what is simpler
    return "units" if structure.units else None


def _steps(fit: Fit) -> np.ndarray:
    """Return directions in which the deviance is about equally steep, so that few are needed."""
    k = len(fit.theta)
    values, vectors = np.linalg.eigh(fit.spread[:k, :k] / 2)
    return vectors * np.sqrt(np.where(values > 0, values, 1.0))


def _near(sums: Products, fit: Fit, step: np.ndarray, reml: bool) -> np.ndarray:
    """Return the maximum near that of another fit, to a hundredth of its standard errors."""
    if not len(fit.theta):
        return fit.theta

    def deviance(place: np.ndarray) -> tuple[float, np.ndarray]:
        value = evaluate(sums, fit.structure, fit.theta + step @ place, reml)
        return value.deviance, step.T @ value.gradient[:-1]

    start = np.zeros(len(fit.theta))
    options = {"gtol": 0.01, "ftol": 1e-9}
    found = minimize(deviance, start, jac=True, method="L-BFGS-B", options=options)
    return fit.theta + step @ found.x


def maximise(sums: Products, structure: Structure, reml: bool) -> tuple[np.ndarray, bool]:
    """
    Return the parameters of the random effects at the maximum, and whether it is one.

    Quasi-Newton steps from random effects as large as the noise, then from a tenth of that, then
    a simplex from there, until Newton's steps end at a maximum. The likelihood does not know the
    signs of the triangle's columns, so that no bounds are needed; its diagonal is returned
    positive.
    """
    if not structure.size:
        return np.zeros(0), True

    def deviance(theta: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            value = evaluate(sums, structure, theta, reml)
        except np.linalg.LinAlgError:  # a step out to where nothing is finite
            return 1e100, np.zeros(len(theta))
        return value.deviance, value.gradient[:-1]

    best, converged = structure.start(1.0), False
    for first in (structure.start(1.0), structure.start(0.1), None):
        if first is None:
            found = minimize(lambda t: deviance(t)[0], best, method="Nelder-Mead").x
        else:
            options = {"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500}
            found = minimize(deviance, first, jac=True, method="L-BFGS-B", options=options).x
        found, converged = _polish(sums, structure, found, reml)
        if deviance(found)[0] <= deviance(best)[0]:
            best = found
        if converged:
            break
    triangle = structure.triangle(best)
    signs = np.where(np.diag(triangle) < 0, -1.0, 1.0)
    positive = (triangle * signs)[structure.places]
    return np.r_[positive, np.abs(best[-1:])] if structure.units else positive, converged


def _polish(
    sums: Products, structure: Structure, theta: np.ndarray, reml: bool
) -> tuple[np.ndarray, bool]:
    """Take Newton's steps to the maximum; tell whether they end at one."""
    for _ in range(10):
        here = evaluate(sums, structure, theta, reml)
        gradient = here.gradient[:-1]
        curvature = _curvature(sums, structure, theta, reml)
        if np.linalg.eigvalsh(curvature)[0] <= 0:
            return theta, False
        step = np.linalg.solve(curvature, gradient)
        if gradient @ step < 1e-12:
            return theta, True
        while evaluate(sums, structure, theta - step, reml).deviance > here.deviance + 1e-9:
            step = step / 2
            if np.abs(step).max() < 1e-10:
                return theta, bool(gradient @ step < 1e-8)
        theta = theta - step
    return theta, False


def _curvature(
    sums: Products, structure: Structure, theta: np.ndarray, reml: bool, sigma: float | None = None
) -> np.ndarray:
    """Return the second derivatives of the deviance, by sigma as well where it is given."""

    def gradient(point: np.ndarray) -> np.ndarray:
        if sigma is None:
            return evaluate(sums, structure, point, reml).gradient[:-1]
        return evaluate(sums, structure, point[:-1], reml, point[-1]).gradient

    at = theta if sigma is None else np.r_[theta, sigma]
    steps = 1e-4 * np.maximum(np.abs(at), 0.01 if sigma is None else 0.01 * sigma)
    rows = [
        (gradient(at + step) - gradient(at - step)) / (2 * size)
        for size, step in zip(steps, np.diag(steps), strict=True)
    ]
    return (np.array(rows) + np.array(rows).T) / 2


def _describe(
    sums: Products,
    structure: Structure,
    theta: np.ndarray,
    reml: bool,
    names: tuple[str, ...],
    converged: bool,
    dropped: tuple[str, ...],
) -> Fit:
    value = evaluate(sums, structure, theta, reml)
    sigma = np.sqrt(value.sigma2)
    curvature = _curvature(sums, structure, theta, reml, float(sigma))
    triangle = structure.triangle(theta) / sums.scale[:, None]
    factor = structure.factor(theta, sums.zz.shape[1])
    deviations = value.zvr @ (factor @ factor.T)
    own = structure.effects
    return Fit(
        beta=sums.shift + sums.to_beta @ value.beta,
        covariance=value.sigma2 * sums.to_beta @ value.inverse @ sums.to_beta.T,
        slopes=_covariance_slopes(sums, structure, theta, value),
        # twice the inverse: the deviance is minus twice the logarithm
        spread=2 * np.linalg.pinv(curvature, hermitian=True),
        sigma2=value.sigma2,
        effects=names,
        between=value.sigma2 * triangle @ triangle.T,
        unit_variance=value.sigma2 * theta[-1] ** 2 if structure.units else None,
        log_likelihood=-value.deviance / 2,
        parameters=structure.size + 1,
        converged=converged,
        dropped=dropped,
        deviations=deviations[:, :own] / sums.scale,
        unit_deviations=deviations[:, own:],
        sums=sums, structure=structure, theta=theta,
    )  # fmt: skip


def _covariance_slopes(
    sums: Products, structure: Structure, theta: np.ndarray, value: Value
) -> np.ndarray:
    """Return the derivatives of the coefficients' covariance by theta and sigma."""
    zvx = value.zvx * np.sqrt(sums.weights)[:, None, None]
    back = sums.to_beta @ value.inverse
    own = zvx[:, : sums.effects] @ back.T
    triangle = structure.triangle(theta)
    spread = np.einsum("ba,mbp->map", triangle, own)
    slopes = []
    for row, column in zip(*structure.places, strict=True):
        half = own[:, row].T @ spread[:, column]
        slopes.append(value.sigma2 * (half + half.T))
    if structure.units:
        of_units = (zvx[:, sums.effects :] @ back.T).reshape(-1, len(sums.to_beta))
        slopes.append(value.sigma2 * 2 * theta[-1] * of_units.T @ of_units)
    slopes.append(2 * np.sqrt(value.sigma2) * back @ sums.to_beta.T)
    return np.array(slopes)


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
        "df": np.where(np.isinf(free), np.nan, free), "p_value": 2 * stats.t.sf(abs(statistic), free),
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
    free = degrees_of_freedom(fit, turned)
    expected = np.sum(np.where(free > 2, free / np.where(free > 2, free - 2, 1.0), 0.0))
    if rank == 1:
        denominator = float(free[0])
    else:
        denominator = 2 * expected / (expected - rank) if expected > rank else 2.0
    f = float(squares.sum() / rank)
    return f, rank, denominator, float(stats.f.sf(f, rank, denominator))


def bootstrap(
    fit: Fit, contrasts: np.ndarray, reml: bool, replicates: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return contrasts refitted to participants drawn with replacement, and their standard errors.

    A participant comes with all its observations (Field and Welsh, 2007,
    doi:10.1111/j.1467-9868.2007.00593.x). Draws whose design says less than it has columns are
    left out, so that fewer rows than asked for may come back.
    """
    rng = np.random.default_rng(seed)
    count = len(fit.sums.rows)
    step = _steps(fit)
    estimates, errors = [], []
    for _ in range(replicates):
        sums = weighted(fit.sums, np.bincount(rng.integers(0, count, count), minlength=count))
        design = sums.weights @ sums.ww[:, :-1, :-1].transpose(1, 0, 2)
        if np.linalg.cond(design) > 1e8:  # a term has nothing to be estimated from
            continue
        theta = _near(sums, fit, step, reml)
        value = evaluate(sums, fit.structure, theta, reml)
        turned = contrasts @ sums.to_beta
        estimates.append(contrasts @ sums.shift + turned @ value.beta)
        errors.append(
            np.sqrt(value.sigma2 * np.einsum("cp,pq,cq->c", turned, value.inverse, turned))
        )
    width = len(contrasts)
    return np.reshape(estimates, (-1, width)), np.reshape(errors, (-1, width))
