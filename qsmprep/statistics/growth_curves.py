"""Polynomial curves of groups: how they are fitted, compared, and when they begin to fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.contrasts import joint_test
from qsmprep.statistics.design import complete, variables
from qsmprep.statistics.families import correct
from qsmprep.statistics.mixed_tables import Mixed, Wishes, fit_formula, limits
from qsmprep.statistics.polynomials import Polynomials, bin_times, degree_name, orthonormal
from qsmprep.statistics.predictions import typical
from qsmprep.statistics.regression import level_name, levels_of
from qsmprep.statistics.results import OBSERVED, Drawing, Fact

HIGHEST = 5
"""Degree up to which one is chosen on continuous times."""


@dataclass(frozen=True)
class Axis:
    """
    What is drawn over what.

    Parameters
    ----------
    outcome, time, group
        Columns; no `group` where it is empty.
    covariates
        Further terms of the formula.
    log
        Whether the logarithm of the outcome is modelled.
    bins
        Times of bins, or their number; 0 for continuous time.
    equal
        Whether polynomials are of the number of a bin instead of its time.
    """

    outcome: str
    time: str
    group: str
    covariates: tuple[str, ...]
    log: bool
    bins: int | Sequence[float]
    equal: bool

    def polynomial(self, degree: int) -> str:
        """Return the name of a column of the design."""
        return f"poly({self.time}, {degree})"

    def formula(self, order: int) -> str:
        """Return the formula of curves of this degree."""
        left = f"log(`{self.outcome}`)" if self.log else f"`{self.outcome}`"
        curve = " + ".join(f"`{self.polynomial(k)}`" for k in range(1, order + 1))
        curve = f"`{self.group}` * ({curve})" if self.group else curve
        return f"{left} ~ {' + '.join([curve, *self.covariates])}"


@dataclass(frozen=True)
class Curve:
    """
    Fitted curves.

    Parameters
    ----------
    model
        The mixed model behind them.
    axis
        What they show.
    basis
        The polynomials of time.
    points
        Times of bins, or of all rows, in order.
    groups
        Names of the groups, the one compared with first; one empty name where there are none.
    notes
        What a reader must know.
    """

    model: Mixed
    axis: Axis
    basis: Polynomials
    points: np.ndarray
    groups: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def order(self) -> int:
        """Degree of the polynomials."""
        return len(self.basis.to_basis) - 1

    def grid(self, times: Sequence[float] | np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Return group and time of every curve at some times, and the contrasts that give it."""
        axis, data = self.axis, self.model.data
        if not len(times):
            return pd.DataFrame({"group": [], "time": []}), np.zeros((0, self.model.x.shape[1]))
        place = pd.DataFrame(
            [(group, time) for group in self.groups for time in times], columns=["group", "time"]
        )
        names = [axis.polynomial(k) for k in range(1, self.order + 1)]
        rows = pd.DataFrame(self.basis(place["time"].to_numpy()), columns=names)
        rows[axis.time] = place["time"]
        if axis.group:
            rows[axis.group] = place["group"]
        for name in variables(" + ".join(axis.covariates)) if axis.covariates else ():
            if name not in rows:
                rows = rows.assign(**{name: typical(data, name, self.model.wishes.subject)})
        design = self.model.x.model_spec.get_model_matrix(rows, context={})
        return place, design.to_numpy(float)

    def gaps(self, times: Sequence[float] | np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Return, at some times, how every group differs from the first, as contrasts."""
        place, contrasts = self.grid(times)
        if len(self.groups) == 1:
            return place[:0], contrasts[:0]
        first = contrasts[: len(times)]
        apart = np.vstack([contrasts[i : i + len(times)] - first
                           for i in range(len(times), len(place), len(times))])  # fmt: skip
        place = place[len(times) :].reset_index(drop=True)
        return place.assign(versus=self.groups[0]), apart


def rows_of(
    data: pd.DataFrame, axis: Axis, levels: Sequence[str], wishes: Wishes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """
    Return the rows of the groups asked for, and those of other groups.

    Raises
    ------
    RequestError
        If a column is missing or no number, or there are fewer than two groups.
    """
    names = [axis.outcome, axis.time, wishes.subject, *([wishes.unit] if wishes.unit else []),
             *(name for term in axis.covariates for name in variables(term))]  # fmt: skip
    for term in axis.covariates:
        if not variables(term):  # such as 0, which would take the intercept away
            raise RequestError(f"covariates: {shown(term)} names no column")
    used, excluded = complete(data, [*names, *([axis.group] if axis.group else [])])
    for name in (axis.outcome, axis.time):
        if not is_numeric_dtype(used[name]):
            raise RequestError(f"{name} is not a number in every row")
    if axis.log and (used[axis.outcome] <= 0).any():
        raise RequestError(f"log: {axis.outcome} is not above 0 in every row")
    if not axis.group:
        return used, excluded
    groups = used[axis.group].map(level_name)
    chosen = list(map(level_name, levels or levels_of(used[axis.group])))
    if absent := [level for level in chosen if level not in set(groups)]:
        raise RequestError(f"levels: no row has {axis.group} = {shown(absent[0])}")
    if len(set(chosen)) < 2:
        raise RequestError(f"{axis.group} has one group, {chosen[0]}; leave out group")
    inside = groups.isin(chosen)
    reason = pd.DataFrame({"reason": axis.group + " " + groups[~inside]})
    used = used[inside].assign(**{axis.group: pd.Categorical(groups[inside], chosen)})
    return used, pd.concat([excluded, reason])


def fit_curves(rows: pd.DataFrame, axis: Axis, order: int | str, wishes: Wishes) -> Curve:
    """
    Return the curves of the groups.

    Parameters
    ----------
    rows
        See `rows_of`.
    order
        Highest degree, or ``auto``.

    Raises
    ------
    RequestError
        If there are too few times for the degree.
    """
    times = rows[axis.time].to_numpy(float)
    if axis.bins:
        times = bin_times(times, axis.bins)
        rows = rows.assign(**{axis.time: times})
    groups = tuple(rows[axis.group].cat.categories) if axis.group else ("",)
    in_group = [rows[axis.group].to_numpy() == g if axis.group else np.full(len(rows), True)
                for g in groups]  # fmt: skip
    distinct = [len(np.unique(times[inside])) for inside in in_group]
    fewest = int(np.argmin(distinct))
    of_whom = f"{axis.group} {groups[fewest]} has" if axis.group else "the data have"
    if order != "auto" and (isinstance(order, str) or order < 1):
        raise RequestError(f'order = {shown(order)}: give a number from 1, or "auto"')
    most = distinct[fewest] - 1
    if most < 1 or (isinstance(order, int) and order > most):
        raise RequestError(
            f"{of_whom} rows at {distinct[fewest]} different times: give an order of at most "
            f"{most}{' or fewer bins' if axis.bins else ''}"
        )
    points = np.unique(times) if axis.bins else np.sort(times)

    def fitted(degree: int, reml: bool) -> Curve:
        total = 1.0 if axis.bins else float(len(points))
        basis = orthonormal(points, degree, total=total, equal=axis.equal)
        names = [axis.polynomial(k) for k in range(1, degree + 1)]
        columns = pd.DataFrame(basis(times), columns=names, index=rows.index)
        model = fit_formula(
            rows.join(columns), axis.formula(degree), "1", replace(wishes, reml=reml)
        )
        return Curve(model, axis, basis, points, groups)

    if isinstance(order, str):
        degrees = range(1, (most if axis.bins else min(most, HIGHEST)) + 1)
        order = min(degrees, key=lambda degree: _aic(fitted(degree, reml=False)))
    curve = fitted(order, wishes.reml)
    notes = []
    if axis.bins and order == len(points) - 1:
        notes.append(
            f"The curves are saturated: with order {order} on {len(points)} bins each goes "
            "through the mean of every bin, and nothing is smoothed."
        )
    return replace(curve, notes=tuple(notes))


def _aic(curve: Curve) -> float:
    fit = curve.model.fit
    return 2 * (len(fit.beta) + fit.parameters) - 2 * fit.log_likelihood


def means(curve: Curve, grid: tuple[pd.DataFrame, np.ndarray], draws: np.ndarray) -> pd.DataFrame:
    """Return fitted means with intervals, beside what was seen at the same bin."""
    place, contrasts = grid
    fit = curve.model.fit
    table = _table(curve, place, contrasts, draws)
    table = table.drop(columns=["statistic", "p_value"])
    if curve.axis.log:
        spread = float(fit.between.sum()) + (fit.unit_variance or 0.0) + fit.sigma2
        table["arithmetic_mean"] = table["estimate"] * np.exp(spread / 2)
    if not curve.axis.bins:
        return table
    seen = _observed(curve)
    return table.merge(seen, how="left", on=["group", "time"])


def _observed(curve: Curve) -> pd.DataFrame:
    """Return number and mean of the rows of every bin."""
    axis, data = curve.axis, curve.model.data
    group = data[axis.group].astype(str) if axis.group else pd.Series("", index=data.index)
    value = np.log(data[axis.outcome]) if axis.log else data[axis.outcome]
    frame = pd.DataFrame({"group": group, "time": data[axis.time], "value": value})
    seen = frame.groupby(["group", "time"])["value"].agg(["size", "mean"]).reset_index()
    if axis.log:
        seen["mean"] = np.exp(seen["mean"])
    return seen.rename(columns={"size": "rows", "mean": "observed_mean"})


def differences(
    curve: Curve, gaps: tuple[pd.DataFrame, np.ndarray], draws: np.ndarray
) -> pd.DataFrame:
    """Return how groups differ at some times, with p corrected for all of them (Holm, 1979)."""
    table = _table(curve, *gaps, draws)
    at = list(table.columns).index("p_value") + 1
    table.insert(at, "p_holm", correct(table["p_value"], "holm"))
    return table


def _table(curve: Curve, place: pd.DataFrame, contrasts: np.ndarray,
           draws: np.ndarray) -> pd.DataFrame:  # fmt: skip
    """Return contrasts with the columns that say where they are made."""
    table = curve.model.compare([""] * len(place), contrasts).drop(columns="term")
    if len(draws):
        low, high = limits(draws[:, 0], curve.model.wishes.confidence)
        table = table.assign(boot_low=low, boot_high=high)
    if curve.axis.log:
        # The standard error stays that of the logarithm: a ratio has none of its own.
        scaled = [name for name in ("estimate", "ci_low", "ci_high", "boot_low", "boot_high")
                  if name in table]  # fmt: skip
        table[scaled] = np.exp(table[scaled])
    return place.join(table)


def polynomials(curve: Curve) -> pd.DataFrame:
    """Return how groups differ in every polynomial of time."""
    columns = [str(name) for name in curve.model.x.columns]
    tables = []
    for group in curve.groups[1:]:
        stem = f"{curve.axis.group}[T.{group}]"
        terms = [stem, *(f"{stem}:{curve.axis.polynomial(k)}" for k in range(1, curve.order + 1))]
        weights = np.eye(len(columns))[[columns.index(term) for term in terms]]
        names = [degree_name(k) for k in range(curve.order + 1)]
        table = curve.model.compare(names, weights).rename(columns={"term": "polynomial"})
        table.insert(0, "group", group)
        table.insert(1, "versus", curve.groups[0])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def tests(curve: Curve) -> pd.DataFrame:
    """Return F tests of time, of groups, of both together, and of every covariate."""
    axis = curve.axis
    powers = {axis.polynomial(k) for k in range(1, curve.order + 1)}
    places: dict[str, list[int]] = {}
    for term, columns in curve.model.x.model_spec.term_indices.items():
        factors = {str(factor.expr) for factor in term.factors}
        parts = [axis.group] if axis.group in factors else []
        parts += [axis.time] if factors & powers else []
        name = ":".join(parts) or str(term)
        if str(term) != "1":
            places.setdefault(name, []).extend(columns)
    weights = np.eye(curve.model.x.shape[1])
    rows = [(name, *joint_test(curve.model.fit, weights[columns]))
            for name, columns in places.items()]  # fmt: skip
    return pd.DataFrame(rows, columns=["term", "f", "df", "df_residual", "p_value"])


def facts_of(curve: Curve) -> dict[str, Fact]:
    """Return numbers about the curves."""
    told: dict[str, Fact] = {"order": curve.order}
    if curve.axis.bins:
        told |= {"bins": len(curve.points), "saturated": curve.order == len(curve.points) - 1}
    return told


def sentence(curve: Curve) -> str:
    """Return what the curves are, for a methods section."""
    axis = curve.axis
    where = (f"{len(curve.points)} bins, each of the same weight," if axis.bins
             else "the times of all rows")  # fmt: skip
    what = f"the number of the bin of {axis.time}" if axis.equal else axis.time
    text = (
        f"{'The logarithm of ' if axis.log else ''}{axis.outcome} was modelled as a polynomial of "
        f"{what} of degree {curve.order}, orthonormal on {where} "
    )
    text += f"for each {axis.group} " if axis.group else ""
    text += "(growth-curve analysis; Mirman et al., 2008, doi:10.1016/j.jml.2007.11.006)"
    text += f", adjusted for {', '.join(axis.covariates)}" if axis.covariates else ""
    if axis.group:
        text += "; differences at given times are corrected after Holm (1979)"
    return text + "."


def drawing(curve: Curve, table: pd.DataFrame) -> Drawing:
    """Return the curves with their bands, and what was seen."""
    axis = curve.axis
    name = axis.group or axis.outcome
    lines = pd.DataFrame({
        "panel": "", "line": table["group"].replace("", name), "x": table["time"],
        "y": table["estimate"], "ci_low": table["ci_low"], "ci_high": table["ci_high"],
    })  # fmt: skip
    if axis.bins:
        seen = _observed(curve)
        marks = {"line": seen["group"], "x": seen["time"], "y": seen["observed_mean"]}
    else:
        data = curve.model.data
        group = data[axis.group].astype(str) if axis.group else pd.Series("", index=data.index)
        marks = {"line": group, "x": data[axis.time], "y": data[axis.outcome]}
    points = pd.DataFrame({"panel": "", **marks}).reset_index(drop=True)
    points["line"] = points["line"].replace("", name) + OBSERVED
    confidence = f"{curve.model.wishes.confidence:.0%}"
    what = "means of bins" if axis.bins else "observations"
    return Drawing(
        "trajectories", pd.concat([lines, points], ignore_index=True),
        f"{'Geometric mean' if axis.log else 'Mean'} {axis.outcome} over {axis.time} with bands "
        f"of {confidence} confidence, and {what} as points.",
        {"x": axis.time, "y": axis.outcome},
    )  # fmt: skip
