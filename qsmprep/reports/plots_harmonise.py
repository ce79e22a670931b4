"""Figure of batches before and after harmonisation."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
import numpy as np
import pandas as pd

from qsmprep.files import replacing
from qsmprep.reports.figures import save_figure
from qsmprep.reports.pages import number

MOST = 30
"""Regions in the figure: those of which the batches say most; its table has all."""

_LONGEST = 18  # letters of a name of a batch below its column
_GREY = "#dddddd"


def draw_batches(data: pd.DataFrame, unit: str, title: str) -> Figure:
    """
    Mean of each batch less that of all, covariates held: a row per region, a column per batch.

    Colours are those of a scale from purple by white to orange that colour-blind readers tell
    apart, the same before and after; grey is not measured.

    Parameters
    ----------
    data
        Columns ``region``, ``batch``, ``before``, ``after``, and ``partial_r2`` of the batches
        before, which regions are sorted by.
    unit
        Of the means, with their name.
    title
        What is drawn.
    """
    strength = data.groupby("region", sort=False)["partial_r2"].first()
    order = strength.sort_values(ascending=False, kind="stable", na_position="last").index[:MOST]
    batches = list(pd.unique(data["batch"]))
    tables = [data.pivot(index="region", columns="batch", values=when).loc[order, batches]
              for when in ("before", "after")]  # fmt: skip
    largest = max(float(np.nanmax(np.abs(tables[0].to_numpy()), initial=0)), 1e-9)
    width = 4.2 + 2 * max(1.6, 0.45 * len(batches))
    figure = Figure(figsize=(width, 1.9 + 0.24 * len(order)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    labels, key = _short(batches)
    for axes, table, name in zip(panels, tables, ("Before", "After"), strict=True):
        axes.set_facecolor(_GREY)
        picture = axes.imshow(table, cmap="PuOr_r", vmin=-largest, vmax=largest, aspect="auto")
        axes.set_title(name, fontsize=11, loc="left")
        axes.set_xticks(range(len(batches)), labels, rotation=90 if len(batches) > 4 else 0)
        axes.set_yticks(range(len(order)), map(_plain, order))
        axes.tick_params(length=0)
    figure.colorbar(picture, ax=panels, shrink=0.8, label=f"{unit}: batch less all, adjusted")
    figure.suptitle(_plain(title), fontsize=11, x=0.01, ha="left")
    if key:
        figure.supxlabel("\n".join(key), fontsize=8, ha="left", x=0.01)
    before, after = (float(np.nanmean(np.abs(table.to_numpy()))) for table in tables)
    figure.set_label(
        f"{title}. Means of {len(batches)} batches less that of all, covariates held, in "
        f"{len(order)} regions. They lie {number(before, 2)} from zero on average before and "
        f"{number(after, 2)} after."
    )
    return figure


def _short(batches: list[str]) -> tuple[list[str], list[str]]:
    """Return names that fit below a column, and what they stand for where they are numbers."""
    if all(len(name) <= _LONGEST for name in batches):
        return list(map(_plain, batches)), []
    labels = [str(place + 1) for place in range(len(batches))]
    return labels, [
        f"{place}  {_plain(name)}" for place, name in zip(labels, batches, strict=True)
    ]


def _plain(name: str) -> str:
    """Return a name that is drawn as it stands: between two dollars would be a formula."""
    return name.replace("$", r"\$")


def write_drawing(figure: Figure, data: pd.DataFrame, path: Path) -> Path:
    """Write a figure as SVG and PNG and what it shows as TSV, and return the path of the first."""
    for ending in (".svg", ".png"):
        save_figure(figure, path.with_suffix(ending))
    with replacing(path.with_suffix(".tsv")) as temporary:
        data.to_csv(temporary, sep="\t", index=False, na_rep="n/a", float_format="%.6g",
                    lineterminator="\n")  # fmt: skip
    return path
