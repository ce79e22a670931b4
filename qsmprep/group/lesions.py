"""The tables of lesions of all participants in one, for models with a row per lesion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from qsmprep.bids.derivatives import write_json
from qsmprep.bids.entities import join_entities, split_entities
from qsmprep.bids.lesion_columns import SERIES_COLUMNS, WORDS, says_yes
from qsmprep.errors import InputError
from qsmprep.files import replacing
from qsmprep.group.cohort_table import IDS, CohortTable, Members
from qsmprep.group.outputs import Outputs

NAME = "lesions"
"""What models call the rows."""

ADDED = {
    "lesion": "name of the lesion, unlike that of any other: the unit that is seen several times",
    "rim_ever": "yes if in any session most readers saw a rim, no if in none; n/a if nobody read "
    "it, or if as many saw one as not and no session decides",
    "volume_change": "volume less that of the first session that shows the lesion, mm3; n/a "
    "before, and for lesions that were not followed",
}
"""What columns say that the tables of participants do not have."""


def with_lesions(folder: Path, cohort: CohortTable, members: Members) -> CohortTable:
    """
    Return the cohort with its lesions as a table of ``phenotype/``, and write them.

    Parameters
    ----------
    folder
        Where they go, as ``lesions.tsv``.
    cohort, members
        What was read. A table of this name in ``phenotype/`` stays what models take.

    Raises
    ------
    InputError
        If a table of a participant cannot be read.
    """
    table = join_lesions(members)
    if table.empty:
        return cohort
    path = folder / f"{NAME}.tsv"
    with replacing(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    described = {name: text for name, text in (ADDED | SERIES_COLUMNS).items() if name in table}
    write_json(
        path.with_suffix(".json"),
        {
            "Description": "One row per lesion and session; rim figures are a research aid, and a "
            "human reading is required",
            **{name: {"Description": text} for name, text in described.items()},
        },
    )
    return replace(cohort, phenotype={NAME: table, **cohort.phenotype})


def join_lesions(members: Members) -> pd.DataFrame:
    """
    Return the rows of all tables of lesions.

    Where lesions of an acquisition were followed through time, these rows are taken; else those
    of its own table, whose lesions are new ones in every session.
    """
    tables, followed = [], set[tuple]()
    for path in dict.fromkeys(_through_time(one) for one in members.outputs.values()):
        if path.is_file():
            tables.append(_read(path))
            followed |= {*tables[-1][list(IDS)].itertuples(index=False, name=None)}
    for one in members.outputs.values():
        path = one.folder / f"{one.stem}_lesions.tsv"
        if one.identity not in followed and path.is_file():
            tables.append(_read(path))
    if not tables:
        return pd.DataFrame()
    joined = pd.concat([table for table in tables if len(table)] or tables[:1])
    wanted = {one.identity for one in members.outputs.values()}
    kept = [who in wanted for who in joined[list(IDS)].itertuples(index=False, name=None)]
    joined = joined[kept].reset_index(drop=True)
    if joined.empty:
        return joined
    identities = joined[list(IDS)].itertuples(index=False, name=None)
    alone = np.array([who not in followed for who in identities])
    parts = joined[["participant_id", "session_id", "acquisition", "run", "lesion_id"]]
    parts = parts.replace("n/a", None).astype(object)
    parts["session_id"] = parts["session_id"].where(alone)
    lesion = parts.apply(lambda row: "_".join(row.dropna()), axis=1)
    added = {
        "lesion": lesion.astype(object),
        "rim_ever": _ever(joined["rim"], lesion) if "rim" in joined else np.nan,
        "volume_change": _volume_change(joined, lesion).mask(alone),
    }
    first = pd.DataFrame(added, index=joined.index)
    joined = pd.concat([first[["lesion"]], joined, first[["rim_ever", "volume_change"]]], axis=1)
    return joined.sort_values(list(IDS), kind="stable", ignore_index=True)


def _ever(readings: pd.Series, lesion: pd.Series) -> pd.Series:
    """Return yes or no for each lesion, where the sessions together decide."""
    surplus = readings.map(_surplus, na_action="ignore").astype(float)
    largest = np.sign(surplus.groupby(lesion).transform("max"))
    return largest.map({1.0: "yes", -1.0: "no"}).astype(object)


def _surplus(said: str) -> int:
    """Return how many more readers saw it than did not; `said` has one word of each."""
    return sum(1 if says_yes(word) else -1 for word in said.split("|"))


def _volume_change(table: pd.DataFrame, lesion: pd.Series) -> pd.Series:
    """Return volume less that of the first session with any; rows are in the order of time."""
    volume = table["volume_mm3"].astype(float)
    seen = (volume > 0).groupby(lesion).cummax()
    first = volume.where(volume > 0).groupby(lesion).transform("first")
    return (volume - first).where(seen)


def _through_time(one: Outputs) -> Path:
    """Return where the lesions of an acquisition are that were followed through time."""
    entities = split_entities(one.stem)
    session = entities.pop("ses", None)
    folder = one.folder.parent.parent / "anat" if session else one.folder
    return folder / f"{join_entities(entities)}_lesions.tsv"


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, sep="\t", dtype=dict.fromkeys(WORDS, str), na_values=["n/a"],
                            keep_default_na=False)  # fmt: skip
    except (OSError, ValueError) as error:
        fact = f"cannot be read as a table of lesions ({error})"
        raise InputError(path, fact, "run its participant again") from error
    if lacking := [name for name in (*IDS, "lesion_id") if name not in table]:
        fact = f"is no table of lesions: it has no {', '.join(lacking)}"
        raise InputError(path, fact, "run its participant again")
    return table.fillna(dict.fromkeys(IDS, "n/a"))[[n for n in SERIES_COLUMNS if n in table]]
