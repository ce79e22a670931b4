"""Correlations as a field of colours with their numbers."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
import numpy as np

from qsmprep.reports.apa import bare
from qsmprep.reports.plots.style import INK, label, listed, order, rows_of, wrapped
from qsmprep.statistics.results import Drawing

_LEGIBLE = 26  # cells to a side in which two digits can be read


def correlation_matrix(drawing: Drawing) -> Figure:
    """
    A cell per pair, blue for negative and red for positive, with the coefficient in it.

    A frame and bold digits mark what survives the correction; a cell without pair is grey.

    Columns
    -------
    row, column
        The pair.
    r
        Its coefficient.
    p_value
        Its probability, for the reader of the table.
    flag
        Whether it survives the correction for many tests.
    """
    rows = rows_of(drawing, ("row", "column"), ("r", "p_value", "flag"), needed=("r",))
    down, across = order(drawing, rows, "row"), order(drawing, rows, "column")
    values = np.full((len(down), len(across)), np.nan)
    places = [(down.index(one), across.index(two))
              for one, two in zip(rows["row"], rows["column"], strict=True)]  # fmt: skip
    for place, r in zip(places, rows["r"], strict=True):
        values[place] = r
    legible = max(values.shape) <= _LEGIBLE
    size = 0.44 if legible else 0.2
    figure = Figure(
        figsize=(max(size * len(across) + 2.6, 4.2), max(size * len(down) + 1.7, 2.6)),
        layout="constrained",
    )
    axes = figure.add_subplot()
    # Rounded up, so that two figures of one study mostly share their scale.
    limit = min(max(np.ceil(10 * np.nanmax(np.abs(values))) / 10, 0.3), 1.0)
    axes.set_facecolor("#F2F3F5")
    image = axes.imshow(np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-limit, vmax=limit)
    survive = [place for place, flag in zip(places, rows["flag"], strict=True) if flag == 1]
    _mark(axes, values, limit, set(survive))
    turned = max(map(len, across)) > 4 or len(across) > 12
    # Small cells have no room for a name on two lines.
    width = 28 if legible else 99
    axes.set_xticks(range(len(across)), [wrapped(name, width) for name in across],
                    rotation=90 if turned else 0)  # fmt: skip
    axes.set_yticks(range(len(down)), [wrapped(name, width) for name in down])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 6 / len(down) + 0.35), aspect=18,
                          label=label(drawing, "r"))  # fmt: skip
    bar.outline.set_visible(False)
    strongest = rows.reindex(rows["r"].abs().sort_values(ascending=False, kind="stable").index)
    parts = [f"{row['row']} with {row['column']} {bare(row['r'])}"
             for row in strongest.head(6).to_dict("records")]  # fmt: skip
    figure.set_label(
        f"{len(rows)} correlations, {label(drawing, 'r')}; {len(survive)} survive the correction "
        f"for many tests and are framed. The strongest: {listed(parts)}."
    )
    return figure


def _mark(axes: Axes, values: np.ndarray, limit: float, survive: set[tuple[int, int]]) -> None:
    """Write coefficients into cells that have room for them, and frame the survivors."""
    legible = max(values.shape) <= _LEGIBLE
    for (line, place), r in np.ndenumerate(values):
        kept = (line, place) in survive
        if legible and np.isfinite(r):
            axes.text(
                place, line, bare(r), ha="center", va="center", fontsize=7.5,
                fontweight="bold" if kept else "normal",
                color="white" if abs(r) > 0.62 * limit else INK,
            )  # fmt: skip
        if kept:
            axes.add_patch(Rectangle(
                (place - 0.46, line - 0.46), 0.92, 0.92, fill=False, edgecolor=INK,
                linewidth=1.3 if legible else 0.8,
            ))  # fmt: skip
