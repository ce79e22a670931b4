"""Which values lie far from those of the others."""

from __future__ import annotations

import numpy as np
import pandas as pd

LIMIT = 3.5
"""Largest robust z that is not marked (Iglewicz and Hoaglin, 1993)."""

FEWEST = 10
"""Values of a site that are needed to judge by it alone; ours."""

RULE = (
    f"An outlier is a value whose robust z is beyond ±{LIMIT}: its distance from the median over "
    "1.4826 times the median absolute deviation (over 1.2533 times the mean absolute deviation "
    "where more than half of the values are equal), among the values of its site where these are "
    f"{FEWEST} or more, else among all; with fewer than {FEWEST} in all nothing is marked."
)
"""The rule in words, for the page."""

_MAD_TO_SD, _MEAN_DEVIATION_TO_SD = 1.4826, 1.2533  # of a normal distribution


def robust_z(values: pd.DataFrame, site: pd.Series) -> pd.DataFrame:
    """
    Return the distance of each value from the median, in robust standard deviations.

    The median and the scale are those of the site where it has `FEWEST` values or more, else
    those of the cohort. The scale is 1.4826 times the median absolute deviation; where more than
    half of the values are equal, 1.2533 times the mean absolute deviation.

    Parameters
    ----------
    values
        A column per figure and a row per acquisition; missing values are NaN.
    site
        Name of the site of each row.

    Returns
    -------
    z
        Of the shape of `values`; NaN where there are fewer than `FEWEST` values, or no spread.

    References
    ----------
    Iglewicz and Hoaglin, *How to detect and handle outliers*, ASQC Quality Press, 1993.
    """
    cohort = _z(values)
    by_site = [_z(rows) for _, rows in values.groupby(site.to_numpy(), sort=False)]
    enough = values.notna().groupby(site.to_numpy()).transform("sum") >= FEWEST
    return pd.concat(by_site).reindex(values.index).where(enough, cohort) if by_site else cohort


def _z(values: pd.DataFrame) -> pd.DataFrame:
    """Return robust z of each column by itself."""
    away = values - values.median()
    scale = _MAD_TO_SD * away.abs().median()
    scale = scale.where(scale > 0, _MEAN_DEVIATION_TO_SD * away.abs().mean())
    # Rounding of equal numbers is no spread.
    usable = (scale > 1e-9 * values.abs().max()) & (values.count() >= FEWEST)
    return away / scale.where(usable)


def list_outliers(values: pd.DataFrame, site: pd.Series, z: pd.DataFrame) -> pd.DataFrame:
    """
    Return a row per value beyond `LIMIT`, the farthest first: `row figure value z compared_with`.

    Parameters
    ----------
    values, site
        As for `robust_z`.
    z
        What it returned.
    """
    counts = values.notna().groupby(site.to_numpy()).transform("sum").to_numpy()
    numbers, away = values.to_numpy(dtype=float), z.to_numpy(dtype=float)
    found = [
        {
            "row": values.index[row],
            "figure": values.columns[column],
            "value": numbers[row, column],
            "z": round(away[row, column], 2),
            "compared_with": "site" if counts[row, column] >= FEWEST else "cohort",
        }
        for row, column in np.argwhere(np.abs(away) > LIMIT)
    ]
    table = pd.DataFrame(found, columns=["row", "figure", "value", "z", "compared_with"])
    return table.sort_values("z", key=lambda column: -column.abs(), ignore_index=True)
