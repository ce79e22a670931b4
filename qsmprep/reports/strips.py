"""
Dots and boxes of a cohort as drawings within a page.

Written by hand and not by matplotlib: thirty thousand dots have to fit into a page that opens at
once, and the drawing takes its colours from the page, in the light and in the dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import math

from markupsafe import Markup, escape
import numpy as np

WIDTH = 360
_ROW, _TOP, _FOOT, _MARGIN = 34, 2, 30, 8
_FARTHEST = 8.0  # robust standard deviations; what is beyond would squeeze all others


def strip_chart(
    rows: Mapping[str, Iterable[float]],
    *,
    axis: str,
    alt: str,
    window: Sequence[float | None] = (),
) -> Markup:
    """
    Return an SVG drawing: a row per group, a dot per value, a box from quartile to quartile.

    Parameters
    ----------
    rows
        Values by the name of their group; missing ones are NaN.
    axis
        Written below, with the unit.
    alt
        What the drawing shows, for those who do not see it.
    window
        Lowest and highest value that passes, shaded; None for no bound, empty for no window.
    """
    arrays = {name: np.asarray(list(v), dtype=float) for name, v in rows.items()}
    arrays = {name: values[np.isfinite(values)] for name, values in arrays.items()}
    low, high = _range(np.concatenate([*arrays.values(), np.empty(0)]))
    height = _TOP + _ROW * len(arrays) + _FOOT

    def place(value):
        return _MARGIN + (np.clip(value, low, high) - low) / (high - low) * (WIDTH - 2 * _MARGIN)

    parts = [
        f'<svg class="strip" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(alt)}">'
    ]
    bottom = height - _FOOT
    if window:
        left, right = (
            float(place(end if end is not None else fallback))
            for end, fallback in zip(window, (low, high), strict=True)
        )
        if right > left:
            parts.append(
                f'<rect class="pass" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" '
                f'height="{bottom - _TOP}"/>'
            )
    for tick in _ticks(low, high):
        x = float(place(tick))
        parts.append(f'<path class="tick" d="M{x:.1f} {_TOP}V{bottom}"/>')
        parts.append(f'<text class="num" x="{x:.1f}" y="{bottom + 11}">{_short(tick)}</text>')
    parts.append(f'<text class="axis" x="{WIDTH / 2:g}" y="{height - 5}">{escape(axis)}</text>')
    for index, (name, values) in enumerate(arrays.items()):
        beyond = int(((values < low) | (values > high)).sum())
        parts.append(_row(name, place(values), values.size, beyond, _TOP + index * _ROW))
    return Markup("".join([*parts, "</svg>"]))


def _row(name: str, places, count: int, beyond: int, top: float) -> str:
    """Return one group: its name and number, the box, and the dots."""
    note = f", {beyond} beyond the axis" if beyond else ""
    text = f"{_cut(name)} (n = {count}{note})" if name else f"n = {count}{note}"
    drawn = f'<text class="who" x="{_MARGIN}" y="{top + 11}">{escape(text)}</text>'
    if not count:
        return drawn
    first, middle, third = np.percentile(places, (25, 50, 75))
    drawn += (
        f'<rect class="box" x="{first:.1f}" y="{top + 15}" '
        f'width="{max(third - first, 0.5):.1f}" height="15"/>'
    )
    # Spread within the row in the order of the table, the same at every drawing.
    heights = top + 22.5 + 5.5 * np.sin(2.4 * np.arange(count))
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(places, heights, strict=True))
    drawn += f'<path class="dots" d="{dots}"/>'
    return drawn + f'<path class="mid" d="M{middle:.1f} {top + 13}v19"/>'


def _cut(name: str) -> str:
    """Return a name that has room above its row."""
    return name if len(name) <= 48 else f"{name[:47]}…"


def _range(values) -> tuple[float, float]:
    """Return the ends of the axis: of all values, unless some are very far away."""
    if not values.size:
        return 0.0, 1.0
    median = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - median)))
    low, high = float(values.min()), float(values.max())
    if spread > 0:
        low = max(low, median - _FARTHEST * spread)
        high = min(high, median + _FARTHEST * spread)
    margin = 0.02 * (high - low) or 0.5 * abs(median) or 0.5
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers within a range."""
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next(f for f in (5, 2, 1, 0.5) if (high - low) / (step * f) >= 2.5)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _short(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")
