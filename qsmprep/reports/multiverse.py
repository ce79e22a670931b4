"""Figure of regions as several protocols measured them."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
import numpy as np
import pandas as pd

from qsmprep.reports.regions import bilateral, main_regions, plot_of, reference_of

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of Okabe and Ito (2008), which colour-blind readers tell apart."""

MARKERS = "osD^vP*"


def draw(table: pd.DataFrame, protocols: Sequence[str]) -> Figure:
    """
    Bilateral susceptibility of the main regions, a line of dots per protocol.

    Parameters
    ----------
    table
        As `qsmprep.group.multiverse.compare` returns it.
    protocols
        Names of its columns, in the order to draw them.
    """
    rows = bilateral(table)
    reference = reference_of(rows.assign(map="Chimap"))
    rows = rows[rows["reference"] == reference]
    names = main_regions(rows)
    figure, axes = plot_of(
        names, f"Regional means by protocol, reference: {reference}", per_region=len(protocols)
    )
    shifts = 0.7 * ((np.arange(len(protocols)) + 0.5) / len(protocols) - 0.5)
    for number, (protocol, shift) in enumerate(zip(protocols, shifts, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        marker = MARKERS[number % len(MARKERS)]
        for place, name in enumerate(names):
            means = rows.loc[rows["name"] == name, protocol].dropna().to_numpy(dtype=float)
            axes.plot(means, np.full(means.size, place + shift), marker, color=colour,
                      alpha=0.4, markersize=4, mew=0)  # fmt: skip
            if means.size:
                axes.plot(means.mean(), place + shift, marker, color=colour, markersize=7)
    axes.set_xlabel("χ (ppb): mean, and each acquisition")
    handles = [
        Line2D([], [], marker=MARKERS[n % len(MARKERS)], color=COLOURS[n % len(COLOURS)],
               linestyle="", label=protocol)
        for n, protocol in enumerate(protocols)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure
