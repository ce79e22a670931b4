"""
Figures of models: a table in, a `matplotlib.figure.Figure` out, and both to files.

A figure is drawn from a `qsmprep.statistics.results.Drawing` by the function of its kind, whose
docstring says what the columns are. The label of a figure says in words and numbers what is seen
in it, for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from qsmprep.errors import RequestError
from qsmprep.files import atomic_write_text, replacing
from qsmprep.reports.plots.forest import forest
from qsmprep.reports.plots.groups import adjusted_means, bars
from qsmprep.reports.plots.lines import diagnostics, scatter, spaghetti, trajectories
from qsmprep.reports.plots.matrix import correlation_matrix
from qsmprep.reports.plots.style import HOUSE
from qsmprep.reports.plots.survival import kaplan_meier
from qsmprep.statistics.results import Drawing

DRAWINGS: dict[str, Callable[[Drawing], Figure]] = {
    "adjusted_means": adjusted_means,
    "bars": bars,
    "correlation_matrix": correlation_matrix,
    "diagnostics": diagnostics,
    "forest": forest,
    "kaplan_meier": kaplan_meier,
    "scatter": scatter,
    "spaghetti": spaghetti,
    "trajectories": trajectories,
}
"""What draws each kind of figure."""

_DPI = 200


def draw(drawing: Drawing) -> Figure:
    """
    Return a figure, drawn.

    Raises
    ------
    RequestError
        If its kind is not known, or its data cannot be drawn.
    """
    if drawing.kind not in DRAWINGS:
        known = ", ".join(DRAWINGS)
        raise RequestError(f"no figure is called {drawing.kind}; there are {known}")
    with mpl.rc_context(HOUSE):
        figure = DRAWINGS[drawing.kind](drawing)
        # Arranged once, not again for each file: that takes longer than all else.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def write_drawing(
    drawing: Drawing, folder: str | Path, name: str, *, confidence: float = 0.95
) -> Path:
    """
    Write a figure as ``NAME.svg`` and ``NAME.png``, its data as ``NAME.tsv``; return the first.

    ``NAME.json`` has kind, caption, labels, and in ``AlternativeText`` what is seen. Equal
    drawings are equal files.

    Parameters
    ----------
    drawing
        The figure.
    folder, name
        Where it goes, and what its files are called.
    confidence
        Of its intervals; written where they are.

    Raises
    ------
    RequestError
        As `draw` does; nothing is written then.
    """
    labels = {"confidence": f"{100 * confidence:g} %", **drawing.labels}
    figure = draw(replace(drawing, labels=labels))
    folder = Path(folder)
    told = str(figure.get_label())
    for ending, metadata in (("svg", {"Date": None}), ("png", {})):
        # Ticks are made as late as this, and take the settings, too.
        with replacing(folder / f"{name}.{ending}") as part, mpl.rc_context(HOUSE):
            figure.savefig(
                part, format=ending, dpi=_DPI, metadata=metadata | {"Description": told}
            )
    table = drawing.data.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    atomic_write_text(folder / f"{name}.tsv", table)
    about = {
        "Kind": drawing.kind,
        "Caption": drawing.caption,
        "Labels": labels,
        "AlternativeText": told,
    }
    text = json.dumps(about, indent=2, ensure_ascii=False)
    atomic_write_text(folder / f"{name}.json", f"{text}\n")
    return folder / f"{name}.svg"
