"""Corrections for many tests, which leave missing p-values missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError, shown

METHODS = ("holm", "bh", "bonferroni", "none")

REFERENCES = {
    "holm": "Holm (1979, Scand J Stat 6:65)",
    "bh": "Benjamini and Hochberg (1995, doi:10.1111/j.2517-6161.1995.tb02031.x)",
    "bonferroni": "Bonferroni",
    "none": "none",
}


def correct(p_values: Sequence[float] | pd.Series | np.ndarray, method: str) -> np.ndarray:
    """
    Return p-values corrected for the number of tests that have one.

    Parameters
    ----------
    p_values : (N,) array
        Missing where there was no test.
    method
        ``holm`` (family-wise error; Holm 1979), ``bh`` (false discovery rate;
        doi:10.1111/j.2517-6161.1995.tb02031.x), ``bonferroni`` or ``none``.

    Returns
    -------
    (N,) array
        Missing where `p_values` is.

    Raises
    ------
    RequestError
        If there is no such method.
    """
    if method not in METHODS:
        raise RequestError(f"no correction {shown(method)}; there are {', '.join(METHODS)}")
    p = np.asarray(p_values, float)
    corrected = np.full(p.shape, np.nan)
    there = np.isfinite(p)
    corrected[there] = _corrected(p[there], method)
    return corrected


def _corrected(p: np.ndarray, method: str) -> np.ndarray:
    """
    Return corrected p-values of tests that all have one.

    Ours, since statsmodels collects garbage on every call, which takes longer than a model.
    """
    m = len(p)
    if method == "none" or m == 0:
        return p
    if method == "bonferroni":
        return np.minimum(m * p, 1)
    order = np.argsort(p)
    steps = np.arange(m, 0, -1)
    if method == "holm":
        ordered = np.maximum.accumulate(p[order] * steps)
    else:
        ordered = np.minimum.accumulate((p[order] * m / steps[::-1])[::-1])[::-1]
    corrected = np.empty(m)
    corrected[order] = np.minimum(ordered, 1)
    return corrected


def add_family(estimates: pd.DataFrame, by: Sequence[str] = ("term",)) -> pd.DataFrame:
    """
    Return estimates of a model over regions with the columns ``p_holm`` and ``p_bh``.

    Parameters
    ----------
    estimates
        Rows of all regions, with the column ``p_value``.
    by
        Columns that tell families apart: all rows that agree in them are one family. By default
        a family is one term over all regions.
    """
    families = estimates.groupby(list(by), sort=False, dropna=False)["p_value"]
    return estimates.assign(
        p_holm=families.transform(lambda p: correct(p, "holm")),
        p_bh=families.transform(lambda p: correct(p, "bh")),
    )
