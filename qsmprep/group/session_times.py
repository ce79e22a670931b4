"""When sessions took place, as the tables of a dataset tell it, and how old people were."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd

from qsmprep.bids.dates import read_date, years_between
from qsmprep.bids.session_times import ACQUIRED, BASELINE, first_that_knows_all
from qsmprep.errors import InputError


def read_times(cells: list[str | None], places: list[Path]) -> list[datetime | None]:
    """
    Return dates and times as ISO 8601 and BIDS write them, all without a zone.

    Raises
    ------
    InputError
        If one is no date.
    """
    times: list[datetime | None] = []
    for cell, path in zip(cells, places, strict=True):
        try:
            times.append(None if cell is None else read_date(cell))
        except ValueError as error:
            fact = f"column {ACQUIRED}: {cell!r} is no date"
            remedy = "write it as 2009-06-15 or 2009-06-15T13:45:30, or n/a"
            raise InputError(path, fact, remedy) from error
    return times


def years_since_first(sessions: pd.DataFrame) -> pd.Series:
    """
    Return how long after the first session of its participant each session was, years.

    Told by ``years_from_baseline`` as it stands there, else by ``acq_time``, else by the age; each
    only where all sessions of a participant have it. One session alone is the first.

    Parameters
    ----------
    sessions
        ``participant_id``, and of the columns above those that there are.
    """
    years = [_years(own) for _, own in sessions.groupby("participant_id", sort=False)]
    return pd.concat(years) if years else pd.Series(dtype=float)


def _years(own: pd.DataFrame) -> pd.Series:
    """Return the times of the sessions of one participant."""
    known = first_that_knows_all(
        {str(name): [None if pd.isna(cell) else cell for cell in own[name]] for name in own}
    )
    if known == BASELINE:
        return own[BASELINE].astype(float)
    if known == ACQUIRED:
        first = min(own[ACQUIRED])
        return pd.Series([years_between(first, time) for time in own[ACQUIRED]], index=own.index)
    if len(own) == 1:
        return pd.Series(0.0, index=own.index)
    if known == "age":
        return own["age"] - own["age"].min()
    return pd.Series(float("nan"), index=own.index)
