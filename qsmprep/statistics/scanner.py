"""The scanner as a covariate: its mean difference is taken out, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qsmprep.statistics import random_intercept
from qsmprep.statistics.batches import masked, place, reference_number, sample
from qsmprep.statistics.coding import Coding


@dataclass(frozen=True)
class Offsets:
    """
    A number per batch and feature that is taken out.

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
    offsets, std_errors : (batches, features) real array
        In the unit of the values, and what is not known of them; NaN where a feature cannot be
        harmonised.
    spread : (features,) real array
        Standard deviation of residuals.
    """

    batches: tuple[str, ...]
    reference_batch: str | None
    coding: Coding
    counts: np.ndarray
    offsets: np.ndarray
    std_errors: np.ndarray
    spread: np.ndarray


def fit(
    values: np.ndarray,
    batch: Sequence[str],
    covariates: pd.DataFrame | None = None,
    participants: Sequence[str] | None = None,
    *,
    smooth: Mapping[str, int] | None = None,
    reference_batch: str | None = None,
) -> Offsets:
    """
    Estimate the mean difference of batches, covariates held.

    Least squares; where participants come more than once, with an intercept for each by
    restricted maximum likelihood. Nothing is learnt from other features.

    Parameters
    ----------
    values : (rows, features) real array
        NaN where missing; a feature is fitted to the rows that have it.
    batch, covariates, smooth
        As for `qsmprep.statistics.combat.fit`.
    participants : (rows,), optional
        Whose rows they are.
    reference_batch
        What the others are brought to; without, the mean of batches by their number of values.
    """
    found = sample(values, batch, covariates, smooth)
    reference = reference_number(found.batches, reference_batch)
    fitted = random_intercept.fit(
        found.design,
        found.values,
        None if participants is None else np.asarray(participants, str),
    )
    batches, counts = len(found.batches), found.counts()
    of_batches = fitted.coefficients[:batches]
    covariance = fitted.covariance[:, :batches, :batches]
    offsets, errors = centred(of_batches, covariance, counts, reference)
    return Offsets(
        found.batches, reference_batch, found.coding, counts, offsets, errors,
        np.sqrt(fitted.variance),
    )  # fmt: skip


def apply(
    parameters: Offsets,
    values: np.ndarray,
    batch: Sequence[str],
    covariates: pd.DataFrame | None = None,
) -> np.ndarray:
    """
    Return values less the offset of their batch, of the same or of new participants.

    Parameters
    ----------
    parameters
        As `fit` returns them.
    values, batch, covariates
        As for `qsmprep.statistics.combat.apply`.
    """
    usable, _ = masked(values, parameters.coding, covariates)
    return usable - parameters.offsets[place(batch, parameters.batches)]


def centred(
    estimates: np.ndarray, covariance: np.ndarray, counts: np.ndarray, reference: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return estimates of batches against their weighted mean or a reference, with standard errors.

    Parameters
    ----------
    estimates, counts : (batches, features) real array
        NaN where a batch has none.
    covariance : (features, batches, batches) real array
        Of the estimates.
    reference
        Which batch is 0.
    """
    weights = counts * np.isfinite(estimates)
    if reference is not None:
        weights = np.zeros_like(weights)
        weights[reference] = np.isfinite(estimates[reference])
    total = weights.sum(axis=0)
    weights = weights / np.where(total > 0, total, np.nan)
    offsets = estimates - np.nansum(weights * estimates, axis=0)
    offsets[:, total == 0] = np.nan
    contrast = np.eye(len(estimates)) - np.nan_to_num(weights).T[:, None, :]
    variance = np.einsum("fij,fjk,fik->if", contrast, covariance, contrast)
    return offsets, np.where(np.isfinite(offsets), np.sqrt(np.maximum(variance, 0)), np.nan)
