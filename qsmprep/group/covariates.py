"""What is known of people and sessions besides their images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
import json
from pathlib import Path

import pandas as pd

from qsmprep.bids.session_times import ACQUIRED, AGE, BASELINE
from qsmprep.errors import InputError
from qsmprep.group.session_times import read_times
from qsmprep.group.strict import Cells, join_cells, read_cells

WHO = ("participant_id", "session_id")

OLD = "89+"
"""How BIDS asks to write ages that would give people away; how old they are is not known."""

_MOST = 5  # names in a sentence


@dataclass(frozen=True)
class Covariates:
    """
    The tables of a dataset, ids with ``sub-`` and ``ses-``.

    Parameters
    ----------
    participants
        A row per participant; empty, with `participant_id` alone, if there is no such table.
    sessions
        A row per participant and session, of all ``sub-*_sessions.tsv``; `age` whatever its name
        was there.
    phenotype
        All tables of ``phenotype/`` by their names without ending.
    described
        What ``.json`` files beside them say of their columns, by table (``participants``,
        ``sessions``, ``phenotype/NAME``) and column.
    notes
        What a reader should know, in sentences.
    """

    participants: pd.DataFrame
    sessions: pd.DataFrame
    phenotype: dict[str, pd.DataFrame] = field(default_factory=dict)
    described: dict[str, dict[str, dict]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_covariates(bids_dir: Path, folders: Sequence[Path]) -> Covariates:
    """
    Return what the tables of a dataset say, or those that lie in output folders in its place.

    Parameters
    ----------
    bids_dir
        The dataset; it need not be there.
    folders
        Output folders, which may hold ``participants.tsv`` and ``sub-*/sub-*_sessions.tsv``.

    Raises
    ------
    InputError
        If a table cannot be read as it is meant, names somebody twice, or is of people whom
        ``participants.tsv`` does not have.
    """
    notes: list[str] = []
    participants, of_people = _read_participants(bids_dir, folders, notes)
    sessions, of_sessions = _read_sessions([bids_dir, *folders], notes)
    paths = {"participants": of_people, "sessions": of_sessions}
    phenotype = {}
    for path in sorted((bids_dir / "phenotype").glob("*.tsv")):
        cells = [read_cells(path, needs=WHO[:1])]
        phenotype[path.stem] = _with_ids(cells, join_cells(cells, text=WHO))
        paths[f"phenotype/{path.stem}"] = [path]
    _check_phenotype(phenotype, participants, paths)
    described = {name: _described(of_it) for name, of_it in paths.items()}
    return Covariates(participants, sessions, phenotype, described, tuple(notes))


def read_rows(path: Path) -> pd.DataFrame:
    """
    Return the rows of a table that a model names, read as all others are.

    Raises
    ------
    InputError
        If it is not there, or cannot be read as it is meant.
    """
    cells = [read_cells(path)]
    table = join_cells(cells, text=WHO)
    return _with_ids(cells, table) if WHO[0] in table else table


def _read_participants(
    bids_dir: Path, folders: Sequence[Path], notes: list[str]
) -> tuple[pd.DataFrame, list[Path]]:
    own = bids_dir / "participants.tsv"
    in_dataset = own.is_file() or own.is_symlink()
    paths = [own] if in_dataset else [folder / own.name for folder in folders]
    # A link that leads nowhere, as of DataLad, is a table that cannot be read.
    paths = list(dict.fromkeys(path for path in paths if path.is_file() or path.is_symlink()))
    if not paths:
        notes.append("There is no participants.tsv: groups are not known.")
        return pd.DataFrame({"participant_id": pd.Series(dtype=object)}), []
    cells = _known_ages([read_cells(path, needs=WHO[:1]) for path in paths], notes)
    _check_age_unit(paths)
    table = _with_ids(cells, join_cells(cells, text=WHO, numbers=["age"]))
    if len(paths) > 1:
        # A participant of several sites may stand in the table of each, if these agree.
        table = table.drop_duplicates(ignore_index=True)
    _check_once(table, WHO[:1], paths)
    return table, paths


def _read_sessions(roots: list[Path], notes: list[str]) -> tuple[pd.DataFrame, list[Path]]:
    """Return the rows of all tables of sessions; of each participant, those found first."""
    found: dict[str, Path] = {}
    for root in roots:
        for path in sorted(root.glob("sub-*/sub-*_sessions.tsv")):
            found.setdefault(path.name, path)
    cells = _known_ages([read_cells(path, needs=WHO[1:]) for path in found.values()], notes)
    paths = [one.path for one in cells for _ in one.rows]
    people = [path.name.removesuffix("_sessions.tsv") for path in paths]
    ages = [name for name in AGE if any(name in one.columns for one in cells)]
    table = join_cells(cells, text=[*WHO, ACQUIRED], numbers=[*ages, BASELINE])
    _check_age_unit(list(found.values()))
    table = table.drop(columns="participant_id", errors="ignore")
    # The name is for what we work out; whoever used it keeps the column under another.
    table = table.rename(columns={"years": "sessions_years"})
    if ages:
        table = table.assign(age=table[ages].bfill(axis=1).iloc[:, 0])
    table.insert(0, "participant_id", pd.Series(people, dtype=object))
    if "session_id" not in table:
        table.insert(1, "session_id", pd.Series(dtype=object))
    table = _with_ids(cells, table, WHO)
    _check_once(table, WHO, paths)
    if ACQUIRED in table:
        read_times(table[ACQUIRED].tolist(), paths)  # refuses what is no date
    return table, list(found.values())


def _known_ages(tables: list[Cells], notes: list[str]) -> list[Cells]:
    """Return tables whose ages are known or missing, and note whose are hidden."""
    known, hidden = [], []
    for table in tables:
        places = [i for i, name in enumerate(table.columns) if name in AGE]
        rows = []
        for row in table.rows:
            if any(row[place] == OLD for place in places):
                whose = dict(zip(table.columns, row, strict=True)).get(WHO[0])
                hidden.append(whose or table.path.name.removesuffix("_sessions.tsv"))
                row = tuple(
                    None if i in places and cell == OLD else cell for i, cell in enumerate(row)
                )
            rows.append(row)
        known.append(replace(table, rows=tuple(rows)))
    if hidden:
        notes.append(f"The age of {names(hidden)} is {OLD}: it counts as missing.")
    return known


def _with_ids(
    cells: list[Cells], table: pd.DataFrame, needs: Sequence[str] = WHO[:1]
) -> pd.DataFrame:
    """Return a table whose ids have their prefixes; one without an id it needs is refused."""
    places = [(one.path, line) for one in cells for line in one.lines]
    for column, prefix in zip(WHO, ("sub-", "ses-"), strict=True):
        if column not in table:
            continue
        if column in needs and (gaps := table[column].isna()).any():
            path, line = places[int(gaps.to_numpy().argmax())]
            raise InputError(path, f"line {line} has no {column}", "write it, or remove the line")
        told = table[column].dropna().astype(str)
        table[column] = (prefix + told.str.removeprefix(prefix)).reindex(table.index)
    return table


def _check_once(table: pd.DataFrame, key: Sequence[str], paths: list[Path]) -> None:
    """Refuse a table that names somebody, or a session of somebody, twice."""
    if (twice := table.duplicated(list(key))).any():
        row = int(twice.to_numpy().argmax())
        path = paths[row] if len(paths) == len(table) else paths[-1]
        who = " ".join(map(str, table.loc[row, list(key)]))
        fact, remedy = f"has several rows of {who}", "keep one of them"
        if len(key) == 1:
            fact += ", or another folder tells it otherwise" if len(paths) > 1 else ""
            remedy += f", and write what differs between sessions into {who}_sessions.tsv"
        raise InputError(path, fact, remedy)


def _check_phenotype(
    tables: dict[str, pd.DataFrame], participants: pd.DataFrame, paths: dict[str, list[Path]]
) -> None:
    if not paths["participants"]:
        return
    known = set(participants["participant_id"])
    for name, table in tables.items():
        if unknown := list(dict.fromkeys(table.loc[~table[WHO[0]].isin(known), WHO[0]])):
            fact = f"names {names(unknown)}, whom participants.tsv does not have"
            raise InputError(
                paths[f"phenotype/{name}"][0], fact, "add them there, or correct their ids"
            )


def _check_age_unit(paths: list[Path]) -> None:
    """Refuse an age that is told in another unit than years."""
    for column in AGE:
        unit = _described(paths).get(column, {}).get("Units", "years")
        if not str(unit).lower().startswith(("y", "a")):
            path = paths[0].with_suffix(".json")
            raise InputError(path, f"column {column} is in {unit}", "give it in years")


def _described(paths: list[Path]) -> dict[str, dict]:
    """Return what the files beside tables, or in the folder above, say of their columns."""
    described: dict[str, dict] = {}
    beside = [path.with_suffix(".json") for path in paths]
    above = [path.parents[1] / "sessions.json" for path in paths if "_sessions" in path.name]
    for path in dict.fromkeys(beside + above):
        try:
            content = json.loads(path.read_text("utf-8-sig")) if path.is_file() else {}
        except (OSError, ValueError) as error:
            raise InputError(path, f"cannot be read as JSON ({error})", "correct it") from error
        for name, said in content.items() if isinstance(content, dict) else ():
            if isinstance(said, dict):
                described.setdefault(name, said)
    return described


def names(items: Iterable[str]) -> str:
    """Return the first of many names, and how many more there are."""
    listed = list(items)
    more = len(listed) - _MOST
    return ", ".join(listed[:_MOST]) + (f" and {more} more" if more > 0 else "")
