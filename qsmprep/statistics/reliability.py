"""How well a value repeats between sessions in which nothing should change."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.change import named_few
from qsmprep.statistics.design import need_columns
from qsmprep.statistics.regression import estimates_table, levels_of
from qsmprep.statistics.results import ESTIMATES, Drawing, Fitted
from qsmprep.statistics.rows import WHOM, check_share


def reliability(
    data: pd.DataFrame,
    *,
    value: str = "chi",
    session: str = "session_id",
    sessions: Sequence = (),
    confidence: float = 0.95,
) -> Fitted:
    """
    Return intraclass correlation, within-subject spread and limits of agreement.

    Parameters
    ----------
    data
        A row per acquisition, with ``participant_id``.
    value
        Column that is repeated.
    session
        Column that names the repetition, such as session_id, run or site.
    sessions
        Which of them, in order; without, all.
    confidence
        Of intervals, between 0 and 1.

    Returns
    -------
    fitted
        Estimates: ``ICC(2,1)`` (agreement), ``ICC(3,1)`` (consistency), ``within-subject SD``,
        ``within-subject CoV`` (percent of the mean), ``repeatability coefficient``. Tables
        ``agreement`` (bias and limits per pair of sessions), ``differences`` and ``variance``.
        Drawings ``bland_altman`` and ``icc``.

    Notes
    -----
    ICC and intervals after Shrout and Fleiss (1979, doi:10.1037/0033-2909.86.2.420) and McGraw
    and Wong (1996, doi:10.1037/1082-989X.1.1.30); limits of agreement and repeatability after
    Bland and Altman (1999, doi:10.1177/096228029900800204). The within-subject variance is that
    within participants, differences between sessions included.

    Raises
    ------
    RequestError
        If there are fewer than two sessions or three participants with all of them.
    """
    check_share("confidence", confidence)
    wide, excluded, notes = _crossed(data, value, session, sessions)
    table = wide.to_numpy(float)
    variance = mean_squares(table)
    rows = [icc_agreement(variance, confidence), icc_consistency(variance, confidence)]
    rows += _within(table, confidence)
    estimates = pd.DataFrame(rows).reindex(columns=list(ESTIMATES))
    if (table < 0).any() and (table > 0).any():
        notes.append("The coefficient of variation is missing: values have both signs.")
        estimates.loc[estimates["term"] == "within-subject CoV", "estimate":"ci_high"] = np.nan  # type: ignore[misc]
    agreement, differences = _agreement(wide, confidence)
    biased = agreement[agreement["p_value"] < 0.05]
    notes += [
        f"{row['term']} differ by {row['estimate']:.3g} on average (p = {row['p_value']:.2g}): "
        "ICC(2,1) counts that as error, ICC(3,1) does not."
        for _, row in biased.iterrows()
    ]
    icc = estimates[estimates["term"].str.startswith("ICC")].rename(columns={"term": "label"})
    return Fitted(
        estimates,
        {"n": table.size, "participants": len(table), "sessions": table.shape[1],
         "converged": True},
        f"Reliability of {value} over {table.shape[1]} sessions of {len(table)} participants is "
        "given as intraclass correlation for absolute agreement, ICC(2,1), and consistency, "
        "ICC(3,1) (doi:10.1037/0033-2909.86.2.420, doi:10.1037/1082-989X.1.1.30), within-subject "
        "standard deviation, and repeatability coefficient and limits of agreement "
        "(doi:10.1177/096228029900800204).",
        {"agreement": agreement, "differences": differences, "variance": variance_table(variance)},
        {
            "bland_altman": _bland_altman(differences, agreement, value),
            "icc": Drawing(
                "forest", icc[["label", "estimate", "ci_low", "ci_high", "p_value"]].copy(),
                f"Intraclass correlations of {value} with confidence intervals.",
                {"estimate": "intraclass correlation", "null": "0"},
            ),
        },
        tuple(notes),
        excluded,
    )  # fmt: skip


def _crossed(
    data: pd.DataFrame, value: str, session: str, sessions: Sequence
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return participants by sessions without a gap, the rows left out, and notes."""
    need_columns(data, (WHOM, session))
    need_columns(data, (value,), numbers=True)
    order = [_as_told(data[session], name) for name in sessions] or levels_of(data[session])
    if absent := [name for name in order if not (data[session] == name).any()]:
        raise RequestError(f"sessions: no {session} is {shown(absent[0])}")
    if len(set(map(str, order))) < len(order):
        raise RequestError(f"sessions: {shown(order)} names one twice")
    if len(order) < 2:
        raise RequestError(f"{session} is {shown(order)}; reliability needs two sessions")
    finite = data[value].replace([np.inf, -np.inf], np.nan).notna()
    used = data[finite & data[session].isin(order)]
    wide = used.pivot_table(index=WHOM, columns=session, values=value, observed=True)
    wide = wide.reindex(columns=order)
    gaps = wide[wide.isna().any(axis=1)]
    wide = wide.dropna()
    notes = []
    if used.duplicated([WHOM, session]).any():
        notes.append("Acquisitions of the same session were averaged.")
    if len(gaps):
        notes.append(f"Left out, without all sessions: {named_few(gaps.index)}.")
    if len(wide) < 3:
        raise RequestError(
            f"{len(wide)} participants have {value} in all of {', '.join(map(str, order))}; "
            "reliability needs three"
        )
    if np.ptp(wide.to_numpy()) == 0:
        raise RequestError(f"{value} is the same everywhere")
    left = data[~data[WHOM].isin(wide.index) | ~data.index.isin(used.index)]
    return wide, pd.DataFrame({"reason": "participant lacks a session, or value or session is not "
                               "used"}, index=left.index), notes  # fmt: skip


