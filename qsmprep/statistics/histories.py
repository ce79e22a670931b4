"""Times and events of a table, checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.statistics.partial_likelihood import Histories


def histories(
    data: pd.DataFrame, time: str, event: str, entry: str = "", strata: Sequence[str] = ()
) -> Histories:
    """
    Return the observation times of a table without gaps.

    Parameters
    ----------
    data
        One row per history.
    time, event, entry
        Columns of the end of observation, of whether it was an event (0 or 1), and of its
        beginning; without `entry` all are observed from the beginning.
    strata
        Columns whose values together make the strata.

    Raises
    ------
    RequestError
        If these are no times and events, naming the first row at fault.
    """
    stop = _numbers(data, time)
    _refuse(data, stop <= 0, f"{time} is zero or negative")
    happened = _numbers(data, event)
    _refuse(data, ~np.isin(happened, (0, 1)), f"{event} is neither 0 nor 1")
    if not happened.any():
        raise RequestError(f"{event} is 0 in all {len(data)} rows: without events, nothing to fit")
    begin = np.full(len(data), -np.inf)
    if entry:
        begin = _numbers(data, entry)
        _refuse(data, begin < 0, f"{entry} is negative")
        _refuse(data, begin >= stop, f"{entry} is not before {time}")
    stratum = np.zeros(len(data), int)
    if strata:
        stratum = (
            data[list(strata)].reset_index(drop=True).groupby(list(strata)).ngroup().to_numpy()
        )
    return Histories(begin, stop, happened == 1, stratum)


def strata_names(data: pd.DataFrame, strata: Sequence[str]) -> list[str]:
    """Return the names of the strata in the order of their numbers; one without a name if none."""
    if not strata:
        return [""]
    keys = data[list(strata)].reset_index(drop=True).groupby(list(strata)).size().index
    values = keys if len(strata) > 1 else ((key,) for key in keys)
    return [
        ", ".join(f"{name} {value}" for name, value in zip(strata, each, strict=True))
        for each in values
    ]


def columns(value: str | Sequence[str]) -> list[str]:
    """Return the names in a key that may be one name or several."""
    return [value] if isinstance(value, str) and value else list(value)


def _numbers(data: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column as numbers."""
    values = pd.to_numeric(data[column], errors="coerce").to_numpy(float)
    _refuse(data, np.isnan(values), f"{column} is not a number")
    return values


def _refuse(data: pd.DataFrame, wrong: np.ndarray, fact: str) -> None:
    """Raise if any row is wrong, naming the first."""
    if wrong.any():
        first = data.index[np.flatnonzero(wrong)[0]]
        raise RequestError(f"{fact} in {wrong.sum()} of {len(data)} rows, first in {first}")
