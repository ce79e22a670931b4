"""Tables of a model as its page shows them: as papers print numbers, intervals in one cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math
from numbers import Integral, Real
import re

import pandas as pd

from qsmprep.reports.apa import decimals, figures, p_value, with_interval
from qsmprep.reports.pages import MISSING, number
from qsmprep.statistics.results import Fitted

REGION = "region"
"""Column that says which region of ``for`` a row is about."""

WORDS = {
    "aic": "AIC", "anova": "Analysis of variance", "beta_standardised": "β (standardised)",
    "bic": "BIC", "cohens_d": "Cohen's d", "d": "d", "df": "df", "df_residual": "Residual df",
    "f": "F", "f_p_value": "p of F", "icc": "ICC", "log_likelihood": "Log-likelihood", "n": "n",
    "p_adjusted": "p (adjusted)", "p_bh": "p (BH)", "p_corrected": "p (corrected)",
    "p_holm": "p (Holm)", "p_value": "p", "partial_eta2": "Partial η²",
    "ph_test": "Proportional hazards", "q1": "First quartile", "q3": "Third quartile", "r": "r",
    "r_squared": "R²", "r_squared_adjusted": "Adjusted R²", "r2_all": "R², all effects",
    "r2_fixed": "R², fixed effects", "residual_sd": "Residual SD", "sd": "SD", "sigma": "σ",
    "std_error": "SE", "sum_sq": "Sum of squares", "vif": "VIF", "y": "Value",
}  # fmt: skip
"""What columns and facts are called on the page, where it is not their name as a sentence."""

_OWN = re.compile(r"\b(?:chi|volume|r2star)\b")
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


def shown(table: pd.DataFrame, level: str = "95 % CI", *, most: int = 200) -> Shown:
    """
    Return a table as it is shown: without columns that are empty throughout.

    Columns that end in ``_low`` and ``_high`` are one, with as many decimals as the number they
    are about; those that begin with ``p_`` are probabilities. `level` names intervals.
    """
    kept = [
        str(name) for name in table.columns if (table[name].notna() & (table[name] != "")).any()
    ]
    rows = table.head(most)
    columns: dict[str, list[str]] = {}
    numeric: dict[str, bool] = {}
    intervals = _intervals(kept)
    middles = {_middle(prefix, kept): prefix for prefix in intervals.values()}
    for name in kept:
        if name.endswith("_high") and f"{name.removesuffix('_high')}_low" in intervals:
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
        (_interval_head(intervals[n], level) if n in intervals else words(n), numeric[n])
        for n in columns
    )
    return Shown(heads, tuple(zip(*columns.values(), strict=True)), len(table))


def family(estimates: pd.DataFrame) -> pd.DataFrame:
    """
    Return the rows that are tests over regions, a family per term, without needless columns.

    Those are the terms with the region's own values; in models that explain these, all but the
    intercept. There are none where there is one region.
    """
    if REGION not in estimates or "p_holm" not in estimates or estimates[REGION].nunique() < 2:
        return estimates.iloc[:0]
    rows = estimates[estimates["p_holm"].notna() & ~_is_intercept(estimates)]
    # A difference of groups "with volume" is not about the volume.
    own = rows["term"].astype(str).str.replace(r", with .*", "", regex=True).str.contains(_OWN)
    rows = rows[own] if own.any() else rows
    rows = rows.sort_values("term", kind="stable", key=lambda t: t.map(list(t.unique()).index))
    ratio = _ratio(rows)
    middle = (
        [ratio, f"{ratio}_low", f"{ratio}_high"] if ratio else ["estimate", "ci_low", "ci_high"]
    )
    kept = [REGION, "term", *middle, "p_value", "p_holm", "p_bh"]
    return rows[[name for name in kept if name in rows]]


def all_terms(estimates: pd.DataFrame) -> pd.DataFrame:
    """Return estimates as papers order them, without what the table of the family says."""
    kept = estimates.drop(columns=["p_holm", "p_bh"], errors="ignore")
    ratio = _ratio(kept)
    told = ["std_error", "statistic", "df", "p_value", "p_adjusted"]
    if ratio:  # wide: what is read first must not need scrolling
        told = [ratio, f"{ratio}_low", f"{ratio}_high", "p_value", "std_error", "statistic", "df"]
    order = [REGION, "term", "estimate", "ci_low", "ci_high", *told]
    order = [name for name in order if name in kept]
    return kept[order + [name for name in kept if name not in order]]


def _is_intercept(estimates: pd.DataFrame) -> pd.Series:
    return estimates["term"].astype(str).str.lower() == "intercept"


def _ratio(table: pd.DataFrame | pd.Series) -> str:
    """Return the column with a ratio and its interval, empty where there is none."""
    names = [str(name) for name in table.axes[-1]]
    return next((n for n in names if n.endswith("_ratio") and f"{n}_low" in names), "")


def headline(estimates: pd.DataFrame) -> str:
    """
    Return the first result of a model in a sentence without end.

    It is about the first term that is not an intercept, because a formula begins with what it is
    about; over regions about the first of the highest interactions, because who writes one asks
    about it, how many survive Holm's correction and which is the surest.
    """
    rows = family(estimates)
    if len(rows):
        # max takes the first of several that are the highest
        rows = rows[rows["term"] == max(rows["term"], key=lambda term: str(term).count(":"))]
        clear = int((rows["p_holm"] < 0.05).sum())
        first = rows.sort_values("p_holm", kind="stable").iloc[0]
        return (
            f"{first['term']}: {clear} of {len(rows)} regions with p (Holm) < .05; surest: "
            f"{first[REGION]}, {_sentence(first, 'p_holm', 'p (Holm)')}"
        )
    terms = estimates[~_is_intercept(estimates)]
    if not len(terms):
        return "no estimate"
    first = terms.iloc[0]
    where = f"{first[REGION]}, " if first.get(REGION, "") else ""
    return f"{where}{first['term']}: {_sentence(first, 'p_value', 'p')}"


def _sentence(row: pd.Series, column: str, name: str) -> str:
    # Readers know the ratio, not its logarithm.
    ratio = _ratio(row)
    ends = (f"{ratio}_low", f"{ratio}_high") if ratio else ("ci_low", "ci_high")
    told = with_interval(*(float(row[n]) for n in (ratio or "estimate", *ends)))
    told = f"{ratio.replace('_', ' ')} {told}" if ratio else told
    p = float(row[column])
    return told if math.isnan(p) else f"{told}, {p_value(p, name=name)}"


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
        real = float(value)
        return number(real, 0) if real.is_integer() and abs(real) < 1e6 else figures(real)
    return str(value)


def _interval_head(prefix: str, level: str) -> str:
    what = prefix.removesuffix("ci").removesuffix("_")
    return f"{words(what)}, {level}" if what else level


def words(name: str) -> str:
    """Return what a reader calls a column, a fact or a figure."""
    if name.startswith("n_"):
        return f"n, {name.removeprefix('n_')}"  # of a group
    text = name.replace("_", " ")
    return WORDS.get(name) or text[:1].upper() + text[1:]


def _intervals(columns: list[str]) -> dict[str, str]:
    """Return the columns of lower ends with the beginning of their names, where both ends are."""
    found = {}
    for name in columns:
        prefix = name.removesuffix("_low")
        if prefix == name or f"{prefix}_high" not in columns:
            continue
        # Limits of agreement, say, have two ends and are no interval of anything.
        if prefix == "ci" or prefix.endswith("_ci") or prefix in columns:
            found[name] = prefix
    return found


def _middle(prefix: str, columns: list[str]) -> str:
    """Return the column whose interval has a prefix, empty for none."""
    if prefix == "ci":
        return next((name for name in _MIDDLES if name in columns), "")
    what = prefix.removesuffix("_ci")
    exactly = [name for name in (prefix, what) if name in columns]
    return next(iter([*exactly, *(name for name in columns if name.endswith(f"_{what}"))]), "")


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
