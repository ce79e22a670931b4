"""Dates as BIDS writes them, and the years between them."""

from __future__ import annotations

from datetime import UTC, datetime

DAYS_PER_YEAR = 365.25


def read_date(text: str) -> datetime:
    """
    Return a date, or a date with its time, without a zone: what has one is brought to UTC.

    Raises
    ------
    ValueError
        If it is none of ISO 8601.
    """
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def years_between(first: datetime, later: datetime) -> float:
    """Return how many years a date is after another."""
    return (later - first).total_seconds() / 86400 / DAYS_PER_YEAR
