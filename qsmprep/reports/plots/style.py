"""What all figures of models share: colours, panels, legends, and a check of what is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
import math
import re
import textwrap
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np
import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.statistics.results import Drawing

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#3A3A3A")
"""Colours that all eyes tell apart (Okabe and Ito, 2008, https://jfly.uni-koeln.de/color/)."""

INK, SOFT, FAINT = "#222222", "#5A6470", "#D9DDE2"

HOUSE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.formatter.useoffset": False,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.unicode_minus": True,
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "qsmprep",  # equal figures are equal files
    "text.parse_math": False,  # a dollar in a name is a dollar
}
"""Settings of matplotlib under which figures are drawn and written."""

MANY_POINTS = 3000
"""Points of a figure from which on they are stored as pixels, or the file would be too large."""

_DASHES = ("-", (0, (5, 1.6)), (0, (5, 1.4, 1.2, 1.4)), (0, (1.3, 1.3)))
_MARKERS = "osD^vPX"
_MINUS = re.compile(r"(?<!\S)-(?=\d|\s)")  # before a number or between words, not in sub-01
_COLUMNS = 5


@dataclass(frozen=True)
class Look:
    """How one group is told from the others: by colour, by dashes and by marker."""

    colour: str
    dash: Any
    marker: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each group; beyond seven, colours come again with other dashes."""
    found = {}
    for index, name in enumerate(names):
        again = index // len(PALETTE)
        found[name] = Look(
            PALETTE[index % len(PALETTE)],
            _DASHES[(index + again) % len(_DASHES)],
            _MARKERS[(index + again) % len(_MARKERS)],
        )
    return found


def rows_of(
    drawing: Drawing,
    text: Sequence[str] = (),
    numbers: Sequence[str] = (),
    *,
    needed: Sequence[str] = (),
    or_empty: Sequence[str] = (),
    or_missing: Sequence[str] = (),
) -> pd.DataFrame:
    """
    Return what is drawn, its columns of the type they are drawn with.

    Parameters
    ----------
    drawing
        The figure.
    text, numbers
        Columns that its kind needs.
    needed
        Numbers without which a row is not drawn.
    or_empty, or_missing
        Columns of text and numbers that need not be there: empty and NaN then.

    Raises
    ------
    RequestError
        If a column is missing, holds words for numbers, or no row is left.
    """
    data = drawing.data
    if absent := [name for name in (*text, *numbers) if name not in data]:
        raise RequestError(f"figure {drawing.kind}: its data have no column {absent[0]}")
    rows = pd.DataFrame(index=data.index)
    for name in (*text, *or_empty):
        rows[name] = data[name].astype(object).map(_text) if name in data else ""
    for name in (*numbers, *or_missing):
        try:
            rows[name] = data[name].astype(float) if name in data else np.nan
        except (TypeError, ValueError) as error:
            raise RequestError(f"figure {drawing.kind}: {name} is no number: {error}") from error
    known = np.isfinite(rows[list(needed)].to_numpy()).all(axis=1)
    rows = rows.loc[known].reset_index(drop=True)
    if rows.empty:
        raise RequestError(f"figure {drawing.kind}: there is nothing to draw, no row has "
                           f"{' and '.join(needed)}")  # fmt: skip
    return rows


def _text(value: object) -> str:
    """Return a label; numbers that came as 2.0 because others were missing are 2."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _MINUS.sub("−", str(value))


def order(drawing: Drawing, rows: pd.DataFrame, column: str) -> list[str]:
    """Return the names in a column: as its categories are ordered, else as they come."""
    there = list(dict.fromkeys(rows[column]))
    values = drawing.data.get(column)
    if values is not None and isinstance(values.dtype, pd.CategoricalDtype):
        known = [_text(name) for name in values.cat.categories]
        return sorted(there, key=lambda name: known.index(name) if name in known else -1)
    return there


def parts(rows: pd.DataFrame, *columns: str) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Yield the rows that share their text in some columns, with that text, as they come."""
    for names, part in rows.groupby(list(columns), sort=False):
        yield [str(name) for name in names], part


def panels(
    names: Sequence[str], *, height: float = 2.7, sharex: bool = True, sharey: bool = True
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with one pair of axes per name, side by side, named above each."""
    count = len(names)
    columns = count if count <= 4 else min(_COLUMNS, math.ceil(math.sqrt(count)))
    lines = math.ceil(count / columns)
    width = 5.2 if count == 1 else max(2.3 * columns, 5.2)
    figure = Figure(
        figsize=(width, 3.6 if count == 1 else height * lines + 0.6), layout="constrained"
    )
    grid = figure.subplots(lines, columns, squeeze=False, sharex=sharex, sharey=sharey)
    flat = list(grid.flat)
    for spare in flat[count:]:
        spare.set_visible(False)
    for place, (axes, name) in enumerate(zip(flat, names, strict=False)):
        if name:
            axes.set_title(wrapped(name, round(width / columns * 11)))
        # The panel below is missing at the end of the last line but one.
        if place + columns >= count:
            axes.tick_params(labelbottom=True)
    return figure, dict(zip(names, flat, strict=False))


def name_axes(figure: Figure, axes: Iterable[Axes], x: str, y: str) -> None:
    """Write the names of both axes, once where all panels have the same."""
    several = list(axes)
    if len(several) == 1:
        several[0].set(xlabel=wrapped(x, 60), ylabel=wrapped(y, 44))
    else:
        figure.supxlabel(wrapped(x, 90), fontsize=9)
        figure.supylabel(wrapped(y, 50), fontsize=9)


def legend(figure: Figure, handles: Sequence[Artist], title: str = "") -> None:
    """Put a legend above the panels, in as many columns as there is room for."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    room = int(figure.get_figwidth() * 72 / (5.2 * longest + 34))
    figure.legend(
        handles=list(handles), loc="outside upper center", title=title or None,
        ncols=max(1, min(room, len(handles))), handlelength=2.6,
    )  # fmt: skip


def wrapped(text: str, width: int) -> str:
    """Return a name on several lines where it is too long for one."""
    return textwrap.fill(text, max(width, 8), break_on_hyphens=True)


def label(drawing: Drawing, column: str, fallback: str = "") -> str:
    """Return what a column is called in the figure."""
    return _MINUS.sub("−", drawing.labels.get(column, fallback or column.replace("_", " ")))


def jitter(count: int) -> np.ndarray:
    """
    Return shifts between -1 and 1 that keep neighbours apart, the same ones each time.

    The golden ratio makes the most even spread of all sequences that never repeat.
    """
    return 2 * np.mod(0.5 + np.arange(count) * (math.sqrt(5) - 1) / 2, 1) - 1


def listed(parts: Sequence[str], most: int = 12) -> str:
    """Return phrases as one, and how many more there are."""
    more = len(parts) - most
    return "; ".join([*parts[:most], *([f"and {more} more"] if more > 0 else [])])
