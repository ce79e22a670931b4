"""The rows of a model: from the tables of a cohort to a row per observation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import re
from typing import TYPE_CHECKING

import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.group.model_files import EACH_SESSION, Measure, ModelSpec

if TYPE_CHECKING:
    from qsmprep.group.cohort_table import CohortTable

PREFIXES = {"Chimap": "chi", "R2starmap": "r2star"}
"""How the values of a map are called in formulas, by the name of the map."""

Values = Callable[[str, str, str, str], pd.DataFrame]
"""Map, reference, atlas and statistic to a row per acquisition and a column per region."""


def frame_of(
    spec: ModelSpec, cohort: CohortTable, harmonised: Values | None, read: Callable
) -> tuple[pd.DataFrame, list[str]]:
    """
    Return the rows of a model with all columns it may name, and what to know about them.

    Parameters
    ----------
    spec
        What the model asks for.
    cohort
        The tables of the participants and what is known of these.
    harmonised
        Harmonised values, where there are some.
    read
        Reads a table that the model names by its file.

    Raises
    ------
    RequestError
        If there is no such table, condition or column.
    """
    acquisitions = _with_values(spec.measure, cohort, harmonised)
    if spec.rows == "acquisitions":
        return _kept(spec, acquisitions), []
    if spec.rows == "participants":
        kept = _kept(spec, acquisitions)
        first = kept[~kept["participant_id"].duplicated()]
        notes = []
        if extra := len(kept) - len(first):
            notes.append(
                f"{extra} later acquisitions were left out: a row is a participant, seen for the "
                "first time that the condition allows."
            )
        return first, notes
    return _kept(spec, _joined(spec, acquisitions, cohort, read)), []


def region_columns(frame: pd.DataFrame, region: str) -> dict[str, pd.Series]:
    """
    Return what a formula calls `chi`, `volume` and `r2star` in one region.

    Raises
    ------
    RequestError
        If the tables do not have the region.
    """
    own = column_name(region)
    found = {name: frame[f"{name}_{own}"] for name in (*PREFIXES.values(), "volume")
             if f"{name}_{own}" in frame}  # fmt: skip
    if not found:
        raise RequestError(f"for: there is no region {shown(region)}; there are "
                           f"{', '.join(regions_of(frame)) or 'none'}")  # fmt: skip
    return found


def column_name(region: str) -> str:
    """Return what formulas call a region: a dash would be a minus there."""
    return re.sub(r"\W", "_", region)


def regions_of(frame: pd.DataFrame) -> list[str]:
    """Return the regions of which a frame has values, sides together."""
    prefix = "volume_"
    names = [str(name).removeprefix(prefix) for name in frame if str(name).startswith(prefix)]
    return [name for name in names if not name.endswith(("_L", "_R"))] or names


def _with_values(measure: Measure, cohort: CohortTable, harmonised: Values | None) -> pd.DataFrame:
    """Return the acquisitions with the values of all regions beside them."""
    if measure.harmonised and harmonised is None:
        raise RequestError("harmonised = true: nothing is harmonised; add --harmonise METHOD")
    atlas = _atlas(measure.atlas, cohort)
    reference = measure.reference or cohort.reference
    if reference not in cohort.references:
        raise RequestError(f"reference = {shown(reference)}: the tables have "
                           f"{', '.join(cohort.references)}")  # fmt: skip
    use = harmonised if harmonised is not None and measure.harmonised is not False else None
    parts = [cohort.acquisitions]
    for name, prefix in PREFIXES.items():
        if name in cohort.maps:
            values = (use or cohort.values)(name, reference, atlas, measure.statistic)
            parts.append(_as_columns(values, prefix))
    volumes = cohort.values("Chimap", reference, atlas, "volume_mm3")
    parts.append(_as_columns(volumes, "volume"))
    return pd.concat(parts, axis=1)


def _as_columns(values: pd.DataFrame, prefix: str) -> pd.DataFrame:
    return values.rename(columns=lambda region: f"{prefix}_{column_name(region)}")


def _atlas(atlas: str, cohort: CohortTable) -> str:
    if not atlas and len(cohort.atlases) > 1:
        raise RequestError(
            f"the tables have regions of several atlases ({', '.join(cohort.atlases)}); name one: "
            f'[data] atlas = "{cohort.atlases[0]}"'
        )
    if atlas and atlas not in cohort.atlases:
        raise RequestError(f"atlas = {shown(atlas)}: the tables have {', '.join(cohort.atlases)}")
    return atlas or (cohort.atlases[0] if cohort.atlases else "")


def _joined(
    spec: ModelSpec, acquisitions: pd.DataFrame, cohort: CohortTable, read: Callable
) -> pd.DataFrame:
    """Return the rows of another table, with the participants and their regions joined to it."""
    table = _table(spec, cohort, read)
    if "participant_id" not in table:
        return table
    keys = ["participant_id"]
    if spec.chi_from == EACH_SESSION:
        if "session_id" not in table:
            raise RequestError(
                f'chi_from = "session": {spec.rows} has no column session_id; take "first"'
            )
        keys.append("session_id")
    once = acquisitions[~acquisitions.duplicated(keys)]
    # What the table says itself goes before what is known of the participant.
    new = [name for name in once if name in keys or name not in table]
    joined = table.merge(once[new], on=keys, how="left")
    joined.index = pd.Index([f"{spec.rows} row {number + 1}" for number in range(len(joined))])
    return joined


def _table(spec: ModelSpec, cohort: CohortTable, read: Callable) -> pd.DataFrame:
    if spec.rows in cohort.phenotype:
        return cohort.phenotype[spec.rows]
    path = spec.source.parent / spec.rows
    if path.suffix != ".tsv":
        known = ["participants", "acquisitions", *cohort.phenotype]
        raise RequestError(f"rows = {shown(spec.rows)}: there is no such table; there are "
                           f"{', '.join(known)}, or a FILE.tsv")  # fmt: skip
    table = read(path)
    table.index = pd.Index([f"{Path(spec.rows).stem} row {n + 1}" for n in range(len(table))])
    return table


def _kept(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the condition allows."""
    if not spec.where:
        return frame
    try:
        allowed = frame.eval(spec.where, engine="python")
    except Exception as error:
        raise RequestError(f"where = {shown(spec.where)}: is no condition on the columns "
                           f"({str(error).splitlines()[0]})") from error  # fmt: skip
    if not isinstance(allowed, pd.Series) or allowed.dtype != bool:
        raise RequestError(f"where = {shown(spec.where)}: is not true or false for every row")
    if not allowed.any():
        raise RequestError(f"where = {shown(spec.where)}: no row of {len(frame)} is left")
    return frame[allowed]
