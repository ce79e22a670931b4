"""Who becomes impaired, and when: cohorts like the one of Chen et al. (Radiology 2025)."""

from __future__ import annotations

import numpy as np
import pandas as pd

LONGEST = 7.7
"""Longest follow-up, years."""


def time_to_impairment(
    seed: int,
    *,
    n: int = 158,
    hazard_ratio: float = 2.0,
    hazard: float = 0.026,
    age: tuple[float, float] = (69.5, 8.1),
    women: float = 99 / 158,
    chi: np.ndarray | None = None,
) -> pd.DataFrame:
    """
    Return when participants who were well at first became impaired, or were last seen.

    Events come at a constant hazard, times `hazard_ratio` for each standard deviation of
    susceptibility and 1.06 for each year of age; the end of observation is uniform between 1 and
    7.7 years. With the defaults there are about 22 events, and the published hazard ratio.

    Parameters
    ----------
    seed
        Same seed, same cohort.
    n
        Participants.
    hazard_ratio
        Per standard deviation of susceptibility.
    hazard
        Events per year at mean age and susceptibility.
    age
        Mean and standard deviation, years.
    women
        Proportion.
    chi : (n,) array
        Susceptibility in standard deviations; drawn unless given, when it says how many there are.

    Returns
    -------
    table
        Columns ``participant_id``, ``age``, ``sex``, ``education`` (years), ``apoe4`` (0, 1),
        ``chi`` (standardised), ``time_to_event`` (years), ``event`` (0, 1).
    """
    rng = np.random.default_rng(seed)
    n = n if chi is None else len(chi)
    years = rng.normal(*age, n)
    drawn = rng.normal(size=n)
    chi = drawn if chi is None else chi
    rate = hazard * hazard_ratio**chi * 1.06 ** (years - age[0])
    impaired, last = rng.exponential(1 / rate), rng.uniform(1, LONGEST, n)
    sexes = np.where(np.arange(n) < round(women * n), "F", "M")
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{k + 1:0{len(str(n))}d}" for k in range(n)],
            "age": years,
            "sex": rng.permutation(sexes),
            "education": rng.normal(17, 2.3, n),
            "apoe4": (rng.random(n) < 0.33).astype(int),
            "chi": chi,
            "time_to_event": np.minimum(impaired, last),
            "event": (impaired <= last).astype(int),
        }
    )


def time_to_impairment_pet(
    seed: int, *, n: int = 110, hazard_ratio: float = 3.59, hazard: float = 0.019
) -> pd.DataFrame:
    """Return the same of those with amyloid PET: fewer, of larger risk; about 16 events."""
    return time_to_impairment(
        seed, n=n, hazard_ratio=hazard_ratio, hazard=hazard, age=(68.5, 8.5), women=69 / 110
    )
