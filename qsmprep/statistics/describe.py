"""Who was studied: counts, shares, means and medians by group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.oneway import anova_oneway

from qsmprep.errors import RequestError
from qsmprep.statistics.design import need_columns
from qsmprep.statistics.regression import levels_of, with_levels
from qsmprep.statistics.results import ESTIMATES, Drawing, Fitted
from qsmprep.statistics.rows import check_share, counts, repeats

ALL = "all"
IDENTITY = ("participant_id", "session_id", "acquisition", "run", "acquisition_key")
MOST = 20
"""Values that text may have to be described without being asked for."""

SMALL = 5
"""Expected count below which a chi-squared test is not trusted."""


def describe(
    data: pd.DataFrame,
    *,
    columns: Sequence[str] = (),
    group: str = "",
    levels: Sequence = (),
    categories: Sequence[str] = (),
    skewed: Sequence[str] = (),
    tests: bool = True,
    digits: int = 2,
    confidence: float = 0.95,
) -> Fitted:
    """
    Return the first table of a paper.

    Parameters
    ----------
    data
        A row per participant, lesion or whatever is counted.
    columns
        What is described, in this order; without, every column that names no row.
    group
        Column whose levels stand side by side; empty for none.
    levels
        Order of the levels of `group`.
    categories
        Columns of numbers that are counted by value. Text is counted anyway.
    skewed
        Columns of numbers that are printed as median [quartiles] and compared by ranks.
    tests
        Whether groups are compared.
    digits
        Decimals of means and medians as printed. Percentages are whole.
    confidence
        Of intervals, between 0 and 1.

    Returns
    -------
    fitted
        Estimates: per column, level and group the mean, or the share, with its interval, and
        ``n``, ``missing``, ``count``, ``percent``, ``sd``, ``median``, ``q1``, ``q3``,
        ``minimum``, ``maximum``, ``text``. Tables ``table1`` (as printed) and, with groups,
        ``tests``. Shares and means are of the rows that have a value. Drawing ``means`` where
        there are groups and numbers.

    Raises
    ------
    RequestError
        If a column does not exist.

    References
    ----------
    Intervals of shares: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    asked = bool(columns)
    columns = _columns(data, columns, group, (*categories, *skewed))
    check_share("confidence", confidence)
    if not 0 <= digits <= 10:
        raise RequestError(f"digits = {digits}; it lies between 0 and 10")
    data, excluded, notes = with_levels(data, {group: levels} if group and levels else {})
    if group:
        gaps = data[group].isna()
        reasons = pd.DataFrame({"reason": f"no {group}"}, index=data.index[gaps], dtype=str)
        excluded, data = pd.concat([excluded, reasons]), data[~gaps]
    if data.empty:
        raise RequestError("there is no row to describe")
    data = data.replace([np.inf, -np.inf], np.nan)
    if not asked:
        free = [name for name in columns if counted(data[name]) and data[name].nunique() > MOST]
        columns = [name for name in columns if name not in free]
        if free:
            notes = (*notes, f"Left out, text with more than {MOST} values: {', '.join(free)}.")
    parts = {ALL: data}
    if group:
        parts |= {_name(level): data[data[group] == level] for level in levels_of(data[group])}
    rows = [
        row | {"column": name, "group": label}
        for name in columns
        for label, part in parts.items()
        for row in _described(
            part[name], levels_of(data[name]), name in categories, name in skewed, digits,
            confidence,
        )
    ]  # fmt: skip
    estimates = pd.DataFrame(rows)
    level = np.where(estimates["level"] == "", "", " = " + estimates["level"])
    estimates["term"] = estimates["column"] + level + ", " + estimates["group"]
    estimates = estimates.reindex(columns=[
        *ESTIMATES, "column", "level", "group", "n", "missing", "count", "percent", "sd", "median",
        "q1", "q3", "minimum", "maximum", "text",
    ])  # fmt: skip
    compared = pd.DataFrame()
    if tests and len(parts) > 2:
        compared = pd.DataFrame([
            {"column": name, **_test([part[name] for label, part in parts.items() if label != ALL],
                                     name in categories, name in skewed)}
            for name in columns
        ])  # fmt: skip
    tables = {"table1": _printed(estimates, parts, compared)}
    if len(compared):
        tables["tests"] = compared
    if len(compared):
        notes = (*notes, *repeats(data))
    facts = counts(data) | {"converged": True}
    return Fitted(
        estimates, facts | {f"n_{label}": len(p) for label, p in parts.items() if label != ALL},
        _method(bool(len(compared))), tables, _drawing(estimates, group), notes, excluded,
    )  # fmt: skip


