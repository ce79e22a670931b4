"""Figures of regional tables, and which regions a reader looks for first."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
import pandas as pd

from qsmprep.methods.referencing import REFERENCES
from qsmprep.methods.regions import WHOLE_BRAIN
from qsmprep.reports.pages import number

REGION_COLOURS = {
    "caudate": "#4E9BE8",
    "putamen": "#2FBF9B",
    "pallidum": "#F25F5C",
    "thalamus": "#F2C14E",
    "accumbens": "#B07CF2",
    "substantia-nigra": "#FF8FC7",
    "red-nucleus": "#E0371B",
    "subthalamic-nucleus": "#7ED957",
    "dentate": "#F58F29",
    "hippocampus": "#8BE0F0",
    "amygdala": "#C9E265",
    "entorhinal": "#E39BF0",
}
"""Main regions in the order of tables, each with its colour in figures."""

_HEMISPHERE_ORDER = "LRBM"
_HEMISPHERES = {"L": ("left", "#2F6FB7", 0.2), "R": ("right", "#C7522A", 0.0)}
_BOTH = ("bilateral", "#222222", -0.2)


def read_regions(path: Path) -> pd.DataFrame:
    """Return the rows of a ``regions.tsv``, labels as text and missing numbers as NaN."""
    labels = "participant_id session_id acquisition run atlas name hemisphere map reference flag"
    return pd.read_csv(
        path,
        sep="\t",
        na_values=["n/a"],
        keep_default_na=False,
        dtype=dict.fromkeys(labels.split(), str),
    )


def reference_of(table: pd.DataFrame, preferred: str | None = None) -> str:
    """Return the preferred reference if a table has it, else the first it has."""
    present = set(table.loc[table["map"] == "Chimap", "reference"].dropna())
    order = [preferred, *REFERENCES, *sorted(present)]
    return next((name for name in order if name in present), preferred or REFERENCES[0])


def table_rows(table: pd.DataFrame, reference: str) -> tuple[list[dict], list[dict]]:
    """
    Return a row per region, χ and R2* side by side: the main regions, then all others.

    Parameters
    ----------
    table
        Rows of the ``regions.tsv`` of one acquisition.
    reference
        Reference of the susceptibility.
    """
    rates = {
        (row["name"], row["hemisphere"]): row
        for row in select(table, "R2starmap", None).to_dict("records")
    }
    rows = [
        {**row, "rate": rates.get((row["name"], row["hemisphere"]))}
        for row in select(table, "Chimap", reference).to_dict("records")
    ]
    leading = [*REGION_COLOURS, WHOLE_BRAIN]
    main = [row for row in rows if row["name"] in leading]
    main.sort(
        key=lambda row: (leading.index(row["name"]), _HEMISPHERE_ORDER.find(row["hemisphere"]))
    )
    return main, [row for row in rows if row["name"] not in leading]


def main_regions(table: pd.DataFrame) -> list[str]:
    """Return the main regions a regional table has, in the order of tables."""
    present = set(table["name"])
    return [name for name in REGION_COLOURS if name in present]


def select(table: pd.DataFrame, quantity: str, reference: str | None) -> pd.DataFrame:
    """
    Return the rows of one map under one reference.

    Parameters
    ----------
    table
        Rows of ``regions.tsv``.
    quantity
        Map, ``Chimap`` or ``R2starmap``.
    reference
        Reference of the susceptibility; None for maps without one.
    """
    rows = table[table["map"] == quantity]
    return rows if reference is None else rows[rows["reference"] == reference]


def region_dots(table: pd.DataFrame, reference: str, *, title: str = "") -> Figure:
    """
    Mean susceptibility of the main regions with its standard deviation over voxels.

    Parameters
    ----------
    table
        Rows of the ``regions.tsv`` of one acquisition.
    reference
        Reference of the susceptibility.
    title
        Written above the plot.
    """
    rows = select(table, "Chimap", reference)
    names = main_regions(rows)
    figure, axes = plot_of(names, title or f"Regional means, reference: {reference}")
    for row in rows[rows["name"].isin(names)].to_dict("records"):
        _, colour, shift = _HEMISPHERES.get(str(row["hemisphere"]), _BOTH)
        axes.errorbar(
            row["mean"], names.index(row["name"]) - shift, xerr=row["std"],
            fmt="o", color=colour, markersize=5, elinewidth=1, alpha=0.9,
        )  # fmt: skip
    axes.set_xlabel("χ (ppb), mean ± SD over voxels")
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=side)
        for side, colour, _ in (*_HEMISPHERES.values(), _BOTH)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    means = {(row["name"], row["hemisphere"]): row["mean"] for row in rows.to_dict("records")}
    sides = {"L": "left", "R": "right", "B": "both", "M": "midline"}
    told = [
        f"{name.replace('-', ' ')} "
        + ", ".join(
            f"{word} {number(means[name, side])}"
            for side, word in sides.items()
            if (name, side) in means
        )
        for name in names
    ]
    figure.set_label(
        f"Mean susceptibility of the main regions in ppb, against {reference}, with its standard "
        f"deviation over voxels: {'; '.join(told) or 'none'}."
    )
    return figure


def bilateral(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of whole structures: both sides together, or on the midline."""
    return table[table["hemisphere"].isin(["B", "M"])]


def plot_of(names: list[str], title: str, *, per_region: int = 1) -> tuple[Figure, Axes]:
    """Return an empty plot with room for some lines per region, the first region on top."""
    line = 0.24 + 0.12 * per_region
    figure = Figure(figsize=(5.2, 1.6 + line * max(len(names), 1)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_yticks(range(len(names)), [name.replace("-", " ") for name in names])
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if not names:
        axes.text(0.5, 0.5, "no main region in the table", transform=axes.transAxes, ha="center")
    return figure, axes
