"""Sheets of slices: where each panel, letter and colour bar of an image figure goes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
import nibabel as nb
import numpy as np

Axcodes = tuple[str, str, str]

RAS: Axcodes = ("R", "A", "S")
AXIAL, CORONAL, SAGITTAL = 2, 1, 0
PLANES = "Axial, coronal and sagittal slices"
CONVENTION = "Neurological convention: the participant's left is on the left."

_INK = "0.85"
_WIDTH, _GAP = 11.0, 0.04  # inch, as all lengths on the page
_COLUMNS = 5
_LEFT, _RIGHT, _TOP, _FOOT = 0.25, 0.95, 0.45, 0.35
# Letters at the left, right, lower and upper edge of a slice across each axis of a RAS+ array.
_LETTERS = {AXIAL: "LRPA", CORONAL: "LRIS", SAGITTAL: "PAIS"}


def to_ras(array, axcodes: Axcodes):
    """Return a view of a volume whose axes point right, anterior and superior."""
    return nb.orientations.apply_orientation(array, nb.orientations.axcodes2ornt(axcodes))


def ras_size(voxel_size: Sequence[float], axcodes: Axcodes) -> tuple[float, ...]:
    """Return the edges of a voxel, mm, in the order of the axes that `to_ras` makes."""
    order = np.argsort(nb.orientations.axcodes2ornt(axcodes)[:, 0])
    return tuple(float(voxel_size[axis]) for axis in order)


def slice_across(volume, axis: int, index: int):
    """Return a slice of a RAS+ volume, its rows from bottom to top."""
    return np.take(volume, index, axis=axis).T


class Sheet:
    """
    A black figure with a row of slices per plane, all at one scale, five or more in a row.

    Parameters
    ----------
    inside : (X, Y, Z) boolean array
        What must be seen; slices are cropped to its box.
    voxel_size
        Edges of a voxel along the axes of the arrays, mm.
    axcodes
        Where these axes point; the figure shows the closest RAS+ orientation.
    planes
        Axis across which the slices of each row are cut, in RAS+ order.
    focus : (X, Y, Z) boolean array, optional
        What the slices are spread over, where it is not all of `inside`.
    title
        Written above the slices.
    foot
        Room for a legend below them, inch.
    """

    def __init__(
        self,
        inside,
        voxel_size: Sequence[float],
        axcodes: Axcodes = RAS,
        *,
        planes: Sequence[int] = (AXIAL, CORONAL, SAGITTAL),
        focus=None,
        title: str = "",
        foot: float = 0.0,
    ):
        inside = to_ras(np.asarray(inside, dtype=bool), axcodes)
        if not inside.any():
            raise ValueError("a figure needs a mask with at least one voxel")
        focus = inside if focus is None else to_ras(np.asarray(focus, dtype=bool), axcodes)
        self.axcodes, self.planes = axcodes, tuple(planes)
        self.size = ras_size(voxel_size, axcodes)
        self.box = [_extent(inside, axis, 6 / self.size[axis]) for axis in range(3)]
        self._lay_out([_extent(focus, axis) for axis in self.planes], title, foot)

    def _panel_mm(self, axis: int) -> tuple[float, float]:
        """Return width and height of a slice across `axis`, mm."""
        lengths = [(stop - start) * self.size[i] for i, (start, stop) in enumerate(self.box)]
        width, height = (length for i, length in enumerate(lengths) if i != axis)
        return width, height

    def _lay_out(self, spans: Sequence[tuple[int, int]], title: str, foot: float) -> None:
        """Make the figure and its empty panels, as many in each row as there is room for."""
        room = _WIDTH - _LEFT - _RIGHT
        panels = [self._panel_mm(axis) for axis in self.planes]
        widest = room / _COLUMNS
        scale = (widest - _GAP) / max(width for width, _ in panels)
        heights = [height * scale for _, height in panels]
        total = sum(heights) + _GAP * len(heights) + _TOP + _FOOT + foot
        self.figure = Figure(figsize=(_WIDTH, total), facecolor="black")
        self.rows: list[list[tuple[Axes, int]]] = []
        top = total - _TOP
        for axis, (width, _), height, span in zip(
            self.planes, panels, heights, spans, strict=True
        ):
            top -= height
            cuts = _spread(*span, int(room / (width * scale + _GAP) + 1e-6))
            pitch = room / len(cuts)
            left = _LEFT + (pitch - width * scale) / 2
            places = [(left + i * pitch, top, width * scale, height) for i in range(len(cuts))]
            self.rows.append(
                [(self._panel(axis, at), cut) for at, cut in zip(places, cuts, strict=True)]
            )
            self._letter(self.rows[-1][0][0], axis)
            top -= _GAP
        self._write(total - 0.25, title, 12)
        self._write(0.16, CONVENTION, 8)

    def _write(self, inches: float, text: str, size: float) -> None:
        """Write a line of text at a height above the lower edge."""
        width, height = self.figure.get_size_inches()
        self.figure.text(
            _LEFT / width, inches / height, text, color=_INK, fontsize=size, va="center"
        )

    def _panel(self, axis: int, inches: tuple[float, float, float, float]) -> Axes:
        """Return an empty panel whose coordinates are mm from the first voxel's corner."""
        width, height = self.figure.get_size_inches()
        left, bottom, w, h = inches
        panel = self.figure.add_axes((left / width, bottom / height, w / width, h / height))
        horizontal, vertical = (i for i in range(3) if i != axis)
        panel.set_xlim(*(edge * self.size[horizontal] for edge in self.box[horizontal]))
        panel.set_ylim(*(edge * self.size[vertical] for edge in self.box[vertical]))
        panel.set_aspect("equal")
        panel.set_axis_off()
        return panel

    def _letter(self, panel: Axes, axis: int) -> None:
        """Write where the four edges of the panel point."""
        places = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98))
        sides = (("left", "center"), ("right", "center"), ("center", "bottom"), ("center", "top"))
        for letter, (x, y), (ha, va) in zip(_LETTERS[axis], places, sides, strict=True):
            panel.text(
                x, y, letter, color="#FFD23F", ha=ha, va=va, fontsize=10, weight="bold",
                transform=panel.transAxes, zorder=5,
            )  # fmt: skip

    def each(self, rows: Sequence[int] | None = None):
        """Yield panel, axis and index of every slice of some rows, or of all."""
        for row in range(len(self.rows)) if rows is None else rows:
            for panel, index in self.rows[row]:
                yield panel, self.planes[row], index

    def extent(self, axis: int, shape: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return left, right, bottom and top of a whole slice across `axis`, mm."""
        horizontal, vertical = (i for i in range(3) if i != axis)
        return 0.0, shape[1] * self.size[horizontal], 0.0, shape[0] * self.size[vertical]

    def show(
        self, volume, cmap: str | Colormap, window: tuple[float, float], rows=None
    ) -> AxesImage:
        """Draw a volume in grey or colour, and return one of its slices for the colour bar."""
        volume = to_ras(np.asarray(volume), self.axcodes)
        for panel, axis, index in self.each(rows):
            pixels = slice_across(volume, axis, index)
            image = panel.imshow(
                pixels, cmap=cmap, vmin=window[0], vmax=window[1], origin="lower",
                extent=self.extent(axis, pixels.shape),
            )  # fmt: skip
        return image

    def contour(self, volume, levels: Sequence[float], colour: str) -> None:
        """Draw lines where a volume crosses some levels."""
        volume = to_ras(np.asarray(volume, dtype=np.float32), self.axcodes)
        for panel, axis, index in self.each():
            pixels = slice_across(volume, axis, index)
            crossed = [level for level in levels if pixels.min() < level < pixels.max()]
            if crossed:
                panel.contour(
                    pixels, levels=crossed, colors=colour, linewidths=0.7, origin="lower",
                    extent=self.extent(axis, pixels.shape),
                )  # fmt: skip

    def colour_bar(self, image: AxesImage, label: str, rows: Sequence[int] | None = None) -> None:
        """Draw the scale of an image to the right of its rows."""
        boxes = [panel.get_position() for panel, _, _ in self.each(rows)]
        bottom, top = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
        height = min(top - bottom, 2.6 / self.figure.get_figheight()) * 0.9
        middle = (top + bottom) / 2
        at = self.figure.add_axes((1 - 0.85 / _WIDTH, middle - height / 2, 0.14 / _WIDTH, height))
        bar = self.figure.colorbar(image, cax=at, extend="both")
        bar.set_label(label, color=_INK)
        bar.ax.tick_params(colors=_INK, labelsize=8)
        bar.outline.set_edgecolor(_INK)  # type: ignore[operator]

    def legend(self, handles: Sequence, columns: int) -> None:
        """Name the lines or colours below the slices."""
        self.figure.legend(
            handles=list(handles), loc="lower center", ncols=columns, frameon=False,
            labelcolor=_INK, fontsize=9,
            bbox_to_anchor=(0.5, 0.3 / self.figure.get_figheight()),
        )  # fmt: skip


def within(volume, mask, outside: float = np.nan):
    """Return a volume with one value outside the mask."""
    return np.where(np.asarray(mask, dtype=bool), volume, np.float32(outside))


def grey_window(volume, mask) -> tuple[float, float]:
    """Return a window for an image without a scale of its own."""
    values = np.asarray(volume)[np.asarray(mask, dtype=bool)]
    return 0.0, float(np.nanpercentile(values, 99)) or 1.0


def even_window(volume, mask) -> tuple[float, float]:
    """Return a window symmetric about zero that holds nearly all values, one digit long."""
    values = np.asarray(volume)[np.asarray(mask, dtype=bool)]
    highest = float(np.nanpercentile(np.abs(values), 99))
    if highest == 0:
        return -1.0, 1.0
    digit = 10.0 ** np.floor(np.log10(highest))
    top = float(np.ceil(highest / digit) * digit)
    return -top, top


def _extent(mask, axis: int, margin: float = 0.0) -> tuple[int, int]:
    """Return where a mask starts and stops along an axis, with a margin in voxels."""
    occupied = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
    start, stop = int(occupied[0] - margin), int(np.ceil(occupied[-1] + 1 + margin))
    return max(start, 0), min(stop, mask.shape[axis])


def _spread(start: int, stop: int, count: int) -> list[int]:
    """Return `count` indices spread over the inner part of a range."""
    fractions = np.linspace(0.18, 0.82, count)
    return [min(int(start + f * (stop - start)), stop - 1) for f in fractions]
