"""Curves of survival above the numbers at risk."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
import numpy as np
import pandas as pd

from qsmprep.reports.apa import bare
from qsmprep.reports.plots.style import (
    INK,
    Look,
    label,
    legend,
    listed,
    looks,
    order,
    rows_of,
    wrapped,
)
from qsmprep.statistics.results import Drawing

_NUMBERS = ("time", "survival", "ci_low", "ci_high", "at_risk", "censored")


def kaplan_meier(drawing: Drawing) -> Figure:
    """
    Steps of survival with bands, a tick per censoring, and who is at risk beneath.

    Columns
    -------
    group
        Name of the curve; empty for one curve alone.
    time, survival
        Where each step is, and what fraction has had no event after it.
    ci_low, ci_high
        Ends of its interval; may be missing.
    at_risk
        How many are observed just before `time`.
    censored
        Whether somebody's observation ends there without event.
    """
    rows = rows_of(drawing, ("group",), _NUMBERS, needed=("time", "survival", "at_risk"))
    curves = {name: rows[rows["group"] == name].sort_values("time", kind="stable")
              for name in order(drawing, rows, "group")}  # fmt: skip
    styles = looks(curves)
    foot = 0.19 * len(curves) + 0.25
    figure = Figure(figsize=(5.8, 3.6 + foot), layout="constrained")
    axes, table = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, foot))
    for name, curve in curves.items():
        _draw_curve(axes, curve, styles[name])
    axes.set(ylim=(0, 1.02), xlim=(0, None), ylabel=wrapped(label(drawing, "survival"), 40))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel(label(drawing, "time"))
    axes.tick_params(labelbottom=True)
    _draw_table(table, axes.get_xticks(), axes.get_xlim()[1], curves, styles)
    if note := drawing.labels.get("note"):
        _write_note(axes, note, rows)
    if len(curves) > 1:
        legend(figure, [
            Line2D([], [], color=look.colour, linestyle=look.dash, label=wrapped(name, 48))
            for name, look in styles.items()
        ], label(drawing, "group", " ").strip())  # fmt: skip
    figure.set_label(_told(drawing, curves))
    return figure


def _draw_curve(axes: Axes, curve: pd.DataFrame, look: Look) -> None:
    """Draw one curve from the time 0 on, where all are without event."""
    start = [] if curve["time"].iloc[0] <= 0 else [{"time": 0.0, "survival": 1.0, "ci_low": 1.0,
                                                    "ci_high": 1.0, "censored": 0.0}]  # fmt: skip
    steps = pd.concat([pd.DataFrame(start), curve[[*_NUMBERS]]]) if start else curve
    axes.fill_between(
        steps["time"], steps["ci_low"], steps["ci_high"], step="post",
        color=look.colour, alpha=0.16, linewidth=0,
    )  # fmt: skip
    axes.step(steps["time"], steps["survival"], where="post",
              color=look.colour, linestyle=look.dash)  # fmt: skip
    lost = steps[steps["censored"] == 1]
    axes.plot(lost["time"], lost["survival"], "|", color=look.colour, markersize=7, mew=1.1)


def _write_note(axes: Axes, note: str, rows: pd.DataFrame) -> None:
    """Write a sentence into the corner that the curves leave free."""
    early = rows[rows["time"] < 0.6 * axes.get_xlim()[1]]
    below = bool((early[["survival", "ci_low"]].fillna(1.0).to_numpy() > 0.15).all())
    at, across, down = ((0.02, 0.04), "left", "bottom") if below else ((1, 1), "right", "top")
    axes.annotate(wrapped(note, 44), at, xycoords="axes fraction", ha=across, va=down, color=INK)


def at_risk(curve: pd.DataFrame, time: float) -> int:
    """Return how many of a curve are observed at a time: until their own time is past."""
    later = curve[curve["time"] >= time]
    return int(later["at_risk"].iloc[0]) if len(later) else 0


def _draw_table(
    table: Axes, ticks, last: float, curves: dict[str, pd.DataFrame], styles: dict[str, Look]
) -> None:
    """Write the numbers at risk below the ticks of the time axis, a line per curve."""
    for line, curve in enumerate(curves.values()):
        for time in ticks[(ticks >= 0) & (ticks <= last * (1 + 1e-9))]:
            table.text(time, line, str(at_risk(curve, time)), ha="center", va="center")
    table.set_yticks(range(len(curves)), [n if len(n) <= 24 else f"{n[:23]}…" for n in curves])
    for text, look in zip(table.get_yticklabels(), styles.values(), strict=True):
        text.set_color(look.colour if len(curves) > 1 else INK)
    table.set_ylim(len(curves) - 0.5, -0.5)
    # The numbers at the time 0 reach to the left of the axis.
    widest = max(len(str(int(curve["at_risk"].max()))) for curve in curves.values())
    table.tick_params(length=0, labelbottom=False, pad=6 + 3 * widest)
    table.spines[:].set_visible(False)
    table.set_title("At risk", fontsize=9)


def _told(drawing: Drawing, curves: dict[str, pd.DataFrame]) -> str:
    """Return the curves in words: who begins, and what is left where they end."""
    parts = []
    for name, curve in curves.items():
        last = curve.iloc[-1]
        half = curve[curve["survival"] <= 0.5]["time"]
        middle = f"half of them after {half.iloc[0]:.3g}" if len(half) else "more than half remain"
        parts.append(
            f"{name or 'all'}, {int(np.max(curve['at_risk']))} at the start, "
            f"{bare(last['survival'])} at {last['time']:.3g}, {middle}"
        )
    return (
        f"Kaplan–Meier curves of {label(drawing, 'survival')} over {label(drawing, 'time')}, with "
        f"the numbers at risk beneath: {listed(parts)}."
    )
