"""
Tables that people made, read so that no cell is lost or becomes something else.

A column whose cells are all numbers holds numbers, one without any holds words, and where numbers
and words are mixed the first word is refused by file, line and column, if at least half of the
cells are numbers. A number with zeros in front, ``01``, or with 16 digits and more, which no number here can
hold, is a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import math
from pathlib import Path
import re

import numpy as np
import pandas as pd

from qsmprep.errors import InputError

MISSING_WORDS = frozenset(["n/a", "N/A", "NA", "NaN", "nan", ""])
"""What stands for a missing value: BIDS writes ``n/a``, R ``NA`` and spreadsheets nothing."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LABEL = re.compile(r"[+-]?(0\d|\d{16})", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+", re.ASCII)

Cell = str | None


@dataclass(frozen=True)
class Cells:
    """
    A table as it is written.

    Parameters
    ----------
    path
        Where it was read.
    columns
        Names of its columns, each once.
    rows
        Cells of each row, without spaces around them; None where a value is missing.
    lines
        Where each row stands in the file; the first line is 1.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    lines: tuple[int, ...]


def read_cells(path: Path, *, needs: Sequence[str] = ()) -> Cells:
    """
    Return the cells of a tab-separated table as text.

    A byte order mark, line ends of any system, empty lines, empty columns at the end, spaces and
    quotes around cells are understood, and U+2212 is read as a minus.

    Parameters
    ----------
    path
        The table.
    needs
        Columns that it must have.

    Raises
    ------
    InputError
        If it is no such table: not UTF-8, not parted by tabs, ragged, or with two columns of one
        name.
    """
    lines = [line.split("\t") for line in _lines(path)]
    numbered = [(n, [_clean(c) for c in row]) for n, row in enumerate(lines, 1)]
    numbered = [(n, row) for n, row in numbered if any(row)]
    if not numbered:
        raise InputError(path, "is empty", "write a header and a row for each, or remove it")
    (_, header), *body = numbered
    while header and not header[-1]:
        header.pop()
    _check_header(path, header, needs)
    rows = []
    for number, row in body:
        while len(row) > len(header) and not row[-1]:
            row.pop()
        if len(row) != len(header):
            raise InputError(
                path, f"has {len(row)} cells in line {number} and {len(header)} in its header",
                "part all cells by one tab, and write n/a where a value is missing",
            )  # fmt: skip
        rows.append(tuple(None if cell in MISSING_WORDS else cell for cell in row))
    return Cells(path, tuple(header), tuple(rows), tuple(number for number, _ in body))


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "see to it") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff", b"PK", b"\xd0\xcf") or b"\0" in content:
        raise InputError(path, "is no text in UTF-8", "save it as text with tabs, in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fact = f"line {line} is not in UTF-8 (byte 0x{content[error.start]:02x})"
        raise InputError(path, fact, "save it in UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _clean(cell: str) -> str:
    """Return a cell without spaces and quotes around it; the minus of typesetters is a minus."""
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        cell = cell[1:-1].replace('""', '"').strip()
    # Only where a number follows: elsewhere it is part of somebody's word.
    return "-" + cell[1:] if cell[:1] == "−" and cell[1:2] in "0123456789.," else cell


def _check_header(path: Path, header: list[str], needs: Sequence[str]) -> None:
    if len(header) == 1 and re.search(r"[,;]", header[0]):
        raise InputError(path, "is not parted by tabs", "save it as tab-separated text")
    if "" in header:
        fact = f"column {header.index('') + 1} has no name"
        raise InputError(path, fact, "name it, or remove it")
    if twice := [name for name in header if header.count(name) > 1]:
        raise InputError(path, f"has two columns {twice[0]}", "rename or remove one")
    if absent := [name for name in needs if name not in header]:
        there = ", ".join(header)
        raise InputError(path, f"has no column {absent[0]}; there are {there}", "add it")


def join_cells(
    tables: Iterable[Cells], *, text: Iterable[str] = (), numbers: Iterable[str] = ()
) -> pd.DataFrame:
    """
    Return the rows of tables of one kind, each column as numbers or as words in all of them.

    Parameters
    ----------
    tables
        Columns that some do not have are missing there.
    text
        Columns of labels, which stay as they are written.
    numbers
        Columns in which a word is refused whatever else there is.

    Returns
    -------
    table
        Float and object columns; numbered from 0, in the order given.

    Raises
    ------
    InputError
        If a column mixes words and numbers, or has decimal commas.
    """
    tables, text, numbers = list(tables), set(text), set(numbers)
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    places = [(table.path, line) for table in tables for line in table.lines]
    columns: dict[str, list[Cell]] = {name: [] for name in names}
    for table in tables:
        across = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
        own = dict(zip(table.columns, across, strict=True))
        for name in names:
            columns[name] += own.get(name, [None] * len(table.rows))
    return pd.DataFrame(
        {
            name: pd.Series(cells, dtype=object)
            if name in text or not _is_number(name, cells, places, strict=name in numbers)
            else pd.Series([np.nan if c is None else float(c) for c in cells], dtype=float)
            for name, cells in columns.items()
        }
    )


def _is_number(
    name: str, cells: list[Cell], places: list[tuple[Path, int]], *, strict: bool
) -> bool:
    """Tell whether a column holds numbers, and refuse one that cannot make up its mind."""
    told = [(cell, place) for cell, place in zip(cells, places, strict=True) if cell is not None]
    words = [(cell, place) for cell, place in told if not is_number(cell)]
    if not words:
        return bool(told) or strict
    comma = [(cell, place) for cell, place in words if _DECIMAL_COMMA.fullmatch(cell)]
    count = len(told) - len(words)
    if comma and (strict or 2 * (count + len(comma)) >= len(told)):
        cell, (path, line) = comma[0]
        raise InputError(
            path, f"line {line}, column {name}: {cell} has a decimal comma", "write a point"
        )
    # Labels such as 01 and 12 are one kind of thing, and no numbers.
    labels = all(_LABEL.match(cell) and _NUMBER.fullmatch(cell) for cell, _ in words)
    if strict or (2 * count >= len(told) and not labels):
        cell, (path, line) = words[0]
        of_all = f", but {count} of {len(told)} values there are" if count else ""
        raise InputError(
            path, f"line {line}, column {name}: {cell!r} is no number{of_all}",
            "write a number there, or n/a",
        )  # fmt: skip
    return False


def is_number(cell: str) -> bool:
    """Tell whether a cell is a number with a point, if any; ``01`` is a label."""
    written = _NUMBER.fullmatch(cell) is not None and _LABEL.match(cell) is None
    return written and math.isfinite(float(cell))


def text_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it is written: numbers as short as they can be, gaps as ``n/a``."""

    def cells(column: pd.Series) -> list[str]:
        if column.dtype == float:
            return ["n/a" if n != n else repr(n).removesuffix(".0") for n in column.tolist()]
        return ["n/a" if pd.isna(cell) else str(cell) for cell in column.tolist()]

    columns = {name: cells(column) for name, column in table.items()}
    return pd.DataFrame(columns, index=table.index, columns=table.columns, dtype=object)
