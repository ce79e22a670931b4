"""What every model asks of its rows and keys, and says of them."""

from __future__ import annotations

import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.results import Fact

WHOM = "participant_id"


def check_share(name: str, value: float) -> None:
    """
    Refuse a confidence, or another share, that is none.

    Raises
    ------
    RequestError
        If it does not lie between 0 and 1.
    """
    if not 0 < value < 1:
        raise RequestError(f"{name} = {shown(value)}: it must lie between 0 and 1, as 0.95 does")


def counts(data: pd.DataFrame) -> dict[str, Fact]:
    """Return how many rows were used, and of how many participants, where that is known."""
    facts: dict[str, Fact] = {"n": len(data)}
    if WHOM in data:
        facts["participants"] = int(data[WHOM].nunique())
    return facts


def repeats(data: pd.DataFrame, remedy: str = "") -> list[str]:
    """
    Return a sentence where participants have several rows, in a model that knows no repetition.

    Parameters
    ----------
    data
        The rows that were used.
    remedy
        What would allow for it.
    """
    facts = counts(data)
    if facts.get("participants", facts["n"]) == facts["n"]:
        return []
    return [
        f"{facts['n']} rows are of {facts['participants']} participants, yet are taken to be "
        f"independent{remedy and '; '}{remedy}."
    ]
