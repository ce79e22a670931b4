"""The kinds of models there are."""

from __future__ import annotations

from collections.abc import Callable

from qsmprep.statistics.ancova import ancova
from qsmprep.statistics.change import change
from qsmprep.statistics.correlation import correlation
from qsmprep.statistics.cox import cox
from qsmprep.statistics.describe import describe
from qsmprep.statistics.growth import growth
from qsmprep.statistics.linear import ols
from qsmprep.statistics.mixed import mixed
from qsmprep.statistics.reliability import reliability
from qsmprep.statistics.results import Fitted
from qsmprep.statistics.roc import roc

PARTICIPANTS, ACQUISITIONS = "participants", "acquisitions"

KINDS: dict[str, tuple[Callable[..., Fitted], str]] = {
    "cox": (cox, PARTICIPANTS),
    "mixed": (mixed, ACQUISITIONS),
    "growth": (growth, ACQUISITIONS),
    "ols": (ols, PARTICIPANTS),
    "ancova": (ancova, PARTICIPANTS),
    "change": (change, ACQUISITIONS),
    "correlation": (correlation, PARTICIPANTS),
    "describe": (describe, PARTICIPANTS),
    "reliability": (reliability, ACQUISITIONS),
    "roc": (roc, PARTICIPANTS),
}
"""The function of every kind, and what its rows are unless the model says otherwise."""
