"""
Figures of the participant's page: arrays in, one `matplotlib.figure.Figure` out, no files.

Volumes are given as they lie in their files, with the voxel size and the orientation of their
axes (``axcodes``, from ``nibabel.aff2axcodes(affine)``). They are turned, never resampled, to
the closest RAS+ orientation and shown in the neurological convention.

The label of a figure (``Figure.get_label``) says in words and numbers what is seen in it, for
those who do not see it; `save_figure` keeps it in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from qsmprep.files import replacing
from qsmprep.reports.pages import number
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
from qsmprep.units import PPB_PER_PPM

_DPI = 96
_LARGEST = 360_000  # byte; a page holds a dozen figures and should still travel by e-mail
_UNSEEN = 4  # of 255 steps
_BRAIN, _TRUSTED, _EDGE = "#F0A202", "#56C5F0", "#FF5A5F"


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
    chi = np.asarray(chi_ppm) * PPB_PER_PPM
    sheet = Sheet(mask, voxel_size, axcodes, title=_grey_title(title, window_ppb))
    image = sheet.show(within(chi, mask), "gray", window_ppb)
    sheet.colour_bar(image, "χ (ppb)")
    sheet.figure.set_label(
        f"{PLANES} of the susceptibility map in grey, {_scale(window_ppb, 'ppb')}. "
        f"{_spread(chi, mask, 'ppb')}"
    )
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
    image = sheet.show(within(r2star, mask), "inferno", window)
    sheet.colour_bar(image, "R2* (1/s)")
    sheet.figure.set_label(
        f"{PLANES} of R2*, {_scale(window, '1/s')}. {_spread(r2star, mask, '1/s')}"
    )
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
    sheet.show(magnitude, "gray", grey_window(magnitude, brain_mask))
    sheet.contour(brain_mask, [0.5], _BRAIN)
    sheet.contour(trusted_mask, [0.5], _TRUSTED)
    names = (("brain", _BRAIN), ("trusted phase", _TRUSTED))
    sheet.legend([Line2D([], [], color=colour, label=name) for name, colour in names], 2)
    trusted = np.count_nonzero(np.asarray(trusted_mask, dtype=bool) & brain_mask)
    millilitres = brain_mask.sum() * float(np.prod(voxel_size)) / 1e3
    sheet.figure.set_label(
        f"{PLANES} of the magnitude with two outlines: the brain, {millilitres:.0f} ml, and in "
        f"it the trusted phase, {100 * trusted / brain_mask.sum():.0f} % of it."
    )
    return sheet.figure


def phase_echoes(
    phase: Sequence,
    te: Sequence[float],
    mask,
    voxel_size: Sequence[float],
    axcodes: Axcodes = RAS,
) -> Figure:
    """
    Axial slices of the phase of some echoes, as it was read.

    Parameters
    ----------
    phase : (E, X, Y, Z) real array
        Phase of the echoes to show, rad, wrapped.
    te
        Their echo times, s.
    mask : (X, Y, Z) boolean array
        Brain; the figure is cropped to it.
    voxel_size, axcodes
        As in `chi_planes`.
    """
    title = "Phase as read, not unwrapped"
    sheet = Sheet(mask, voxel_size, axcodes, planes=[AXIAL] * len(te), title=title)
    for row, (volume, time) in enumerate(zip(phase, te, strict=True)):
        image = sheet.show(within(volume, mask), "gray", (-np.pi, np.pi), rows=[row])
        sheet.colour_bar(image, f"rad, at {1e3 * time:.3g} ms", rows=[row])
    times = " and ".join(f"{1e3 * time:.3g} ms" for time in te)
    sheet.figure.set_label(
        f"Axial slices of the phase at {times}, not unwrapped, in grey from minus π to π rad."
    )
    return sheet.figure


def field_maps(
    total_field_hz, noise_hz, mask, voxel_size: Sequence[float], axcodes: Axcodes = RAS
) -> Figure:
    """
    Axial slices of the total field and of its noise.

    Parameters
    ----------
    total_field_hz : (X, Y, Z) real array
        Total field, Hz.
    noise_hz : (X, Y, Z) real array
        Standard deviation of the total field, Hz.
    mask : (X, Y, Z) boolean array
        Where they are known; the figure is cropped to it.
    voxel_size, axcodes
        As in `chi_planes`.
    """
    window, highest = even_window(total_field_hz, mask), even_window(noise_hz, mask)[1]
    sheet = Sheet(mask, voxel_size, axcodes, planes=[AXIAL] * 2, title="Field and its noise")
    image = sheet.show(within(total_field_hz, mask), "RdBu_r", window, rows=[0])
    sheet.colour_bar(image, "total field (Hz)", rows=[0])
    image = sheet.show(within(noise_hz, mask), "viridis", (0.0, highest), rows=[1])
    sheet.colour_bar(image, "noise (Hz)", rows=[1])
    sheet.figure.set_label(
        f"Axial slices. Above, the total field from blue to red, {_scale(window, 'Hz')}. "
        f"{_spread(total_field_hz, mask, 'Hz')} Below, its noise, "
        f"{_scale((0.0, highest), 'Hz')}. {_spread(noise_hz, mask, 'Hz')}"
    )
    return sheet.figure


def local_field_planes(
    local_field_ppm, mask, voxel_size: Sequence[float], axcodes: Axcodes = RAS
) -> Figure:
    """
    Slices of the field of the tissue alone in three planes, in grey.

    Parameters
    ----------
    local_field_ppm : (X, Y, Z) real array
        Local field, ppm.
    mask : (X, Y, Z) boolean array
        Where it is known; the figure is cropped to it.
    voxel_size, axcodes
        As in `chi_planes`.
    """
    local = np.asarray(local_field_ppm) * PPB_PER_PPM
    window = even_window(local, mask)
    sheet = Sheet(mask, voxel_size, axcodes, title=_grey_title("Local field", window))
    image = sheet.show(within(local, mask), "gray", window)
    sheet.colour_bar(image, "local field (ppb)")
    sheet.figure.set_label(
        f"{PLANES} of the local field in grey, {_scale(window, 'ppb')}. "
        f"{_spread(local, mask, 'ppb')}"
    )
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
    sheet.show(magnitude, "gray", grey_window(magnitude, mask))
    inside = within(t1w_in_gre, mask, outside=0.0)
    sheet.contour(inside, _class_borders(inside[np.asarray(mask, dtype=bool)]), _EDGE)
    sheet.figure.set_label(f"{PLANES} of the magnitude with the borders of three tissues as "
                           "the T1w image shows them, in red.")  # fmt: skip
    return sheet.figure


def registration_frames(
    t1w_in_gre, magnitude, mask, voxel_size: Sequence[float], axcodes: Axcodes = RAS
) -> tuple[Figure, Figure]:
    """
    Two figures for a flicker, the T1-weighted image and the magnitude on the same slices.

    The parameters are those of `registration_check`.
    """
    frames = []
    for volume, title, seen in (
        (t1w_in_gre, "T1w", "the T1w image, brain alone"),
        (magnitude, "Magnitude", "the magnitude"),
    ):
        sheet = Sheet(mask, voxel_size, axcodes, title=title)
        sheet.show(volume, "gray", grey_window(volume, mask))
        sheet.figure.set_label(f"The same slices of {seen}.")
        frames.append(sheet.figure)
    return frames[0], frames[1]


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


def _signed(value: float) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def _grey_title(title: str, window_ppb: tuple[float, float]) -> str:
    low, high = map(_signed, window_ppb)
    return f"{title}, black {low} ppb, white {high} ppb"


def _scale(window: tuple[float, float], unit: str) -> str:
    return f"from {number(window[0], 0)} to {number(window[1], 1 if window[1] < 5 else 0)} {unit}"


def _spread(volume, mask, unit: str) -> str:
    """Return where the middle and the bulk of the values in a mask lie, as a sentence."""
    values = np.asarray(volume)[np.asarray(mask, dtype=bool)]
    found = np.nanpercentile(values, (5, 50, 95))
    digits = 1 if np.abs(found).max() >= 1 else 3
    low, middle, high = (number(float(q), digits) for q in found)
    return f"Median {middle} {unit}, nine in ten voxels between {low} and {high} {unit}."


def save_figure(figure: Figure, path: str | Path) -> Path:
    """
    Write a figure in the format its name ends with, and return where it is.

    Nobody ever sees half a file. A picture above 360 kB is drawn again with fewer pixels.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".")
    metadata: dict[str, str | None] = {"Description": str(figure.get_label())}
    if kind == "svg":
        metadata["Date"] = None
    # Without a date and random identifiers, equal figures are equal files.
    with replacing(path) as part, mpl.rc_context({"svg.hashsalt": "qsmprep"}):
        dpi = float(_DPI)
        for _ in range(2):
            figure.savefig(part, format=kind, dpi=dpi, metadata=metadata)
            if kind == "png":
                _thin(part)
            excess = part.stat().st_size / _LARGEST
            if excess <= 1:
                break
            dpi *= 0.95 / excess**0.5
    return path


def _thin(path: Path) -> None:
    """Write a picture anew with fewer bytes, and with a table of 256 colours if they do."""
    with Image.open(path) as image:
        told = PngInfo()
        for name, text in image.info.items():
            if isinstance(text, str):
                told.add_itxt(str(name), text)
        picture = image.convert("RGB")
    few = picture.quantize(256)
    off = np.abs(np.asarray(few.convert("RGB"), dtype=int) - np.asarray(picture))
    # Greys keep their order; a scale of colours would become one of steps.
    best = few if np.percentile(off, 99.9) <= _UNSEEN else picture
    best.save(path, format="png", optimize=True, pnginfo=told)
