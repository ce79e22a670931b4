"""When the sessions of a participant took place, as the dataset tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import csv
from datetime import datetime
import json
import math
from pathlib import Path

from qsmprep.bids.dates import read_date, years_between

BASELINE = "years_from_baseline"
ACQUIRED = "acq_time"
AGE = ("age", "age_at_session")
"""Columns of the table of sessions that tell an age; the first that does counts."""


def first_that_knows_all(told: Mapping[str, Sequence[object | None]]) -> str | None:
    """
    Return which of `BASELINE`, `ACQUIRED` and ``age`` tells the time of sessions, in this order.

    Parameters
    ----------
    told
        What columns say of each session, None where they say nothing. One that does not know all
        sessions of a participant would put those it knows on another scale than the others.
    """
    for name in (BASELINE, ACQUIRED, AGE[0]):
        if name in told and all(value is not None for value in told[name]):
            return name
    return None


def read_years(bids_dir: Path, participant: str, sessions: list[str]) -> list[float | None]:
    """
    Return when sessions took place, in years from an arbitrary start; None where not told.

    What cannot be read in ``sub-X_sessions.tsv`` is not known: no map is worth a date. The group
    level, where models use it, refuses such a table.
    """
    name = f"sub-{participant}"
    path = bids_dir / name / f"{name}_sessions.tsv"
    rows = _read_rows(path)
    own = [rows.get(session, {}) for session in sessions]
    ages = [column for column in AGE if _in_years(path, column)]
    told = {
        BASELINE: [_read(_number, row.get(BASELINE)) for row in own],
        ACQUIRED: [_read(_date, row.get(ACQUIRED)) for row in own],
        AGE[0]: [
            next((age for c in ages if (age := _read(_number, row.get(c))) is not None), None)
            for row in own
        ],
    }
    known = first_that_knows_all(told)
    return told[known] if known else [None] * len(sessions)


def _read_rows(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a table by their sessions, without those that stand there twice."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, ValueError, csv.Error):
        return {}
    names = [str(row.get("session_id")).removeprefix("ses-") for row in rows]
    return {name: row for name, row in zip(names, rows, strict=True) if names.count(name) == 1}


def _in_years(path: Path, column: str) -> bool:
    """Tell whether a column of ages is in years, as it is where nothing else is said."""
    for described in (path.with_suffix(".json"), path.parents[1] / "sessions.json"):
        try:
            said = json.loads(described.read_text("utf-8-sig"))[column]["Units"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return str(said).lower().startswith(("y", "a"))
    return True


def _read(read: Callable[[str], float], text: str | None) -> float | None:
    try:
        return read(text or "")
    except ValueError:
        return None


def _number(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError
    return value


def _date(text: str) -> float:
    """Return a date in years since an arbitrary start."""
    return years_between(datetime(1970, 1, 1), read_date(text))