def _as_told(column: pd.Series, name: object) -> object:
    """Return the name of a session as the column has it; ``ses-`` may be left out."""
    return f"ses-{name}" if (column == f"ses-{name}").any() else name


def mean_squares(table: np.ndarray) -> dict[str, float]:
    """
    Return the mean squares of a two-way layout without repetition.

    Parameters
    ----------
    table : (participants, sessions) array
        Values without gaps.
    """
    n, k = table.shape
    grand = table.mean()
    rows = k * ((table.mean(axis=1) - grand) ** 2).sum()
    columns = n * ((table.mean(axis=0) - grand) ** 2).sum()
    error = max(((table - grand) ** 2).sum() - rows - columns, 0.0)
    return {
        "n": n,
        "k": k,
        "participants": rows / (n - 1),
        "sessions": columns / (k - 1),
        "error": error / ((n - 1) * (k - 1)),
    }


def variance_table(ms: dict[str, float]) -> pd.DataFrame:
    """Return mean squares with their degrees of freedom."""
    n, k = ms["n"], ms["k"]
    df = {"participants": n - 1, "sessions": k - 1, "error": (n - 1) * (k - 1)}
    return pd.DataFrame([{"source": name, "df": d, "mean_square": ms[name]}
                         for name, d in df.items()])  # fmt: skip


def icc_consistency(ms: dict[str, float], confidence: float) -> dict[str, float | str]:
    """Return ICC(3,1), with its exact interval."""
    n, k, error = ms["n"], ms["k"], ms["error"]
    df1, df2 = n - 1, (n - 1) * (k - 1)
    if error <= 1e-24 * ms["participants"]:
        return {"term": "ICC(3,1)", "estimate": 1.0, "ci_low": 1.0, "ci_high": 1.0}
    f = ms["participants"] / error
    tail = (1 + confidence) / 2
    low, high = f / stats.f.ppf(tail, df1, df2), f * stats.f.ppf(tail, df2, df1)
    return {
        "term": "ICC(3,1)", "estimate": (f - 1) / (f + k - 1), "statistic": f,
        "p_value": stats.f.sf(f, df1, df2), "ci_low": (low - 1) / (low + k - 1),
        "ci_high": (high - 1) / (high + k - 1),
    }  # fmt: skip


def icc_agreement(ms: dict[str, float], confidence: float) -> dict[str, float | str]:
    """Return ICC(2,1), with the interval of McGraw and Wong (Satterthwaite's df)."""
    n, k, r, c, e = (ms[key] for key in ("n", "k", "participants", "sessions", "error"))
    icc = (r - e) / (r + (k - 1) * e + k * (c - e) / n)
    if e <= 1e-24 * r and c <= 1e-24 * r:
        return {"term": "ICC(2,1)", "estimate": 1.0, "ci_low": 1.0, "ci_high": 1.0}
    a = k * icc / (n * (1 - icc))
    b = 1 + k * icc * (n - 1) / (n * (1 - icc))
    df = (a * c + b * e) ** 2 / (
        (a * c) ** 2 / (k - 1) + (b * e) ** 2 / ((n - 1) * (k - 1))
    )  # fmt: skip
    tail = (1 + confidence) / 2
    f_low, f_high = stats.f.ppf(tail, n - 1, df), stats.f.ppf(tail, df, n - 1)
    other = k * c + (k * n - k - n) * e
    f = r / e if e else np.inf
    return {
        "term": "ICC(2,1)", "estimate": icc, "statistic": f,
        "p_value": stats.f.sf(f, n - 1, (n - 1) * (k - 1)),
        "ci_low": n * (r - f_low * e) / (f_low * other + n * r),
        "ci_high": n * (f_high * r - e) / (other + n * f_high * r),
    }  # fmt: skip


