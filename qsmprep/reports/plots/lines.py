"""Values over time or over another measure: trajectories, people, points with their lines."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
import matplotlib.patheffects as effects
from matplotlib.ticker import MaxNLocator
import numpy as np
import pandas as pd

from qsmprep.reports.apa import figures
from qsmprep.reports.plots.style import (
    MANY_POINTS,
    PALETTE,
    Look,
    label,
    legend,
    listed,
    looks,
    name_axes,
    order,
    panels,
    parts,
    rows_of,
    wrapped,
)
from qsmprep.statistics.results import OBSERVED, Drawing

_BAND = ("ci_low", "ci_high")


def trajectories(drawing: Drawing) -> Figure:
    """
    Lines with their bands in panels of one scale, and observations as points.

    Columns
    -------
    panel, line
        Where a row is drawn, and which line it belongs to; the name of a line followed by
        `` (data)`` are its observations.
    x, y
        Place of each point of the line.
    ci_low, ci_high
        Ends of the interval; may be missing.
    """
    rows = rows_of(drawing, ("panel", "line"), ("x", "y"), needed=("x", "y"), or_missing=_BAND)
    points = rows["line"].str.endswith(OBSERVED)
    rows["line"] = rows["line"].str.removesuffix(OBSERVED)
    names = order(drawing, rows[~points], "line") or order(drawing, rows, "line")
    names += [name for name in dict.fromkeys(rows["line"]) if name not in names]
    styles = looks(names)
    figure, grid = panels(order(drawing, rows, "panel"))
    many = int(points.sum()) > MANY_POINTS
    for (panel, line), part in parts(rows[points], "panel", "line"):
        _scatter(grid[panel], part, styles[line], many)
    for (panel, line), part in parts(rows[~points], "panel", "line"):
        _line(grid[panel], part, styles[line])
    if (rows["x"] % 1 == 0).all():  # there is no session 1.5
        for axes in grid.values():
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    name_axes(figure, grid.values(), label(drawing, "x"), label(drawing, "y"))
    if len(names) > 1:
        legend(figure, [_key(name, look) for name, look in styles.items()],
               label(drawing, "line", " ").strip())  # fmt: skip
    figure.set_label(
        f"Lines of {label(drawing, 'y')} over {label(drawing, 'x')}: "
        f"{listed(_ends(rows[~points], ['panel', 'line']))}."
    )
    return figure


def spaghetti(drawing: Drawing) -> Figure:
    """
    A thin line per person and a thick one per group.

    Columns
    -------
    subject
        Whose observation it is; empty for the line of the group.
    group
        Group, told by colour.
    x, y
        Time and value.
    ci_low, ci_high
        Ends of the interval of the line of the group; may be missing.
    """
    rows = rows_of(drawing, ("subject", "group"), ("x", "y"), needed=("x", "y"), or_missing=_BAND)
    styles = looks(order(drawing, rows, "group"))
    means = rows[rows["subject"] == ""]
    people = rows[rows["subject"] != ""]
    # More than three would be a thicket in one panel.
    apart = len(styles) > 3
    figure, grid = panels(list(styles) if apart else [""])
    faint = 0.4 if people["subject"].nunique() <= 150 else 0.2
    for (group,), part in parts(people, "group"):
        axes, look = grid[group if apart else ""], styles[group]
        paths = [own.sort_values("x")[["x", "y"]].to_numpy()
                 for _, own in part.groupby("subject", sort=False)]  # fmt: skip
        rasterized = len(people) > MANY_POINTS
        axes.add_collection(LineCollection(paths, colors=look.colour, alpha=faint, linewidths=0.7,
                                           rasterized=rasterized))  # fmt: skip
        axes.plot(part["x"], part["y"], look.marker, color=look.colour, alpha=faint,
                  markersize=2.4, mew=0, rasterized=rasterized)  # fmt: skip
    for (group,), part in parts(means, "group"):
        _line(grid[group if apart else ""], part, styles[group], heavy=True)
    name_axes(figure, grid.values(), label(drawing, "x"), label(drawing, "y"))
    if len(styles) > 1 and not apart:
        legend(figure, [_key(name, look, True, True) for name, look in styles.items()],
               label(drawing, "group", " ").strip())  # fmt: skip
    counts = [f"{group or 'all'} {part['subject'].nunique()} people"
              for (group,), part in parts(people, "group")]  # fmt: skip
    figure.set_label(
        f"A line per person of {label(drawing, 'y')} over {label(drawing, 'x')}: "
        f"{listed(counts)}. Lines of the groups: {listed(_ends(means, ['group'])) or 'none'}."
    )
    return figure


def scatter(drawing: Drawing) -> Figure:
    """
    Points in panels, and the line through them with its band.

    Columns
    -------
    panel, group
        Where a point is drawn, and in what colour; may be missing.
    x, y
        Its place.
    kind
        ``point``, or ``line`` for what is joined; all are points where it is missing.
    ci_low, ci_high
        Ends of the interval of the line; may be missing.
    """
    rows = rows_of(drawing, (), ("x", "y"), needed=("x", "y"),
                   or_empty=("panel", "group", "kind"), or_missing=_BAND)  # fmt: skip
    styles = looks(order(drawing, rows, "group"))
    names = order(drawing, rows, "panel")
    figure, grid = panels(names, sharex=False, sharey=False)
    points = rows["kind"] != "line"
    many = int(points.sum()) > MANY_POINTS
    for (panel, group), part in parts(rows[points], "panel", "group"):
        _scatter(grid[panel], part, styles[group], many)
    for (panel, group), part in parts(rows[~points], "panel", "group"):
        _line(grid[panel], part, styles[group])
    name_axes(figure, grid.values(), label(drawing, "x"), label(drawing, "y"))
    if len(styles) > 1:
        handles = []
        for name, look in styles.items():
            own = points[rows["group"] == name]
            key = _key(name, look, marked=bool(own.any()))
            key.set_linestyle("" if own.all() else look.dash)
            handles += [key] if name else []
        legend(figure, handles, label(drawing, "group", " ").strip())
    counts = [
        " ".join(filter(None, [*names, f"{len(part)} points"]))
        for names, part in parts(rows[points], "panel", "group")
    ]
    figure.set_label(
        f"Points of {label(drawing, 'y')} over {label(drawing, 'x')}: {listed(counts)}. "
        f"Lines through them: {listed(_ends(rows[~points], ['panel', 'group'])) or 'none'}."
    )
    return figure


def diagnostics(drawing: Drawing) -> Figure:
    """
    What tells whether the assumptions of a model hold, in panels of their own scales.

    A panel whose name has quantile or QQ in it gets the line on which normal residuals lie, one
    with residual in it the line of zero.

    Columns
    -------
    panel
        Name of the panel.
    x, y
        Place of each point.
    """
    rows = rows_of(drawing, ("panel",), ("x", "y"), needed=("x", "y"))
    names = order(drawing, rows, "panel")
    figure, grid = panels(names, sharex=False, sharey=False)
    many = len(rows) > MANY_POINTS
    for name, axes in grid.items():
        part = rows[rows["panel"] == name]
        word = name.lower()
        if "quantile" in word or "q-q" in word or "qq" in word or "q–q" in word:
            axes.axline(*_through_quartiles(part), color=PALETTE[1], linewidth=1.2)
        elif "resid" in word or "schoenfeld" in word:
            axes.axhline(0, color=PALETTE[1], linewidth=1.2)
        axes.plot(part["x"], part["y"], "o", color=PALETTE[0], alpha=0.5, markersize=3.2, mew=0,
                  rasterized=many)  # fmt: skip
        axes.set_xlabel(wrapped(label(drawing, f"x {name}", label(drawing, "x")), 30))
        axes.set_ylabel(wrapped(label(drawing, f"y {name}", label(drawing, "y")), 30))
    counts = [f"{name} {int((rows['panel'] == name).sum())} points" for name in names]
    figure.set_label(f"Checks of the model, a panel each: {listed(counts)}.")
    return figure


def _through_quartiles(part: pd.DataFrame) -> tuple[tuple, tuple]:
    """Return two points of the line through the quartiles of both axes."""
    (x1, x3), (y1, y3) = (np.percentile(part[axis], (25, 75)) for axis in "xy")
    # One value or two equal ones have no line; the diagonal says as little wrong as any.
    return ((x1, y1), (x3, y3)) if x3 > x1 else ((x1, y1), (x1 + 1, y1 + 1))


def _line(axes: Axes, part: pd.DataFrame, look: Look, *, heavy: bool = False) -> None:
    """Draw a line with its band; alone, a single place is a dot with a bar."""
    part = part.sort_values("x", kind="stable")
    if len(part) == 1:
        one = part.iloc[0]
        axes.vlines(one["x"], one["ci_low"], one["ci_high"], color=look.colour)
        axes.plot(one["x"], one["y"], look.marker, color=look.colour)
        return
    axes.fill_between(part["x"], part["ci_low"], part["ci_high"], color=look.colour,
                      alpha=0.28 if heavy else 0.16, linewidth=0)  # fmt: skip
    halo = [effects.Stroke(linewidth=4.6, foreground="white"), effects.Normal()] if heavy else []
    axes.plot(part["x"], part["y"], color=look.colour, linestyle="-" if heavy else look.dash,
              linewidth=2.8 if heavy else 1.8, path_effects=halo or None)  # fmt: skip


def _scatter(axes: Axes, part: pd.DataFrame, look: Look, many: bool) -> None:
    axes.plot(part["x"], part["y"], look.marker, color=look.colour, markersize=3.8, mew=0,
              alpha=0.5 if len(part) < 500 else 0.25, rasterized=many)  # fmt: skip


def _key(name: str, look: Look, marked: bool = False, solid: bool = False) -> Line2D:
    return Line2D(
        [], [], color=look.colour, linestyle="-" if solid else look.dash, markersize=5,
        marker=look.marker if marked else None, label=wrapped(name, 48),
    )  # fmt: skip


def _ends(lines: pd.DataFrame, by: list[str]) -> list[str]:
    """Return where lines begin and end, in words."""
    told = []
    for names, part in parts(lines, *by):
        first, last = part.sort_values("x", kind="stable").iloc[[0, -1]]["y"]
        name = " ".join(filter(None, names)) or "the line"
        told.append(f"{name} from {figures(first)} to {figures(last)}")
    return told
