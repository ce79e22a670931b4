"""Noise, and noise so shaped that estimates equal what was put in."""

from __future__ import annotations

import numpy as np


def noise(rng: np.random.Generator, n: int, sd: float, *designs: np.ndarray) -> np.ndarray:
    """
    Return normal noise; with designs, without any share in their columns and of exact spread.

    Parameters
    ----------
    rng
        Source of chance.
    n
        Number of values.
    sd
        Standard deviation; with designs, the residual one (sum of squares by n less columns).
    designs : (n, k) arrays or (n,) arrays
        Columns that a regression will hold, a constant aside.
    """
    drawn = rng.normal(0, sd, n)
    if not designs:
        return drawn
    columns = np.column_stack([np.ones(n), *designs])
    left = drawn - columns @ np.linalg.lstsq(columns, drawn, rcond=None)[0]
    return left * sd * np.sqrt((n - columns.shape[1]) / (left @ left))


def matched(rng: np.random.Generator, n: int, mean: float, sd: float) -> np.ndarray:
    """Return n normal numbers with exactly this mean and standard deviation (n - 1)."""
    drawn = rng.normal(size=n)
    return mean + sd * (drawn - drawn.mean()) / drawn.std(ddof=1)
