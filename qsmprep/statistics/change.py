"""Change between two sessions, compared between groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.ancova import ancova
from qsmprep.statistics.design import need_columns, variables
from qsmprep.statistics.linear import ols
from qsmprep.statistics.regression import NO_INTERCEPT, level_name
from qsmprep.statistics.results import Drawing, Fitted
from qsmprep.statistics.rows import WHOM

OUTCOMES = ("annual", "absolute")

PARADOX = (
    "Groups differ at baseline (p = {p:.2g}), so differences with baseline held equal answer "
    "another question than the change scores and are biased where groups are not drawn by lot "
    "(doi:10.1016/j.jclinepi.2006.02.007): take the change scores."
)


def change(
    data: pd.DataFrame,
    *,
    value: str = "chi",
    time: str = "years",
    formula: str = "group + age + sex",
    factor: str = "group",
    levels: Sequence | Mapping[str, Sequence] | None = None,
    sessions: Sequence = (),
    session: str = "session_id",
    outcome: str = "absolute",
    baseline: bool = True,
    contrasts: str | Mapping[str, Sequence[float]] = "pairwise",
    adjust: str = "holm",
    covariance: str = "nonrobust",
    confidence: float = 0.95,
) -> Fitted:
    """
    Return how much a value changed between two sessions, and how groups differ in that.

    Parameters
    ----------
    data
        A row per acquisition, with ``participant_id``.
    value
        Column that changes.
    time
        Column of years; the change per year divides by their difference.
    formula
        Right-hand side, of covariates as they are at the first of the two sessions.
    factor
        Column whose levels are compared; empty to estimate the coefficients alone.
    levels
        Order of the levels of `factor`, the reference first, or orders by column.
    sessions
        Two values of the column `session`; without, a participant's first and last by `time`.
    session
        Column that names sessions.
    outcome
        ``absolute`` change, or ``annual``: change per year.
    baseline
        Whether the model is also fitted with the value at the first session as covariate, its
        terms marked "with baseline". In groups that were not drawn by lot the change score is
        the safer one (van Breukelen 2006, doi:10.1016/j.jclinepi.2006.02.007).
    contrasts
        As in `ancova`.
    adjust
        Correction over the contrasts of one model.
    covariance
        ``nonrobust`` or ``HC3``.
    confidence
        Of intervals, between 0 and 1.

    Returns
    -------
    fitted
        Estimates per contrast of change; tables ``participants`` (both values, change, change per
        year) and ``means`` (adjusted mean change per group, tested against 0) and the others of
        `ancova`; drawings ``spaghetti`` and those of `ancova`.

    Raises
    ------
    RequestError
        If columns lack, or fewer than two participants have two sessions.
    """
    if outcome not in OUTCOMES:
        raise RequestError(
            f"outcome = {shown(outcome)}; it is {' or '.join(map(shown, OUTCOMES))}"
        )
    pairs, excluded, notes = two_sessions(data, value, time, sessions, session)
    frame = pairs.assign(change=pairs["absolute_change"] if outcome == "absolute"
                         else pairs["annual_change"], baseline=pairs["first_value"])  # fmt: skip
    right = formula.partition("~")[2] or formula
    if factor:
        if factor not in variables(right):
            raise RequestError(
                f'formula {shown(right)} has no {factor}; add it, or write factor = "" for none'
            )
        fitted = ancova(
            frame, formula=f"change ~ {right}", factor=factor, levels=levels, contrasts=contrasts,
            adjust=adjust, extra="baseline" if baseline else "", covariance=covariance,
            confidence=confidence,
        )  # fmt: skip
        if NO_INTERCEPT in fitted.notes:
            raise RequestError(f"formula {shown(right)}: leave out 0 + or - 1")
        if baseline and (p := _baseline_p(frame, right, factor, levels, covariance)) < 0.05:
            notes.append(PARADOX.format(p=p))
    else:
        orders = levels if isinstance(levels, Mapping) else None
        right += " + baseline" if baseline else ""
        fitted = ols(frame, formula=f"change ~ {right}", covariance=covariance, levels=orders,
                     confidence=confidence)  # fmt: skip
    left_out = [excluded, _all_rows(data, fitted.excluded)]
    chosen = f"sessions {sessions[0]} and {sessions[1]}" if sessions else "first and last session"
    unit = " per year" if outcome == "annual" else ""
    table = pairs[[WHOM, *([factor] if factor else []), "first_time", "last_time", "first_value",
                   "last_value", "absolute_change", "annual_change"]]  # fmt: skip
    drawings = {
        "spaghetti": _spaghetti(
            pairs,
            factor,
            list(fitted.tables["means"]["group"].unique()) if factor else ["all"],
            value,
            confidence,
        ),
        **fitted.drawings,
    }
    return Fitted(
        fitted.estimates,
        {**fitted.facts, "mean_years": float((pairs["last_time"] - pairs["first_time"]).mean())},
        f"Change{unit} of {value} between {chosen} was taken per participant. {fitted.method}",
        {"participants": table.reset_index(drop=True), **fitted.tables},
        {name: _renamed(drawing, value, unit) for name, drawing in drawings.items()},
        (*notes, *fitted.notes),
        pd.concat(left_out),
    )


def two_sessions(
    data: pd.DataFrame, value: str, time: str, sessions: Sequence, session: str
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """
    Return a row per participant with two sessions, the rows left out, and notes.

    Returns
    -------
    pairs
        Columns of the participant's first row, and first_time, last_time (years), first_value,
        last_value, absolute_change, annual_change (per year).
    excluded
        Rows without use, with the reason.
    notes
        What happened on the way.
    """
    needed = [WHOM, value, time, *([session] if sessions else [])]
    need_columns(data, needed)
    need_columns(data, (value, time), numbers=True)
    if sessions and (len(sessions) != 2 or sessions[0] == sessions[1]):
        raise RequestError(f"sessions = {shown(list(sessions))}; name two")
    reasons = pd.Series("", index=data.index)
    for name in needed:
        gap = data[name].isna() | data[name].isin([np.inf, -np.inf])
        reasons[gap & (reasons == "")] = f"no {name}"
    if sessions:
        names = data[session].astype(str).str.removeprefix("ses-")
        wanted = [str(name).removeprefix("ses-") for name in sessions]
        if absent := [name for name in wanted if name not in set(names)]:
            raise RequestError(f"sessions: no {session} is {shown(absent[0])}")
        reasons[~names.isin(wanted) & (reasons == "")] = "not one of the two sessions"
    used = data[reasons == ""]
    times = used.groupby(WHOM)[time].agg(["min", "max"])
    single = times.index[times["min"] == times["max"]]
    alone = used[WHOM].isin(single)
    reasons[used.index[alone]] = "participant has one session only"
    used = used[~alone]
    if used[WHOM].nunique() < 2:
        raise RequestError(
            f"{used[WHOM].nunique()} participants have {value} at two times ({time}); change "
            "needs at least two"
        )
    between = used[time].ne(used[WHOM].map(times["min"])) & used[time].ne(
        used[WHOM].map(times["max"])
    )
    reasons[used.index[between]] = "between the first and the last session"
    pairs, repeated = _pairs(used[~between], value, time)
    notes = []
    if repeated:
        notes.append(f"{repeated} sessions have several acquisitions, which were averaged.")
    if len(single):
        notes.append(f"Left out, with one session only: {named_few(single)}.")
    if sessions:
        turned = _session_order(used[~between], time, session, str(sessions[0]))
        if turned:
            raise RequestError(
                f"sessions: {turned} was seen at {sessions[1]} before {sessions[0]} ({time}); "
                "name the earlier one first"
            )
    left_out = reasons[reasons != ""]
    return pairs, pd.DataFrame({"reason": left_out}, dtype=str), notes


def named_few(names: Iterable, most: int = 5) -> str:
    """Return the first names of a list, and how many more there are."""
    listed = list(map(str, names))
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def _session_order(used: pd.DataFrame, time: str, session: str, first: str) -> str:
    """Return the first participant whose first session is not the one named first."""
    at = used.loc[used.groupby(WHOM)[time].idxmin()]
    names = at[session].astype(str).str.removeprefix("ses-")
    wrong = at[names != first.removeprefix("ses-")]
    return str(wrong[WHOM].iloc[0]) if len(wrong) else ""


def _pairs(used: pd.DataFrame, value: str, time: str) -> tuple[pd.DataFrame, int]:
    """Return a row per participant, and the number of sessions with several acquisitions."""
    means = used.groupby([WHOM, time])[value].agg(["mean", "size"]).reset_index()
    first = means.groupby(WHOM).first()
    last = means.groupby(WHOM).last()
    ordered = used.sort_values(time, kind="stable")
    at_first = ordered.index[~ordered[WHOM].duplicated()]
    pairs = used[used.index.isin(at_first)]
    who = pairs[WHOM]
    pairs = pairs.assign(
        first_time=who.map(first[time]),
        last_time=who.map(last[time]),
        first_value=who.map(first["mean"]),
        last_value=who.map(last["mean"]),
    )
    absolute = pairs["last_value"] - pairs["first_value"]
    years = pairs["last_time"] - pairs["first_time"]
    return (
        pairs.assign(absolute_change=absolute, annual_change=absolute / years),
        int((means["size"] > 1).sum()),
    )


def _baseline_p(frame: pd.DataFrame, right: str, factor: str, levels, covariance: str) -> float:
    """Return the p-value of a difference between groups at the first session."""
    fitted = ancova(
        frame, formula=f"baseline ~ {right}", factor=factor, levels=levels, covariance=covariance
    )
    tests = fitted.tables["anova"]
    own = [{factor} == set(variables(term)) for term in tests["term"][:-1]]
    with_factor = tests["p_value"][:-1][own]
    return float(with_factor.iloc[0]) if len(with_factor) else np.nan


def _all_rows(data: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
    """Return all rows of the participants that the model left out."""
    reasons = dict(zip(data.loc[excluded.index, WHOM], excluded["reason"], strict=True))
    rows = data[data[WHOM].isin(list(reasons))]
    return pd.DataFrame({"reason": rows[WHOM].map(reasons)}, dtype=str)


def _renamed(drawing: Drawing, value: str, unit: str) -> Drawing:
    """Return a drawing whose words name what changed."""

    def worded(text: str) -> str:
        return text.replace("of change", f"of change{unit} of {value}") if text else text

    labels = {
        key: f"change{unit} of {value}, adjusted" if text == "change, adjusted" else worded(text)
        for key, text in drawing.labels.items()
    }
    return Drawing(drawing.kind, drawing.data, worded(drawing.caption), labels)


def _spaghetti(
    pairs: pd.DataFrame, factor: str, order: list[str], value: str, confidence: float
) -> Drawing:
    """Return a line per participant from the first to the last session, and the mean of groups."""
    groups = pairs[factor].map(level_name) if factor else pd.Series("all", index=pairs.index)
    pairs, groups = pairs[groups.isin(order)], groups[groups.isin(order)]
    parts = []
    for when in ("first", "last"):
        years = pairs[f"{when}_time"] - pairs["first_time"]
        parts.append(pd.DataFrame({"subject": pairs[WHOM].astype(str), "group": groups,
                                   "x": years, "y": pairs[f"{when}_value"]}))  # fmt: skip
        for group, rows in parts[-1].groupby("group", sort=False):
            n = len(rows)
            margin = stats.t.ppf((1 + confidence) / 2, n - 1) * rows["y"].std() / n**0.5 \
                if n > 1 else np.nan  # fmt: skip
            mean = rows["y"].mean()
            parts.append(pd.DataFrame({
                "subject": [""], "group": [group], "x": [rows["x"].mean()], "y": [mean],
                "ci_low": [mean - margin], "ci_high": [mean + margin],
            }))  # fmt: skip
    columns = ["subject", "group", "x", "y", "ci_low", "ci_high"]
    data = pd.concat([part.reindex(columns=columns).astype({"ci_low": float, "ci_high": float})
                      for part in parts], ignore_index=True)  # fmt: skip
    return Drawing(
        "spaghetti",
        data.sort_values(
            ["group", "subject", "x"],
            kind="stable",
            ignore_index=True,
            key=lambda of: of.map(order.index) if of.name == "group" else of,
        ),
        f"{value} of each participant at the two sessions, and the observed means of groups with "
        "confidence intervals.",
        {"x": "years since the first session", "y": value, "group": factor},
    )
