"""Controls, mild impairment and dementia, seen twice in two years, with fluid biomarkers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qsmprep.simulate.cohorts.noise import noise

SIZES: Mapping[str, int] = {"HC": 30, "MCI": 30, "AD": 25}
BASELINE: Mapping[str, float] = {"HC": 0.0, "MCI": 5.0, "AD": 8.0}
CHANGE: Mapping[str, float] = {"HC": 0.0, "MCI": 2.5, "AD": 4.0}
"""What active regions have more at baseline, and gain in two years, ppb."""

ACTIVE = ("posterior_cingulate", "precuneus", "putamen", "caudate")
INERT = ("thalamus", "pallidum", "hippocampus", "amygdala")
LEVEL = dict(zip(ACTIVE + INERT, (15.0, 12.0, 45.0, 40.0, 5.0, 110.0, 0.0, 2.0), strict=True))

INFLAMMATORY = tuple(f"inflammation{number}" for number in range(1, 7))
INERT_MARKERS = ("amyloid42", "amyloid_ratio", "tau")
MARKED = "precuneus"
CORRELATION = 0.45

BETWEEN, WITHIN, YEARS = 7.0, 2.5, 2.0


def spectrum(seed: int, scale: int = 1, exact: bool = False) -> pd.DataFrame:
    """
    Return two sessions of every participant, with markers of the first.

    Parameters
    ----------
    seed
        Of chance.
    scale
        How many times larger than `SIZES` the groups are.
    exact
        Whether the noise of the two sessions is the same in the mean of every group and has no
        share in age and sex: mean changes are then those of `CHANGE` to rounding.

    Returns
    -------
    table
        A row per session: participant_id, session_id, years, group, age (at baseline), sex,
        chi_ of eight regions (ppb), and the markers (SD 1), which correlate by 0.45
        (`INFLAMMATORY`) or not at all (`INERT_MARKERS`) with the precuneus at baseline.
    """
    rng = np.random.default_rng(seed)
    group = np.repeat(list(SIZES), [scale * size for size in SIZES.values()])
    n = len(group)
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{number:04d}" for number in range(1, n + 1)],
            "group": group,
            "age": rng.normal(71, 7, n),
            "sex": np.where(rng.random(n) < 0.5, "M", "F"),
        }
    )
    dummies = [(group == level).astype(float) for level in ("MCI", "AD")]
    covariates = [*dummies, people["age"], people["sex"] == "M"] if exact else []
    first, last = people.assign(session_id="ses-01", years=0.0), people.assign(
        session_id="ses-02", years=YEARS
    )  # fmt: skip
    for region in ACTIVE + INERT:
        active = region in ACTIVE
        start = pd.Series(group).map(BASELINE).to_numpy() * active
        gain = pd.Series(group).map(CHANGE).to_numpy() * active
        own = LEVEL[region] + start + noise(rng, n, BETWEEN, *covariates)
        first[f"chi_{region}"] = own + noise(rng, n, WITHIN, *covariates)
        last[f"chi_{region}"] = own + gain + noise(rng, n, WITHIN, *covariates)
    seen = first[f"chi_{MARKED}"]
    z = ((seen - seen.mean()) / seen.std()).to_numpy()
    for marker in INFLAMMATORY + INERT_MARKERS:
        r = CORRELATION if marker in INFLAMMATORY else 0.0
        first[marker] = r * z + noise(rng, n, np.sqrt(1 - r**2), *([z] if exact else []))
    table = pd.concat([first, last]).sort_values(["participant_id", "years"], kind="stable")
    table.index = pd.Index(table["participant_id"] + "_" + table["session_id"])
    return table
