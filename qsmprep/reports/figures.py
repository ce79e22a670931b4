"""
Figures of the participant's page: arrays in, one `matplotlib.figure.Figure` out, no files.

Volumes are given as they lie in their files, with the voxel size and the orientation of their
axes (``axcodes``, from ``nibabel.aff2axcodes(affine)``). They are turned, never resampled, to
the closest RAS+ orientation and shown in the neurological convention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
import numpy as np

from qsmprep.files import replacing
from qsmprep.reports.regions import REGION_COLOURS
from qsmprep.reports.sheet import AXIAL, RAS, Axcodes, Sheet, slice_across, to_ras
from qsmprep.units import PPB_PER_PPM

_DPI = 96
_LARGEST = 600_000  # byte; a page holds a dozen figures and should still travel by e-mail
_BRAIN, _TRUSTED, _EDGE = "#F0A202", "#56C5F0", "#FF5A5F"
_OTHER_COLOURS = ("#8FA9C4", "#C4A98F", "#9DC48F", "#B98FC4", "#C4C08F", "#8FC4BE")


def chi_planes(
    chi_ppm,
    mask,
    voxel_size: Sequence[float],
    axcodes: Axcodes = RAS,
    *,
    window_ppb: tuple[float, float] = (-100.0, 100.0),
    title: str = "Susceptibility",
) -> Figure:
    """
    Slices of a susceptibility map in three planes, in grey.

    Parameters
    ----------
    chi_ppm : (X, Y, Z) real array
        Susceptibility, ppm.
    mask : (X, Y, Z) boolean array
        Where it is known; the figure is cropped to it.
    voxel_size
        Edges of a voxel along the axes of the arrays, mm.
    axcodes
        Where these axes point.
    window_ppb
        Black and white of the grey scale, ppb.
    title
        Written above the slices.
    """
    sheet = Sheet(mask, voxel_size, axcodes, title=title)
    image = sheet.show(_within(chi_ppm, mask) * PPB_PER_PPM, "gray", window_ppb)
    sheet.colour_bar(image, "χ (ppb)")
    return sheet.figure


def r2star_planes(
    r2star,
    mask,
    voxel_size: Sequence[float],
    axcodes: Axcodes = RAS,
    *,
    window: tuple[float, float] = (0.0, 60.0),
    title: str = "R2*",
) -> Figure:
    """
    Slices of a map of the effective transverse relaxation rate, in three planes.

    Parameters
    ----------
    r2star : (X, Y, Z) real array
        Relaxation rate, 1/s.
    mask : (X, Y, Z) boolean array
        Where it is known; the figure is cropped to it.
    voxel_size, axcodes, title
        As in `chi_planes`.
    window
        Ends of the colour scale, 1/s.
    """
    sheet = Sheet(mask, voxel_size, axcodes, title=title)
    image = sheet.show(_within(r2star, mask), "inferno", window)
    sheet.colour_bar(image, "R2* (1/s)")
    return sheet.figure


def mask_contour(
    magnitude, brain_mask, trusted_mask, voxel_size: Sequence[float], axcodes: Axcodes = RAS
) -> Figure:
    """
    Outlines of the brain and of the trusted phase, on the magnitude.

    Parameters
    ----------
    magnitude : (X, Y, Z) real array
        Magnitude, any unit.
    brain_mask : (X, Y, Z) boolean array
        Where the brain is.
    trusted_mask : (X, Y, Z) boolean array
        Where its phase can be trusted.
    voxel_size, axcodes
        As in `chi_planes`.
    """
    brain_mask = np.asarray(brain_mask, dtype=bool)
    sheet = Sheet(brain_mask, voxel_size, axcodes, title="Masks on the magnitude", foot=0.3)
    sheet.show(magnitude, "gray", _grey_window(magnitude, brain_mask))
    sheet.contour(brain_mask, [0.5], _BRAIN)
    sheet.contour(trusted_mask, [0.5], _TRUSTED)
    names = (("brain", _BRAIN), ("trusted phase", _TRUSTED))
    sheet.legend([Line2D([], [], color=colour, label=name) for name, colour in names], 2)
    return sheet.figure


def field_maps(
    total_field_hz,
    local_field_ppm,
    noise_hz,
    mask,
    voxel_size: Sequence[float],
    axcodes: Axcodes = RAS,
) -> Figure:
    """
    Axial slices of the total field, of the local field, and of the noise of the field.

    Parameters
    ----------
    total_field_hz : (X, Y, Z) real array
        Total field, Hz.
    local_field_ppm : (X, Y, Z) real array
        Local field, ppm.
    noise_hz : (X, Y, Z) real array, optional
        Standard deviation of the total field, Hz; None leaves its row out.
    mask : (X, Y, Z) boolean array
        Where they are known; the figure is cropped to it.
    voxel_size, axcodes
        As in `chi_planes`.
    """
    local = np.asarray(local_field_ppm) * PPB_PER_PPM
    maps = [
        (total_field_hz, "total field (Hz)", "RdBu_r", _even_window(total_field_hz, mask)),
        (local, "local field (ppb)", "gray", _even_window(local, mask)),
    ]
    if noise_hz is not None:
        highest = _even_window(noise_hz, mask)[1]
        maps.append((noise_hz, "noise (Hz)", "viridis", (0.0, highest)))
    sheet = Sheet(mask, voxel_size, axcodes, planes=[AXIAL] * len(maps), title="Field")
    for row, (volume, label, cmap, window) in enumerate(maps):
        image = sheet.show(_within(volume, mask), cmap, window, rows=[row])
        sheet.colour_bar(image, label, rows=[row])
    return sheet.figure


def registration_check(
    t1w_in_gre, magnitude, mask, voxel_size: Sequence[float], axcodes: Axcodes = RAS
) -> Figure:
    """
    Tissue borders of the T1-weighted image, on the magnitude.

    Parameters
    ----------
    t1w_in_gre : (X, Y, Z) real array
        T1-weighted image on the grid of the gradient echoes, any unit.
    magnitude : (X, Y, Z) real array
        Magnitude, any unit.
    mask : (X, Y, Z) boolean array
        Brain; the figure is cropped to it.
    voxel_size, axcodes
        As in `chi_planes`.
    """
    title = "Tissue borders of the T1w image on the magnitude"
    sheet = Sheet(mask, voxel_size, axcodes, title=title)
    sheet.show(magnitude, "gray", _grey_window(magnitude, mask))
    inside = _within(t1w_in_gre, mask, outside=0.0)
    sheet.contour(inside, _class_borders(inside[np.asarray(mask, dtype=bool)]), _EDGE)
    return sheet.figure


def registration_frames(
    t1w_in_gre, magnitude, mask, voxel_size: Sequence[float], axcodes: Axcodes = RAS
) -> tuple[Figure, Figure]:
    """
    Two figures for a flicker, the T1-weighted image and the magnitude on the same slices.

    The parameters are those of `registration_check`.
    """
    frames = []
    for volume, title in ((t1w_in_gre, "T1w"), (magnitude, "Magnitude")):
        sheet = Sheet(mask, voxel_size, axcodes, title=title)
        sheet.show(volume, "gray", _grey_window(volume, mask))
        frames.append(sheet.figure)
    return frames[0], frames[1]


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
        image = sheet.show(_within(background, known) * PPB_PER_PPM, "gray", (-100.0, 100.0))
        sheet.colour_bar(image, "χ (ppb)")
    else:
        sheet.show(background, "gray", _grey_window(background, labels > 0))
    _paint(sheet, to_ras(labels, axcodes), names)
    if main:
        patches = [Patch(color=REGION_COLOURS[name], label=name) for name in main]
        sheet.legend(patches, -(-len(main) // lines))
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


def _within(volume, mask, outside: float = np.nan):
    """Return a volume with one value outside the mask."""
    return np.where(np.asarray(mask, dtype=bool), volume, np.float32(outside))


def _grey_window(volume, mask) -> tuple[float, float]:
    """Return a window for an image without a scale of its own."""
    values = np.asarray(volume)[np.asarray(mask, dtype=bool)]
    return 0.0, float(np.nanpercentile(values, 99)) or 1.0


def _even_window(volume, mask) -> tuple[float, float]:
    """Return a window symmetric about zero that holds nearly all values, one digit long."""
    values = np.asarray(volume)[np.asarray(mask, dtype=bool)]
    highest = float(np.nanpercentile(np.abs(values), 99))
    if highest == 0:
        return -1.0, 1.0
    digit = 10.0 ** np.floor(np.log10(highest))
    top = float(np.ceil(highest / digit) * digit)
    return -top, top


def _class_borders(values) -> list[float]:
    """Return the two intensities that part three classes of tissue, by k-means."""
    values = np.sort(values)
    centres = np.percentile(values, (5, 40, 85))
    for _ in range(20):
        parts = np.split(values, np.searchsorted(values, (centres[1:] + centres[:-1]) / 2))
        centres = np.array(
            [part.mean() if part.size else c for part, c in zip(parts, centres, strict=True)]
        )
    return ((centres[1:] + centres[:-1]) / 2).tolist()


def save_figure(figure: Figure, path: str | Path) -> Path:
    """
    Write a figure in the format its name ends with, and return where it is.

    Nobody ever sees half a file. A picture above 600 kB is drawn again with fewer pixels.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".")
    # Without a date and random identifiers, equal figures are equal files.
    with replacing(path) as part, mpl.rc_context({"svg.hashsalt": "qsmprep"}):
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(part, format=kind, dpi=_DPI, metadata=metadata)
        excess = part.stat().st_size / _LARGEST
        if excess > 1:
            figure.savefig(part, format=kind, dpi=0.95 * _DPI / excess**0.5, metadata=metadata)
    return path
