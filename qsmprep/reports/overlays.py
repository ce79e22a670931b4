"""Regions on slices: where labels lie, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch
import numpy as np

from qsmprep.reports.regions import REGION_COLOURS
from qsmprep.reports.sheet import (
    PLANES,
    RAS,
    Axcodes,
    Sheet,
    grey_window,
    slice_across,
    to_ras,
    within,
)
from qsmprep.units import PPB_PER_PPM

_OTHER_COLOURS = ("#8FA9C4", "#C4A98F", "#9DC48F", "#B98FC4", "#C4C08F", "#8FC4BE")


def label_overlay(
    background,
    labels,
    names: Mapping[int, str],
    voxel_size: Sequence[float],
    axcodes: Axcodes = RAS,
    *,
    background_kind: str = "magnitude",
) -> Figure:
    """
    Regions in transparent colours on the magnitude or on the susceptibility.

    Parameters
    ----------
    background : (X, Y, Z) real array
        Magnitude, any unit, or susceptibility, ppm.
    labels : (X, Y, Z) integer array
        Index of the region of each voxel, zero for none.
    names
        Name of each index; left and right may share one and then share its colour.
    voxel_size, axcodes
        As in `chi_planes`.
    background_kind
        What the background is, ``magnitude`` or ``chi``.
    """
    labels = np.asarray(labels)
    present = {name for index in np.unique(labels) if (name := names.get(int(index)))}
    main = [name for name in REGION_COLOURS if name in present]
    focus = np.isin(labels, [index for index, name in names.items() if name in main])
    lines = -(-len(main) // 7)
    sheet = Sheet(
        labels > 0,
        voxel_size,
        axcodes,
        focus=focus if focus.any() else None,
        title=f"Regions on the {'susceptibility' if background_kind == 'chi' else 'magnitude'}",
        foot=0.2 * lines,
    )
    if background_kind == "chi":
        known = (np.asarray(background) != 0) | (labels > 0)
        image = sheet.show(within(background, known) * PPB_PER_PPM, "gray", (-100.0, 100.0))
        sheet.colour_bar(image, "χ (ppb)")
    else:
        sheet.show(background, "gray", grey_window(background, labels > 0))
    _paint(sheet, to_ras(labels, axcodes), names)
    if main:
        patches = [Patch(color=REGION_COLOURS[name], label=name) for name in main]
        sheet.legend(patches, -(-len(main) // lines))
    under = "susceptibility map" if background_kind == "chi" else "magnitude"
    sheet.figure.set_label(
        f"{PLANES} of the {under} under transparent colours for {len(present)} regions; named "
        f"are {', '.join(main) or 'none'}."
    )
    return sheet.figure


def _paint(sheet: Sheet, labels, names: Mapping[int, str]) -> None:
    """Lay the colours of regions over the slices, their borders denser than their inside."""
    colours = _region_rgba(labels, names)
    for panel, axis, index in sheet.each():
        pixels = slice_across(labels, axis, index)
        values, places = np.unique(pixels, return_inverse=True)
        rgba = np.stack([colours[int(value)] for value in values])[places.reshape(pixels.shape)]
        border = np.zeros(pixels.shape, dtype=bool)
        border[:, :-1] |= pixels[:, :-1] != pixels[:, 1:]
        border[:-1, :] |= pixels[:-1, :] != pixels[1:, :]
        rgba[..., 3] *= np.where(border, 1.0, 0.45)
        panel.imshow(
            rgba, origin="lower", interpolation="nearest",
            extent=sheet.extent(axis, pixels.shape),
        )  # fmt: skip


def _region_rgba(labels, names: Mapping[int, str]) -> dict[int, np.ndarray]:
    """Return a colour per index: strong for the main regions, faint for the others."""
    colours = {0: np.zeros(4)}
    for index in np.unique(labels[labels != 0]).tolist():
        name = names.get(index, str(index))
        main = REGION_COLOURS.get(name)
        # A sum over the letters gives left and right of a region the same colour.
        other = _OTHER_COLOURS[sum(map(ord, name)) % len(_OTHER_COLOURS)]
        colours[index] = np.array(mpl.colors.to_rgba(main or other, 0.9 if main else 0.3))
    return colours
