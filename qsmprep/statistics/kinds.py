"""The kinds of models there are."""

from __future__ import annotations

from collections.abc import Callable

from qsmprep.statistics.results import Fitted

PARTICIPANTS, ACQUISITIONS = "participants", "acquisitions"

KINDS: dict[str, tuple[Callable[..., Fitted], str]] = {}
"""The function of every kind, and what its rows are unless the model says otherwise."""
