"""Statistics inside a mask, for any array library."""

from __future__ import annotations

from array_api_compat import array_namespace


def median_in(values, mask) -> float:
    """
    Return the median of `values` inside `mask`.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    xp = array_namespace(values, mask)
    inside = xp.sort(values[mask], stable=False)  # a stable sort takes twenty times as long
    n = inside.shape[0]
    if n == 0:
        raise ValueError("the mask is empty")
    return 0.5 * (float(inside[(n - 1) // 2]) + float(inside[n // 2]))
