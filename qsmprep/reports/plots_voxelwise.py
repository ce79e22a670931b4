"""Voxelwise results on slices of the template, and the mean maps behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
import numpy as np

from qsmprep.reports.sheet import (
    AXIAL,
    PLANES,
    RAS,
    Axcodes,
    Sheet,
    even_window,
    grey_window,
    within,
)

POSITIVE = LinearSegmentedColormap.from_list("red-yellow", ["#C00000", "#FF7A00", "#FFF36B"])
NEGATIVE = LinearSegmentedColormap.from_list("blue-light-blue", ["#0A3BD6", "#3D9BFF", "#B5ECFF"])
BOTH = LinearSegmentedColormap.from_list(
    "light-blue-to-yellow",
    ["#B5ECFF", "#3D9BFF", "#0A3BD6", "#101010", "#C00000", "#FF7A00", "#FFF36B"],
)
"""Light blue, blue, black, red, yellow: told apart by lightness and by colour-blind people."""

_CHI_WINDOW = (-100.0, 100.0)
"""Black and white of mean maps, ppb, as in all figures of susceptibility."""


_DIMMED = 3.0
"""How many times too dark the template lies under mean maps, which are grey themselves."""


def result_montage(
    background,
    tested,
    scores,
    significant,
    voxel_size: Sequence[float],
    axcodes: Axcodes = RAS,
    *,
    title: str,
    label: str,
) -> Figure:
    """
    Draw significant scores in colour on a grey background, in three planes.

    Parameters
    ----------
    background : (X, Y, Z) real array
        T1w of the template, any unit; zero outside the head.
    tested : (X, Y, Z) boolean array
        What was tested; it is outlined.
    scores : (X, Y, Z) real array
        Such as t.
    significant : (X, Y, Z) boolean array
        Which of them are shown: positive ones from red to yellow, negative ones from blue to
        light blue.
    voxel_size, axcodes
        As in `qsmprep.reports.sheet.Sheet`.
    title, label
        Words above the slices, and beside the colours.
    """
    shown = np.where(significant, scores, 0)
    # Slices go where something was found.
    focus = tested if not shown.any() else shown != 0
    sheet = _sheet(background, tested, voxel_size, axcodes, title, focus=focus)
    sheet.contour(tested, [0.5], "0.55")
    low = float(np.abs(shown[shown != 0]).min(initial=np.inf))
    for row, (sign, colours) in enumerate(((1, POSITIVE), (-1, NEGATIVE))):
        values = np.where(sign * shown > 0, np.abs(shown), np.nan)
        if not np.isfinite(values).any():
            continue
        high = max(float(np.nanmax(values)), low * 1.01)
        image = sheet.show(values, colours, (low, high))
        sheet.colour_bar(image, label if sign > 0 else f"−{label}", rows=[2 * row])
    counts = [int(np.count_nonzero(sign * shown > 0)) for sign in (1, -1)]
    said = (
        f"{counts[0]} voxels are positive (red to yellow) and {counts[1]} negative (blue to light "
        "blue)."
        if any(counts)
        else "No voxel is significant."
    )
    sheet.figure.set_label(f"{PLANES} of the template under {label}. {said}")
    return sheet.figure


def mean_montage(
    background,
    tested,
    means: Mapping[str, np.ndarray],
    difference,
    voxel_size: Sequence[float],
    axcodes: Axcodes = RAS,
    *,
    title: str,
) -> Figure:
    """
    Draw mean maps in grey, a row of axial slices each, and their difference in colour.

    Parameters
    ----------
    background : (X, Y, Z) real array
        T1w of the template; zero outside the head.
    tested : (X, Y, Z) boolean array
        Where means are known.
    means
        Mean susceptibility, (X, Y, Z) arrays in ppb, by what they are of.
    difference : (X, Y, Z) real array, optional
        In ppb.
    voxel_size, axcodes, title
        As in `result_montage`.
    """
    rows = [*means] + ([] if difference is None else ["difference"])
    sheet = _sheet(
        background, tested, voxel_size, axcodes, title,
        focus=tested, planes=[AXIAL] * len(rows), dimmed=_DIMMED,
    )  # fmt: skip
    for row, (name, mean) in enumerate(means.items()):
        image = sheet.show(within(mean, tested), "gray", _CHI_WINDOW, rows=[row])
        sheet.colour_bar(image, f"{name} (ppb)", rows=[row])
    if difference is not None:
        window = even_window(difference, tested)
        image = sheet.show(within(difference, tested), BOTH, window, rows=[len(rows) - 1])
        sheet.colour_bar(image, "difference (ppb)", rows=[len(rows) - 1])
    sheet.figure.set_label(
        f"Axial slices of mean susceptibility: {', '.join(rows)}; grey from -100 to 100 ppb."
    )
    return sheet.figure


def _sheet(
    background, tested, voxel_size: Sequence[float], axcodes: Axcodes, title: str,
    *, dimmed: float = 1.0, **layout,
) -> Sheet:  # fmt: skip
    """Return slices of the background."""
    head = (np.asarray(background) > 0) | tested
    sheet = Sheet(head, voxel_size, axcodes, title=title, **layout)
    _, high = grey_window(background, head)
    sheet.show(background, "gray", (0.0, high * dimmed))
    return sheet
