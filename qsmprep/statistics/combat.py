"""ComBat: batches moved and scaled to one another, with the help of all features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qsmprep.statistics.batches import Sample, masked, place, reference_number, sample
from qsmprep.statistics.coding import Coding
from qsmprep.statistics.empirical_bayes import shrink
from qsmprep.statistics.random_intercept import patterns

_NIL = 1e-9  # of the largest value: a smaller standard deviation is rounding


@dataclass(frozen=True)
class Combat:
    """
    What ComBat learnt.

    Parameters
    ----------
    batches
        Their names.
    reference_batch
        The batch that is left as it is, if there is one.
    coding
        Of the covariates.
    counts : (batches, features) real array
        Values that were there.
    level : (features,) real array
        What the batches are brought to.
    effects : (columns, features) real array
        Of the covariates' columns; protected.
    spread : (features,) real array
        Standard deviation about both.
    shift, scale : (batches, features) real array
        Location and standard deviation of each batch in units of `spread`; NaN where a feature
        cannot be harmonised.
    """

    batches: tuple[str, ...]
    reference_batch: str | None
    coding: Coding
    counts: np.ndarray
    level: np.ndarray
    effects: np.ndarray
    spread: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        """What is taken from each batch, (batches, features), in the unit of the values."""
        return self.shift * self.spread


def fit(
    values: np.ndarray,
    batch: Sequence[str],
    covariates: pd.DataFrame | None = None,
    *,
    smooth: Mapping[str, int] | None = None,
    reference_batch: str | None = None,
    mean_only: bool = False,
    parametric: bool = True,
) -> Combat:
    """
    Learn what batches do to features, covariates protected.

    After Johnson et al. (2007, doi:10.1093/biostatistics/kxj037), as Fortin et al. (2018,
    doi:10.1016/j.neuroimage.2017.11.024) took it to images. Differs in: 1. A feature with missing
    values is fitted to the rows that have it. 2. A feature with fewer than three values in a batch
    is left out in that batch, one without spread everywhere: NaN, never values as they were.

    Parameters
    ----------
    values : (rows, features) real array
        NaN where missing.
    batch : (rows,)
        Names.
    covariates
        Whose effects are kept, a row each. Rows with a gap are not used.
    smooth
        Numbers among them that enter as splines, with their number of knots.
    reference_batch
        The others are brought to it; it stays as it is, to the last bit.
    mean_only
        Whether only means are moved.
    parametric
        Whether shifts and variances follow given distributions, or their own.
    """
    found = sample(values, batch, covariates, smooth)
    reference = reference_number(found.batches, reference_batch)
    counts = found.counts()
    coefficients = _least_squares(found)
    batches = len(found.batches)
    if reference is None:
        level = np.nansum(counts * coefficients[:batches], axis=0) / counts.sum(axis=0).clip(1)
    else:
        level = coefficients[reference]
    effects = coefficients[batches:]
    level = np.where(np.isfinite(coefficients).any(axis=0), level, np.nan)
    left = found.values - found.design @ np.nan_to_num(coefficients)
    spread = _spread(left if reference is None else left[found.number == reference], found.values)
    z = (found.values - level - found.covariates @ effects) / spread
    shift, scale = _batch_effects(z, found, mean_only, parametric)
    if reference is not None:
        kept = np.isfinite(level)
        shift[reference], scale[reference] = np.where(kept, 0, np.nan), np.where(kept, 1, np.nan)
    return Combat(
        found.batches, reference_batch, found.coding, counts, level, effects, spread, shift, scale
    )


def apply(
    parameters: Combat,
    values: np.ndarray,
    batch: Sequence[str],
    covariates: pd.DataFrame | None = None,
) -> np.ndarray:
    """
    Return harmonised values of the same or of new participants of known batches.

    Parameters
    ----------
    parameters
        As `fit` returns them.
    values : (rows, features) real array
        NaN where missing.
    batch : (rows,)
        Names.
    covariates
        Those of `fit`.

    Returns
    -------
    harmonised : (rows, features) real array
        NaN where a value, a covariate or an estimate is missing.

    Raises
    ------
    RequestError
        If a batch or a category is not known.
    """
    number = place(batch, parameters.batches)
    usable, columns = masked(values, parameters.coding, covariates)
    expected = parameters.level + np.nan_to_num(columns) @ parameters.effects
    z = (usable - expected) / parameters.spread
    moved = (z - parameters.shift[number]) / parameters.scale[number]
    harmonised = moved * parameters.spread + expected
    return keep_reference(
        harmonised, usable, parameters.batches, parameters.reference_batch, number
    )


def keep_reference(
    harmonised: np.ndarray,
    values: np.ndarray,
    batches: Sequence[str],
    reference_batch: str | None,
    number: np.ndarray,
) -> np.ndarray:
    """Return harmonised values with those of the reference as they were, to the last bit."""
    reference = reference_number(batches, reference_batch)
    if reference is not None:
        rows = number == reference
        harmonised[rows] = np.where(np.isfinite(harmonised[rows]), values[rows], np.nan)
    return harmonised


def _least_squares(found: Sample) -> np.ndarray:
    """Return coefficients, NaN where a feature has no row of a batch or cannot be fitted."""
    design = found.design
    coefficients = np.full((design.shape[1], found.values.shape[1]), np.nan)
    for rows, features in patterns(found.values):
        there = design[rows].any(axis=0)
        # Without a category of a covariate nothing can be said of those who have it.
        if there[len(found.batches) :].all() and rows.any():
            x = design[rows][:, there]
            estimates, _, rank, _ = np.linalg.lstsq(x, found.values[np.ix_(rows, features)])
            if rank == there.sum():
                coefficients[np.ix_(there, features)] = estimates
    return coefficients


def _spread(left: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the root mean square of what is left, NaN where it is nothing."""
    n = np.isfinite(left).sum(axis=0)
    spread = np.sqrt(np.nansum(left**2, axis=0) / np.maximum(n, 1))
    largest = np.max(np.abs(np.nan_to_num(values)), axis=0)
    return np.where((n > 0) & (spread > _NIL * largest), spread, np.nan)


def _batch_effects(
    z: np.ndarray, found: Sample, mean_only: bool, parametric: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the location and the standard deviation of all batches, (batches, features)."""
    means = np.full((len(found.batches), z.shape[1]), np.nan)
    shift, scale = means.copy(), means.copy()
    for i in range(len(found.batches)):
        of = z[found.number == i]
        mean, variance = moments(of)
        shift[i], width = shrink(of, mean, variance, mean_only=mean_only, parametric=parametric)
        scale[i] = np.sqrt(width)
    return shift, scale


def moments(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of columns, NaN for those with no two different values."""
    n = np.isfinite(z).sum(axis=0)
    mean = np.nansum(z, axis=0) / np.maximum(n, 1)
    variance = np.nansum((z - mean) ** 2, axis=0) / np.maximum(n - 1, 1)
    bad = (n < 2) | (variance < _NIL**2)
    return np.where(bad, np.nan, mean), np.where(bad, np.nan, variance)
