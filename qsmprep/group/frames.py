"""The rows of a model: from the tables of a cohort to a row per observation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.group.model_files import EACH_SESSION, Measure, ModelSpec
from qsmprep.group.region_values import as_columns, column_name
from qsmprep.statistics.formula_calls import check_condition

if TYPE_CHECKING:
    from qsmprep.group.cohort_table import CohortTable

PREFIXES = {"Chimap": "chi", "R2starmap": "r2star"}
"""How the values of a map are called in formulas, by the name of the map."""

ALL_REGIONS = ("all",)
"""What `for` says for every region."""

REGIONS = "regions"
"""Attribute of frames: the names of regions, which columns of users may resemble."""

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
        kept = _kept(spec, acquisitions)
        return kept, _repeats(kept, "each is a row, as if it were a session of its own")
    if spec.rows == "participants":
        kept = _kept(spec, acquisitions)
        first = kept[~kept["participant_id"].duplicated()]
        notes = [*_repeats(kept, "the first by its name was taken"), *_untimed(kept)]
        if extra := len(kept) - len(first):
            notes.append(
                f"{extra} further acquisitions were left out: a row is a participant, seen for "
                "the first time that the condition allows."
            )
        return first, notes
    notes = [] if spec.chi_from == EACH_SESSION else _untimed(acquisitions)
    notes += _repeats(acquisitions, "values are of the first by its name")
    return _kept(spec, _joined(spec, acquisitions, cohort, read)), notes


def _repeats(acquisitions: pd.DataFrame, how: str) -> list[str]:
    """Return a sentence where sessions have several acquisitions, which are no sessions."""
    times = acquisitions.groupby(["participant_id", "session_id"], dropna=False).size()
    if not (several := int((times > 1).sum())):
        return []
    return [
        f"{several} sessions have several acquisitions: {how}; keep one of each by where, such "
        "as run == '1', if that is not meant."
    ]


def _untimed(acquisitions: pd.DataFrame) -> list[str]:
    """Return a sentence where nothing but names tells which session was the first."""
    gaps = acquisitions["years"].isna()
    several = acquisitions.groupby("participant_id")["session_id"].transform("nunique") > 1
    people = acquisitions.loc[gaps & several, "participant_id"].nunique()
    if not people:
        return []
    return [
        f"It is not known when {people} participants were seen: the session whose name comes "
        "first was taken for the first; tell acq_time or age in their table of sessions."
    ]


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


def regions_of(frame: pd.DataFrame) -> list[str]:
    """Return the regions of which a frame has values, sides together."""
    names = list(dict.fromkeys(map(column_name, frame.attrs.get(REGIONS, ()))))
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
            parts.append(as_columns(values, prefix))
    volumes = cohort.values("Chimap", reference, atlas, "volume_mm3")
    parts.append(as_columns(volumes, "volume"))
    joined = pd.concat(parts, axis=1)
    if len(twice := joined.columns[joined.columns.duplicated()]):
        raise RequestError(
            f"two columns are called {twice[0]}: rename that of the dataset's table, or the "
            "region that differs from another by a sign alone"
        )
    joined.attrs[REGIONS] = tuple(map(str, volumes.columns))
    return joined


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
    if spec.chi_from != EACH_SESSION and "years" in new:
        new.remove("years")  # when the image was made, which is not when the row was
    joined = table.merge(once[new], on=keys, how="left")
    joined.attrs[REGIONS] = acquisitions.attrs[REGIONS]
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
    if not path.is_file():
        raise RequestError(
            f"rows = {shown(spec.rows)}: there is no such file in {path.parent}; put it beside "
            f"{spec.source.name}"
        )
    table = read(path)
    table.index = pd.Index([f"{Path(spec.rows).stem} row {n + 1}" for n in range(len(table))])
    return table


def _kept(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the condition allows."""
    if not spec.where:
        return frame
    check_condition(spec.where)
    try:
        allowed = frame.eval(spec.where, engine="python")
    except Exception as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        raise RequestError(
            f"where = {shown(spec.where)}: is no condition on the columns ({said})"
        ) from error
    if not isinstance(allowed, pd.Series) or allowed.dtype != bool:
        raise RequestError(f"where = {shown(spec.where)}: is not true or false for every row")
    if not allowed.any():
        raise RequestError(f"where = {shown(spec.where)}: no row of {len(frame)} is left")
    return frame[allowed]
