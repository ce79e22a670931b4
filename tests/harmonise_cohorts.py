"""A stand-in for the table of a cohort: what harmonisation needs of it, from simulated values."""

from dataclasses import dataclass
from types import SimpleNamespace

import pandas as pd


@dataclass(frozen=True)
class TinyCohort:
    """Values of one atlas, ``cerebra``, by map and reference."""

    acquisitions: pd.DataFrame
    tables: dict[tuple[str, str], pd.DataFrame]
    reference: str = "csf"
    atlases: tuple[str, ...] = ("cerebra",)

    @property
    def maps(self):
        return tuple(dict.fromkeys(name for name, _ in self.tables))

    @property
    def references(self):
        return tuple(dict.fromkeys(name for of, name in self.tables if of == "Chimap"))

    @property
    def region_values(self):
        names = [name for table in self.tables.values() for name in table]
        rows = pd.DataFrame({"region": list(dict.fromkeys(names))})
        sides = rows["region"].str.extract("_([LR])$")[0].fillna("B")
        return SimpleNamespace(
            rows=rows.assign(name=rows["region"].str.replace("_[LR]$", "", regex=True),
                             hemisphere=sides)
        )  # fmt: skip

    def values(self, map, reference, atlas, statistic):  # noqa: A002, ARG002
        assert statistic == "mean"
        return self.tables[map, reference if map == "Chimap" else "n/a"]


def tiny_cohort(simulated, references=("csf",), **columns):
    """
    Return a cohort of what `qsmprep.simulate.cohorts` makes.

    `references` after the first have all values 10 ppb higher; `columns` are put into the
    acquisitions.
    """
    index = pd.Index(
        [f"{who}_{session}" for who, session in
         zip(simulated["participant_id"], simulated["session_id"], strict=True)], name="name",
    )  # fmt: skip
    simulated = simulated.set_axis(index)
    chi = simulated.filter(like="chi_").rename(columns=lambda name: name.removeprefix("chi_"))
    acquisitions = simulated.drop(columns=simulated.filter(like="chi_").columns)
    acquisitions = acquisitions.assign(acquisition="n/a", run="n/a", **columns)
    tables = {("Chimap", name): chi + 10 * place for place, name in enumerate(references)}
    return TinyCohort(acquisitions, tables, references[0])
