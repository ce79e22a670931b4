"""The figures of a model: one per term over regions, and those of each fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import re

import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.reports.plots import write_drawing
from qsmprep.statistics.results import Drawing, Fitted

LARGEST_FOREST = 60

MOST_FIGURES = 48
"""Figures that are drawn of a model; a hundred regions with three each would take minutes."""


def write_figures(
    folder: Path, estimates: pd.DataFrame, fits: Mapping[str, Fitted], confidence: float
) -> tuple[dict[str, Path], list[str]]:
    """
    Draw what is to be seen of a model, and return where, and what to know about it.

    Parameters
    ----------
    folder
        Folder of the model; figures of volumes may lie in its ``figures`` already.
    estimates
        Of all regions.
    fits
        By region, or one under no name.
    confidence
        Of all intervals.
    """
    drawings = forests(estimates, confidence)
    own = {
        f"{region}_{name}" if region else name: (place, drawing)
        for region, fitted in fits.items()
        for place, (name, drawing) in enumerate(fitted.drawings.items())
    }
    # The first figure of each region, then the second of each, as long as there is room.
    by_turns = sorted(own, key=lambda name: own[name][0])
    chosen = set(by_turns[: max(0, MOST_FIGURES - len(drawings))])
    drawings |= {name: drawing for name, (_, drawing) in own.items() if name in chosen}
    notes = []
    if left := len(own) - len(chosen):
        notes.append(
            f"{left} of {len(own)} figures of single regions are not drawn; a model whose `for` "
            "names fewer regions draws theirs, and all numbers are in the tables."
        )
    # Figures of volumes were drawn where the volumes were.
    written = {path.stem: path for path in sorted(folder.glob("figures/*.png"))}
    for name, drawing in drawings.items():
        try:
            written[name] = write_drawing(drawing, folder / "figures", name, confidence=confidence)
        except RequestError as error:  # numbers are worth having without their figure
            notes.append(f"{name} is not drawn: {error}.")
    return written, notes


def forests(estimates: pd.DataFrame, confidence: float = 0.95) -> dict[str, Drawing]:
    """
    Return a figure over regions for every term that concerns them.

    Those are the terms with the region's susceptibility; in models that explain it, all but the
    intercept.

    Parameters
    ----------
    estimates
        Of all regions, with a column ``region``; of one there is no such figure.
    confidence
        Of the intervals.
    """
    if "region" not in estimates or estimates["region"].nunique() < 2:
        return {}
    known = estimates[estimates["estimate"].notna() & (estimates["term"] != "Intercept")]
    terms = list(known["term"].unique())
    of_region = [term for term in terms if re.search(r"\b(chi|r2star)\b", term)]
    return {
        "forest_" + re.sub(r"[^a-zA-Z0-9]+", "-", term).strip("-"): _forest(
            estimates[estimates["term"] == term], term, f"{100 * confidence:g} %"
        )
        for term in of_region or terms
    }


def _forest(rows: pd.DataFrame, term: str, level: str) -> Drawing:
    ratio = "hazard_ratio" in rows
    columns = ("hazard_ratio", "hazard_ratio_low", "hazard_ratio_high")
    mean, low, high = columns if ratio else ("estimate", "ci_low", "ci_high")
    first = rows.head(LARGEST_FOREST)
    data = pd.DataFrame({
        "label": first["region"], "estimate": first[mean], "ci_low": first[low],
        "ci_high": first[high], "p_value": first["p_value"],
    })  # fmt: skip
    where = "every region"
    if len(first) < len(rows):
        where = f"the first {len(first)} of {len(rows)} regions"
    caption = f"{term} in {where}, with {level} confidence intervals; p is not corrected here."
    if ratio:
        labels = {"estimate": f"hazard ratio of {term}", "null": "1", "scale": "log"}
    else:
        labels = {"estimate": f"estimate of {term}", "null": "0"}
    return Drawing("forest", data, caption, labels)
