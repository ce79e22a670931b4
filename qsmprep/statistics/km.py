"""Kaplan-Meier curves of groups, and whether they differ."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from itertools import combinations, pairwise

from lifelines import KaplanMeierFitter
from lifelines.exceptions import StatError
import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from scipy.stats import norm

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.design import complete
from qsmprep.statistics.families import correct
from qsmprep.statistics.histories import columns, histories
from qsmprep.statistics.km_tables import (
    at_risk_table,
    curve_table,
    even_times,
    medians_table,
    restricted_means,
)
from qsmprep.statistics.logrank import LogRank, log_rank
from qsmprep.statistics.partial_likelihood import Histories
from qsmprep.statistics.results import ESTIMATES, Drawing, Fitted
from qsmprep.statistics.rows import check_share, counts, repeats

Array = np.ndarray

ALL = "all"


def km(
    data: pd.DataFrame,
    *,
    time: str,
    event: str,
    by: str = "",
    split: str | float | Sequence[float] = "median",
    entry: str = "",
    strata: str | Sequence[str] = (),
    at: Sequence[float] = (),
    horizon: float = 0.0,
    confidence: float = 0.95,
) -> Fitted:
    """
    Return the curve of each group with its median and restricted mean, and log-rank tests.

    Curves are those of lifelines; their intervals are symmetric for log(-log S), R's ``log-log``.

    Parameters
    ----------
    data
        One row per history.
    time, event
        Columns of the time observed and of whether it ended with the event (1) or not (0).
    by
        Column of the groups; without it there is one curve.
    split
        Where a number is cut: at its ``median``, or at one or several given values; ``values``
        makes a group of each of its values. A value at the cut, so with an odd number of rows the
        median row itself, goes with the lower group. Texts, and numbers with but two values, are
        not cut.
    entry
        Column of the time from which a row was at risk, where that was not 0.
    strata
        Columns within whose values groups are compared.
    at
        Times of the at-risk table; unless given, about six even ones.
    horizon
        Up to where restricted means go; unless given, the earliest end of observation of the
        groups.
    confidence
        Of the intervals.

    Raises
    ------
    RequestError
        If the data cannot answer, in one sentence.

    References
    ----------
    .. [1] Kaplan EL, Meier P. Nonparametric estimation from incomplete observations. J Am Stat
       Assoc 1958;53:457-481. https://doi.org/10.1080/01621459.1958.10501452
    .. [2] Brookmeyer R, Crowley J. A confidence interval for the median survival time. Biometrics
       1982;38:29-41. https://doi.org/10.2307/2530286
    .. [3] Yusuf S, Peto R, Lewis J, Collins R, Sleight P. Beta blockade during and after
       myocardial infarction. Prog Cardiovasc Dis 1985;27:335-371.
       https://doi.org/10.1016/S0033-0620(85)80003-7
    """
    strata = columns(strata)
    check_share("confidence", confidence)
    used, excluded = complete(data, [time, event, *columns(by), *columns(entry), *strata])
    past = histories(used, time, event, entry, strata)
    group, names, cut = _groups(used, by, split)
    fits = _curves(past, group, names, confidence)
    ends = [float(past.stop[group == k].max()) for k in range(len(names))]
    if horizon < 0 or horizon > min(ends):
        raise RequestError(
            f"horizon = {horizon:g}: group {names[int(np.argmin(ends))]} is observed until "
            f"{min(ends):g}"
        )
    moments = np.asarray(at, float) if len(at) else even_times(past.stop.max())
    tables = {
        "curves": curve_table(fits),
        "at_risk": at_risk_table(past, group, names, moments, fits),
        "medians": medians_table(fits),
        "restricted_mean": restricted_means(fits, horizon or min(ends), confidence),
    }
    tests = _tests(past, group, names)
    estimates = _estimates(tests, tables["medians"], confidence)
    if tests:
        tables["logrank"] = _logrank_table(tests)
        tables["groups"] = _group_table(past, group, names)
    facts = counts(used) | {
        "events": int(past.event.sum()),
        "groups": len(names),
        "converged": True,
    }
    if cut:
        facts["cut"] = ", ".join(f"{value:.6g}" for value in cut)
    drawing = _drawing(tables["curves"], by, cut, time, confidence, tests)
    return Fitted(
        estimates,
        facts,
        _method(time, event, by, split, cut, strata, entry, len(names)),
        tables,
        {"kaplan_meier": drawing},
        (*_notes(past, group, names), *repeats(used)),
        excluded,
    )


def _groups(
    used: pd.DataFrame, by: str, split: str | float | Sequence[float]
) -> tuple[Array, list[str], list[float]]:
    """Return the group of each row, the names of groups, and where a number was cut."""
    if not by:
        return np.zeros(len(used), int), [ALL], []
    values = used[by]
    if values.nunique() < 2:
        raise RequestError(f"{by} is {shown(values.iloc[0])} in all rows: there are no groups")
    number = is_numeric_dtype(values) and not is_bool_dtype(values)
    if isinstance(split, str) and split not in ("median", "values"):
        raise RequestError(f'split = {shown(split)}: give "median", "values" or numbers')
    if not number and split not in ("median", "values"):
        raise RequestError(f"split = {shown(split)}: {by} is no number; leave split out")
    if not number or split == "values" or (split == "median" and values.nunique() == 2):
        codes, levels = pd.factorize(values, sort=True)
        if len(levels) > 10:
            raise RequestError(f"{by} has {len(levels)} values: too many groups; cut it by split")
        named = [f"{by} {level:g}" if number else str(level) for level in levels]
        return codes, named, []
    cuts = [float(values.median())] if split == "median" else np.atleast_1d(split).tolist()
    if cuts != sorted(set(cuts)):
        raise RequestError(f"split = {shown(split)}: its numbers must rise")
    # At the left of its cut: what equals it is in the lower group.
    group = np.searchsorted(cuts, values.to_numpy(float), side="left")
    # The name of the median is the same in all regions, unlike its value.
    shorn = ["median"] if split == "median" else [f"{cut:.4g}" for cut in cuts]
    names = [f"{by} ≤ {shorn[0]}"]
    names += [f"{low} < {by} ≤ {high}" for low, high in pairwise(shorn)]
    names += [f"{by} > {shorn[-1]}"]
    if empty := [name for k, name in enumerate(names) if not (group == k).any()]:
        raise RequestError(f"split = {shown(split)}: no row has {empty[0]}")
    return group, names, cuts


def _curves(
    past: Histories, group: Array, names: list[str], confidence: float
) -> dict[str, KaplanMeierFitter]:
    """Return what lifelines fits to each group."""
    late = np.isfinite(past.entry).all()
    fits = {}
    for k, name in enumerate(names):
        own = group == k
        try:
            fits[name] = KaplanMeierFitter(alpha=1 - confidence).fit(
                past.stop[own],
                past.event[own],
                entry=past.entry[own] if late else None,
                label=name,
            )
        except StatError as error:
            raise RequestError(
                f"group {name}: all who are at risk early have the event before others enter, so "
                "that the curve ends there; keep rows with an early entry out, or fit cox"
            ) from error
    return fits


def _tests(past: Histories, group: Array, names: list[str]) -> dict[str, LogRank]:
    """Return the tests: of all groups, and where there are more than two, of each pair."""
    if len(names) < 2:
        return {}
    k = len(names)
    every = log_rank(past, group, k)
    if np.trace(every.covariance) < 1e-9:
        raise RequestError("rows of different groups are never at risk together within strata")
    if k == 2:
        return {f"{names[1]} vs {names[0]}": every}
    tests = {"all groups": every}
    for first, second in combinations(range(k), 2):
        own = (group == first) | (group == second)
        part = Histories(past.entry[own], past.stop[own], past.event[own], past.stratum[own])
        found = log_rank(part, (group[own] == second).astype(int), 2)
        tests[f"{names[second]} vs {names[first]}"] = found
    return tests


def _estimates(
    tests: dict[str, LogRank], medians: pd.DataFrame, confidence: float
) -> pd.DataFrame:
    """Return log hazard ratios by Peto's one step, or without groups the median."""
    rows: list[tuple] = []
    if not tests:
        low, middle, high = medians.loc[0, ["ci_low", "median", "ci_high"]]
        rows = [("median", middle, *[np.nan] * 4, low, high)]
        return pd.DataFrame(rows, columns=list(ESTIMATES))
    width = norm.ppf(0.5 + confidence / 2)
    for name, test in tests.items():
        head = (test.statistic, test.df, test.p_value)
        variance = test.covariance[-1, -1]
        if test.df > 1 or variance < 1e-9:
            rows.append((name, np.nan, np.nan, *head, np.nan, np.nan))
            continue
        ratio, error = (test.observed - test.expected)[-1] / variance, 1 / np.sqrt(variance)
        rows.append((name, ratio, error, *head, ratio - width * error, ratio + width * error))
    table = pd.DataFrame(rows, columns=list(ESTIMATES))
    return table.assign(
        hazard_ratio=np.exp(table.estimate),
        hazard_ratio_low=np.exp(table.ci_low),
        hazard_ratio_high=np.exp(table.ci_high),
    )


