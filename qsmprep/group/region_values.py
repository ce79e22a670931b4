"""What the regional tables of a cohort say, kept small and found fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from qsmprep.bids.region_columns import WORDS
from qsmprep.errors import InputError, RequestError

REMEDY = "run its participant again"

_BATCH = 2**26  # bytes of tables that are parsed at once

_CATEGORIES = ("atlas", "name", "hemisphere", "map", "reference", "units", "flag")


@dataclass(frozen=True)
class Table:
    """One ``regions.tsv`` as it lies on the disk: whose, its header and its rows."""

    path: Path
    acquisition: str
    header: bytes
    body: bytes


def read_tables(paths: Mapping[Path, tuple[str, Sequence[str]]]) -> list[Table]:
    """
    Return regional tables as they are written.

    Parameters
    ----------
    paths
        For each the name of its acquisition, and what its first four columns must say.

    Raises
    ------
    InputError
        If one cannot be read, has other columns than the first, or is of somebody else than its
        name says.
    """
    tables: list[Table] = []
    for path, (acquisition, labels) in paths.items():
        try:
            content = path.read_bytes().replace(b"\r\n", b"\n")
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", REMEDY) from error
        header, _, body = content.partition(b"\n")
        if not body.strip():
            raise InputError(path, "cannot be read as a table: it has no rows", REMEDY)
        if tables and header != tables[0].header:
            fact = f"has other columns than {tables[0].path.name}"
            raise InputError(path, fact, REMEDY)
        body = body if body.endswith(b"\n") else body + b"\n"
        count = body.count(b"\n")
        if body.count(b"\t") != count * header.count(b"\t"):
            raise InputError(path, "cannot be read as a table: its rows are ragged", REMEDY)
        own = "\t".join(labels).encode() + b"\t"
        if body.startswith(own) + body.count(b"\n" + own) != count:
            fact = f"has rows that are not of {' '.join(labels)}, as its name says"
            raise InputError(path, fact, "rename it as a whole, or " + REMEDY)
        tables.append(Table(path, acquisition, header, body))
    return tables


@dataclass(frozen=True)
class RegionValues:
    """
    The rows of all regional tables.

    Parameters
    ----------
    rows
        Words as categories and numbers as floats; `acquisition` is the name of the acquisition,
        `region` the name of the region with its side.
    """

    rows: pd.DataFrame

    @classmethod
    def of(cls, tables: Sequence[Table]) -> RegionValues:
        """Return what tables say; those of an acquisition and atlas must tell regions apart."""
        parts, batch, size = [], [], 0
        for table in tables:
            batch.append(table)
            size += len(table.body)
            if size > _BATCH:
                parts.append(_parse(batch))
                batch, size = [], 0
        if batch or not parts:
            parts.append(_parse(batch))
        rows = pd.DataFrame(
            {
                name: union_categoricals([part[name] for part in parts])
                if isinstance(parts[0][name].dtype, pd.CategoricalDtype)
                else np.concatenate([part[name].to_numpy() for part in parts])
                for name in parts[0]
            }
        )
        values = cls(rows.assign(region=_region_names(rows)))
        values._check_once(tables)
        return values

    def _check_once(self, tables: Sequence[Table]) -> None:
        key = np.zeros(len(self.rows), np.int64)
        for name in ("acquisition", "atlas", "region", "map", "reference"):
            codes = self.rows[name].cat
            key = key * (len(codes.categories) + 1) + codes.codes + 1
        if len(np.unique(key)) == len(key):
            return
        row = self.rows[pd.Series(key).duplicated().to_numpy()].iloc[0]
        path = next(table.path for table in tables if table.acquisition == row["acquisition"])
        fact = f"has several rows of {row['region']}, {row['map']}, {row['reference']}"
        raise InputError(path, fact, REMEDY)

    def names(self, column: str) -> tuple[str, ...]:
        """Return what a column of categories holds, in the order of the tables."""
        told = self.rows[column].cat
        order = pd.unique(told.codes[told.codes >= 0].to_numpy())
        return tuple(map(str, told.categories[order]))

    def pivot(
        self, acquisitions: pd.Index, *, quantity: str, reference: str, atlas: str, statistic: str
    ) -> pd.DataFrame:
        """
        Return a row per acquisition and a column per region.

        Parameters
        ----------
        acquisitions
            The rows; NaN where there is no table.
        quantity
            Map.
        reference
            What zero means, for maps that have one; for others it does not count.
        atlas, statistic
            Of which atlas, and which column.

        Raises
        ------
        RequestError
            If there is no such map, reference, atlas or column.
        """
        if statistic not in self.rows or self.rows[statistic].dtype != float:
            told = self.rows.select_dtypes(float).columns
            raise RequestError(f"statistic {statistic}: no such column; there are {_list(told)}")
        wanted = self._is("map", quantity) & self._is("atlas", atlas)
        if (self.rows["reference"].cat.codes.to_numpy()[wanted] >= 0).any():
            wanted &= self._is("reference", reference)
        rows = self.rows[wanted]
        order = pd.unique(rows["region"].cat.codes.to_numpy())
        place = np.full(len(self.rows["region"].cat.categories), -1)
        place[order] = np.arange(len(order))
        known = acquisitions.get_indexer(self.rows["acquisition"].cat.categories)
        values = np.full((len(acquisitions), len(order)), np.nan)
        at = known[rows["acquisition"].cat.codes.to_numpy()]
        inside = at >= 0
        across = place[rows["region"].cat.codes.to_numpy()]
        values[at[inside], across[inside]] = rows[statistic].to_numpy()[inside]
        columns = self.rows["region"].cat.categories[order].astype(object)
        return pd.DataFrame(values, index=acquisitions, columns=pd.Index(columns, dtype=object))

    def _is(self, column: str, value: str) -> np.ndarray:
        told = self.rows[column].cat
        if value not in told.categories:
            raise RequestError(
                f"{column} {value}: no table has it; there are {_list(self.names(column))}"
            )
        return told.codes.to_numpy() == told.categories.get_loc(value)


def _parse(tables: Sequence[Table]) -> pd.DataFrame:
    """Return the rows of tables with equal headers."""
    if not tables:
        words = ("acquisition", *_CATEGORIES)
        empty = {name: pd.Categorical([], categories=pd.Index([], dtype=str)) for name in words}
        return pd.DataFrame({**empty, "mean": np.empty(0)})
    header = tables[0].header.decode("utf-8-sig").split("\t")
    left_out = set(WORDS) - set(_CATEGORIES) | {"index"}
    kept = [name for name in header if name not in left_out]
    if absent := {*_CATEGORIES, "mean"} - {*header}:
        raise InputError(tables[0].path, f"has no column {min(absent)}", REMEDY)
    types = {name: "category" if name in _CATEGORIES else float for name in kept}
    try:
        rows = pd.read_csv(
            BytesIO(b"".join(table.body for table in tables)), sep="\t", names=header,
            usecols=kept, dtype=types, na_values=["n/a"], keep_default_na=False, quoting=3,
        )  # fmt: skip
    except (ValueError, pd.errors.ParserError) as error:
        raise _fault(tables, error) from error
    counts = [table.body.count(b"\n") for table in tables]
    names, codes = np.unique([table.acquisition for table in tables], return_inverse=True)
    whose = pd.Categorical.from_codes(np.repeat(codes, counts), pd.Index(names, dtype=object))
    return rows.assign(acquisition=whose)


def _fault(tables: Sequence[Table], error: Exception) -> InputError:
    """Return which of several tables cannot be read."""
    for table in tables:
        if len(tables) > 1:
            try:
                _parse([table])
            except InputError as found:
                return found
    return InputError(tables[0].path, f"cannot be read as a table ({error})", REMEDY)


def _region_names(rows: pd.DataFrame) -> pd.Categorical:
    """Return names with ``_L`` and ``_R`` for one side; whole structures have theirs alone."""
    names, sides = rows["name"].cat, rows["hemisphere"].cat
    width = len(sides.categories) + 1
    pairs = names.codes.to_numpy().astype(np.int64) * width + sides.codes.to_numpy() + 1
    found, codes = np.unique(pairs, return_inverse=True)
    labels = []
    for name, side in (divmod(int(pair), width) for pair in found):
        ending = sides.categories[side - 1] if side else ""
        labels.append(names.categories[name] + (f"_{ending}" if ending in ("L", "R") else ""))
    return pd.Categorical.from_codes(codes, pd.Index(labels, dtype=object))


def _list(items) -> str:
    return ", ".join(map(str, items)) or "none"
