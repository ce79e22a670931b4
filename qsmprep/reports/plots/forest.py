"""Estimates with their intervals, a line each, and their numbers beside them."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
import numpy as np
import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.reports.apa import decimals, figures, p_value, with_interval
from qsmprep.reports.plots.style import (
    FAINT,
    INK,
    SOFT,
    label,
    legend,
    listed,
    looks,
    order,
    rows_of,
    wrapped,
)
from qsmprep.statistics.results import Drawing

_LINE = 0.235  # inch
_EM = 0.067  # inch; width of a character among digits, brackets and spaces
_CUT = 4.0  # times the middle width: wider intervals would squeeze all others


def forest(drawing: Drawing) -> Figure:
    """
    An estimate per line with its interval, and both as numbers beside it.

    ``labels["null"]`` is where nothing happens, 0 if it is not told; ``labels["scale"]`` is
    ``log`` for ratios.

    Columns
    -------
    label
        Region or term.
    estimate, ci_low, ci_high
        What is drawn; without ends there is no bar.
    p_value
        Printed; may be missing, as may `p_holm`, which is printed beside it.
    group
        Told by colour, a line each below the label; may be missing.
    """
    rows = rows_of(
        drawing, ("label",), ("estimate", "ci_low", "ci_high"), needed=("estimate",),
        or_empty=("group",), or_missing=("p_value", "p_holm"),
    )  # fmt: skip
    log = drawing.labels.get("scale") == "log"
    null = float(drawing.labels.get("null", 1 if log else 0))
    if log and (rows["estimate"] <= 0).any():
        raise RequestError("figure forest: an estimate of 0 or less has no place on a log scale")
    styles = looks(order(drawing, rows, "group"))
    names = order(drawing, rows, "label")
    rows["place"] = _places(rows, names, list(styles))
    figure, axes = _frame(rows, names)
    low, high = _window(rows, null, log)
    axes.set_xlim(low, high)
    if log:
        _log_axis(axes, low, high)
    axes.axvline(null, color=SOFT, linewidth=1, zorder=1)
    for row in rows.to_dict("records"):
        _draw_row(axes, row, styles[row["group"]], (low, high))
    _write_columns(axes, rows)
    axes.set_xlabel(wrapped(label(drawing, "estimate") + ", 95 % CI", 42))
    if len(styles) > 1:
        legend(figure, [
            Line2D([], [], color=look.colour, marker=look.marker, markersize=5, label=name)
            for name, look in styles.items()
        ], label(drawing, "group", " ").strip())  # fmt: skip
    figure.set_label(_told(drawing, rows, null))
    return figure


def _places(rows: pd.DataFrame, names: list[str], groups: list[str]) -> pd.Series:
    """Return the height of each row: labels from above, their groups below each other."""
    size = len(groups) + (0.5 if len(groups) > 1 else 0.0)
    at = rows["label"].map(names.index) * size + rows["group"].map(groups.index)
    # The same label twice in a group, as in two models, must not lie on itself.
    again = rows.groupby(["label", "group"]).cumcount()
    return at + 0.35 * again


def _frame(rows: pd.DataFrame, names: list[str]) -> tuple[Figure, Axes]:
    span = rows["place"].max() + 1
    longest = max(map(len, names))
    figure = Figure(
        figsize=(5.6 + min(longest, 40) * _EM, 1.35 + _LINE * span), layout="constrained"
    )
    axes = figure.add_subplot()
    middle = rows.groupby("label")["place"].mean()
    axes.set_yticks([middle[name] for name in names], [wrapped(name, 40) for name in names])
    axes.set_ylim(span - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    if len(names) > 12:
        # The eye loses the line between a name and its numbers.
        half = 0.5 * rows["place"].nunique() / len(names)
        for name in names[::2]:
            axes.axhspan(middle[name] - half, middle[name] + half, color=FAINT, alpha=0.35,
                         linewidth=0, zorder=0)  # fmt: skip
    return figure, axes


def _window(rows: pd.DataFrame, null: float, log: bool) -> tuple[float, float]:
    """Return the ends of the axis, beyond which some very wide intervals may reach."""
    scale = np.log if log else np.asarray
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = scale(rows["estimate"].to_numpy())
        ends = np.column_stack([scale(rows["ci_low"]), scale(rows["ci_high"])])
    reach = np.abs(ends - middle[:, None])
    reach = reach[np.isfinite(reach)]
    limit = _CUT * np.median(reach) if reach.size else 0.0
    near = [float(scale(null)), *middle]
    for side in ends.T:
        shown = np.isfinite(side)
        near += list(np.clip(side, middle - limit, middle + limit)[shown])
    low, high = min(near), max(near)
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    return (math.exp(low), math.exp(high)) if log else (low, high)


def _log_axis(axes: Axes, low: float, high: float) -> None:
    """Put a few round ratios on a logarithmic axis, however narrow it is."""
    axes.set_xscale("log")
    if high / low < 6:
        ticks = np.asarray(MaxNLocator(6).tick_values(low, high))
    else:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        factors = (1, 2, 5) if len(decades) <= 3 else (1,)
        ticks = np.array([factor * 10.0**power for power in decades for factor in factors])
        while ((ticks >= low) & (ticks <= high)).sum() > 7:
            ticks = ticks[::2]
    axes.xaxis.set_major_locator(FixedLocator([t for t in ticks if low <= t <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


def _draw_row(axes: Axes, row: dict, look, window: tuple[float, float]) -> None:
    """Draw one estimate; an end that lies beyond the axis is an arrow."""
    low, high = window
    if not math.isnan(row["ci_low"]) and not math.isnan(row["ci_high"]):
        start, end = max(row["ci_low"], low), min(row["ci_high"], high)
        axes.plot([start, end], [row["place"]] * 2, color=look.colour, linewidth=1.6)
        for beyond, at, arrow in (
            (row["ci_low"] < low, low, "<"), (row["ci_high"] > high, high, ">"),
        ):  # fmt: skip
            if beyond:
                axes.plot(at, row["place"], arrow, color=look.colour, clip_on=False, markersize=6)
    axes.plot(row["estimate"], row["place"], look.marker if row["group"] else "s",
              color=look.colour, markersize=5.5)  # fmt: skip


def _write_columns(axes: Axes, rows: pd.DataFrame) -> None:
    """Write estimates and p values right of the axes, below their names."""
    values = rows[["estimate", "ci_low", "ci_high"]].to_numpy()
    digits = [decimals(*row) for row in values]
    # Numbers below each other are compared: one precision for all, if one fits.
    common = int(np.median(digits)) if max(digits) - min(digits) <= 2 else None
    told = [with_interval(*row, digits=common) for row in values]
    columns = [("Estimate [95 % CI]", told)]
    for name, title in (("p_value", "p"), ("p_holm", "p (Holm)")):
        if rows[name].notna().any():
            columns.append((title, [p_value(p) for p in rows[name]]))
    right = 0.0
    for title, texts in columns:
        right += max(1.15 * len(title), *map(len, texts)) * _EM + 0.14
        for text, place, weight in zip(
            [title, *texts], [-0.6, *rows["place"]], ["bold"] + ["normal"] * len(texts),
            strict=True,
        ):  # fmt: skip
            heading = weight == "bold"
            axes.annotate(
                text, (1, place), (right * 72, 4 if heading else 0),
                xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
                va="bottom" if heading else "center_baseline", fontweight=weight, color=INK,
                fontsize=8.5, annotation_clip=False,
            )  # fmt: skip


def _told(drawing: Drawing, rows: pd.DataFrame, null: float) -> str:
    """Return the estimates in words, the surest first."""
    clear = int(((rows["ci_low"] > null) | (rows["ci_high"] < null)).sum())
    first = rows.sort_values("p_value", kind="stable").head(8)
    parts = [
        " ".join(filter(None, [
            row["label"], row["group"],
            with_interval(row["estimate"], row["ci_low"], row["ci_high"]),
            p_value(row["p_value"], name="p") if row["p_value"] == row["p_value"] else "",
        ])) for row in first.to_dict("records")
    ]  # fmt: skip
    return (
        f"{len(rows)} estimates of {label(drawing, 'estimate')} with their intervals; {clear} "
        f"intervals do not hold {figures(null)}: {listed(parts, 8)}."
    )