def _columns(
    data: pd.DataFrame, columns: Sequence[str], group: str, named: Sequence[str]
) -> list[str]:
    """Return the columns to describe."""
    need_columns(data, (*columns, *named, *([group] if group else [])))
    if columns:
        return list(dict.fromkeys(columns))
    return [str(name) for name in data if name not in (*IDENTITY, group)]


def counted(values: pd.Series, asked: bool = False) -> bool:
    """Return whether a column is described by counts."""
    number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return asked or not number


def _described(
    values: pd.Series, levels: Sequence, asked: bool, skewed: bool, digits: int, confidence: float
) -> Iterator[dict[str, object]]:
    """Yield a row for a number, or one for each level of a category."""
    known = values.dropna()
    base = {"n": len(known), "missing": len(values) - len(known)}
    if not counted(values, asked):
        yield base | {"level": ""} | _number(known.astype(float), skewed, digits, confidence)
        return
    if not levels:
        yield base | {"level": "", "text": "n/a"}
    for level in levels:
        count = int((known == level).sum())
        yield base | {"level": _name(level)} | _share(count, len(known), confidence)


def _number(x: pd.Series, skewed: bool, digits: int, confidence: float) -> dict[str, object]:
    """Return mean, spread and quartiles."""
    n = len(x)
    if n == 0:
        return {"text": "n/a"}
    q1, median, q3 = np.quantile(x, [0.25, 0.5, 0.75])
    row = {"estimate": x.mean(), "median": median, "q1": q1, "q3": q3, "minimum": x.min(),
           "maximum": x.max(), "df": n - 1.0}  # fmt: skip
    spread = "n/a"
    if n > 1:
        error = x.std() / np.sqrt(n)
        margin = stats.t.ppf((1 + confidence) / 2, n - 1) * error
        row |= {"sd": x.std(), "std_error": error, "ci_low": x.mean() - margin,
                "ci_high": x.mean() + margin}  # fmt: skip
        spread = rounded(x.std(), digits)
    quartiles = f"[{rounded(q1, digits)}, {rounded(q3, digits)}]"
    return row | {
        "text": f"{rounded(median, digits)} {quartiles}" if skewed
        else f"{rounded(x.mean(), digits)} ± {spread}"
    }  # fmt: skip


def _name(level: object) -> str:
    """Return a level as a table writes it: numbers of files are read with a point."""
    return f"{level:g}" if isinstance(level, float) else str(level)


def _share(count: int, n: int, confidence: float) -> dict[str, object]:
    """Return count and share with Wilson's interval."""
    if n == 0:
        return {"count": 0, "text": "0/0"}
    share, z = count / n, stats.norm.ppf((1 + confidence) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    margin = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return {
        "count": count, "percent": 100 * share, "estimate": share,
        "std_error": np.sqrt(share * (1 - share) / n), "ci_low": max(middle - margin, 0.0),
        "ci_high": min(middle + margin, 1.0),
        "text": f"{count}/{n} ({rounded(100 * share, 0)} %)",
    }  # fmt: skip


def rounded(value: float, digits: int) -> str:
    """Return a number as text, halves away from zero as papers round."""
    if not np.isfinite(value):
        return "n/a"
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    # Twelve digits first, so that 10.625 stays a half whatever binary makes of it.
    exact = Decimal(f"{value:.12g}")
    text = str(exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))
    return text.removeprefix("-") if float(text) == 0 else text


