"""Least squares as the models of this package share it: rows, design, fit, coefficients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
import re

from formulaic import ModelMatrix, model_matrix
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor, Term
import numpy as np
import pandas as pd
from scipy import stats
import statsmodels.api as sm

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.design import complete, counted, design, variables
from qsmprep.statistics.results import Fact
from qsmprep.statistics.rows import check_share, counts

COVARIANCES = ("nonrobust", "HC3")

NO_INTERCEPT = (
    "The formula has no intercept: tests of categories ask whether their means are 0, not whether "
    "they differ, and R² may compare with 0 instead of with the mean."
)

EXACT = 1e-20
"""Residual by total sum of squares below which nothing but rounding is left."""


@dataclass(frozen=True)
class Regression:
    """
    A least-squares fit with the rows and the design it was made from.

    Parameters
    ----------
    formula
        Outcome and right-hand side.
    data
        Rows used, with categories in their order.
    x
        Design matrix.
    result
        What statsmodels returned; its tests use t.
    excluded
        Rows left out, with the reason.
    notes
        What happened on the way.
    robust
        How statsmodels was asked for standard errors, so that others can ask in the same way.
    """

    formula: str
    data: pd.DataFrame
    x: ModelMatrix
    result: sm.regression.linear_model.RegressionResultsWrapper
    excluded: pd.DataFrame
    notes: tuple[str, ...]
    robust: Mapping[str, object]

    @property
    def outcome(self) -> str:
        """Left-hand side of the formula."""
        return self.formula.partition("~")[0].strip()

    @property
    def sigma(self) -> float:
        """Residual standard deviation, in the unit of the outcome."""
        return float(np.sqrt(self.result.ssr / self.result.df_resid))

    @property
    def df(self) -> float:
        """Degrees of freedom of tests: clusters less one where there are clusters."""
        return float(getattr(self.result, "df_resid_inference", None) or self.result.df_resid)

    @property
    def classical(self) -> bool:
        """Whether errors are taken as independent and of one spread."""
        return str(self.result.cov_type) == "nonrobust"

    @cached_property
    def categories(self) -> dict[str, list]:
        """Levels of the columns that enter as categories, by name."""
        kinds = self.x.model_spec.encoder_state
        found: dict[str, list] = {}
        for expression, (kind, _) in kinds.items():
            if kind is Factor.Kind.CATEGORICAL:
                for name in variables(expression):
                    found[name] = levels_of(self.data[name])
        return found


def fit(
    data: pd.DataFrame,
    formula: str,
    *,
    covariance: str = "nonrobust",
    cluster: str = "",
    levels: Mapping[str, Sequence] | None = None,
    also: Iterable[str] = (),
) -> Regression:
    """
    Fit a linear model by ordinary least squares.

    Parameters
    ----------
    data
        A row per observation.
    formula
        ``outcome ~ right-hand side``.
    covariance
        ``nonrobust``, or ``HC3`` for standard errors that allow unequal spread.
    cluster
        Column of what observations share (participant_id, site): standard errors are then
        robust to dependence within. Empty for none.
    levels
        Order of categories by column, the reference first; rows with others are left out.
    also
        Further columns that must have a value in every row used.

    Raises
    ------
    RequestError
        If the formula, the columns or the number of rows do not allow it.
    """
    if covariance not in COVARIANCES:
        known = " or ".join(map(shown, COVARIANCES))
        raise RequestError(f"covariance = {shown(covariance)}; it is {known}")
    if "~" not in formula or not formula.partition("~")[0].strip():
        raise RequestError(
            f"formula {shown(formula)} has no outcome; write e.g. chi ~ group + age"
        )
    if formula.count("~") > 1:
        raise RequestError(f"formula {shown(formula)} has more than one ~")
    data, strangers, notes = with_levels(data, levels or {})
    needed = [*variables(formula), *also, *([cluster] if cluster else [])]
    used, gaps = complete(data, needed)
    used = with_used_categories(used)
    x = design(formula, used)
    y = outcome_of(formula, used)
    notes = (*notes, *counted(formula, used))
    if "Intercept" not in x.columns:
        notes = (*notes, NO_INTERCEPT)
    if len(x) <= x.shape[1]:
        raise RequestError(
            f"{len(x)} complete rows are too few for the {x.shape[1]} coefficients of formula "
            f"{shown(formula)}"
        )
    if y.max() == y.min():
        raise RequestError(f"{y.name} is {y.iloc[0]:g} in all {len(y)} complete rows")
    robust: dict[str, object] = {"cov_type": covariance}
    if cluster:
        codes, names = pd.factorize(used[cluster])
        if len(names) <= x.shape[1]:
            notes = (
                *notes,
                f"{len(names)} clusters ({cluster}) are few beside {x.shape[1]} coefficients: "
                "standard errors that rely on clusters may be too small.",
            )
        if len(names) < 2:
            raise RequestError(f"cluster {shown(cluster)} has one value in all complete rows")
        robust = {"cov_type": "cluster", "cov_kwds": {"groups": codes}}
    result = sm.OLS(y, pd.DataFrame(x)).fit(use_t=True, **robust)
    if result.ssr <= EXACT * result.centered_tss:
        notes = (*notes, f"{y.name} is told exactly by the formula: standard errors mean nothing.")
    return Regression(formula, used, x, result, pd.concat([strangers, gaps]), tuple(notes), robust)


def outcome_of(formula: str, data: pd.DataFrame) -> pd.Series:
    """Return the left-hand side of a formula as numbers."""
    left = formula.partition("~")[0].strip()
    try:
        with np.errstate(all="ignore"):  # what a logarithm cannot take is named below
            y = model_matrix(f"0 + {left}", data, na_action="ignore", context={})
    except (FormulaicError, ValueError, TypeError, KeyError, NameError) as error:
        fact = str(error).partition("\n")[0].rstrip(".")
        raise RequestError(f"outcome {shown(left)}: {fact}") from error
    kinds = [kind for kind, _ in y.model_spec.encoder_state.values()]
    if y.shape[1] != 1 or Factor.Kind.CATEGORICAL in kinds:
        raise RequestError(f"outcome {shown(left)} is no column of numbers")
    y = y.iloc[:, 0].astype(float)
    if not np.isfinite(y).all():
        worst = y.index[~np.isfinite(y)][0]
        raise RequestError(f"outcome {shown(left)} is no number in row {worst}")
    return y.rename(left)


def with_levels(
    data: pd.DataFrame, levels: Mapping[str, Sequence]
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """
    Return the rows whose categories are listed, in that order; the others; and notes on them.

    Raises
    ------
    RequestError
        If a column or a level does not exist, or a level stands there twice.
    """
    excluded, notes = pd.DataFrame({"reason": []}, dtype=str), []
    for name, order in levels.items():
        if name not in data:
            raise RequestError(f"levels: no column {name} in the data")
        there = levels_of(data[name])
        if isinstance(order, str) or len(order) < 2 or len(set(map(shown, order))) < len(order):
            raise RequestError(f"levels of {name}: {shown(order)} is no list of different values")
        if lacking := [level for level in order if level not in there]:
            raise RequestError(
                f"levels: no {name} is {shown(lacking[0])}; there are {shown(there)}"
            )
        other = data[name].notna() & ~data[name].isin(list(order))
        if other.any():
            reasons = [f"{name} is {value}, not in levels" for value in data.loc[other, name]]
            excluded = pd.concat([excluded, pd.DataFrame({"reason": reasons}, data.index[other])])
            notes.append(
                f"{other.sum()} rows were left out because their {name} is not in levels."
            )
        data = data[~other].assign(
            **{name: pd.Categorical(data.loc[~other, name], categories=list(order), ordered=True)}
        )
    return data, excluded, tuple(notes)


def with_used_categories(data: pd.DataFrame) -> pd.DataFrame:
    """Return the table without categories that no row has, which would be empty columns."""
    categorical = data.select_dtypes("category")
    return data.assign(
        **{
            str(name): values.cat.remove_unused_categories()
            for name, values in categorical.items()
        }
    )


def level_name(level: object) -> str:
    """Return what a level is called: 1.0, as tables are read, is the 1 that its owner wrote."""
    return f"{level:g}" if isinstance(level, float) else str(level)


def levels_of(values: pd.Series) -> list:
    """Return the different values of a column, in its order of categories or sorted."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return [level for level in values.cat.categories if (values == level).any()]
    different = values.dropna().unique()
    try:
        return sorted(different)
    except TypeError:
        return sorted(different, key=str)


