"""Rows at which a model is predicted: typical people, and people one SD away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from qsmprep.errors import RequestError, shown

POINTS = 41
"""Points along the axis of a predicted line."""


def prediction_rows(
    data: pd.DataFrame,
    names: list[str],
    axis: str,
    lines: str,
    panels: str,
    at: Mapping[str, object],
    subject: str,
) -> pd.DataFrame:
    """
    Return rows over an axis, for lines and panels, with everything else held.

    Parameters
    ----------
    data
        Rows that the model was fitted to.
    names
        Columns that its formula needs.
    axis
        Runs from its smallest to its largest value.
    lines, panels
        Columns that lines and panels differ in, at the mean and a standard deviation to either
        side; at all values if these are text or only two. None where empty. Where all people
        have the same mean the standard deviation is that of the rows.
    at
        Values of other columns; else the mean, or for text the most frequent.
    subject
        Column of participants: means and standard deviations are those over participants, each
        at its own mean, so that who came more often counts no more.

    Returns
    -------
    rows
        Columns ``panel`` and ``line``, which name the values, and all of `names`.

    Raises
    ------
    RequestError
        If there is no such column in the formula.
    """
    given = {"time": axis, "lines": lines, "panels": panels}
    for key, name in [*((k, v) for k, v in given.items() if v), *(("at", name) for name in at)]:
        if name not in names:
            raise RequestError(
                f"{key}: {name} is not in the formula, which has {', '.join(names)}"
            )
    for key, names_taken in (("lines", {axis}), ("panels", {axis, lines} - {""})):
        if given[key] in names_taken:
            raise RequestError(f"{key}: {given[key]} is shown in another way already")
    if taken := sorted({axis, lines, panels} & set(at)):
        raise RequestError(f"at: {taken[0]} is not held, it is what predictions run over")
    if _category(data[axis]):
        raise RequestError(f"time: {axis} is not a number in every row")
    fixed = {name: at.get(name, typical(data, name, subject)) for name in names}
    for name, value in at.items():
        if not is_numeric_dtype(data[name]) and value not in list(data[name].unique()):
            raise RequestError(f"at: no row has {name} = {shown(value)}")
        if is_numeric_dtype(data[name]) and not isinstance(value, int | float):
            raise RequestError(f"at: {name} is a number, not {shown(value)}")
    grid = np.linspace(data[axis].min(), data[axis].max(), POINTS)
    rows = []
    for panel, panel_value in _values(panels, data, subject):
        for line, line_value in _values(lines, data, subject):
            values = fixed | ({panels: panel_value} if panels else {})
            values |= {lines: line_value} if lines else {}
            rows.append(pd.DataFrame({"panel": panel, "line": line, **values, axis: grid}))
    return pd.concat(rows, ignore_index=True)


def _category(column: pd.Series) -> bool:
    return is_bool_dtype(column) or not is_numeric_dtype(column)


def typical(data: pd.DataFrame, name: str, subject: str) -> Any:
    """Return the mean of a column over participants, or the most frequent text."""
    people = data.groupby(subject, observed=True)[name]
    return people.first().mode().iloc[0] if _category(data[name]) else people.mean().mean()


def _values(name: str, data: pd.DataFrame, subject: str) -> list[tuple[str, object]]:
    """Return the values that a column is shown at, named."""
    if not name:
        return [("", None)]
    column = data[name]
    if _category(column) or column.nunique() <= 2:
        return [(f"{name} {value}", value) for value in sorted(column.unique())]
    means = data.groupby(subject, observed=True)[name].mean()
    middle, spread = means.mean(), means.std(ddof=1)
    if spread < 1e-9 * column.std(ddof=1):  # it varies within people only
        spread = column.std(ddof=1)
    ends = (("-1 SD", middle - spread), ("mean", middle), ("+1 SD", middle + spread))
    # Three digits of the standard deviation: a mean of 1e-17 is 0.
    digits = 2 - int(np.floor(np.log10(spread)))
    return [(f"{name} {label} ({round(value, digits) + 0.0:g})", value) for label, value in ends]
