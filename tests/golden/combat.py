"""
Make combat_data.tsv and combat.tsv: what neuroCombat 0.2.12 returns for a simulated file.

It needs ``pip install neuroCombat==0.2.12``, which tests do not: they read the tables. Ages are
quarters of years because neuroCombat keeps numbers in single precision.
"""

from pathlib import Path

from neuroCombat import neuroCombat
import numpy as np
import pandas as pd

from qsmprep.files import replacing
from qsmprep.simulate.cohorts.sites import sites

HERE = Path(__file__).parent
COVARIATES = {"categorical_cols": ["sex", "group"], "continuous_cols": ["age"]}
KINDS = {
    "default": COVARIATES,
    "no-covariates": {},
    "mean-only": COVARIATES | {"mean_only": True},
    "not-parametric": COVARIATES | {"parametric": False},
    "reference": COVARIATES | {"ref_batch": "site2"},
}

# numpy 2 has it no more, and neuroCombat asks for it where there is a reference.
setattr(np, "int", int)  # noqa: B010


def main() -> None:
    """Write both tables beside this file."""
    cohort = sites(15)["cohort"]
    chi = [name for name in cohort if name.startswith("chi_")]
    cohort[chi] = cohort[chi].round(6)
    _write(cohort, "combat_data.tsv")
    rows = []
    for kind, options in KINDS.items():
        data = neuroCombat(
            dat=cohort[chi].T.to_numpy(float),
            covars=cohort[["site", "age", "sex", "group"]].copy(),
            batch_col="site",
            **options,
        )["data"]
        table = pd.DataFrame(data.T, columns=chi)
        table.insert(0, "participant_id", cohort["participant_id"])
        table.insert(0, "kind", kind)
        rows.append(table)
    _write(pd.concat(rows), "combat.tsv")


def _write(table: pd.DataFrame, name: str) -> None:
    with replacing(HERE / name) as path:
        table.to_csv(path, sep="\t", index=False, float_format="%.10g", lineterminator="\n")


if __name__ == "__main__":
    main()
