"""Tables of a model as its page shows them: numbers as papers print them, intervals in one cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math
from numbers import Integral, Real

import pandas as pd

from qsmprep.reports.apa import decimals, figures, p_value, with_interval
from qsmprep.reports.pages import MISSING, number
from qsmprep.statistics.results import Fitted

REGION = "region"
"""Column that says which region of ``for`` a row is about."""

HEADS = {
    "df": "df", "n": "n", "p_bh": "p (BH)", "p_holm": "p (Holm)", "p_value": "p",
    "r": "r", "std_error": "SE", "y": "Value",
}  # fmt: skip
"""What columns are called on the page, where it is not their name without underscores."""

_MIDDLES = ("estimate", "mean", "y", "predicted", "survival", "r", "value")


@dataclass(frozen=True)
class Shown:
    """
    A table as it is shown.

    Parameters
    ----------
    heads
        Name of each column, and whether it is right-aligned.
    rows
        Text of all cells.
    total
        Rows that there are; more than `rows` where it is long.
    """

    heads: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]
    total: int


def shown(table: pd.DataFrame, most: int = 200) -> Shown:
    """
    Return a table as it is shown: without columns that are empty throughout.

    Columns that end in ``_low`` and ``_high`` are one, with as many decimals as the number they
    are about; those that begin with ``p_`` are probabilities.
    """
    kept = [str(name) for name in table.columns if table[name].notna().any()]
    rows = table.head(most)
    columns: dict[str, list[str]] = {}
    numeric: dict[str, bool] = {}
    intervals = {low: low.removesuffix("_low") for low in kept
                 if low.endswith("_low") and low.replace("_low", "_high") in kept}  # fmt: skip
    middles = {_middle(prefix, kept): prefix for prefix in intervals.values()}
    for name in kept:
        if name.endswith("_high") and name.replace("_high", "_low") in intervals:
            continue
        values = list(rows[name])
        numeric[name] = bool(pd.api.types.is_numeric_dtype(table[name])) and not (
            pd.api.types.is_bool_dtype(table[name])
        )
        if name in intervals:
            columns[name] = _ends(rows, intervals[name], _middle(intervals[name], kept))
        elif name in middles and numeric[name]:
            columns[name] = _beside(rows, name, middles[name])
        elif _is_probability(name) and numeric[name]:
            columns[name] = [p_value(float(value)) for value in values]
        else:
            columns[name] = [cell(value) for value in values]
    heads = tuple(
        (_interval_head(intervals[n]) if n in intervals else _head(n), numeric[n]) for n in columns
    )
    return Shown(heads, tuple(zip(*columns.values(), strict=True)), len(table))


def family(estimates: pd.DataFrame) -> pd.DataFrame:
    """
    Return the rows that are one family of tests over regions, without columns of no use there.

    Those are the rows with a p value corrected for the family; none where there is one region.
    """
    if REGION not in estimates or "p_holm" not in estimates or estimates[REGION].nunique() < 2:
        return estimates.iloc[:0]
    rows = estimates[estimates["p_holm"].notna()]
    last = [name for name in ("p_value", "p_holm", "p_bh") if name in rows]
    left_out = {"std_error", "statistic", "df", *last}
    return rows[[name for name in rows if name not in left_out] + last]


def headline(estimates: pd.DataFrame) -> str:
    """
    Return the first result of a model in a sentence without end.

    Of a family it is how many regions survive Holm's correction and which is the surest of them;
    elsewhere the first term that is not an intercept, because the formula begins with what it is
    about.
    """
    rows = family(estimates)
    if len(rows):
        clear = int((rows["p_holm"] < 0.05).sum())
        first = rows.sort_values("p_holm", kind="stable").iloc[0]
        return (
            f"{clear} of {len(rows)} with p (Holm) < .05; surest: {first[REGION]}, "
            f"{_sentence(first, 'p_holm', 'p (Holm)')}"
        )
    terms = estimates[~estimates["term"].astype(str).str.lower().str.contains("intercept")]
    if not len(terms):
        return "no estimate"
    first = terms.iloc[0]
    where = f"{first[REGION]}, " if first.get(REGION, "") else ""
    return f"{where}{first['term']}: {_sentence(first, 'p_value', 'p')}"


def _sentence(row: pd.Series, column: str, name: str) -> str:
    # Readers know the ratio, not its logarithm.
    ratio = next((n for n in row.index if str(n).endswith("_ratio") and f"{n}_low" in row), "")
    ends = (f"{ratio}_low", f"{ratio}_high") if ratio else ("ci_low", "ci_high")
    told = with_interval(*(float(row[n]) for n in (ratio or "estimate", *ends)))
    told = f"{ratio.replace('_', ' ')} {told}" if ratio else told
    return f"{told}, {p_value(float(row[column]), name=name)}"


def joined(fits: Mapping[str, Fitted], name: str) -> pd.DataFrame:
    """Return a further table of all regions as one, with their names in front."""
    parts = []
    for region, fitted in fits.items():
        if name in fitted.tables:
            table = fitted.tables[name].copy()
            if region:
                table.insert(0, REGION, region)
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def facts_of(fits: Mapping[str, Fitted]) -> pd.DataFrame:
    """Return the facts of the fit of each region, a row each."""
    rows = [{REGION: region, **fitted.facts} for region, fitted in fits.items()]
    return pd.DataFrame(rows)


def cell(value: object) -> str:
    """Return any value of a table as text."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return number(int(value), 0)
    if isinstance(value, Real):
        whole = float(value).is_integer() and abs(value) < 1e6
        return number(float(value), 0) if whole else figures(float(value))
    return str(value)


def _head(name: str) -> str:
    return HEADS.get(name) or sentence_case(name)


def _interval_head(prefix: str) -> str:
    what = prefix.removesuffix("ci").removesuffix("_")
    return f"{sentence_case(what)}, 95 % CI" if what else "95 % CI"


def sentence_case(name: str) -> str:
    """Return a name of a column as a reader's words, a capital in front."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def _middle(prefix: str, columns: list[str]) -> str:
    """Return the column whose interval has a prefix, empty for none."""
    if prefix == "ci":
        return next((name for name in _MIDDLES if name in columns), "")
    return next((name for name in (prefix, prefix.removesuffix("_ci")) if name in columns), "")


def _is_probability(name: str) -> bool:
    return name in ("p", "p_value") or name.startswith("p_") or name.endswith("_p")


def _ends(rows: pd.DataFrame, prefix: str, middle: str) -> list[str]:
    return [told.partition(" ")[2] for told in _told(rows, prefix, middle)]


def _beside(rows: pd.DataFrame, name: str, prefix: str) -> list[str]:
    return [told.partition(" [")[0].removesuffix(f" {MISSING}")
            for told in _told(rows, prefix, name)]  # fmt: skip


def _told(rows: pd.DataFrame, prefix: str, middle: str) -> list[str]:
    """Return numbers with their intervals, or the interval alone after ``n/a``."""
    texts = []
    for row in rows.to_dict("records"):
        low, high = float(row[f"{prefix}_low"]), float(row[f"{prefix}_high"])
        value = float(row[middle]) if middle else math.nan
        texts.append(with_interval(value, low, high, digits=decimals(value, low, high)))
    return texts
