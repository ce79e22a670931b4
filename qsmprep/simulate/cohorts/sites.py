"""Cohorts of several scanners, with what these add known."""

from __future__ import annotations

import numpy as np
import pandas as pd

REGIONS = (
    "putamen", "caudate", "pallidum", "thalamus", "hippocampus", "amygdala", "substantia-nigra",
    "red-nucleus", "dentate-nucleus", "precuneus",
)  # fmt: skip

SCALES = (1.0, 1.3, 0.8)
"""Standard deviation of each site over that of the first."""

ILL = 3
"""The first so many regions differ between patients and controls."""


def sites(
    seed: int, *, n: int = 60, shift: float = 8.0, diagnosis: float = 4.0, scaled: bool = True
) -> dict[str, pd.DataFrame]:
    """
    Return three sites that measured different people once (ST-15).

    Susceptibility is level + age slope x (age - 60) + diagnosis + site + noise. Age slopes of the
    regions are normal with SD 0.15 ppb per year about 0.2; the shift of a site is even in plus
    and minus `shift`, that of a region differs from it with SD 2 ppb; noise has SD 8 ppb times
    `SCALES`. Age has SD 8 years about 57, 60 and 63; it has quarters of years, which single
    precision holds.

    Parameters
    ----------
    seed
        Of the random numbers.
    n
        Participants of each site.
    shift
        Largest shift of a site, ppb; with 0 there is none, of regions neither.
    diagnosis
        Patients less controls in the first `ILL` regions, ppb.
    scaled
        Whether sites differ in their noise.

    Returns
    -------
    cohort
        A row per participant: ids, ``site``, ``age``, ``sex``, ``group``, ``chi_<region>``, ppb.
    truth
        A row per region: ``age``, ppb per year; ``diagnosis``, ppb; a column per site, ppb.
    """
    rng = np.random.default_rng(seed)
    names = [f"site{number}" for number in range(1, 4)]
    number = np.repeat(np.arange(3), n)
    ages = np.round(4 * rng.normal(57 + 3 * number, 8)) / 4
    patient = rng.random(3 * n) < 0.5
    slopes = rng.normal(0.2, 0.15, len(REGIONS))
    effect = np.where(np.arange(len(REGIONS)) < ILL, diagnosis, 0.0)
    of_sites = rng.uniform(-shift, shift, 3)[:, None]
    of_sites = of_sites + rng.normal(0, 2.0 * (shift > 0), (3, len(REGIONS)))
    noise = rng.normal(0, 8.0, (3 * n, len(REGIONS)))
    if scaled:
        noise *= np.array(SCALES)[number][:, None]
    levels = rng.uniform(-20, 80, len(REGIONS))
    chi = (
        levels + np.outer(ages - 60, slopes) + np.outer(patient, effect) + of_sites[number] + noise
    )
    cohort = pd.DataFrame(
        {
            "participant_id": [f"sub-{row:04d}" for row in range(1, 3 * n + 1)],
            "session_id": "n/a",
            "site": np.array(names)[number],
            "age": ages,
            "sex": np.where(rng.random(3 * n) < 0.5, "F", "M"),
            "group": np.where(patient, "patient", "control"),
        }
    )
    truth = pd.DataFrame({"age": slopes, "diagnosis": effect}, index=list(REGIONS))
    return {
        "cohort": pd.concat([cohort, _chi(chi)], axis=1),
        "truth": truth.join(pd.DataFrame(of_sites.T, index=list(REGIONS), columns=names)),
    }


def upgrade(seed: int, *, n: int = 40, shift: float = 6.0) -> dict[str, pd.DataFrame]:
    """
    Return participants who came four times, a year apart, while half changed the scanner (ST-16).

    The first half has visits 1 and 2 on ``old`` and 3 and 4 on ``new``; the other half stays on
    ``old``. Slopes are 1 ppb per year, participants differ with SD 7 ppb, noise is 2.5 ppb.

    Parameters
    ----------
    seed
        Of the random numbers.
    n
        Participants.
    shift
        Mean of what the new scanner adds, ppb; regions differ with SD 2 ppb.

    Returns
    -------
    cohort
        A row per visit: ids, ``scanner``, ``years``, ``age`` at the first visit, ``chi_<region>``.
    truth
        A row per region: ``years``, ppb per year; ``new``, ppb.
    """
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(n), 4)
    years = np.tile(np.arange(4.0), n)
    new = (who < n // 2) & (years >= 2)
    added = rng.normal(shift, 2.0, len(REGIONS))
    levels = rng.uniform(-20, 80, len(REGIONS)) + rng.normal(0, 7.0, (n, len(REGIONS)))[who]
    noise = rng.normal(0, 2.5, (4 * n, len(REGIONS)))
    cohort = pd.DataFrame(
        {
            "participant_id": [f"sub-{row + 1:04d}" for row in who],
            "session_id": [f"ses-{int(year) + 1}" for year in years],
            "scanner": np.where(new, "new", "old"),
            "years": years,
            "age": np.round(4 * rng.normal(60, 8, n))[who] / 4,
        }
    )
    chi = levels + years[:, None] + np.outer(new, added) + noise
    truth = pd.DataFrame({"years": 1.0, "new": added}, index=list(REGIONS))
    return {"cohort": pd.concat([cohort, _chi(chi)], axis=1), "truth": truth}


def travellers(seed: int, *, n: int = 8, local: int = 20) -> dict[str, pd.DataFrame]:
    """
    Return people who went to three scanners, and others of whom each was on one (ST-16).

    Scanners add ±5 ppb or nothing, regions differ with SD 2 ppb; noise within a participant is
    2 ppb. People who stay are older at the third scanner by 10 years of 0.5 ppb each, which
    offsets must not contain.

    Parameters
    ----------
    seed
        Of the random numbers.
    n
        Travellers.
    local
        Of each scanner, participants who stay.

    Returns
    -------
    cohort
        A row per visit: ids, ``scanner``, ``age``, ``chi_<region>``.
    truth
        A row per region, a column per scanner: what it adds, ppb.
    """
    rng = np.random.default_rng(seed)
    names = np.array(["A", "B", "C"])
    number = np.concatenate([np.tile(np.arange(3), n), np.repeat(np.arange(3), local)])
    who = np.concatenate([np.repeat(np.arange(n), 3), n + np.arange(3 * local)])
    age = np.concatenate([np.full(3 * n, 40.0), np.repeat([60.0, 60.0, 70.0], local)])
    added = np.array([-5.0, 0.0, 5.0])[:, None] + rng.normal(0, 2.0, (3, len(REGIONS)))
    own = rng.normal(0, 7.0, (n + 3 * local, len(REGIONS)))
    chi = 0.5 * (age[:, None] - 60) + own[who] + added[number]
    chi = chi + rng.normal(0, 2.0, chi.shape)
    cohort = pd.DataFrame(
        {
            "participant_id": [f"sub-{row + 1:04d}" for row in who],
            "session_id": [f"ses-{names[row]}" for row in number],
            "scanner": names[number],
            "age": age,
        }
    )
    truth = pd.DataFrame(added.T, index=list(REGIONS), columns=list(names))
    return {"cohort": pd.concat([cohort, _chi(chi)], axis=1), "truth": truth}


def _chi(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"chi_{name}" for name in REGIONS])