def coefficients(fitted: Regression, confidence: float) -> pd.DataFrame:
    """
    Return a row per column of the design, beginning with `ESTIMATES`.

    Added are ``beta_standardised`` (coefficient times SD of its column by SD of the outcome, for
    columns that are numbers), ``partial_eta2`` (share of what the others leave that this column
    tells; missing with robust errors) and ``vif`` (how many times its correlation with the
    others inflates the variance).
    """
    result, df = fitted.result, fitted.df
    table = estimates_table(
        list(fitted.x.columns), result.params.to_numpy(), result.bse.to_numpy(), df, confidence
    )
    t = table["statistic"].to_numpy()
    categorical = set(fitted.categories)
    shares = t**2 / (t**2 + df) if fitted.classical else np.full(len(t), np.nan)
    spread = fitted.x.std().to_numpy() / np.std(result.model.endog, ddof=1)
    of_categories = np.zeros(len(table), bool)
    for term, columns in fitted.x.model_spec.term_slices.items():
        of_categories[columns] = bool(categorical & set(map(str, variables_of(term))))
    scaled = np.where(of_categories | (spread == 0), np.nan, result.params.to_numpy() * spread)
    return table.assign(beta_standardised=scaled, partial_eta2=shares, vif=inflation(fitted.x))


def variables_of(term: Term) -> set[str]:
    """Return the columns of the data that a term of a formula uses."""
    names: set[str] = set()
    for factor in term.factors:
        if factor.eval_method is not Factor.EvalMethod.LITERAL:
            names |= set(
                variables(
                    factor.expr
                    if factor.eval_method is not Factor.EvalMethod.LOOKUP
                    else quoted(factor.expr)
                )
            )
    return names


