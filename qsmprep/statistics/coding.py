"""How covariates become columns of a design, learnt once and used again for new participants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError


@dataclass(frozen=True)
class Coding:
    """
    What turns covariates into columns.

    Parameters
    ----------
    numbers
        Centre and scale of every number, so that designs are well conditioned.
    levels
        Categories of every other covariate; the first is the one compared with.
    knots
        Of the natural cubic spline of a number, in its units.
    """

    numbers: dict[str, tuple[float, float]] = field(default_factory=dict)
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    knots: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Covariates, in the order of their columns."""
        return (*self.numbers, *self.levels)

    def columns(self, covariates: pd.DataFrame | None) -> np.ndarray:
        """
        Return the design of covariates without an intercept.

        Parameters
        ----------
        covariates
            A row per acquisition; None where there are none.

        Returns
        -------
        design : (rows, columns) real array
            NaN in rows that lack a covariate.

        Raises
        ------
        RequestError
            If a covariate is absent, or has a category that was not there before.
        """
        parts = self.parts(covariates)
        rows = 0 if covariates is None else len(covariates)
        return np.hstack([np.empty((rows, 0)), *parts.values()])

    def parts(self, covariates: pd.DataFrame | None) -> dict[str, np.ndarray]:
        """Return the columns of every covariate by its name, as `columns` joins them."""
        if not self.names:
            return {}
        if covariates is None:
            raise RequestError(f"covariates {', '.join(self.names)} are needed and not given")
        if absent := [name for name in self.names if name not in covariates]:
            raise RequestError(
                f"no column {absent[0]}, which was a covariate of the harmonisation"
            )
        numeric = {name: self._number(name, covariates[name]) for name in self.numbers}
        return numeric | {name: self._dummies(name, covariates[name]) for name in self.levels}

    def _number(self, name: str, values: pd.Series) -> np.ndarray:
        centre, scale = self.numbers[name]
        x = pd.to_numeric(values, errors="coerce").to_numpy(float, na_value=np.nan)
        linear = ((x - centre) / scale)[:, None]
        knots = self.knots.get(name)
        return linear if knots is None else np.hstack([linear, spline(x, np.array(knots))])

    def _dummies(self, name: str, values: pd.Series) -> np.ndarray:
        levels = self.levels[name]
        if new := sorted(set(values.dropna().astype(str)) - set(levels)):
            raise RequestError(
                f"{name} has the category {new[0]}, which was not there when the harmonisation "
                f"was fitted; it knew {', '.join(levels)}"
            )
        text = values.astype(object).where(values.notna(), None).map(_text).to_numpy()
        dummies = np.array([text == level for level in levels[1:]], float).T
        dummies = dummies.reshape(len(values), len(levels) - 1)
        dummies[values.isna().to_numpy()] = np.nan
        return dummies


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def learn(covariates: pd.DataFrame | None, smooth: Mapping[str, int] | None = None) -> Coding:
    """
    Return the coding of covariates.

    Parameters
    ----------
    covariates
        A row per acquisition. Numbers enter as they are, all else as categories.
    smooth
        Numbers that enter as natural cubic splines, with how many knots each has; these lie at
        equally spaced quantiles from 5 to 95 %.

    Raises
    ------
    RequestError
        If a covariate says the same of everybody, or cannot be smooth.
    """
    table = pd.DataFrame() if covariates is None else covariates
    smooth = smooth or {}
    numbers, levels, knots = {}, {}, {}
    for name in map(str, table.columns):
        values = table[name].dropna()
        if values.nunique() < 2:
            raise RequestError(f"covariate {name} says the same of everybody; leave it out")
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            x = values.to_numpy(float)
            numbers[name] = (float(x.mean()), float(x.std()))
            if name in smooth:
                knots[name] = _knots(name, x, smooth[name])
        else:
            levels[name] = tuple(sorted(set(values.astype(str))))
    if wrong := [name for name in smooth if name not in knots]:
        raise RequestError(f"{wrong[0]} cannot be smooth: it is no covariate that is a number")
    return Coding(numbers, levels, knots)


def _knots(name: str, x: np.ndarray, count: int) -> tuple[float, ...]:
    if count < 3:
        raise RequestError(f"a spline needs at least 3 knots, not {count}")
    knots = np.quantile(x, np.linspace(0.05, 0.95, count))
    if (np.diff(knots) <= 0).any():
        raise RequestError(f"{name} has too few different values for a spline of {count} knots")
    return tuple(map(float, knots))


def spline(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    r"""
    Return the curved columns of a natural cubic spline, which is straight beyond its knots.

    With :math:`u_+ = \max(u, 0)` and knots :math:`t_1 \ldots t_k` column :math:`j` is
    :math:`(x - t_j)_+^3 - \frac{t_k - t_j}{t_k - t_{k-1}} (x - t_{k-1})_+^3
    + \frac{t_{k-1} - t_j}{t_k - t_{k-1}} (x - t_k)_+^3` (Durrleman and Simon, 1989,
    doi:10.1002/sim.4780080504), with x and t in units of :math:`t_k - t_1`.

    Parameters
    ----------
    x : (rows,) real array
        Any unit.
    knots : (k,) real array
        Rising, in the unit of `x`.

    Returns
    -------
    columns : (rows, k - 2) real array
    """
    width = knots[-1] - knots[0]
    t = (knots - knots[0]) / width
    u = (np.asarray(x, float) - knots[0]) / width
    cubes = np.maximum(u[:, None] - t, 0) ** 3
    gap = t[-1] - t[-2]
    return (
        cubes[:, :-2]
        - cubes[:, [-2]] * (t[-1] - t[:-2]) / gap
        + cubes[:, [-1]] * (t[-2] - t[:-2]) / gap
    )
