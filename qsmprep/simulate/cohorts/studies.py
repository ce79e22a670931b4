"""Cohorts made like those of published studies, with the published effects put in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from qsmprep.simulate.cohorts.dataset import Cohort
from qsmprep.simulate.cohorts.decline import decline
from qsmprep.simulate.cohorts.groups import groups, patients
from qsmprep.simulate.cohorts.lesion_table import lesions
from qsmprep.simulate.cohorts.lesions import growth_means, volume_change, volumes
from qsmprep.simulate.cohorts.sites import sites, travellers, upgrade
from qsmprep.simulate.cohorts.spectrum import INERT_MARKERS, INFLAMMATORY, spectrum
from qsmprep.simulate.cohorts.survival import time_to_impairment

ONE = "participant_id"
SCANNERS: Mapping[str, Mapping[str, object]] = {
    "first": {"Manufacturer": "Vendor A", "ManufacturersModelName": "Prime"},
    "second": {"Manufacturer": "Vendor B", "ManufacturersModelName": "Seven"},
    "third": {"Manufacturer": "Vendor C", "ManufacturersModelName": "Elite"},
}
"""What sidecars of simulated scanners say."""


def biocard(seed: int) -> Cohort:
    """
    Return 158 unimpaired people followed for up to 7.7 years (Radiology 2025).

    Standard deviations of susceptibility in entorhinal cortex are the ``chi`` of
    `time_to_impairment` and of `decline`; the first 110 have amyloid PET.
    """
    # Of its own, or what is drawn here would be what others have drawn.
    rng = np.random.default_rng([seed, 1])
    visits = decline(seed, n=158, by_chi=-0.020, by_dvr=-0.01, by_both=-0.015)
    people = visits.drop_duplicates(ONE).reset_index(drop=True)
    followed = time_to_impairment(seed + 1, chi=people["chi"].to_numpy())
    followed[ONE] = people[ONE]
    z = people["chi"].to_numpy()
    chi = {
        "entorhinal": 2 + 6 * z,
        "putamen": 55 + 9 * (0.6 * z + 0.8 * rng.normal(size=len(z))),
        "caudate": 48 + 8 * rng.normal(size=len(z)),
        "hippocampus": 5 + 5 * rng.normal(size=len(z)),
    }
    with_pet = people.head(110)
    pet = pd.DataFrame({ONE: with_pet[ONE], "cdvr": 1.1 + 0.15 * with_pet["dvr"]})
    return Cohort(
        truth="Entorhinal susceptibility: hazard ratio 2.00 per standard deviation (6 ppb); the "
        "global score falls by 0.020 more per year and standard deviation, and by another 0.015 "
        "where amyloid is one standard deviation (0.15 cDVR) higher. Putamen: correlates with it "
        "by 0.6, and has no effect of its own. Caudate and hippocampus: none.",
        participants=followed[[ONE, "age", "sex", "education", "apoe4"]],
        regions=_regions(people[[ONE]], chi, volumes={"entorhinal": 1800, "putamen": 4500}),
        phenotype={
            "survival": followed[[ONE, "time_to_event", "event"]],
            "cognition": visits[[ONE, "years", "score"]].rename(columns={"years": "time"}),
            "pet": pet.assign(amyloid=np.where(pet["cdvr"] > 1.15, "positive", "negative")),
        },
    )


def buffalo(seed: int) -> Cohort:
    """Return 600 patients with multiple sclerosis and 250 controls (Radiology 2018)."""
    table = groups(seed)
    return Cohort(
        truth="Patients less controls, adjusted: thalamus -6.4 ppb (-7.5 and -1.1), basal ganglia "
        "+7.2 ppb (62 and 54.8); -0.15 ppb per year of age, +1 ppb for men, -0.5 ppb per cm3.",
        participants=table[[ONE, "group", "age", "sex"]],
        regions=_from_columns(table),
    )


def buffalo_patients(seed: int) -> Cohort:
    """Return 600 patients, 148 of them with a secondary progressive course (Radiology 2018)."""
    table = patients(seed)
    return Cohort(
        truth="Thalamus: -0.42 ppb per year of disease, -0.64 ppb per point of EDSS, -4.3 ppb if "
        "secondary progressive. Pallidum: +2 ppb per point of EDSS.",
        participants=table[[ONE, "course", "duration", "edss", "age", "sex"]],
        regions=_from_columns(table),
    )


def cornell(seed: int) -> Cohort:
    """Return the lesions of 19 patients, followed for six years (AJNR 2019)."""
    curves = growth_means(seed)
    people = pd.DataFrame({ONE: sorted(set(curves[ONE]))})
    rng = np.random.default_rng([seed, 1])
    chi = {"white-matter": -30 + 2 * rng.normal(size=len(people))}
    return Cohort(
        truth="Means of lesions with and without a rim at nine ages are those of the published "
        "table; volumes at first 1042 and 322 mm3, 8 % less every year; 0.014 ppb for each mm3 "
        "that a lesion changes.",
        participants=people.assign(age=np.clip(rng.normal(36.3, 6.4, len(people)), 20, 55)),
        regions=_regions(people, chi),
        phenotype={
            "lesions": lesions(seed),
            "curves": curves,
            "volumes": volumes(seed),
            "volumechange": volume_change(seed),
        },
    )


def alzheimer(seed: int) -> Cohort:
    """Return controls, mild impairment and dementia, seen twice in two years."""
    table = spectrum(seed)
    first = table[table["years"] == 0]
    sessions = table[[ONE, "session_id"]].assign(years_from_baseline=table["years"])
    return Cohort(
        truth="Posterior cingulate, precuneus, putamen and caudate: 5 ppb more in mild impairment "
        "and 8 in dementia, and in two years another 2.5 and 4. Six inflammatory markers "
        "correlate with the precuneus by 0.45; amyloid and tau do not.",
        participants=first[[ONE, "group", "age", "sex"]],
        regions=_from_columns(table),
        sessions=sessions,
        phenotype={"fluid": first[[ONE, *INFLAMMATORY, *INERT_MARKERS]]},
    )


def multisite(seed: int) -> Cohort:
    """Return three sites with scanners of their own."""
    found = sites(seed)["cohort"]
    return Cohort(
        truth="Scanners shift regions by up to 8 ppb and stretch them by 1, 1.3 and 0.8; patients "
        "have 4 ppb more in three regions.",
        participants=found[[ONE, "site", "age", "sex", "group"]],
        regions=_from_columns(found),
        acquisitions=_scanners(found, "site"),
    )


def scanner_change(seed: int) -> Cohort:
    """Return participants of four visits, half of whom changed the scanner after two."""
    return _visits(upgrade(seed)["cohort"], "The new scanner adds 6 ppb; slopes are 1 ppb a year.")


def travelling(seed: int) -> Cohort:
    """Return eight people who went to three scanners, and sixty others."""
    return _visits(travellers(seed)["cohort"], "Scanners add -5, 0 and 5 ppb.")


STUDIES: dict[str, Callable[[int], Cohort]] = {
    "biocard": biocard,
    "buffalo": buffalo,
    "buffalo-patients": buffalo_patients,
    "cornell": cornell,
    "alzheimer": alzheimer,
    "multisite": multisite,
    "scanner-change": scanner_change,
    "travelling": travelling,
}
"""The cohorts there are."""


def _visits(table: pd.DataFrame, truth: str) -> Cohort:
    """Return a cohort of several visits on several scanners."""
    people = table.drop_duplicates(ONE)
    known = [name for name in ("age", "sex") if name in table]
    sessions = table[[ONE, "session_id"]]
    if "years" in table:
        sessions = sessions.assign(years_from_baseline=table["years"])
    return Cohort(
        truth=truth,
        participants=people[[ONE, *known]],
        regions=_from_columns(table),
        sessions=sessions,
        acquisitions=_scanners(table, "scanner"),
    )


def _scanners(table: pd.DataFrame, column: str) -> dict[tuple[str, str], Mapping[str, object]]:
    """Return what sidecars say of the scanner of each row."""
    said = dict(zip(sorted(set(table[column])), SCANNERS.values(), strict=False))
    session = table["session_id"] if "session_id" in table else ["n/a"] * len(table)
    whom = zip(table[ONE], session, strict=True)
    return {who: said[scanner] for who, scanner in zip(whom, table[column], strict=True)}


def _regions(
    people: pd.DataFrame,
    chi: Mapping[str, np.ndarray],
    volumes: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return a row per person and region."""
    sizes = volumes or {}
    parts = [
        people.assign(name=name, mean=values, volume_mm3=sizes.get(name, 3000.0))
        for name, values in chi.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _from_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per row and region from columns ``chi_REGION`` and ``volume_REGION``."""
    keys = [name for name in (ONE, "session_id") if name in table]
    parts = []
    for column in table.columns[table.columns.str.startswith("chi_")]:
        name = column.removeprefix("chi_")
        volume = table.get(f"volume_{name}", 3000.0)
        # Atlases write names with dashes.
        part = table[keys].assign(name=name.replace("_", "-"), mean=table[column])
        parts.append(part.assign(volume_mm3=volume))
    return pd.concat(parts, ignore_index=True)