def _within(table: np.ndarray, confidence: float) -> list[dict[str, float | str]]:
    """Return within-subject SD, CoV and repeatability coefficient, with chi-squared intervals."""
    n, k = table.shape
    df = n * (k - 1)
    sd = float(np.sqrt(((table - table.mean(axis=1, keepdims=True)) ** 2).sum() / df))
    low, high = (np.sqrt(df / stats.chi2.ppf(p, df)) for p in
                 ((1 + confidence) / 2, (1 - confidence) / 2))  # fmt: skip
    mean = abs(table.mean())
    return [
        {"term": term, "estimate": scale * sd, "df": float(df), "ci_low": scale * sd * low,
         "ci_high": scale * sd * high}
        for term, scale in (
            ("within-subject SD", 1.0),
            ("within-subject CoV", 100 / mean if mean else np.nan),
            ("repeatability coefficient", 1.96 * np.sqrt(2)),
        )
    ]  # fmt: skip


def _agreement(wide: pd.DataFrame, confidence: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return bias and limits of agreement of every pair of sessions, and the differences."""
    rows, points = [], []
    n = len(wide)
    for a, b in combinations(wide.columns, 2):
        difference = wide[b] - wide[a]
        bias, sd = difference.mean(), difference.std()
        label = f"{b} - {a}"
        row = estimates_table(
            [label], np.array([bias]), np.array([sd / np.sqrt(n)]), n - 1, confidence
        )
        margin = stats.t.ppf((1 + confidence) / 2, n - 1) * sd * np.sqrt(
            1 / n + 1.96**2 / (2 * (n - 1))
        )  # fmt: skip
        low, high = bias - 1.96 * sd, bias + 1.96 * sd
        rows.append(row.assign(
            sd=sd, limit_low=low, limit_low_ci_low=low - margin, limit_low_ci_high=low + margin,
            limit_high=high, limit_high_ci_low=high - margin, limit_high_ci_high=high + margin,
        ))  # fmt: skip
        points.append(pd.DataFrame({
            WHOM: wide.index.map(str), "pair": label,
            "mean": ((wide[a] + wide[b]) / 2).to_numpy(), "difference": difference.to_numpy(),
        }))  # fmt: skip
    return pd.concat(rows, ignore_index=True), pd.concat(points, ignore_index=True)


def _bland_altman(differences: pd.DataFrame, agreement: pd.DataFrame, value: str) -> Drawing:
    """Return differences against means, with bias and limits as lines."""
    parts = []
    for _, row in agreement.iterrows():
        points = differences[differences["pair"] == row["term"]]
        panel = {"panel": row["term"]}
        marks = {"group": "participants", "kind": "point"}
        at = {"x": points["mean"], "y": points["difference"]}
        parts.append(pd.DataFrame({**panel, **marks, **at}))
        ends = [points["mean"].min(), points["mean"].max()]
        lines = (
            ("bias", row["estimate"], row["ci_low"], row["ci_high"]),
            ("lower limit", row["limit_low"], row["limit_low_ci_low"], row["limit_low_ci_high"]),
            ("upper limit", row["limit_high"], row["limit_high_ci_low"],
             row["limit_high_ci_high"]),
        )  # fmt: skip
        parts += [
            pd.DataFrame({**panel, "group": name, "kind": "line", "x": ends, "y": at,
                          "ci_low": low, "ci_high": high})
            for name, at, low, high in lines
        ]  # fmt: skip
    columns = ["panel", "group", "kind", "x", "y", "ci_low", "ci_high"]
    data = pd.concat(
        [part.reindex(columns=columns).astype({"ci_low": float, "ci_high": float})
         for part in parts], ignore_index=True,
    )  # fmt: skip
    return Drawing(
        "scatter",
        data,
        f"Differences of {value} between sessions against their mean, with bias and 95 % limits "
        "of agreement and their confidence intervals.",
        {"x": f"mean {value}", "y": f"difference of {value}"},
    )
