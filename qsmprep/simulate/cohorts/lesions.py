"""
Lesions followed for years, as in the study of Zhang et al. (AJNR 2019;40:987-993).

Its table of fitted means and its coefficients of growth do not belong to the same curve, so that
there are two cohorts: `growth_means` has the means, `growth_coefficients` the coefficients.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

AGES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
"""Years since enhancement, of the nine bins of the study."""

COUNTS = {
    "rim+": (16, 10, 7, 5, 6, 8, 7, 8, 5),
    "rim-": (16, 9, 11, 5, 7, 10, 9, 10, 6),
}
"""Lesions seen in each bin."""

MEANS = {
    "rim+": (13.51, 23.40, 25.69, 28.99, 27.33, 26.17, 21.45, 22.02, 13.42),
    "rim-": (7.77, 24.39, 24.22, 26.25, 16.66, 18.29, 12.50, 12.00, 5.90),
}
"""Fitted susceptibility of lesion less that of white matter beside it, ppb."""

INTERVALS = {
    "rim+": ((11.09, 15.93), (19.47, 27.33), (20.78, 30.60), (26.00, 31.98), (23.22, 31.44),
             (22.10, 30.25), (18.31, 24.59), (16.92, 27.12), (9.64, 17.21)),
    "rim-": ((6.27, 9.26), (23.11, 25.67), (22.79, 25.64), (23.86, 28.63), (13.57, 19.76),
             (15.27, 21.31), (10.19, 14.81), (9.40, 14.61), (4.36, 7.45)),
}  # fmt: skip
"""Their 95 % confidence intervals, ppb."""

CURVE = {0: 20.0, 1: 5.0, 2: -15.0, 3: 3.0}
CONTRAST = {0: -4.27, 1: 8.42, 3: -10.64}
"""Rim-negative less rim-positive in orthonormal polynomials of the bins' numbers, as in the text."""

VOLUMES = {"rim+": 1042.45, "rim-": 322.34}
"""Mean volume at enhancement, mm³."""

PATIENTS, LESIONS = 19, 32


