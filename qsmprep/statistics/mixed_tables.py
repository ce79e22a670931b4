"""From data to a fitted mixed model, and from there to tables, facts and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from formulaic import ModelMatrix
import numpy as np
import pandas as pd
from scipy import stats

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.contrasts import compare, joint_test
from qsmprep.statistics.design import complete, design, variables
from qsmprep.statistics.likelihood import products
from qsmprep.statistics.mixed_fit import Fit, bootstrap, fit_mixed
from qsmprep.statistics.regression import outcome_of
from qsmprep.statistics.results import Drawing, Fact
from qsmprep.statistics.rows import check_share

DF = ("satterthwaite", "normal")
REFERENCES = (
    "Laird and Ware, 1982, doi:10.2307/2529876; likelihood profiled as by Bates et al., 2015, "
    "doi:10.18637/jss.v067.i01"
)


@dataclass(frozen=True)
class Wishes:
    """
    How a mixed model is fitted and tested.

    Parameters
    ----------
    subject, unit
        Columns that say whose observation it is; no `unit` where it is empty.
    reml
        Restricted likelihood.
    df
        One of `DF`.
    confidence
        Of intervals.
    bootstrap
        How often participants are drawn anew; 0 for never.
    seed
        Of these draws.
    """

    subject: str
    unit: str
    reml: bool
    df: str
    confidence: float
    bootstrap: int
    seed: int

    def __post_init__(self):
        if self.df not in DF:
            raise RequestError(f"df = {shown(self.df)}: choose {' or '.join(DF)}")
        check_share("confidence", self.confidence)
        if self.seed < 0:
            raise RequestError(f"seed = {self.seed}: give 0 or more")
        if self.bootstrap < 0:
            raise RequestError(f"bootstrap = {self.bootstrap}: give a number of draws, or 0")


@dataclass(frozen=True)
class Mixed:
    """
    A fitted mixed model with the data it was fitted to.

    Parameters
    ----------
    fit
        Its parameters.
    data
        Rows that were used.
    excluded
        Rows that were not, and why.
    x, y, z
        Design, outcome, and design of the random effects that were asked for.
    wishes
        How it was fitted.
    notes
        What had to be done otherwise than asked.
    """

    fit: Fit
    data: pd.DataFrame
    excluded: pd.DataFrame
    x: ModelMatrix
    y: np.ndarray
    z: ModelMatrix
    wishes: Wishes
    notes: tuple[str, ...]

    def compare(self, terms: Sequence[str], contrasts: np.ndarray) -> pd.DataFrame:
        """Return contrasts with tests and intervals as asked for."""
        wishes = self.wishes
        return compare(self.fit, terms, contrasts, wishes.confidence, wishes.df)


def fit_formula(data: pd.DataFrame, formula: str, random: str, wishes: Wishes) -> Mixed:
    """
    Return the mixed model of a formula, fitted to the rows that have all it needs.

    Parameters
    ----------
    data
        One row per observation.
    formula
        ``outcome ~ fixed effects``.
    random
        Formula of the random effects of a participant.
    wishes
        How it is fitted.

    Raises
    ------
    RequestError
        If data or formula do not allow it.
    """
    levels = [wishes.subject, *([wishes.unit] if wishes.unit else [])]
    names = [*variables(formula), *variables(random), *levels]
    used, excluded = complete(data, names)
    left = formula.partition("~")[0].strip()
    if "~" not in formula or not left:
        raise RequestError(f"formula {shown(formula)}: say what is modelled, as in chi ~ age")
    y = outcome_of(formula, used).to_numpy()
    subjects = pd.factorize(used[wishes.subject], sort=True)[0]
    units = pd.factorize(used[wishes.unit])[0] if wishes.unit else None
    _check_levels(wishes, subjects, units)
    x, z = design(formula, used), design(random, used)
    _check_between(formula, x, subjects)
    notes = []
    kept = [effect for effect in range(z.shape[1])
            if effect == 0 or (effect + 1) * (subjects.max() + 1) < len(used)]  # fmt: skip
    if len(kept) < z.shape[1]:
        notes.append(
            f"Too few rows per {wishes.subject} for random effects of "
            f"{', '.join(map(str, z.columns[len(kept) :]))}: left out."
        )
    z = z.iloc[:, kept]
    sums = products(x.to_numpy(float), y, z.to_numpy(float), subjects, units)
    fit = fit_mixed(sums, [str(name) for name in z.columns], units is not None, wishes.reml)
    return Mixed(fit, used, excluded, x, y, z, wishes, (*notes, *_fit_notes(fit)))


def _check_levels(wishes: Wishes, subjects: np.ndarray, units: np.ndarray | None) -> None:
    """Refuse data whose random effects cannot be told from noise, or from each other."""
    rows, people = len(subjects), subjects.max() + 1
    if people < 3:
        raise RequestError(f"{people} of {wishes.subject}: a mixed model needs 3 at the least")
    if rows == people:
        raise RequestError(
            f"every {wishes.subject} has one row: a mixed model needs several; use kind = "
            f'"ols", or rows = "acquisitions"'
        )
    if units is None:
        return
    count = len(set(zip(subjects, units, strict=True)))
    if count in (rows, people):
        what = f"every {wishes.unit} has one row" if count == rows else (
            f"every {wishes.subject} has one {wishes.unit}")  # fmt: skip
        raise RequestError(f"{what}: its variance cannot be told apart; leave out unit")


def _check_between(formula: str, x: ModelMatrix, subjects: np.ndarray) -> None:
    """Refuse as many coefficients of people as there are people: nothing is left between them."""
    values = x.to_numpy(float)
    people = subjects.max() + 1
    means = np.zeros((people, values.shape[1]))
    np.add.at(means, subjects, values)
    means /= np.bincount(subjects)[:, None]
    fixed = (np.abs(values - means[subjects]) <= 1e-9 * np.abs(values).max(axis=0)).all(axis=0)
    if fixed.sum() >= people:
        raise RequestError(
            f"{people} participants are too few for the {fixed.sum()} coefficients of formula "
            f"{shown(formula)} that do not vary within them"
        )


def _fit_notes(fit: Fit) -> list[str]:
    notes = []
    if fit.dropped:
        notes.append(
            f"The data put {' and '.join(fit.dropped)} at the limit of what is possible: left out "
            "in this order, and fitted again."
        )
    if not fit.effects and fit.unit_variance is None:
        notes.append(
            "No random effect is left: rows count as independent, so that intervals are too "
            "narrow if they are not; set bootstrap = 500 for intervals that need no such belief."
        )
    if not fit.converged:
        notes.append(
            "No maximum of the likelihood was found, even without random slopes: do not rely on "
            "these numbers."
        )
    return notes


def estimates(
    model: Mixed, contrasts: np.ndarray | None = None
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """
    Return the table of coefficients, draws of contrasts, and what must be said of them.

    Parameters
    ----------
    model
        A fitted model.
    contrasts : (c, p) array
        Further contrasts to draw; their draws and standard errors come back.

    Returns
    -------
    table
        With columns ``boot_se``, ``boot_low`` and ``boot_high`` where a bootstrap was asked for.
    draws : (b, 2, c) array
        The contrasts and their standard errors in resampled cohorts.
    notes
        How many draws could not be fitted.
    """
    width = model.x.shape[1]
    table = model.compare([str(name) for name in model.x.columns], np.eye(width))
    wishes = model.wishes
    extra = np.zeros((0, width)) if contrasts is None else contrasts
    if not wishes.bootstrap:
        return table, np.zeros((0, 2, len(extra))), []
    values, errors = bootstrap(
        model.fit, np.vstack([np.eye(width), extra]), wishes.reml, wishes.bootstrap, wishes.seed
    )
    lost = wishes.bootstrap - len(values)
    notes = []
    if lost:
        notes.append(
            f"{lost} of {wishes.bootstrap} draws of the bootstrap lacked what a term needs and "
            "were left out."
        )
    if lost > wishes.bootstrap / 2:
        notes.append("More than half of the draws were left out: no bootstrap is given.")
        return table, np.zeros((0, 2, len(extra))), notes
    low, high = limits(values[:, :width], wishes.confidence)
    table = table.assign(
        boot_se=values[:, :width].std(axis=0, ddof=1), boot_low=low, boot_high=high
    )
    return table, np.stack([values[:, width:], errors[:, width:]], axis=1), notes


def limits(draws: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return percentiles of draws, down the first axis, that enclose the confidence."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def tests_of_terms(model: Mixed) -> pd.DataFrame:
    """Return an F test for every term of the formula that has coefficients."""
    rows = []
    for term, places in model.x.model_spec.term_indices.items():
        if str(term) == "1" or not places:
            continue
        rows.append((str(term), *joint_test(model.fit, np.eye(model.x.shape[1])[places])))
    return pd.DataFrame(rows, columns=["term", "f", "df", "df_residual", "p_value"])


def random_effects(model: Mixed) -> pd.DataFrame:
    """Return variances and covariances, with standard deviations and correlations beside them."""
    fit, wishes = model.fit, model.wishes
    rows = []
    sd = np.sqrt(np.diag(fit.between))
    for i, name in enumerate(fit.effects):
        rows.append((wishes.subject, name, "", fit.between[i, i], sd[i], np.nan))
        rows.extend(
            (wishes.subject, name, fit.effects[j], fit.between[i, j], np.nan,
             fit.between[i, j] / sd[i] / sd[j])
            for j in range(i) if fit.structure.correlated
        )  # fmt: skip
    if fit.unit_variance is not None:
        variance = fit.unit_variance
        rows.append((wishes.unit, "Intercept", "", variance, np.sqrt(variance), np.nan))
    rows.append(("residual", "", "", fit.sigma2, np.sqrt(fit.sigma2), np.nan))
    columns = ["level", "effect", "with_effect", "variance", "sd", "correlation"]
    return pd.DataFrame(rows, columns=columns)


def _levels(model: Mixed) -> tuple[np.ndarray, pd.Index, np.ndarray]:
    """Return each row's participant by number, their names, and its unit's number therein."""
    wishes, data = model.wishes, model.data
    who, names = pd.factorize(data[wishes.subject], sort=True)
    if not wishes.unit:
        return who, names, np.zeros(len(data), int)
    within = data[wishes.unit].groupby(who).transform(lambda part: pd.factorize(part)[0])
    return who, names, within.to_numpy(int)


def participants(model: Mixed) -> pd.DataFrame:
    """Return how far each participant is predicted to be from the average."""
    who, names, _ = _levels(model)
    table = pd.DataFrame({model.wishes.subject: names, "rows": np.bincount(who)})
    for name, values in zip(model.fit.effects, model.fit.deviations.T, strict=True):
        table[f"deviation_{name}"] = values
    return table


def _conditional(model: Mixed) -> np.ndarray:
    """Return what the model predicts for every row, random effects included."""
    who, _, within = _levels(model)
    z = model.z[list(model.fit.effects)].to_numpy(float)
    fitted = model.x.to_numpy(float) @ model.fit.beta
    fitted = fitted + (z * model.fit.deviations[who]).sum(axis=1)
    return fitted + model.fit.unit_deviations[who, within] if model.fit.structure.units else fitted


def diagnostics(model: Mixed) -> Drawing:
    """Return residuals over fitted values and over what normal noise would give."""
    fitted = _conditional(model)
    residual = (model.y - fitted) / np.sqrt(model.fit.sigma2)
    n = len(residual)
    quantiles = stats.norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    data = pd.concat([
        pd.DataFrame({"panel": "residuals", "x": fitted, "y": residual}),
        pd.DataFrame({"panel": "quantiles", "x": quantiles, "y": np.sort(residual)}),
    ], ignore_index=True)  # fmt: skip
    return Drawing(
        "diagnostics", data,
        "Residuals, in standard deviations of the noise, over fitted values (random effects "
        "included), and in order over the quantiles of a normal distribution.",
        {"x residuals": "fitted value", "x quantiles": "normal quantile", "y": "residual (SD)"},
    )  # fmt: skip


def facts(model: Mixed) -> dict[str, Fact]:
    """
    Return numbers about the fit.

    The intraclass correlation and the two R² take random slopes at their average over the rows
    (Johnson, 2014, doi:10.1111/2041-210X.12225).
    """
    fit, wishes = model.fit, model.wishes
    z = model.z[list(fit.effects)].to_numpy(float)
    random = float(np.einsum("nr,rs,ns->n", z, fit.between, z).mean()) + (fit.unit_variance or 0.0)
    fixed = float((model.x.to_numpy(float) @ fit.beta).var())
    total = fixed + random + fit.sigma2
    coefficients = fit.parameters + len(fit.beta)
    told: dict[str, Fact] = {"n": len(model.data), "participants": len(fit.sums.rows)}
    if wishes.unit:
        told["units"] = len(model.data[[wishes.subject, wishes.unit]].drop_duplicates())
    return told | {
        "converged": fit.converged,
        "boundary": bool(fit.dropped),
        "refitted": len(fit.dropped),
        "log_likelihood": fit.log_likelihood,
        "restricted": wishes.reml,
        "aic": 2 * coefficients - 2 * fit.log_likelihood,
        "icc": float(random / (random + fit.sigma2)),
        "r2_fixed": float(fixed / total),
        "r2_all": float((fixed + random) / total),
        "sigma": float(np.sqrt(fit.sigma2)),
    }


def sentences(model: Mixed) -> str:
    """Return what was done, for a methods section."""
    wishes, fit = model.wishes, model.fit
    effects = [f"{'correlated ' if fit.structure.correlated else ''}random effects of "
               f"{wishes.subject} ({', '.join(fit.effects)})"] if fit.effects else []  # fmt: skip
    if fit.structure.units:
        effects.append(f"a random intercept of {wishes.unit} within {wishes.subject}")
    kind = "restricted maximum likelihood" if wishes.reml else "maximum likelihood"
    text = (
        f"A linear mixed model with {' and '.join(effects) or 'no random effect left'} was fitted "
        f"by {kind} ({REFERENCES}). "
    )
    if wishes.df == "satterthwaite":
        text += (
            "Tests and intervals use t and F with degrees of freedom after Satterthwaite "
            "(Kuznetsova et al., 2017, doi:10.18637/jss.v082.i13)."
        )
    else:
        text += "Tests and intervals use the normal distribution."
    if wishes.bootstrap:
        text += (
            f" Bootstrap intervals are percentiles of {wishes.bootstrap} cohorts of participants "
            "drawn with replacement (Field and Welsh, 2007, "
            "doi:10.1111/j.1467-9868.2007.00593.x)."
        )
    return text
