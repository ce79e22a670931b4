"""
How long harmonisation takes: 1,000 acquisitions, 300 regions, four references, one core.

    OMP_NUM_THREADS=1 python benchmarks/harmonise.py

Prints seconds for each method, with all tables, figures and the page; one value in a hundred is
missing, so that every region has rows of its own. The last line is random intercepts alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pandas as pd

from qsmprep.group.harmonise import run_harmonise
from qsmprep.statistics import random_intercept

ROWS, REGIONS, SCANNERS = 1000, 300, 5
REFERENCES = ("csf", "whole-brain", "white-matter", "none")


@dataclass(frozen=True)
class Cohort:
    """As `qsmprep.group.cohort_table.CohortTable`, in memory."""

    acquisitions: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    atlases: tuple[str, ...] = ("atlas",)
    maps: tuple[str, ...] = ("Chimap",)
    references: tuple[str, ...] = REFERENCES
    reference: str = "csf"

    @property
    def region_values(self) -> SimpleNamespace:
        """Names and hemispheres of regions."""
        names = list(self.tables["csf"])
        return SimpleNamespace(
            rows=pd.DataFrame({"region": names, "name": names, "hemisphere": "B"})
        )

    def values(self, _map: str, reference: str, _atlas: str, _statistic: str) -> pd.DataFrame:
        """Return a row per acquisition and a column per region."""
        return self.tables[reference]


def cohort() -> Cohort:
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(ROWS // 2), 2)
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{one:04d}" for one in number],
            "session_id": np.tile(["ses-1", "ses-2"], ROWS // 2),
            "acquisition": "n/a",
            "run": "n/a",
            # Everybody's scanner changes or not by chance, so that travellers link all of them.
            "acquisition_key": rng.integers(0, SCANNERS, ROWS).astype(str),
            "age": rng.normal(60, 8, ROWS),
            "sex": rng.choice(["F", "M"], ROWS // 2)[number],
        }
    )
    people.index = people["participant_id"] + "_" + people["session_id"]
    tables = {}
    for name in REFERENCES:
        values = rng.normal(0, 7, (ROWS // 2, REGIONS))[number] + rng.normal(0, 3, (ROWS, REGIONS))
        values[rng.random(values.shape) < 0.01] = np.nan
        columns = [f"region-{place}" for place in range(REGIONS)]
        tables[name] = pd.DataFrame(values, index=people.index, columns=columns)
    return Cohort(people, tables)


def main() -> None:
    made = cohort()
    for method in ("combat", "combat-gam", "longitudinal-combat", "travelling", "scanner"):
        start = perf_counter()
        with TemporaryDirectory() as folder:
            run_harmonise(made, {"method": method}, Path(folder))
        print(f"{method:20} {perf_counter() - start:6.1f} s")
    values = made.tables["csf"].to_numpy()[:, :100]
    people = made.acquisitions
    design = np.column_stack([pd.get_dummies(people["acquisition_key"]), people["age"] / 10 - 6])
    start = perf_counter()
    random_intercept.fit(design.astype(float), values, people["participant_id"].to_numpy())
    print(f"random intercepts, 500 x 2 x 100 regions: {perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
