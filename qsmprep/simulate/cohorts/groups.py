"""Patients with multiple sclerosis and controls, as Zivadinov et al. (Radiology 289:487, 2018)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qsmprep.simulate.cohorts.noise import noise

MEANS: Mapping[str, tuple[float, float]] = {
    "thalamus": (-1.1, -7.5),
    "basal_ganglia": (54.8, 62.0),
}
"""
Adjusted means of controls and patients, ppb, of the abstract (PMC6219694).

A news text prints 27.5 and 21.1 for the thalamus; its "2" was a minus sign.
"""

SPREAD = {"thalamus": 12.0, "basal_ganglia": 20.0}
"""Residual standard deviations, ppb; ours, the abstract has none."""

AGE, AGE_SD, PER_YEAR = 46.0, 10.0, -0.15
PER_MALE, MALE = 1.0, 0.3
VOLUME, VOLUME_SD, PER_CM3, ATROPHY = 13500.0, 1500.0, -0.5, 0.516
"""
Volume, mm³, its slope, ppb per cm³, and how many SD patients lie below controls.

The last makes the standard error of the exact cohort 0.928, which the effect of correlated
covariates on that of 0.903 without any must give.
"""

CLINICAL = {"duration": -0.42, "edss": -0.64, "spms": -4.3, "pallidum_edss": 2.0}
"""Slopes of the abstract: ppb per year, per point of EDSS, for a progressive course."""


def groups(
    seed: int, n_patients: int = 600, n_controls: int = 250, exact: bool = False
) -> pd.DataFrame:
    """
    Return patients and controls with susceptibility of two structures.

    Susceptibility is the mean of the group of `MEANS`, − 0.15 per year from 46, ± 0.5 for men
    and women, − 0.5 per cm³ of the structure from 13.5, and noise of `SPREAD`.

    Parameters
    ----------
    seed
        Of chance.
    n_patients, n_controls
        Sizes of the groups; multiples of 10 for an exact cohort.
    exact
        Whether age, sex and the mean volume are equal between groups but for the atrophy, and
        noise has no share in any covariate: a model with group, age, sex and volume then gives
        the parameters back to rounding.

    Returns
    -------
    table
        participant_id, group (MS, HC), age, sex, and per structure chi_ (ppb), volume_ (mm³).
    """
    rng = np.random.default_rng(seed)
    sizes = {"MS": n_patients, "HC": n_controls}
    n = n_patients + n_controls
    patient = np.repeat([1.0, 0.0], list(sizes.values()))
    if exact:
        male = np.concatenate([np.arange(size) % 10 < 10 * MALE for size in sizes.values()])
    else:
        male = rng.random(n) < MALE
    male = male.astype(float)
    balance: tuple[np.ndarray, ...] = (patient, male) if exact else ()
    age = AGE + noise(rng, n, AGE_SD, *balance)
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{number:04d}" for number in range(1, n + 1)],
            "group": np.where(patient == 1, "MS", "HC"),
            "age": age,
            "sex": np.where(male == 1, "M", "F"),
        }
    )
    for name, (control_mean, patient_mean) in MEANS.items():
        balance = (patient, male, age) if exact else ()
        size = noise(rng, n, VOLUME_SD, *balance)
        size -= ATROPHY * VOLUME_SD * (patient - n_patients / n)
        balance = (patient, male, age, size) if exact else ()
        table[f"volume_{name}"] = VOLUME + size
        table[f"chi_{name}"] = (
            np.where(patient == 1, patient_mean, control_mean)
            + PER_YEAR * (age - AGE)
            + PER_MALE * (male - 0.5)
            + PER_CM3 * size / 1000
            + noise(rng, n, SPREAD[name], *balance)
        )
    return table


def patients(
    seed: int, n_relapsing: int = 452, n_progressive: int = 148, exact: bool = False
) -> pd.DataFrame:
    """
    Return patients whose susceptibility goes with duration, disability and course by `CLINICAL`.

    Parameters
    ----------
    seed
        Of chance.
    n_relapsing, n_progressive
        Numbers by course.
    exact
        Whether noise has no share in any covariate.

    Returns
    -------
    table
        participant_id, course (RR, SP), duration (years), edss, age, sex, chi_thalamus (of
        duration, EDSS and course) and chi_pallidum (of EDSS), ppb.
    """
    rng = np.random.default_rng(seed)
    n = n_relapsing + n_progressive
    progressive = np.repeat([0.0, 1.0], [n_relapsing, n_progressive])
    duration = rng.gamma(3.0, 4.0, n) + 6 * progressive
    edss = np.clip(np.round(2 * rng.normal(2.2 + 3 * progressive, 1.3)) / 2, 0, 9)
    age = np.clip(34 + 0.7 * duration + rng.normal(0, 8, n), 18, 80)
    male = (rng.random(n) < MALE).astype(float)
    balance = (progressive, duration, edss, age, male) if exact else ()
    common = PER_YEAR * (age - AGE) + PER_MALE * (male - 0.5)
    thalamus = (
        MEANS["thalamus"][1]
        + CLINICAL["duration"] * (duration - duration.mean())
        + CLINICAL["edss"] * (edss - edss.mean())
        + CLINICAL["spms"] * progressive
    )
    pallidum = 120 + CLINICAL["pallidum_edss"] * (edss - edss.mean())
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{number:04d}" for number in range(1, n + 1)],
            "course": np.where(progressive == 1, "SP", "RR"),
            "duration": duration,
            "edss": edss,
            "age": age,
            "sex": np.where(male == 1, "M", "F"),
            "chi_thalamus": thalamus + common + noise(rng, n, SPREAD["thalamus"], *balance),
            "chi_pallidum": pallidum + common + noise(rng, n, SPREAD["basal_ganglia"], *balance),
        }
    )