def _logrank_table(tests: dict[str, LogRank]) -> pd.DataFrame:
    """Return chi squared and p of each test, those of pairs corrected after Holm."""
    rows = [(name, test.statistic, test.df, test.p_value) for name, test in tests.items()]
    table = pd.DataFrame(rows, columns=["comparison", "statistic", "df", "p_value"])
    table["p_holm"] = table["p_value"]
    if len(table) > 1:
        table.loc[0, "p_holm"] = np.nan
        table.loc[1:, "p_holm"] = correct(table["p_value"][1:], "holm")
    return table


def _group_table(past: Histories, group: Array, names: list[str]) -> pd.DataFrame:
    """Return how many are in each group, their events, and those expected if all were alike."""
    found = log_rank(past, group, len(names))
    return pd.DataFrame(
        {
            "group": names,
            "n": np.bincount(group, minlength=len(names)),
            "events": found.observed.astype(int),
            "expected": found.expected,
        }
    )


def _drawing(
    curves: pd.DataFrame,
    by: str,
    cut: list[float],
    time: str,
    confidence: float,
    tests: dict[str, LogRank],
) -> Drawing:
    """Return the curves as a figure."""
    marks = ["group", "time", "survival", "ci_low", "ci_high", "at_risk"]
    data = curves[marks].assign(censored=curves["censorings"] > 0)
    caption = f"Kaplan-Meier curves{f' by {by}' if by else ''}"
    caption += f" (cut at {', '.join(f'{value:.4g}' for value in cut)})" if cut else ""
    caption += f" with {100 * confidence:g} % confidence bands; ticks are ends of observation."
    if tests:
        caption += f" Log-rank P = {next(iter(tests.values())).p_value:.3g}."
    return Drawing(
        "kaplan_meier", data, caption, {"time": time, "survival": "Proportion without event"}
    )


