"""What is harmonised: batches, what must be kept, and whether the two can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.statistics.coding import Coding, learn

FEWEST = 3
"""Participants below which a batch is refused; values of it below which a feature is missing."""

FEW = 10
"""Participants below which a batch is warned of."""

CLOSE = 0.3
"""Adjusted share of a covariate's variance between batches above which it is warned of."""


@dataclass(frozen=True)
class Sample:
    """
    Values to fit, with their design.

    Parameters
    ----------
    batches
        Names in the order of the alphabet.
    number : (rows,) int array
        Which batch every row is of.
    coding
        Of the covariates.
    covariates : (rows, columns) real array
        Their columns, 0 in rows that lack one.
    values : (rows, features) real array
        NaN where missing, where a covariate is, or where fewer than `FEWEST` are of its batch.
    """

    batches: tuple[str, ...]
    number: np.ndarray
    coding: Coding
    covariates: np.ndarray
    values: np.ndarray

    @property
    def dummies(self) -> np.ndarray:
        """A column per batch, 1 in its rows."""
        return (self.number[:, None] == np.arange(len(self.batches))).astype(float)

    @property
    def design(self) -> np.ndarray:
        """Columns of batches, then of covariates."""
        return np.hstack([self.dummies, self.covariates])

    def counts(self) -> np.ndarray:
        """Return how many values each batch has, (batches, features)."""
        return self.dummies.T @ np.isfinite(self.values)


def sample(
    values: np.ndarray,
    batch: Sequence[str],
    covariates: pd.DataFrame | None = None,
    smooth: Mapping[str, int] | None = None,
) -> Sample:
    """
    Return what is fitted.

    Parameters
    ----------
    values : (rows, features) real array
        NaN or infinite where missing.
    batch : (rows,)
        Names.
    covariates
        A row per row of `values`, or None.
    smooth
        As `qsmprep.statistics.coding.learn` takes it.

    Raises
    ------
    RequestError
        If there are fewer than two batches, or a covariate cannot be told from them.
    """
    names = np.asarray(batch, dtype=str)
    batches = tuple(map(str, np.unique(names)))
    if len(batches) < 2:
        raise RequestError(
            f"all {len(names)} acquisitions are of one batch ({shortened(batches)}); there is "
            "nothing to harmonise"
        )
    coding = learn(covariates, smooth)
    number = np.searchsorted(batches, names)
    usable, columns = masked(values, coding, covariates)
    found = Sample(batches, number, coding, np.nan_to_num(columns), usable)
    _refuse_confounded(found, coding.parts(covariates))
    few = found.counts() < FEWEST
    usable[few[number]] = np.nan
    usable[:, (~few).sum(axis=0) < 2] = np.nan
    if not np.isfinite(usable).any():
        raise RequestError(
            f"no region has {FEWEST} values in each of two batches"
            + (f" among rows with {', '.join(coding.names)}" if coding.names else "")
        )
    return found


def masked(
    values: np.ndarray, coding: Coding, covariates: pd.DataFrame | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return values with NaN in rows that lack a covariate, and the columns of these."""
    usable = np.array(values, dtype=float)
    usable[~np.isfinite(usable)] = np.nan
    columns = coding.columns(covariates) if coding.names else np.empty((len(usable), 0))
    usable[np.isnan(columns).any(axis=1)] = np.nan
    return usable, columns


def place(batch: Sequence[str], batches: Sequence[str]) -> np.ndarray:
    """
    Return which of the known batches every row is of.

    Raises
    ------
    RequestError
        If one is not known.
    """
    names = np.asarray(batch, dtype=str)
    if unknown := sorted(set(names) - set(batches)):
        raise RequestError(
            f"batch {unknown[0]} was not there when the harmonisation was fitted, which knew "
            f"{shortened(batches)}; fit again with all data"
        )
    return np.searchsorted(np.asarray(batches), names)


def reference_number(batches: Sequence[str], reference: str | None) -> int | None:
    """
    Return which batch is the reference, None where there is none.

    Raises
    ------
    RequestError
        If it is no batch.
    """
    if reference is None:
        return None
    if reference not in batches:
        raise RequestError(
            f"reference_batch {reference} is none of the batches {shortened(batches)}"
        )
    return list(batches).index(reference)


def warnings(
    batch: Sequence[str], covariates: pd.DataFrame | None, participants: Sequence[str]
) -> tuple[str, ...]:
    """
    Return what speaks against harmonising, one sentence each.

    Parameters
    ----------
    batch, participants : (rows,)
        Names.
    covariates
        A row each, or None.

    Raises
    ------
    RequestError
        If a batch has fewer than `FEWEST` participants.
    """
    table = pd.DataFrame({"batch": np.asarray(batch, str), "who": np.asarray(participants, str)})
    people = table.groupby("batch")["who"].nunique()
    if tiny := [f"{name} ({n})" for name, n in people.items() if n < FEWEST]:
        raise RequestError(
            f"too few participants to harmonise batch {shortened(tiny)}: at least {FEWEST} are "
            "needed; name a coarser column with batch, or the batch in leave_out"
        )
    notes = []
    if small := [f"{name} ({n})" for name, n in people.items() if n < FEW]:
        notes.append(
            f"Fewer than {FEW} participants in batch {shortened(small)}: its estimates lean on "
            "the other regions and are uncertain."
        )
    if covariates is None:
        return tuple(notes)
    number = np.unique(table["batch"], return_inverse=True)[1]
    for name, columns in learn(covariates).parts(covariates).items():
        if (share := _share_between(columns, number)) > CLOSE:
            notes.append(
                f"{name} differs between batches, which tell {share:.0%} of its variance: its "
                "effect and that of the batch are hard to tell apart."
            )
    return tuple(notes)


def shortened(names: Sequence[str], most: int = 6) -> str:
    """Return the first of many names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _refuse_confounded(found: Sample, parts: Mapping[str, np.ndarray]) -> None:
    """Raise where batches, and covariates before it, say all that a covariate says."""
    rows = np.isfinite(found.values).any(axis=1)
    design = found.dummies[rows]
    rank = np.linalg.matrix_rank(design)
    for name, columns in parts.items():
        design = np.hstack([design, columns[rows]])
        rank += columns.shape[1]
        if np.linalg.matrix_rank(design) < rank:
            raise RequestError(
                f"{name} cannot be told from the batches (or from other covariates): no batch "
                "has different values of it; leave it out, or name another column with batch"
            )


def _share_between(columns: np.ndarray, number: np.ndarray) -> float:
    """Return the largest adjusted R2 of a column on batches."""
    there = np.isfinite(columns).all(axis=1)
    x, number = columns[there], number[there]
    of = number[:, None] == np.unique(number)
    n, groups = of.shape
    if n <= groups:
        return 1.0
    means = (of.T @ x) / of.sum(axis=0)[:, None]
    within = ((x - means[np.argmax(of, axis=1)]) ** 2).sum(axis=0)
    total = ((x - x.mean(axis=0)) ** 2).sum(axis=0)
    return float(np.max(1 - (within / (n - groups)) / np.maximum(total / (n - 1), 1e-300)))
