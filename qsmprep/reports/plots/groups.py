"""Values of groups: their means with everybody's point, and bars."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
import pandas as pd

from qsmprep.reports.apa import figures, with_interval
from qsmprep.reports.plots.style import (
    FAINT,
    INK,
    MANY_POINTS,
    SOFT,
    Look,
    jitter,
    label,
    legend,
    listed,
    looks,
    order,
    panels,
    rows_of,
    wrapped,
)
from qsmprep.statistics.results import Drawing

_WIDTH = 0.27  # of the space of a group, to each side


def adjusted_means(drawing: Drawing) -> Figure:
    """
    Adjusted mean of each group with its interval, over everybody's adjusted value.

    Columns
    -------
    group
        Along the axis.
    kind
        ``mean``, or ``point`` for a person.
    y
        Value.
    ci_low, ci_high
        Ends of the interval of a mean.
    panel
        Where it is drawn, as with a panel per region; may be missing.
    """
    rows = rows_of(drawing, ("group", "kind"), ("y", "ci_low", "ci_high"), needed=("y",),
                   or_empty=("panel",))  # fmt: skip
    groups = order(drawing, rows, "group")
    styles = looks(groups)
    figure, grid = panels(order(drawing, rows, "panel"), sharey=False)
    if len(grid) == 1:
        figure.set_figwidth(max(3.6, 0.95 * len(groups) + 1.4))
    for panel, axes in grid.items():
        own = rows[rows["panel"] == panel]
        for place, group in enumerate(groups):
            _draw_group(axes, own[own["group"] == group], place, styles[group],
                        len(rows) > MANY_POINTS)  # fmt: skip
        _name_groups(axes, own, groups, len(grid))
        axes.set_xlim(-0.6, len(groups) - 0.4)
    y, x = label(drawing, "y"), label(drawing, "group", " ").strip()
    figure.supylabel(wrapped(y, 44), fontsize=9)
    if x:
        figure.supxlabel(x, fontsize=9)
    means = rows[rows["kind"] == "mean"]
    parts = [
        " ".join(filter(None, [row["panel"], row["group"],
                               with_interval(row["y"], row["ci_low"], row["ci_high"])]))
        for row in means.to_dict("records")
    ]  # fmt: skip
    figure.set_label(f"Means of {y} with their intervals: {listed(parts) or 'none'}.")
    return figure


def _draw_group(axes: Axes, rows: pd.DataFrame, place: int, look: Look, many: bool) -> None:
    points = rows[rows["kind"] == "point"].sort_values("y", kind="stable")["y"]
    axes.plot(place + _WIDTH * jitter(len(points)), points, look.marker, color=look.colour,
              markersize=3.6, mew=0, alpha=0.45 if len(points) < 500 else 0.2,
              rasterized=many)  # fmt: skip
    for mean in rows[rows["kind"] == "mean"].to_dict("records"):
        axes.hlines(mean["y"], place - 0.2, place + 0.2, color=INK, linewidth=2.2)
        axes.vlines(place, mean["ci_low"], mean["ci_high"], color=INK, linewidth=1.5)
        axes.hlines([mean["ci_low"], mean["ci_high"]], place - 0.07, place + 0.07, color=INK,
                    linewidth=1.5)  # fmt: skip


def _name_groups(axes: Axes, rows: pd.DataFrame, groups: list[str], beside: int) -> None:
    """Write names and numbers of people below the groups, turned where there is no room."""
    counts = rows[rows["kind"] == "point"]["group"].value_counts()
    room = 11 if beside == 1 else max(24 // len(groups), 4)
    upright = all(len(word) <= room for name in groups for word in name.split())
    shown = [
        f"{wrapped(name, room if upright else 30)}\nn = {counts[name]}"
        if name in counts
        else wrapped(name, room if upright else 30)
        for name in groups
    ]
    axes.set_xticks(range(len(groups)), shown, rotation=0 if upright else 90)
    axes.tick_params(axis="x", length=0, labelbottom=True)


def bars(drawing: Drawing) -> Figure:
    """
    Bars from zero, beside each other for each group.

    Columns
    -------
    label
        A line of the figure.
    value
        Length of the bar.
    group
        Told by colour; may be missing.
    ci_low, ci_high
        Ends of the interval; may be missing.
    """
    rows = rows_of(drawing, ("label",), ("value",), needed=("value",), or_empty=("group",),
                   or_missing=("ci_low", "ci_high"))  # fmt: skip
    names, styles = order(drawing, rows, "label"), looks(order(drawing, rows, "group"))
    thick = 0.8 / len(styles)
    figure = Figure(
        figsize=(5.8, 1.3 + len(names) * max(0.24, 0.13 * len(styles))), layout="constrained"
    )
    axes = figure.add_subplot()
    for index, (group, look) in enumerate(styles.items()):
        own = rows[rows["group"] == group]
        at = own["label"].map(names.index) + (index - (len(styles) - 1) / 2) * thick
        axes.barh(at, own["value"], 0.92 * thick, color=look.colour)
        known = own[["ci_low", "ci_high"]].notna().all(axis=1)
        axes.hlines(at[known], own["ci_low"][known], own["ci_high"][known], color=INK, linewidth=1)
    axes.set_yticks(range(len(names)), [wrapped(name, 40) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=SOFT, linewidth=0.8)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_xlabel(wrapped(label(drawing, "value"), 60))
    if len(styles) > 1:
        legend(figure, [Patch(color=look.colour, label=name) for name, look in styles.items()],
               label(drawing, "group", " ").strip())  # fmt: skip
    parts = [
        " ".join(filter(None, [row["label"], row["group"], figures(row["value"])]))
        for row in rows.to_dict("records")
    ]
    figure.set_label(f"Bars of {label(drawing, 'value')}: {listed(parts)}.")
    return figure
