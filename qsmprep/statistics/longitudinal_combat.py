"""ComBat for participants who come more than once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.statistics import random_intercept
from qsmprep.statistics.batches import masked, place, reference_number, sample
from qsmprep.statistics.coding import Coding
from qsmprep.statistics.combat import keep_reference, moments
from qsmprep.statistics.empirical_bayes import shrink


@dataclass(frozen=True)
class LongitudinalCombat:
    """
    What longitudinal ComBat learnt.

    Parameters
    ----------
    batches, reference_batch, coding, counts, level, effects
        As `qsmprep.statistics.combat.Combat`.
    spread : (features,) real array
        Standard deviation of residuals, within participants.
    ratio : (features,) real array
        Variance between participants over that within.
    means : (batches, features) real array
        Estimated difference of each batch from `level`, before it is shrunk.
    shift, scale : (batches, features) real array
        Location and standard deviation of each batch in units of `spread`.
    """

    batches: tuple[str, ...]
    reference_batch: str | None
    coding: Coding
    counts: np.ndarray
    level: np.ndarray
    effects: np.ndarray
    spread: np.ndarray
    ratio: np.ndarray
    means: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        """What is taken from each batch, (batches, features), in the unit of the values."""
        return self.shift * self.spread


def fit(
    values: np.ndarray,
    batch: Sequence[str],
    covariates: pd.DataFrame | None,
    participants: Sequence[str],
    *,
    reference_batch: str | None = None,
    mean_only: bool = False,
    parametric: bool = True,
) -> LongitudinalCombat:
    """
    Learn what batches do to features within and between participants, covariates protected.

    After Beer et al. (2020, doi:10.1016/j.neuroimage.2020.117129), with an intercept per
    participant by restricted maximum likelihood. Time belongs to the covariates, or the change
    over it is taken for an effect of the scanner. Missing values: as in
    `qsmprep.statistics.combat`.

    Parameters
    ----------
    values, batch, covariates, reference_batch, mean_only, parametric
        As for `qsmprep.statistics.combat.fit`.
    participants : (rows,)
        Whose rows they are.

    Raises
    ------
    RequestError
        If nobody was seen twice.
    """
    found = sample(values, batch, covariates)
    reference = reference_number(found.batches, reference_batch)
    whose = np.unique(np.asarray(participants, str), return_inverse=True)[1]
    if np.bincount(whose).max() < 2:
        raise RequestError(
            "nobody was seen twice; longitudinal-combat needs that, combat does not"
        )
    mixed = random_intercept.fit(found.design, found.values, whose)
    batches = len(found.batches)
    counts, of_batches = found.counts(), mixed.coefficients[:batches]
    n = np.maximum(counts.sum(axis=0), 1)
    level = (
        np.nansum(counts * of_batches, axis=0) / n if reference is None else of_batches[reference]
    )
    level = np.where(np.isfinite(mixed.variance), level, np.nan)
    effects, means = mixed.coefficients[batches:], of_batches - level
    left = found.values - level - found.covariates @ effects
    own = random_intercept.intercepts(left - means[found.number], whose, mixed.ratio)
    spread = np.sqrt(np.where(mixed.variance > 0, mixed.variance, np.nan))
    z = (left - own) / spread
    shift, scale = np.full_like(means, np.nan), np.full_like(means, np.nan)
    for i in range(batches):
        of = z[found.number == i]
        shift[i], width = shrink(
            of, means[i] / spread, moments(of)[1], mean_only=mean_only, parametric=parametric
        )
        scale[i] = np.sqrt(width)
    if reference is not None:
        kept = np.isfinite(level)
        shift[reference], scale[reference] = np.where(kept, 0, np.nan), np.where(kept, 1, np.nan)
    return LongitudinalCombat(
        found.batches, reference_batch, found.coding, counts, level, effects, spread, mixed.ratio,
        means, shift, scale,
    )  # fmt: skip


def apply(
    parameters: LongitudinalCombat,
    values: np.ndarray,
    batch: Sequence[str],
    covariates: pd.DataFrame | None,
    participants: Sequence[str],
) -> np.ndarray:
    """
    Return harmonised values of the same or of new participants of known batches.

    The intercept of a participant is predicted from all rows given here: give all visits at once.

    Parameters
    ----------
    parameters
        As `fit` returns them.
    values, batch, covariates
        As for `qsmprep.statistics.combat.apply`.
    participants : (rows,)
        Whose rows they are.
    """
    number = place(batch, parameters.batches)
    usable, columns = masked(values, parameters.coding, covariates)
    usable[~np.isfinite(parameters.shift[number])] = np.nan  # as they were left out of the fit
    whose = np.unique(np.asarray(participants, str), return_inverse=True)[1]
    expected = parameters.level + np.nan_to_num(columns) @ parameters.effects
    left = usable - expected
    own = random_intercept.intercepts(left - parameters.means[number], whose, parameters.ratio)
    z = (left - own) / parameters.spread
    moved = (z - parameters.shift[number]) / parameters.scale[number]
    harmonised = moved * parameters.spread + expected + own
    return keep_reference(
        harmonised, usable, parameters.batches, parameters.reference_batch, number
    )
