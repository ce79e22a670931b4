"""Ageing people whose cognition declines the faster, the more iron and amyloid they have."""

from __future__ import annotations

import numpy as np
import pandas as pd


def decline(
    seed: int,
    n: int = 110,
    by_chi: float = -0.020,
    by_dvr: float = -0.01,
    by_both: float = 0.0,
    intercept_sd: float = 0.45,
    slope_sd: float = 0.06,
    noise_sd: float = 0.22,
) -> pd.DataFrame:
    r"""
    Return the visits of a cohort like that of BIOCARD (Radiology 2025), from 3 to 7 per person.

    .. math:: y = 0.2 - 0.02 (age - 68.5) + 0.05 (education - 17) - 0.05 \chi
              + (-0.03 + b_\chi \chi + b_{dvr} dvr + b_{both} \chi dvr) t

    Parameters
    ----------
    seed
        Of all that is drawn.
    n
        People.
    by_chi, by_dvr, by_both
        What a standard deviation of susceptibility, of amyloid, and of both together, add to the
        change of the score per year.
    intercept_sd, slope_sd, noise_sd
        Standard deviations between people of level and of change per year, and of each score.

    Returns
    -------
    rows
        ``participant_id``, ``years``, ``score``, ``age`` at the first visit, ``education`` in
        years, ``chi`` and ``dvr`` in standard deviations.
    """
    rng = np.random.default_rng(seed)
    people = pd.DataFrame({
        "participant_id": [f"sub-{i + 1:05d}" for i in range(n)],
        "age": rng.normal(68.5, 8.5, n),
        "education": rng.normal(17.0, 2.3, n),
        "chi": _standardised(rng.normal(size=n)),
        "dvr": _standardised(rng.normal(size=n)),
        "level": rng.normal(0.0, intercept_sd, n),
        "own_slope": rng.normal(0.0, slope_sd, n),
        "visits": rng.integers(3, 8, n),
    })  # fmt: skip
    rows = people.loc[np.repeat(people.index, people["visits"])].copy()
    rows["years"] = 1.1 * rows.groupby("participant_id").cumcount()
    change = -0.03 + by_chi * rows["chi"] + by_dvr * rows["dvr"]
    change += by_both * rows["chi"] * rows["dvr"] + rows["own_slope"]
    rows["score"] = (
        0.2 - 0.02 * (rows["age"] - 68.5) + 0.05 * (rows["education"] - 17) - 0.05 * rows["chi"]
        + rows["level"] + change * rows["years"] + rng.normal(0.0, noise_sd, len(rows))
    )  # fmt: skip
    rows.index = [f"row-{i + 1:06d}" for i in range(len(rows))]
    return rows[["participant_id", "years", "score", "age", "education", "chi", "dvr"]]


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std(ddof=1)