def quoted(name: str) -> str:
    """Return the name of a column as a formula writes it."""
    return name if re.fullmatch(r"[A-Za-z_.][\w.]*", name) else f"`{name}`"


def inflation(x: pd.DataFrame) -> np.ndarray:
    """Return the variance inflation factor of each column; missing for the intercept."""
    values = x.to_numpy(float)
    varying = values.std(axis=0) > 0
    factors = np.full(values.shape[1], np.nan)
    if varying.sum():
        correlation = np.atleast_2d(np.corrcoef(values[:, varying], rowvar=False))
        factors[varying] = np.diag(np.linalg.pinv(correlation))
    return factors


def estimates_table(
    terms: Sequence[str], estimate: np.ndarray, error: np.ndarray, df: float, confidence: float
) -> pd.DataFrame:
    """Return a table with the columns `ESTIMATES` from estimates and standard errors, by t."""
    check_share("confidence", confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / error
    margin = stats.t.ppf((1 + confidence) / 2, df) * error
    return pd.DataFrame(
        {
            "term": list(terms),
            "estimate": estimate,
            "std_error": error,
            "statistic": t,
            "df": float(df),
            "p_value": 2 * stats.t.sf(np.abs(t), df),
            "ci_low": estimate - margin,
            "ci_high": estimate + margin,
        }
    )


def facts(fitted: Regression) -> dict[str, Fact]:
    """Return the numbers of a fit that every linear model tells."""
    result = fitted.result
    return counts(fitted.data) | {
        "converged": True,
        "df_residual": float(result.df_resid),
        "residual_sd": fitted.sigma,
        "r_squared": float(result.rsquared),
        "r_squared_adjusted": float(result.rsquared_adj),
        "f": float(result.fvalue) if result.df_model else np.nan,
        "f_p_value": float(result.f_pvalue) if result.df_model else np.nan,
    }
