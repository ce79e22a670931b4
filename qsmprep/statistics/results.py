"""What a model returns: numbers, tables and figures not yet drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

ESTIMATES = (
    "term", "estimate", "std_error", "statistic", "df", "p_value", "ci_low", "ci_high",
)  # fmt: skip
"""Columns that every table of estimates begins with; `df` is missing where z is used."""

Fact = str | int | float | bool

OBSERVED = " (data)"
"""What the name of a line of `trajectories` ends in where its observations are meant."""


@dataclass(frozen=True)
class Drawing:
    """
    A figure before it is drawn.

    Parameters
    ----------
    kind
        How it is drawn, one of `qsmprep.reports.plots.DRAWINGS`, which says what columns `data`
        has.
    data
        Everything that is drawn, one row per mark; it is written beside the figure.
    caption
        What is seen, in a sentence or two.
    labels
        Text of the axes by the columns they show, with units.
    """

    kind: str
    data: pd.DataFrame
    caption: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fitted:
    """
    A model that was fitted.

    Parameters
    ----------
    estimates
        One row per term, with the columns `ESTIMATES` and what the kind of model adds.
    facts
        Numbers about the fit by name: ``n``, ``participants``, ``converged``, ``events``.
    method
        What was done, in sentences for a methods section, with references.
    tables
        Further tables by name: adjusted means, contrasts, predictions, tests of assumptions.
    drawings
        Figures by name.
    notes
        What a reader must know before believing the numbers, one sentence each.
    excluded
        Rows of the data that were left out, by their index, with a column ``reason``.
    """

    estimates: pd.DataFrame
    facts: dict[str, Fact]
    method: str
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    drawings: dict[str, Drawing] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    excluded: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["reason"]))
