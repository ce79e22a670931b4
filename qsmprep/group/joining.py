"""Acquisitions joined with what is known of their participants and sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
import re

import pandas as pd

from qsmprep.bids.region_columns import COLUMNS
from qsmprep.errors import RequestError
from qsmprep.group.covariates import WHO, Covariates, names
from qsmprep.group.session_times import ACQUIRED, read_times, years_since_first

RESERVED = frozenset(COLUMNS) | {"age", "years", "protocol", "chi", "volume", "r2star"}
"""Names that columns of users cannot have; those of acquisitions, which are there, besides."""

_TABLES = 12  # columns whose gaps one sentence names


@dataclass(frozen=True)
class Joined:
    """
    Acquisitions with what is known of them.

    Parameters
    ----------
    table
        The rows of acquisitions, in the order of participants and their sessions.
    origin
        Table and column that the joined columns were read from, by their names.
    notes
        What a reader should know, in sentences.
    """

    table: pd.DataFrame
    origin: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def join_covariates(acquisitions: pd.DataFrame, known: Covariates) -> Joined:
    """
    Return acquisitions with age, years since the first session and all other covariates.

    A column has the name that it has in its table. Where this is taken, by us or by a table before
    it, the name of the table goes in front; tables come in the order participants, sessions,
    phenotype. Tables with several rows per participant, or per session if they have sessions, are
    not joined.

    Parameters
    ----------
    acquisitions
        A row per acquisition, with `participant_id` and `session_id`, by its name.
    known
        What `qsmprep.group.covariates.read_covariates` returned.

    Raises
    ------
    RequestError
        If a name is taken even then.
    """
    notes: list[str] = []
    sessions = _with_years(acquisitions, known)
    age = _looked_up(acquisitions, WHO, sessions, "age")
    people = known.participants
    if "age" in people:
        of_sessions = age.notna().any()
        age = age.fillna(_looked_up(acquisitions, WHO[:1], people, "age"))
        # It need not stand there a second time where no session tells another.
        people = people if of_sessions else people.drop(columns="age")
    years = _looked_up(acquisitions, WHO, sessions, "years")
    joined = _Columns(acquisitions.assign(age=age, years=years))
    joined.add("participants", people, WHO[:1])
    joined.add("sessions", known.sessions, WHO)
    for name, table in known.phenotype.items():
        by_session = WHO[1] in table and table[WHO[1]].notna().any()
        keys = WHO if by_session else WHO[:1]
        if table.duplicated(list(keys)).any():
            what = "session" if by_session else "participant"
            notes.append(f"phenotype/{name}.tsv has several rows per {what}: it is not joined.")
        else:
            joined.add(f"phenotype/{name}", table, keys)
    notes = [*_unmatched(acquisitions, known), *notes, *joined.notes()]
    order = joined.table().sort_values(
        ["participant_id", "years", "session_id", "acquisition", "run"], na_position="last",
        kind="stable", key=_as_counted,
    )  # fmt: skip
    return Joined(order, joined.origin, tuple(notes))


def _as_counted(labels: pd.Series) -> pd.Series:
    """Return what sorts a column: ses-2 before ses-10, which the alphabet has first."""
    if labels.name not in ("session_id", "acquisition", "run"):
        return labels
    parts = {
        label: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", label)]
        for label in map(str, labels.unique())
    }
    rank = {label: place for place, label in enumerate(sorted(parts, key=parts.__getitem__))}
    return labels.astype(str).map(rank)


class _Columns:
    """Columns as they are joined, and where each came from."""

    def __init__(self, acquisitions: pd.DataFrame):
        self.acquisitions = acquisitions
        self.columns: dict[str, pd.Series] = {}
        self.origin: dict[str, tuple[str, str]] = {}
        self.renamed: list[str] = []

    def table(self) -> pd.DataFrame:
        """Return acquisitions with all columns that were joined."""
        columns = pd.DataFrame(self.columns, index=self.acquisitions.index)
        return pd.concat([self.acquisitions, columns], axis=1)

    def add(self, of: str, table: pd.DataFrame, keys: tuple[str, ...]) -> None:
        """Add all columns of a table but those that it is joined by."""
        taken = RESERVED | set(self.acquisitions)
        for column in table.columns:
            of_key = column in keys or (column in WHO and table[column].isna().all())
            if of_key or (of == "sessions" and column == "age"):
                continue
            name = column
            if name in taken or name in self.columns:
                name = f"{of.removeprefix('phenotype/')}_{column}"
                self.renamed.append(f"{column} of {of} is {name}")
            if name in taken or name in self.columns:
                raise RequestError(
                    f"column {column} of {of}: its name is taken, and {name} is as well; rename it"
                )
            self.columns[name] = _looked_up(self.acquisitions, keys, table, column)
            self.origin[name] = (of, column)

    def notes(self) -> list[str]:
        """Return what was renamed, in a sentence."""
        if not self.renamed:
            return []
        return [f"Columns whose names were taken have another: {', '.join(self.renamed)}."]


def _with_years(acquisitions: pd.DataFrame, known: Covariates) -> pd.DataFrame:
    """Return all sessions that tables or images know, with `age` and `years`."""
    seen = acquisitions[list(WHO)].drop_duplicates()
    told = known.sessions
    times = [name for name in (ACQUIRED, "years_from_baseline", "age") if name in told]
    every = seen.merge(told[[*WHO, *times]], on=list(WHO), how="outer")
    if ACQUIRED in every:
        cells = [cell if isinstance(cell, str) else None for cell in every[ACQUIRED]]
        read = read_times(cells, [Path("sessions.tsv")] * len(cells))
        every[ACQUIRED] = pd.Series(read, dtype=object, index=every.index)
    return every.assign(years=years_since_first(every))


def _looked_up(
    rows: pd.DataFrame, keys: tuple[str, ...], table: pd.DataFrame, column: str
) -> pd.Series:
    """Return what a table says of each row in a column; missing where it says nothing."""
    if column not in table:
        return pd.Series(float("nan"), index=rows.index)
    if len(keys) == 1:
        return rows[keys[0]].map(table.set_index(keys[0])[column])
    # Without sessions all is of one.
    told = table[list(keys)].fillna("n/a")
    found = pd.Series(table[column].to_numpy(), index=pd.MultiIndex.from_frame(told))
    return found.reindex(pd.MultiIndex.from_frame(rows[list(keys)])).set_axis(rows.index)


def _unmatched(acquisitions: pd.DataFrame, known: Covariates) -> list[str]:
    """Return who is in one kind of table alone."""
    notes = []
    seen = set(acquisitions["participant_id"])
    if len(known.participants):
        listed = set(known.participants["participant_id"])
        if without := sorted(seen - listed):
            notes.append(
                f"participants.tsv does not have {names(without)}{_alike(without, listed)}."
            )
        if without := sorted(listed - seen):
            notes.append(f"There are no results of {names(without)} of participants.tsv.")
    of_sessions = {tuple(row) for row in acquisitions[list(WHO)].itertuples(index=False)}
    if len(known.sessions):
        told = {tuple(row) for row in known.sessions[list(WHO)].itertuples(index=False)}
        if without := sorted(" ".join(who) for who in of_sessions - told if who[1] != "n/a"):
            notes.append(f"No table of sessions has {names(without)}.")
    for name, table in known.phenotype.items():
        absent = sorted(set(table["participant_id"]) - seen)
        if absent and len(absent) < len(set(table["participant_id"])):
            notes.append(f"There are no results of {names(absent)} of phenotype/{name}.tsv.")
        elif absent:
            notes.append(f"Nobody of phenotype/{name}.tsv has results: {names(absent)}.")
    return notes


def _alike(without: Iterable[str], listed: Iterable[str]) -> str:
    """Return a hint where names differ in zeros in front alone, as spreadsheets drop them."""
    plain = {name.removeprefix("sub-").lstrip("0"): name for name in listed}
    for name in without:
        if near := plain.get(name.removeprefix("sub-").lstrip("0")):
            return f" ({near} there may be {name})"
    return ""


def gaps(table: pd.DataFrame) -> list[str]:
    """Return how many values are missing in each column that has some, in a sentence."""
    told = []
    for column in table.columns:
        without = table[column].isna()
        if without.any() and not without.all():
            people = table.loc[without, "participant_id"].drop_duplicates()
            told.append(f"{column} of {int(without.sum())} ({names(people)})")
    empty = [str(column) for column in table.columns if table[column].isna().all()]
    more = f"; and of {len(told) - _TABLES} more columns" if len(told) > _TABLES else ""
    notes = [f"Missing for acquisitions: {'; '.join(told[:_TABLES])}{more}."] if told else []
    if empty:
        notes.append(f"Not known of anybody: {', '.join(empty)}.")
    return notes
