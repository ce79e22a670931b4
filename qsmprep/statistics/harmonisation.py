"""The methods of harmonisation by name, and how much of the batches is there before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import f as f_distribution

from qsmprep.statistics import (
    combat,
    combat_gam,
    longitudinal_combat,
    random_intercept,
    scanner,
    travelling,
)
from qsmprep.statistics.batches import sample

Parameters = combat.Combat | longitudinal_combat.LongitudinalCombat | scanner.Offsets


class Method(NamedTuple):
    """
    A method of harmonisation.

    `options` are the keywords of `fit` that a user may set; `repeats` tells whether `fit` takes
    participants; `text` says what was done, for a methods section.
    """

    fit: Callable[..., Any]
    apply: Callable[..., np.ndarray]
    kind: type
    options: tuple[str, ...]
    repeats: bool
    text: str


_COMBAT = ("reference_batch", "mean_only", "parametric")

METHODS: Mapping[str, Method] = {
    "combat": Method(
        combat.fit, combat.apply, combat.Combat, (*_COMBAT, "smooth"), False,
        "ComBat (Johnson et al., 2007, doi:10.1093/biostatistics/kxj037; Fortin et al., 2018, "
        "doi:10.1016/j.neuroimage.2017.11.024)",
    ),
    "combat-gam": Method(
        combat_gam.fit, combat_gam.apply, combat.Combat, (*_COMBAT, "smooth"), False,
        "ComBat with natural cubic splines (after Pomponio et al., 2020, "
        "doi:10.1016/j.neuroimage.2019.116450)",
    ),
    "longitudinal-combat": Method(
        longitudinal_combat.fit, longitudinal_combat.apply,
        longitudinal_combat.LongitudinalCombat, _COMBAT, True,
        "longitudinal ComBat (Beer et al., 2020, doi:10.1016/j.neuroimage.2020.117129)",
    ),
    "travelling": Method(
        travelling.fit, travelling.apply, scanner.Offsets, ("reference_batch",), True,
        "offsets from travelling participants (after Yamashita et al., 2019, "
        "doi:10.1371/journal.pbio.3000042)",
    ),
    "scanner": Method(
        scanner.fit, scanner.apply, scanner.Offsets, ("reference_batch", "smooth"), True,
        "removal of the mean difference of batches in a linear model",
    ),
}  # fmt: skip
"""All methods by the name users call them."""


@dataclass(frozen=True)
class Rows:
    """
    Of whom the rows of values are.

    Parameters
    ----------
    batch, participants : (rows,) text
        Names.
    covariates
        A row each, or None.
    """

    batch: Sequence[str]
    participants: Sequence[str]
    covariates: pd.DataFrame | None


def fit(method: str, values: np.ndarray, rows: Rows, **options: Any) -> Parameters:
    """Return what a method learns from values, (rows, features)."""
    how = METHODS[method]
    whose = (rows.participants,) if how.repeats else ()
    return how.fit(values, rows.batch, rows.covariates, *whose, **options)


def apply(method: str, parameters: Parameters, values: np.ndarray, rows: Rows) -> np.ndarray:
    """Return values that a method harmonised, (rows, features)."""
    whose = (rows.participants,) if method == "longitudinal-combat" else ()
    return METHODS[method].apply(parameters, values, rows.batch, rows.covariates, *whose)


def site_variance(
    values: np.ndarray, rows: Rows, smooth: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """
    Return how much of every feature is of the batches, covariates held.

    An intercept per participant is fitted where some were seen twice; the degrees of freedom are
    then participants less columns, which errs on the side of no effect.

    Parameters
    ----------
    values : (rows, features) real array
        NaN where missing.
    rows
        Whose they are.
    smooth
        Covariates that may bend, with their number of knots.

    Returns
    -------
    n
        Values per feature.
    partial_r2, p
        Of the batches, by an F test.
    variance_ratio
        Largest over smallest variance of residuals of a batch.
    adjusted : (batches, features) real array
        Mean of each batch less that of all, covariates held.
    """
    found = sample(values, rows.batch, rows.covariates, smooth)
    whose = np.unique(np.asarray(rows.participants, str), return_inverse=True)[1]
    fitted = random_intercept.fit(found.design, found.values, whose)
    batches = len(found.batches)
    means, counts = fitted.coefficients[:batches], found.counts()
    covariance = fitted.covariance[:, :batches, :batches]
    r2, p = _tests(means, covariance, fitted.participants - found.design.shape[1])
    left = found.values - found.design @ np.nan_to_num(fitted.coefficients)
    left = left - random_intercept.intercepts(left, whose, fitted.ratio)
    variances = np.array([combat.moments(left[found.number == i])[1] for i in range(batches)])
    known = np.isfinite(variances).any(axis=0)
    filled = np.where(known, variances, 1.0)
    ratio = np.where(known, np.nanmax(filled, axis=0) / np.nanmin(filled, axis=0), np.nan)
    adjusted, _ = scanner.centred(means, covariance, counts, None)
    n = np.where(np.isfinite(fitted.variance), fitted.rows, 0)
    return {"n": n, "partial_r2": r2, "p": p, "variance_ratio": ratio, "adjusted": adjusted}


def _tests(
    means: np.ndarray, covariance: np.ndarray, freedom: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the partial R2 of batches and its p value for every feature."""
    r2, p = np.full((2, means.shape[1]), np.nan)
    for feature in range(means.shape[1]):
        there = np.flatnonzero(np.isfinite(means[:, feature]))
        q = len(there) - 1
        if q < 1 or freedom[feature] < 1:
            continue
        contrast = np.eye(len(there))[1:] - np.eye(len(there))[0]
        difference = contrast @ means[there, feature]
        spread = contrast @ covariance[feature][np.ix_(there, there)] @ contrast.T
        if np.linalg.matrix_rank(spread) < q:
            continue
        wald = difference @ np.linalg.solve(spread, difference)
        r2[feature] = wald / (wald + freedom[feature])
        p[feature] = f_distribution.sf(wald / q, q, freedom[feature])
    return r2, p
