"""Offsets of scanners from people who were on several of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.statistics.batches import FEWEST, masked, place, reference_number, shortened
from qsmprep.statistics.coding import Coding
from qsmprep.statistics.random_intercept import patterns
from qsmprep.statistics.scanner import Offsets, apply, centred

__all__ = ["apply", "fit", "travellers"]


def travellers(batch: Sequence[str], participants: Sequence[str]) -> np.ndarray:
    """Return which rows are of participants who were in two batches or more."""
    table = pd.DataFrame({"batch": np.asarray(batch, str), "who": np.asarray(participants, str)})
    return (table.groupby("who")["batch"].transform("nunique") > 1).to_numpy()


def fit(
    values: np.ndarray,
    batch: Sequence[str],
    covariates: pd.DataFrame | None,
    participants: Sequence[str],
    *,
    reference_batch: str | None = None,
) -> Offsets:
    """
    Estimate offsets of batches from travelling participants, to correct everybody with.

    Every participant has a level of his own, so that who was scanned where, and covariates, do not
    matter. The idea is of Yamashita et al. (2019, doi:10.1371/journal.pbio.3000042). Differs in:
    1. Only travellers are used; effects of sampling and disease are not modelled.

    Parameters
    ----------
    values : (rows, features) real array
        NaN where missing; a feature is fitted to the rows that have it.
    batch, participants : (rows,)
        Names.
    covariates
        Not used, because a participant is his own; there so that all methods are called alike.
    reference_batch
        What the others are brought to; without, the mean of batches by their number of values.

    Raises
    ------
    RequestError
        If a batch has too few travellers, or none of them links it with the others.
    """
    del covariates
    names: Any = np.asarray(batch, str)
    who: Any = np.asarray(participants, str)
    batches = tuple(map(str, np.unique(names)))
    reference = reference_number(batches, reference_batch)
    rows = travellers(names, who)
    _refuse_few(batches, names[rows], who[rows])
    usable, _ = masked(values, Coding(), None)
    number = place(names, batches)
    counts = (number[:, None] == np.arange(len(batches))).astype(float).T @ np.isfinite(usable)
    estimates, covariance, variance = _offsets(usable[rows], number[rows], who[rows], len(batches))
    offsets, errors = centred(estimates, covariance, counts, reference)
    spread = np.sqrt(variance)
    return Offsets(batches, reference_batch, Coding(), counts, offsets, errors, spread)


def _refuse_few(batches: Sequence[str], batch: np.ndarray, who: np.ndarray) -> None:
    people = {name: set(who[batch == name]) for name in batches}
    if few := [f"{name} ({len(people[name])})" for name in batches if len(people[name]) < FEWEST]:
        raise RequestError(
            f"too few participants of batch {shortened(few)} were on another scanner too: at "
            f"least {FEWEST} are needed; use combat, or name the batch in leave_out"
        )
    linked, reached = {batches[0]}, people[batches[0]].copy()
    while more := [name for name in batches if name not in linked and people[name] & reached]:
        linked.update(more)
        reached |= set().union(*(people[name] for name in more))
    if apart := [name for name in batches if name not in linked]:
        raise RequestError(
            f"no participant links batch {shortened(apart)} with {shortened(sorted(linked))}"
        )


def _offsets(
    values: np.ndarray, number: np.ndarray, who: np.ndarray, batches: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return offsets against the first batch, their covariance, and the residual variance."""
    features = values.shape[1]
    estimates = np.full((batches, features), np.nan)
    covariance, variance = np.zeros((features, batches, batches)), np.full(features, np.nan)
    for rows, which in patterns(values):
        x = (number[rows][:, None] == np.arange(batches)).astype(float)
        people, whose = np.unique(who[rows], return_inverse=True)
        of = (whose[:, None] == np.arange(len(people))).astype(float)
        there = x.any(axis=0)
        y, n = values[np.ix_(rows, which)], of.sum(axis=0)
        # Within participants: the level of each is taken out of both sides.
        x = (x - of @ ((of.T @ x) / n[:, None]))[:, there]
        y = y - of @ ((of.T @ y) / n[:, None])
        freedom = rows.sum() - len(people) - (there.sum() - 1)
        linked = np.linalg.matrix_rank(x, tol=1e-9) == there.sum() - 1 if there.any() else False
        if not linked or freedom < 1:
            continue
        inverse = np.linalg.pinv(x.T @ x, hermitian=True)  # columns say one thing less
        beta = inverse @ x.T @ y
        variance[which] = ((y - x @ beta) ** 2).sum(axis=0) / freedom
        estimates[np.ix_(there, which)] = beta
        covariance[np.ix_(which, there, there)] = variance[which][:, None, None] * inverse
    return estimates, covariance, variance
