"""Tables of Kaplan-Meier curves that lifelines fitted."""

from __future__ import annotations

from lifelines import KaplanMeierFitter
from lifelines.utils import median_survival_times
import numpy as np
import pandas as pd
from scipy.stats import norm

from qsmprep.statistics.partial_likelihood import Histories

Array = np.ndarray


def curve_table(fits: dict[str, KaplanMeierFitter]) -> pd.DataFrame:
    """Return the curves, a row per time at which an observation ends."""
    frames = []
    for name, fit in fits.items():
        ends = fit.event_table
        limits = fit.confidence_interval_.to_numpy()
        frames.append(
            pd.DataFrame(
                {
                    "group": name,
                    "time": ends.index.to_numpy(),
                    "survival": fit.survival_function_.iloc[:, 0].to_numpy(),
                    "ci_low": limits[:, 0],
                    "ci_high": limits[:, 1],
                    "at_risk": _at_risk(fit),
                    "events": ends["observed"].to_numpy(int),
                    "censorings": ends["censored"].to_numpy(int),
                }
            )
        )
    table = pd.concat(frames, ignore_index=True)
    # Before the first event nothing is uncertain, and log(-log 1) has no value.
    certain = table["survival"] == 1
    table.loc[certain, ["ci_low", "ci_high"]] = 1.0
    return table


def even_times(last: float) -> Array:
    """Return round times from 0 to the last, about six."""
    rough = last / 6
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * min((1, 2, 2.5, 5, 10), key=lambda each: abs(each - rough / power))
    return np.arange(0, last + 1e-9 * last, step)


def at_risk_table(
    past: Histories, group: Array, names: list[str], at: Array, fits: dict[str, KaplanMeierFitter]
) -> pd.DataFrame:
    """Return who is under observation just before given times, and survival then."""
    rows = []
    for k, name in enumerate(names):
        own = group == k
        stop, entry, event = past.stop[own], past.entry[own], past.event[own]
        for moment in at:
            inside = (stop >= moment) & ((entry < moment) | (entry <= 0))
            happened = int((event & (stop <= moment)).sum())
            alive = float(fits[name].predict(moment))
            rows.append((name, float(moment), int(inside.sum()), happened, alive))
    return pd.DataFrame(rows, columns=["group", "time", "at_risk", "events", "survival"])


def medians_table(fits: dict[str, KaplanMeierFitter]) -> pd.DataFrame:
    """Return when half had the event, and where the limits of the curve cross one half."""
    rows = []
    for name, fit in fits.items():
        limits = median_survival_times(fit.confidence_interval_).to_numpy().ravel()
        found = [fit.median_survival_time_, *limits]
        rows.append((name, *(value if np.isfinite(value) else np.nan for value in found)))
    return pd.DataFrame(rows, columns=["group", "median", "ci_low", "ci_high"])


def restricted_means(
    fits: dict[str, KaplanMeierFitter], horizon: float, confidence: float
) -> pd.DataFrame:
    """
    Return the area under each curve up to a horizon.

    The error is Greenwood's: lifelines gives the variance of a single time, not of the mean.
    """
    rows = []
    for name, fit in fits.items():
        ends = fit.event_table[fit.event_table.index < horizon]
        alive = fit.survival_function_.iloc[: len(ends), 0].to_numpy()
        area = alive * np.diff([*ends.index, horizon])
        later = area.sum() - np.cumsum(area) + area
        events, at_risk = ends["observed"].to_numpy(), _at_risk(fit)[: len(ends)]
        some = (events > 0) & (at_risk > events)
        hazard = events[some] / (at_risk[some] * (at_risk[some] - events[some]))
        error = np.sqrt((later[some] ** 2 * hazard).sum())
        width = norm.ppf(0.5 + confidence / 2) * error
        mean = area.sum()
        rows.append((name, horizon, mean, error, mean - width, mean + width))
    names = ["group", "horizon", "restricted_mean", "std_error", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=names)


def _at_risk(fit: KaplanMeierFitter) -> Array:
    """Return who is at risk at each time; lifelines also counts who enters right then."""
    ends = fit.event_table
    return (ends["at_risk"] - ends["entrance"].where(ends.index > 0, 0)).to_numpy(int)
