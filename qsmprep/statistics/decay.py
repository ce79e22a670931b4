"""When the curve of a group begins to fall."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qsmprep.statistics.growth_curves import Curve


def decay_start(times: np.ndarray, means: np.ndarray, floor: float, since: float) -> float:
    """
    Return the first time after the peak, and after `since`, whose mean is below a floor.

    Parameters
    ----------
    times, means : (n,) arrays
        The curve of a group, in order of time.
    floor
        Lower limit of the interval of its mean at `since`.

    Returns
    -------
    float
        The time; infinite where the curve stays above.
    """
    after = (times > max(times[np.argmax(means)], since)) & (means < floor)
    return float(times[after][0]) if after.any() else np.inf


def decay(
    curve: Curve,
    grid: tuple[pd.DataFrame, np.ndarray],
    start: tuple[pd.DataFrame, np.ndarray],
    draws: np.ndarray,
    start_draws: np.ndarray,
) -> pd.DataFrame:
    """
    Return when each group's mean falls below its interval at an early time.

    Parameters
    ----------
    grid, start
        Means of the curves, and at that early time.
    draws, start_draws : (b, 2, c), (b, 2, groups) array
        The same with their standard errors in resampled cohorts.
    """
    place, contrasts = grid
    times = place["time"].to_numpy()[: len(place) // len(curve.groups)]
    since = float(start[0]["time"].iloc[0])
    values = contrasts @ curve.model.fit.beta
    early = curve.model.compare(curve.groups, start[1])
    reach = ((early["estimate"] - early["ci_low"]) / early["std_error"]).to_numpy()
    scale = np.exp if curve.axis.log else np.asarray
    rows = []
    for i, group in enumerate(curve.groups):
        own = slice(i * len(times), (i + 1) * len(times))
        floor = float(early["ci_low"].iloc[i])
        begun = decay_start(times, values[own], floor, since)
        row = {
            "group": group, "peak_time": times[np.argmax(values[own])], "compared_with": since,
            "floor": float(scale(floor)), "decay_start": begun,
        }  # fmt: skip
        if len(draws):
            floors = start_draws[:, 0, i] - reach[i] * start_draws[:, 1, i]
            pairs = zip(draws[:, 0, own], floors, strict=True)
            drawn = np.array([decay_start(times, mean, low, since) for mean, low in pairs])
            ends = [(1 + sign * curve.model.wishes.confidence) / 2 for sign in (-1, 1)]
            low, high = np.quantile(drawn, ends, method="inverted_cdf")
            row |= {"boot_low": low, "boot_high": high, "share_decayed": np.isfinite(drawn).mean()}
        rows.append(row)
    return pd.DataFrame(rows).replace(np.inf, np.nan)