def _lesions(rng: np.random.Generator, scale: int) -> pd.DataFrame:
    """Return lesions, half of them with a rim, every patient with one at least."""
    count = LESIONS * scale
    people = PATIENTS * scale
    of = np.r_[np.arange(people), rng.integers(0, people, count - people)]
    rim = rng.permutation(np.repeat(["rim+", "rim-"], count // 2))
    return pd.DataFrame({
        "participant_id": [f"sub-{i + 1:04d}" for i in of],
        "lesion_id": [f"lesion-{i + 1:05d}" for i in range(count)],
        "rim": rim,
    })  # fmt: skip


def _visits(rng: np.random.Generator, lesions: pd.DataFrame, scale: int) -> pd.DataFrame:
    """Return a row for every lesion and age it was seen at, as many as in the study."""
    parts = []
    for rim, counts in COUNTS.items():
        group = lesions[lesions["rim"] == rim]
        for age, count in zip(AGES, counts, strict=True):
            seen = rng.choice(len(group), count * scale, replace=False)
            parts.append(group.iloc[np.sort(seen)].assign(lesion_age=age))
    rows = pd.concat(parts).sort_values(["lesion_id", "lesion_age"])
    rows.index = [f"row-{i + 1:05d}" for i in range(len(rows))]
    return rows


def _levels(rng: np.random.Generator, rows: pd.DataFrame, column: str, sd: float) -> np.ndarray:
    """Return what each row gets for belonging to a patient or lesion."""
    codes, names = pd.factorize(rows[column])
    return rng.normal(0.0, sd, len(names))[codes]


def _with_noise(
    rng: np.random.Generator, rows: pd.DataFrame, patient: float, lesion: float, noise: float
) -> np.ndarray:
    return (
        _levels(rng, rows, "participant_id", patient)
        + _levels(rng, rows, "lesion_id", lesion)
        + rng.normal(0.0, noise, len(rows))
    )


def growth_means(
    seed: int,
    scale: int = 1,
    patient_sd: float = 2.0,
    lesion_sd: float = 2.5,
    noise_sd: float = 3.0,
) -> pd.DataFrame:
    """
    Return lesions whose means are `MEANS`.

    Parameters
    ----------
    seed
        Of all that is drawn.
    scale
        How many times the 32 lesions of 19 patients of the study.
    patient_sd, lesion_sd, noise_sd
        Standard deviations between patients, between their lesions, and of each value, ppb.

    Returns
    -------
    rows
        ``participant_id``, ``lesion_id``, ``rim``, ``lesion_age`` in years and ``chi`` in ppb.
    """
    rng = np.random.default_rng(seed)
    rows = _visits(rng, _lesions(rng, scale), scale)
    mean = [MEANS[rim][AGES.index(age)] for rim, age in zip(rows["rim"], rows["lesion_age"],
                                                            strict=True)]  # fmt: skip
    return rows.assign(chi=mean + _with_noise(rng, rows, patient_sd, lesion_sd, noise_sd))


def growth_coefficients(
    seed: int,
    scale: int = 1,
    patient_sd: float = 1.0,
    lesion_sd: float = 2.0,
    noise_sd: float = 7.0,
) -> pd.DataFrame:
    """
    Return lesions whose curves have the coefficients `CURVE`, and `CONTRAST` between groups.

    Rows, columns and parameters are those of `growth_means`.
    """
    rng = np.random.default_rng(seed)
    rows = _visits(rng, _lesions(rng, scale), scale)
    # of the number of a bin: spread over the true ages the printed errors are not those found
    basis, triangle = np.linalg.qr(np.vander(np.arange(len(AGES)), 4, increasing=True))
    basis = basis * np.sign(np.diag(triangle))
    basis[:, 0] = 1.0
    place = np.searchsorted(AGES, rows["lesion_age"])
    curve = sum(value * basis[place, degree] for degree, value in CURVE.items())
    apart = sum(value * basis[place, degree] for degree, value in CONTRAST.items())
    mean = curve + (rows["rim"] == "rim-") * apart
    return rows.assign(chi=mean + _with_noise(rng, rows, patient_sd, lesion_sd, noise_sd))


def volumes(
    seed: int, scale: int = 1, decline: float = 0.08, lesion_sd: float = 0.4, noise_sd: float = 0.1
) -> pd.DataFrame:
    """
    Return lesions that shrink by the same share of their first volume every year.

    Parameters
    ----------
    seed, scale
        As in `growth_means`.
    decline
        Share of the first volume lost per year.
    lesion_sd, noise_sd
        Standard deviations of the logarithm between lesions and of each value; means are those
        of `VOLUMES`, not of their logarithms.

    Returns
    -------
    rows
        ``participant_id``, ``lesion_id``, ``rim``, ``lesion_age`` in years, ``volume`` in mm³.
    """
    rng = np.random.default_rng(seed)
    rows = _visits(rng, _lesions(rng, scale), scale)
    mean = rows["rim"].map(VOLUMES) * (1 - decline * rows["lesion_age"])
    spread = _levels(rng, rows, "lesion_id", lesion_sd) + rng.normal(0, noise_sd, len(rows))
    return rows.assign(volume=mean * np.exp(spread - (lesion_sd**2 + noise_sd**2) / 2))


def volume_change(
    seed: int,
    exact: bool = False,
    slope: float = 0.014,
    lesion_sd: float = 4.0,
    noise_sd: float = 2.0,
    visits: int = 5,
) -> pd.DataFrame:
    """
    Return lesions whose susceptibility changes with their volume, the same in both groups.

    Parameters
    ----------
    seed
        Of all that is drawn.
    exact
        Take out of the noise what looks like a slope, so that any weighting finds `slope`.
    slope
        Susceptibility per volume, ppb/mm³.
    lesion_sd, noise_sd
        Standard deviations between lesions and of each value, ppb.
    visits
        Of each lesion.

    Returns
    -------
    rows
        ``participant_id``, ``lesion_id``, ``rim``, ``volume_change`` in mm³ and ``chi`` in ppb.
    """
    rng = np.random.default_rng(seed)
    lesions = _lesions(rng, 1)
    rows = lesions.loc[np.repeat(lesions.index, visits)]
    rows.index = [f"row-{i + 1:05d}" for i in range(len(rows))]
    change = rng.normal(0.0, 150.0, len(rows))
    within = rng.normal(0.0, noise_sd, len(rows))
    between = _levels(rng, rows, "lesion_id", lesion_sd)
    if exact:
        lesion = pd.factorize(rows["lesion_id"])[0]
        change, within = (_centred(values, lesion) for values in (change, within))
        # Of mean zero in every lesion, the two are orthogonal to all that lesions share.
        group = (rows["rim"] == "rim-").to_numpy()
        within = _orthogonal(within, np.column_stack([change, change * group]))
    rows = rows.assign(volume_change=change)
    return rows.assign(chi=10.0 + slope * change + between + within)


def _centred(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return values - (np.bincount(codes, values) / np.bincount(codes))[codes]


def _orthogonal(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