def _test(groups: list[pd.Series], asked: bool, skewed: bool) -> dict[str, object]:
    """Return the comparison of groups that suits a column."""
    if counted(groups[0], asked):
        return _counts_test(groups)
    known = [part.dropna().astype(float) for part in groups]
    if min(map(len, known)) < 2 or np.ptp(np.concatenate(known)) == 0:
        return {"test": "none", "statistic": np.nan, "p_value": np.nan}
    if skewed:
        two = len(known) == 2
        found = stats.mannwhitneyu(*known) if two else stats.kruskal(*known)
        name = "Mann-Whitney" if two else "Kruskal-Wallis"
    elif min(part.std() for part in known) == 0:
        return {"test": "none", "statistic": np.nan, "p_value": np.nan}
    elif len(known) == 2:
        found, name = stats.ttest_ind(known[1], known[0], equal_var=False), "Welch t"
    else:
        found, name = anova_oneway(known, use_var="unequal"), "Welch F"
    return {"test": name, "statistic": float(found.statistic), "p_value": float(found.pvalue)}


def _counts_test(groups: list[pd.Series]) -> dict[str, object]:
    """Return Fisher's exact test of a small 2 x 2 table, else the chi-squared test."""
    known = pd.concat([part.dropna().astype(str) for part in groups])
    labels = np.repeat(range(len(groups)), [part.notna().sum() for part in groups])
    table = pd.crosstab(known.to_numpy(), labels).to_numpy()
    if min(table.shape) < 2:
        return {"test": "none", "statistic": np.nan, "p_value": np.nan}
    found = stats.chi2_contingency(table, correction=False)
    if table.shape == (2, 2) and found.expected_freq.min() < SMALL:
        ratio, p = stats.fisher_exact(table)
        return {"test": "Fisher exact", "statistic": float(ratio), "p_value": float(p)}
    name = "chi-squared" + ("" if found.expected_freq.min() >= SMALL else " (small counts)")
    return {"test": name, "statistic": float(found.statistic), "p_value": float(found.pvalue)}


def _printed(
    estimates: pd.DataFrame, parts: dict[str, pd.DataFrame], compared: pd.DataFrame
) -> pd.DataFrame:
    """Return the table as it is printed, a column per group."""
    wide = estimates.pivot_table(
        index=["column", "level"], columns="group", values="text", aggfunc="first", sort=False
    )[list(parts)]
    missing = estimates[estimates["group"] == ALL].set_index(["column", "level"])["missing"]
    table = wide.assign(missing=missing).reset_index()
    first = {"column": "n", "level": "", "missing": 0} | {k: str(len(p)) for k, p in parts.items()}
    table = pd.concat([pd.DataFrame([first]), table], ignore_index=True)
    if len(compared):
        p = dict(zip(compared["column"], compared["p_value"], strict=True))
        once = ~table["column"].duplicated()
        table["p_value"] = table["column"].map(p).where(once)
    table.columns.name = None
    return table[["column", "level", *parts, *(["p_value"] if len(compared) else []), "missing"]]


def _drawing(estimates: pd.DataFrame, group: str) -> dict[str, Drawing]:
    """Return the means of columns of numbers by group."""
    rows = estimates[(estimates["level"] == "") & estimates["ci_low"].notna()]
    rows = rows[rows["group"] != ALL]
    if not group or rows.empty:
        return {}
    data = rows.rename(columns={"column": "label"})
    return {
        "means": Drawing(
            "forest",
            data[["label", "estimate", "ci_low", "ci_high", "p_value", "group"]]
            .reset_index(drop=True),
            "Means with confidence intervals, by group.",
            {"estimate": "mean", "group": group},
        )
    }  # fmt: skip


def _method(compared: bool) -> str:
    """Return the sentences for a methods section."""
    tests = (
        " Groups were compared by Welch's t or F test, those given as medians by the "
        "Mann-Whitney or Kruskal-Wallis test, and counts by the chi-squared test, or Fisher's "
        "exact test where a 2 x 2 table expects fewer than 5."
    )
    return (
        "Numbers are given as mean ± standard deviation or median [quartiles], categories as "
        "counts and percentages of the rows with a value, with intervals after Wilson "
        "(doi:10.1080/01621459.1927.10502953)." + (tests if compared else "")
    )
