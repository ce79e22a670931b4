"""Correlations between two sets of columns, nulls included."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.design import design, need_columns
from qsmprep.statistics.families import REFERENCES, correct
from qsmprep.statistics.regression import quoted
from qsmprep.statistics.results import ESTIMATES, Drawing, Fitted
from qsmprep.statistics.rows import check_share, counts, repeats

METHODS = ("pearson", "spearman")

MOST_PANELS = 12
"""Pairs that are drawn as points, those with the smallest p first."""


def correlation(
    data: pd.DataFrame,
    *,
    x: Sequence[str],
    y: Sequence[str] = (),
    method: str = "pearson",
    partial: Sequence[str] = (),
    correction: str = "bh",
    alpha: float = 0.05,
    confidence: float = 0.95,
) -> Fitted:
    """
    Return the correlation of every column of one list with every column of another.

    Parameters
    ----------
    data
        A row per observation.
    x
        Columns, such as regions.
    y
        Columns they are correlated with, such as biomarkers; without, those of `x` with each
        other.
    method
        ``pearson``, or ``spearman`` of ranks.
    partial
        Covariates whose linear share is removed from both; categories are allowed. With
        ``spearman`` covariates that are numbers are ranked too.
    correction
        Over all pairs, for the flag: ``bh``, ``holm``, ``bonferroni`` or ``none``.
    alpha
        Corrected p-value below which a pair is flagged.
    confidence
        Of intervals, between 0 and 1.

    Returns
    -------
    fitted
        Estimates per pair, flagged or not: r with its interval, p, ``p_corrected``, ``flag``,
        ``n``, and ``note`` where a pair could not be correlated. Drawings ``matrix`` and
        ``pairs``.

    Notes
    -----
    Every pair uses all rows that have both columns and all covariates. With k columns of
    covariates t has n - 2 - k degrees of freedom, and Fisher's z a variance of 1 / (n - 3 - k)
    (doi:10.1093/biomet/10.4.507), times 1 + r²/2 for ranks (Bonett and Wright 2000,
    doi:10.1007/BF02294183).

    Raises
    ------
    RequestError
        If a column does not exist or holds no numbers.
    """
    _check(data, x, y, method, partial, alpha, confidence)
    pairs = _pairs(x, y)
    number = {name: data[name].astype(float).to_numpy() for name in {*x, *y}}
    known = np.ones(len(data), bool)
    for name in partial:
        known &= data[name].notna().to_numpy() & ~data[name].isin([np.inf, -np.inf]).to_numpy()
    bases: dict[bytes, np.ndarray] = {}
    rows, residuals = [], {}
    for a, b in pairs:
        there = known & np.isfinite(number[a]) & np.isfinite(number[b])
        key = there.tobytes()
        if key not in bases:
            bases[key] = _covariates(data[there], partial, method)
        left, right = (_residual(number[name][there], bases[key], method) for name in (a, b))
        residuals[a, b] = there, left, right
        rows.append(_pair(a, b, left, right, bases[key].shape[1] - 1, method, confidence))
    estimates = pd.DataFrame(rows)
    estimates["p_corrected"] = correct(estimates["p_value"], correction)
    estimates["flag"] = estimates["p_corrected"] < alpha
    estimates = estimates[[*ESTIMATES, "x", "y", "n", "p_corrected", "flag", "note"]]
    drawings = {"matrix": _matrix(estimates, bool(y), method, partial, correction)}
    if estimates["flag"].any():
        drawings["pairs"] = _scatter(estimates, residuals, partial, method)
    used = np.logical_or.reduce([there for there, *_ in residuals.values()])
    facts = counts(data[used]) | {"n": int(estimates["n"].max()), "converged": True}
    return Fitted(
        estimates,
        facts | {"pairs": len(pairs), "flagged": int(estimates["flag"].sum())},
        _method(method, partial, correction, len(pairs), alpha),
        drawings=drawings,
        notes=(*_notes(estimates), *repeats(data[used])),
        excluded=pd.DataFrame({"reason": "no pair of columns is complete"}, data.index[~used]),
    )


def _pairs(x: Sequence[str], y: Sequence[str]) -> list[tuple[str, str]]:
    """Return every pair of different columns once."""
    asked = product(x, y) if y else combinations(x, 2)
    once = {frozenset(pair): pair for pair in reversed(list(asked)) if pair[0] != pair[1]}
    if not once:
        raise RequestError("there is no pair of different columns to correlate")
    return list(reversed(once.values()))


def _check(
    data: pd.DataFrame, x: Sequence[str], y: Sequence[str], method: str, partial: Sequence[str],
    alpha: float, confidence: float,
) -> None:  # fmt: skip
    """Refuse what cannot be correlated."""
    if method not in METHODS:
        raise RequestError(f"method = {shown(method)}; it is {' or '.join(map(shown, METHODS))}")
    check_share("alpha", alpha)
    check_share("confidence", confidence)
    need_columns(data, partial)
    need_columns(data, (*x, *y), numbers=True)
    for name in (*x, *y):
        if name in partial:
            raise RequestError(f"partial: {name} is correlated itself")


def _covariates(data: pd.DataFrame, partial: Sequence[str], method: str) -> np.ndarray:
    """Return an orthonormal basis of a constant and the covariates, without repeats."""
    columns = [np.ones((len(data), 1))]
    if partial and len(data):
        ranked = data.assign(**{
            name: stats.rankdata(data[name]) for name in partial
            if method == "spearman" and pd.api.types.is_numeric_dtype(data[name])
        })  # fmt: skip
        varying = [name for name in partial if ranked[name].nunique() > 1]
        if varying:
            columns.append(design(" + ".join(map(quoted, varying)), ranked).to_numpy(float))
    joined = np.column_stack(columns)
    u, s, _ = np.linalg.svd(joined, full_matrices=False)
    return u[:, s > s.max(initial=0) * 1e-10] if len(s) else joined


def _residual(values: np.ndarray, basis: np.ndarray, method: str) -> np.ndarray:
    """Return values, or their ranks, without what covariates say; zero if that is all."""
    if len(values) == 0 or np.ptp(values) == 0:
        return np.zeros(len(values))
    ranked = stats.rankdata(values) if method == "spearman" else values - values.mean()
    left = ranked - basis @ (basis.T @ ranked)
    return left if np.linalg.norm(left) > 1e-10 * np.linalg.norm(ranked) else np.zeros(len(values))


def _pair(
    a: str, b: str, left: np.ndarray, right: np.ndarray, k: int, method: str, confidence: float
) -> dict[str, object]:
    """Return the row of one pair; without r, and with a note, where there is none."""
    n = len(left)
    row: dict[str, object] = dict.fromkeys(ESTIMATES, np.nan) | {
        "term": f"{a} ~ {b}", "x": a, "y": b, "n": n, "note": "",
    }  # fmt: skip
    if n < k + 4:
        return row | {"note": f"{n} complete rows are too few"}
    for name, values in ((a, left), (b, right)):
        if not values.any():
            beyond = " beyond the covariates" if k else ""
            return row | {"note": f"{name} does not vary{beyond}"}
    r = float(np.clip(left @ right / np.sqrt((left @ left) * (right @ right)), -1, 1))
    df = n - 2 - k
    error = np.sqrt((1 - r**2) / df)
    t = r / error if error else np.copysign(np.inf, r)
    spread = np.sqrt((1 + (r**2 / 2 if method == "spearman" else 0)) / (n - 3 - k))
    margin = stats.norm.ppf((1 + confidence) / 2) * spread
    z = np.arctanh(r) if abs(r) < 1 else np.copysign(np.inf, r)
    return row | {
        "estimate": r, "std_error": error, "statistic": t, "df": float(df),
        "p_value": float(2 * stats.t.sf(abs(t), df)),
        "ci_low": float(np.tanh(z - margin)), "ci_high": float(np.tanh(z + margin)),
    }  # fmt: skip


def _matrix(
    estimates: pd.DataFrame, two: bool, method: str, partial: Sequence[str], correction: str
) -> Drawing:
    """Return the matrix of correlations."""
    data = estimates.rename(columns={"x": "row", "y": "column", "estimate": "r"})
    data = data[["row", "column", "r", "p_value", "flag"]]
    if not two:
        mirrored = data.rename(columns={"row": "column", "column": "row"})[list(data.columns)]
        data = pd.concat([data, mirrored], ignore_index=True)
    given = f", given {', '.join(partial)}" if partial else ""
    return Drawing(
        "correlation_matrix",
        data,
        f"{method.capitalize()} correlations{given}; marked are those that hold after correction "
        f"({correction}) over {len(estimates)} pairs.",
        {"r": "r"},
    )


def _scatter(
    estimates: pd.DataFrame, residuals: dict, partial: Sequence[str], method: str
) -> Drawing:
    """Return points of the pairs that are flagged, with the line of least squares."""
    flagged = estimates[estimates["flag"]].nsmallest(MOST_PANELS, "p_value")
    parts = []
    for _, row in flagged.iterrows():
        _, x, y = residuals[row["x"], row["y"]]
        ends = np.array([x.min(), x.max()])
        panel = {"panel": row["term"], "group": ""}
        parts += [
            pd.DataFrame({**panel, "kind": "point", "x": x, "y": y}),
            pd.DataFrame({**panel, "kind": "line", "x": ends, "y": ends * (x @ y) / (x @ x)}),
        ]
    data = pd.concat(parts, ignore_index=True).assign(ci_low=np.nan, ci_high=np.nan)
    what = ("ranks" if method == "spearman" else "values") + " less their mean"
    what += f" and what {', '.join(partial)} say of them" if partial else ""
    more = int(estimates["flag"].sum()) - len(flagged)
    return Drawing(
        "scatter",
        data,
        f"Pairs that hold after correction: {what}"
        + (f"; {more} more are in the table." if more else "."),
        {"x": "first of the pair", "y": "second of the pair"},
    )


def _notes(estimates: pd.DataFrame) -> list[str]:
    """Return what to know of the pairs."""
    lacking = estimates[estimates["note"] != ""]
    notes = [f"{row['term']}: {row['note']}." for _, row in lacking.head(10).iterrows()]
    if len(lacking) > 10:
        notes.append(f"{len(lacking) - 10} more pairs could not be correlated; see the table.")
    counts = estimates.loc[estimates["note"] == "", "n"]
    if len(counts) and counts.min() < counts.max():
        notes.append(f"Pairs use different rows: between {counts.min()} and {counts.max()}.")
    return notes


def _method(method: str, partial: Sequence[str], correction: str, pairs: int, alpha: float) -> str:
    """Return the sentences for a methods section."""
    kind = {"pearson": "Pearson", "spearman": "Spearman rank"}[method]
    given = f" with {', '.join(partial)} partialled out" if partial else ""
    width = " (doi:10.1007/BF02294183)" if method == "spearman" else ""
    return (
        f"{kind} correlations{given} were computed over all complete rows of each pair, with "
        f"intervals by Fisher's z{width} and p-values by t. The {pairs} p-values were corrected "
        f"together ({REFERENCES[correction]}); pairs below {alpha:g} are flagged, and all are "
        "reported."
    )