def _notes(past: Histories, group: Array, names: list[str]) -> list[str]:
    """Return what a reader must know."""
    notes = []
    without = [name for k, name in enumerate(names) if not past.event[group == k].any()]
    if without and len(names) > 1:
        notes.append(f"There is no event in {', '.join(without)}.")
    return notes


def _method(
    time: str,
    event: str,
    by: str,
    split: object,
    cut: list[float],
    strata: list[str],
    entry: str,
    k: int,
) -> str:
    """Return what was done, in sentences."""
    text = (
        f"The proportion without event ({time}, {event}) was estimated after Kaplan and Meier "
        f"(1958) by lifelines {version('lifelines')}, with confidence intervals symmetric for "
        "log(-log S), medians with limits after Brookmeyer and Crowley (1982)"
    )
    text += f", and entry into the risk sets at {entry}." if entry else "."
    if cut:
        where = "its median" if split == "median" else "given values"
        numbers = ", ".join(f"{value:.6g}" for value in cut)
        text += f" Groups are {by} cut at {where} ({numbers}), values at a cut in the lower group."
    if k > 1:
        within = f" stratified by {', '.join(strata)}" if strata else ""
        text += (
            f" Groups were compared by the log-rank test (Mantel 1966){within}; hazard ratios are "
            "by Peto's one step (Yusuf et al. 1985)."
        )
    if k > 2:
        text += " P-values of pairs are corrected after Holm (1979)."
    return text
