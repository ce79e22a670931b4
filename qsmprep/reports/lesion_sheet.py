"""The sheet of lesions: a row for each, what a reader wants to see beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from qsmprep.reports.sheet import CONVENTION, RAS, Axcodes, ras_size, to_ras

LARGEST = 12
"""Lesions on a sheet: a page has room for no more, and the table has all."""

EDGE_MM = 44.0
"""Of the square that is shown around a lesion."""

CHI_WINDOW = (-50.0, 50.0)
"""Black and white of susceptibility, ppb from the median of the square."""

_INK, _LINE = "0.85", "#F0A202"
_PANEL, _TEXT, _GAP, _TOP, _FOOT = 1.7, 2.6, 0.05, 0.75, 0.35  # inch


class Column(NamedTuple):
    """
    An image of the sheet.

    Parameters
    ----------
    name
        Written above.
    volume : (X, Y, Z) real array
        Susceptibility in ppb, or an image without a scale of its own.
    is_chi
        Which of the two. Lines are drawn on the others alone: they would hide a rim.
    """

    name: str
    volume: np.ndarray
    is_chi: bool


def lesion_sheet(
    labels,
    columns: Sequence[Column],
    captions: Sequence[tuple[int, str]],
    voxel_size: Sequence[float],
    axcodes: Axcodes = RAS,
) -> Figure:
    """
    Axial squares around each lesion, through the slice that has most of it.

    Parameters
    ----------
    labels : (X, Y, Z) integer array
        Number of the lesion of each voxel.
    columns
        Images on the same grid, at least one.
    captions
        Number of each lesion and what to write beside it, in the order of the rows; those that
        have no voxel are left out, and so are those behind the first 12.
    voxel_size
        Edges of a voxel along the axes of the arrays, mm.
    axcodes
        Where these axes point.
    """
    labels = to_ras(np.asarray(labels), axcodes)
    size = ras_size(voxel_size, axcodes)
    volumes = [to_ras(np.asarray(column.volume), axcodes) for column in columns]
    seen = set(np.unique(labels).tolist())
    there = [(number, text) for number, text in captions if number in seen]
    rows = there[:LARGEST]
    width = _TEXT + len(columns) * (_PANEL + _GAP)
    height = _TOP + max(len(rows), 1) * (_PANEL + _GAP) + _FOOT
    figure = Figure(figsize=(width, height), facecolor="black")
    title = f"Lesions, χ from {CHI_WINDOW[0]:+g} to {CHI_WINDOW[1]:+g} ppb about its surroundings"
    figure.text(0.1 / width, 1 - 0.2 / height, title, color=_INK, fontsize=11, va="center")
    figure.text(0.1 / width, 0.16 / height, CONVENTION, color=_INK, fontsize=8, va="center")
    for place, (number, text) in enumerate(rows):
        bottom = height - _TOP - (place + 1) * (_PANEL + _GAP)
        middle = (bottom + _PANEL / 2) / height
        figure.text(0.1 / width, middle, text, color=_INK, fontsize=8.5, va="center")
        lesion = labels == number
        for order, (column, volume) in enumerate(zip(columns, volumes, strict=True)):
            left = _TEXT + order * (_PANEL + _GAP)
            box = (left / width, bottom / height, _PANEL / width, _PANEL / height)
            panel = figure.add_axes(box)
            _show(panel, volume, lesion, size, column)
            if place == 0:
                panel.set_title(column.name, color=_INK, fontsize=9)
    hidden = len(there) - len(rows)
    more = f" {hidden} smaller ones are in the table alone." if hidden else ""
    names = ", ".join(column.name for column in columns)
    figure.set_label(f"{len(rows)} lesions in axial squares of {EDGE_MM:g} mm: {names}.{more}")
    return figure


def _show(panel: Axes, volume, lesion, size: tuple[float, ...], column: Column) -> None:
    """Draw the square around a lesion."""
    centre = [round(float(position)) for position in np.argwhere(lesion).mean(axis=0)]
    slice_ = int(np.argmax(lesion.sum(axis=(0, 1))))
    reach = [round(EDGE_MM / 2 / edge) for edge in size[:2]]
    box = tuple(
        slice(max(at - away, 0), at + away + 1) for at, away in zip(centre, reach, strict=False)
    )
    pixels = np.asarray(volume[(*box, slice_)], dtype=float).T
    ends = (0.0, pixels.shape[1] * size[0], 0.0, pixels.shape[0] * size[1])
    known = pixels[pixels != 0] if (pixels != 0).any() else pixels
    if column.is_chi:
        pixels, window = pixels - np.median(known), CHI_WINDOW
    else:
        low, high = np.percentile(known, (1, 99.5))
        window = float(low), float(high)
    panel.imshow(
        pixels, cmap="gray", vmin=window[0], vmax=window[1], origin="lower", extent=ends,
        interpolation="nearest",
    )  # fmt: skip
    outline = lesion[(*box, slice_)].T
    if not column.is_chi and outline.any() and not outline.all():
        panel.contour(
            outline.astype(float), levels=[0.5], colors=_LINE, linewidths=0.8, origin="lower",
            extent=ends,
        )  # fmt: skip
    panel.set_axis_off()
