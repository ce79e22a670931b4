"""What changed between the sessions of a participant, as a Nipype interface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)
import numpy as np
import pandas as pd

from qsmprep.bids.change_columns import CHANGE_COLUMNS
from qsmprep.methods.regions import FEW_VOXELS

KEY = ["participant_id", "atlas", "index", "name", "hemisphere", "map", "reference", "units"]
"""What rows of two sessions share; `acquisition` may be longer where one session has more."""


def change_table(
    tables: Sequence[pd.DataFrame],
    cores: Sequence[pd.DataFrame],
    years: Sequence[float | None],
) -> pd.DataFrame:
    """
    Return what changed from the first session to each later one.

    Parameters
    ----------
    tables
        Tables of regions of the sessions, in the order of time, text where there are names.
    cores
        The same of regions without their rim.
    years
        Since the first session; None where not known.
    """
    first, *later_tables = (table.set_index(KEY) for table in tables)
    core, *later_cores = (table.set_index(KEY).reindex(first.index) for table in cores)
    # Fewer change with where the border runs.
    enough = core["n_voxels"] >= FEW_VOXELS
    parts = []
    for table, inner, since in zip(later_tables, later_cores, years[1:], strict=True):
        later = table.reindex(first.index)
        change = later["mean"] - first["mean"]
        flags = map(join_flags, zip(first["flag"], later["flag"], strict=True))
        parts.append(
            pd.DataFrame({
                "acquisition": first["acquisition"],
                "run": first["run"],
                "session_from": first["session_id"],
                "session_to": table["session_id"].iloc[0],
                "years": np.nan if since is None else since,
                "first": first["mean"],
                "later": later["mean"],
                "change": change,
                "change_per_year": change / since if since else np.nan,
                "sem": np.hypot(first["sem"], later["sem"]),
                "n_core": core["n_voxels"].astype("Int64"),
                "core_change": (inner["mean"] - core["mean"]).where(enough),
                "flag": [*flags],
            })
        )  # fmt: skip
    return pd.concat(parts).reset_index()[list(CHANGE_COLUMNS)]


def join_flags(given: Iterable[object]) -> str | None:
    """Return the flags of several rows, each once, or None; what is no text says nothing."""
    said = [flag for text in given if isinstance(text, str) for flag in text.split("; ")]
    return "; ".join(dict.fromkeys(said)) or None


def read_regions(path: str | Path) -> pd.DataFrame:
    """Return a table of regions with names as text."""
    words = ["participant_id", "session_id", "acquisition", "run", "atlas", "index", "name",
             "hemisphere", "map", "reference", "units", "flag"]  # fmt: skip
    table = pd.read_csv(path, sep="\t", dtype=dict.fromkeys(words, str), na_values=["n/a"],
                        keep_default_na=False)  # fmt: skip
    return table.fillna(dict.fromkeys(words[:-1], "n/a"))


class _MeasureChangeInputSpec(BaseInterfaceInputSpec):
    tables = InputMultiObject(File(exists=True), mandatory=True, desc="in the order of time")
    cores = InputMultiObject(
        File(exists=True), mandatory=True, desc="of regions without their rim, in the same order"
    )
    years = traits.List(traits.Any, mandatory=True, desc="since the first; None where not known")


class _MeasureChangeOutputSpec(TraitedSpec):
    table = File(exists=True, desc="one row per region, map, reference and later session")


class MeasureChange(SimpleInterface):
    """Write what changed in every region."""

    input_spec = _MeasureChangeInputSpec
    output_spec = _MeasureChangeOutputSpec

    def _run_interface(self, runtime):
        tables, cores = (
            [read_regions(path) for path in paths]
            for paths in (self.inputs.tables, self.inputs.cores)
        )
        path = Path(runtime.cwd) / "change.tsv"
        change_table(tables, cores, self.inputs.years).to_csv(
            path, sep="\t", index=False, na_rep="n/a", lineterminator="\n", float_format="%.8g"
        )
        self._results["table"] = str(path)
        return runtime
