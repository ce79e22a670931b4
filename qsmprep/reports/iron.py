"""Susceptibility of deep nuclei beside the iron that brains of that age have."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
import numpy as np
import pandas as pd

from qsmprep.reports.pages import number
from qsmprep.reports.regions import REGION_COLOURS, select

IRON = {
    "pallidum": (21.41, 0.09, 0.37),
    "putamen": (14.62, 0.04, 0.46),
    "caudate": (9.66, 0.05, 0.33),
}
"""a, b and c of iron at the age x, a (1 - exp(-b x)) + c."""

SOURCE = "Hallgren and Sourander, 1958, doi:10.1111/j.1471-4159.1958.tb12607.x"

_UNIT = "mg per 100 g wet tissue"
_SIDES = {"L": ("left", "<"), "R": ("right", ">")}
_INK = "#222222"


def iron_of(region: str, age: float) -> float:
    """
    Return the non-haem iron of a nucleus, mg per 100 g of wet tissue, in brains of an age.

    After Hallgren and Sourander (1958, doi:10.1111/j.1471-4159.1958.tb12607.x), who measured it
    after death.

    Parameters
    ----------
    region
        One of `IRON`.
    age
        Years.
    """
    rise, rate, start = IRON[region]
    return rise * (1 - math.exp(-rate * age)) + start


def iron_by_age(table: pd.DataFrame, reference: str, age: float) -> Figure | None:
    """
    Iron over age on the left, and susceptibility here over that iron on the right.

    Iron and susceptibility have an axis each. No factor is put between them, because it depends
    on myelin, on the reference and on the reconstruction; the order of the nuclei does not.

    Parameters
    ----------
    table
        Rows of the ``regions.tsv`` of one acquisition.
    reference
        Reference of the susceptibility.
    age
        Years.

    Returns
    -------
    figure
        None if the table has none of the nuclei.
    """
    rows = select(table, "Chimap", reference)
    rows = rows[rows["name"].isin(list(IRON)) & rows["hemisphere"].isin(list(_SIDES))]
    rows = rows.dropna(subset=["mean"])
    if rows.empty:
        return None
    figure = Figure(figsize=(8.0, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
    ages = np.linspace(0, 100, 201)
    for name in IRON:
        left.plot(ages, [iron_of(name, x) for x in ages], color=REGION_COLOURS[name], linewidth=2)
        here = iron_of(name, age)
        left.plot([min(age, 100), 100], [here, here], color=_INK, linestyle=":", linewidth=0.8)
        left.plot(age, here, "o", color=REGION_COLOURS[name], markeredgecolor=_INK, zorder=3)
        right.axhline(here, color=_INK, linestyle=":", linewidth=0.8)
    left.axvline(age, color=_INK, linewidth=0.8)
    right.axvline(0, color=_INK, linewidth=0.8)
    lowest = -1.0
    for name in reversed(IRON):
        lowest = max(iron_of(name, age), lowest + 1.3)  # or names of the young lie on one another
        right.annotate(name, (1.02, lowest), xycoords=("axes fraction", "data"), va="center")
    for row in rows.to_dict("records"):
        right.plot(
            row["mean"], iron_of(row["name"], age), _SIDES[row["hemisphere"]][1], markersize=9,
            color=REGION_COLOURS[row["name"]], markeredgecolor=_INK,
        )  # fmt: skip
    left.set(xlim=(0, 100), ylim=(0, 24), xlabel=f"age (years), here {age:g}",
             ylabel=f"iron ({_UNIT})")  # fmt: skip
    left.set_title("Iron after death, 1958", fontsize=11, loc="left")
    right.set_title("Susceptibility here: ◁ left, ▷ right", fontsize=11, loc="left")
    right.set_xlabel(f"χ (ppb), against {reference}")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.set_label(_told(rows, age, reference))
    return figure


def _told(rows: pd.DataFrame, age: float, reference: str) -> str:
    """Return both panels in words."""
    parts = []
    for name in IRON:
        sides = {
            row["hemisphere"]: row["mean"] for _, row in rows[rows["name"] == name].iterrows()
        }
        values = [f"{_SIDES[side][0]} {number(sides[side])}" for side in _SIDES if side in sides]
        parts.append(
            f"{name} {number(iron_of(name, age))} {_UNIT}, here {' and '.join(values)} ppb"
            if values
            else f"{name} {number(iron_of(name, age))} {_UNIT}, here not measured"
        )
    return (
        f"Left, three curves of iron over age, which rise steeply in youth and flatten; right, "
        f"susceptibility against {reference} over the iron at {age:g} years: {'; '.join(parts)}."
    )
