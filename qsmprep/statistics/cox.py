"""Proportional hazards: how much sooner an event comes with each unit of a covariate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
import warnings

from formulaic import ModelSpec
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError
import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from qsmprep.errors import RequestError, shown
from qsmprep.statistics import firth as penalised
from qsmprep.statistics.cox_prediction import predicted_survival
from qsmprep.statistics.design import complete, counted, design, variables
from qsmprep.statistics.histories import columns, histories, strata_names
from qsmprep.statistics.partial_likelihood import (
    Histories,
    concordance,
    log_likelihood,
    score,
    score_residuals,
    shares,
)
from qsmprep.statistics.proportional import ph_test, residual_plot
from qsmprep.statistics.results import ESTIMATES, Drawing, Fact, Fitted
from qsmprep.statistics.rows import check_share, counts, repeats

Array = np.ndarray

_FEW_EVENTS = 10
"""Events per coefficient below which estimates are biased and intervals too narrow (Peduzzi)."""


@dataclass(frozen=True)
class _Numbers:
    """Estimates, missing for columns without a finite one, and likelihoods there and at zero."""

    beta: Array
    covariance: Array
    table: pd.DataFrame
    unbounded: list[str]
    log_likelihood: float
    null: float


def cox(
    data: pd.DataFrame,
    *,
    formula: str,
    time: str,
    event: str,
    entry: str = "",
    strata: str | Sequence[str] = (),
    cluster: str = "",
    focus: str = "",
    firth: bool = False,
    ties: str = "efron",
    confidence: float = 0.95,
) -> Fitted:
    """
    Return hazard ratios of a Cox model.

    lifelines maximises the partial likelihood with Efron's ties, never penalised unless `firth`
    is asked for; robust errors, the test of proportional hazards and predicted survival are ours,
    and agree with R's ``coxph``, ``cox.zph`` and ``survfit``, also with entries and strata.

    Parameters
    ----------
    data
        One row per history.
    formula
        Covariates, such as ``scale(chi) * amyloid + age``.
    time, event
        Columns of the time observed and of whether it ended with the event (1) or not (0).
    entry
        Column of the time from which a row was at risk, where that was not 0.
    strata
        Columns whose values have baseline hazards of their own.
    cluster
        Column of what has several rows, such as families: for robust standard errors.
    focus
        Column for whose mean and mean ± 1 SD, or for whose values, survival is predicted.
    firth
        Whether to use Firth's penalised likelihood, for few events or separated groups.
    ties
        How events at one time are dealt with: ``efron``.
    confidence
        Of the intervals.

    Raises
    ------
    RequestError
        If the data cannot answer, in one sentence.

    References
    ----------
    .. [1] Cox DR. Regression models and life-tables. J R Stat Soc B 1972;34:187-220.
       https://doi.org/10.1111/j.2517-6161.1972.tb00899.x
    .. [2] Peduzzi P, Concato J, Feinstein AR, Holford TR. Importance of events per independent
       variable in proportional hazards regression analysis II. J Clin Epidemiol
       1995;48:1503-1510. https://doi.org/10.1016/0895-4356(95)00048-8
    .. [3] Lin DY, Wei LJ. The robust inference for the Cox proportional hazards model. J Am Stat
       Assoc 1989;84:1074-1078. https://doi.org/10.1080/01621459.1989.10478874
    """
    strata = columns(strata)
    _check_keys(formula, ties, confidence, cluster if firth else "")
    used, excluded = complete(
        data, [time, event, *columns(entry), *strata, *columns(cluster), *variables(formula)]
    )
    past = histories(used, time, event, entry, strata)
    matrix, spec = _covariates(formula, used, past)
    x = matrix.to_numpy(float)
    # Moments of covariates far from zero would lose digits.
    x = x - x.mean(axis=0)
    names = [str(name) for name in matrix.columns]
    if firth:
        numbers = _by_firth(x, names, past, confidence)
    else:
        numbers = _by_lifelines(x, names, past, used[cluster] if cluster else None, confidence)
    found = shares(x, past, numbers.beta)
    tables, drawings = {}, {"hazard_ratios": _forest(numbers.table, confidence)}
    if not numbers.unbounded:
        tables["ph_test"] = ph_test(x, past, found, _terms(names, spec))
        drawings["schoenfeld"] = residual_plot(names, numbers.beta, x, past, found)
    if focus and not numbers.unbounded:
        tables["predicted"], drawings["predicted"] = predicted_survival(
            matrix, spec, used[variables(formula)], focus, past, found, numbers.beta,
            numbers.covariance, confidence, strata_names(used, strata),
        )  # fmt: skip
    facts = _facts(used, past, x, numbers)
    return Fitted(
        numbers.table,
        facts,
        _method(formula, time, event, entry, strata, cluster, firth),
        tables,
        drawings,
        (
            *counted(formula, used),
            *_notes(numbers, facts, firth),
            *([] if cluster else repeats(used, 'cluster = "participant_id" allows for it')),
            *_ph_notes(tables.get("ph_test")),
        ),
        excluded,
    )


def _check_keys(formula: str, ties: str, confidence: float, cluster: str) -> None:
    """Raise for words that a Cox model does not know."""
    if formula.partition("~")[1] and formula.partition("~")[0].strip():
        raise RequestError(
            f"formula {shown(formula)}: a Cox model has nothing left of ~; the outcome is named "
            "by time and event"
        )
    if ties != "efron":
        raise RequestError(f'ties = {shown(ties)}: only "efron", the most exact in use, is there')
    check_share("confidence", confidence)
    if cluster:
        raise RequestError("firth and cluster exclude each other: robust errors need the maximum")


def _covariates(
    formula: str, used: pd.DataFrame, past: Histories
) -> tuple[pd.DataFrame, ModelSpec]:
    """Return the design without its constant, and how it is made; raise if a column is flat."""
    for name in variables(formula):
        if used[name].nunique() == 1:
            raise RequestError(
                f"{name} is {shown(used[name].iloc[0])} in all {len(used)} rows; leave it out of "
                "the formula"
            )
    whole = design(formula, used)
    matrix = pd.DataFrame(whole).drop(columns="Intercept", errors="ignore")
    if not matrix.shape[1]:
        raise RequestError(f"formula {shown(formula)}: there is no covariate in it")
    # The baseline hazard of each stratum takes up whatever is constant there.
    within = matrix - matrix.groupby(past.stratum).transform("mean")
    scaled = within / matrix.std()
    if np.linalg.matrix_rank(scaled.to_numpy(float), tol=1e-8 * len(used)) < matrix.shape[1]:
        flat = [str(name) for name in matrix if (scaled[name].abs() < 1e-12).all()]
        culprit = f"{flat[0]} does" if flat else "a sum of its columns does"
        where = "within strata" if past.stratum.any() else "at all"
        raise RequestError(
            f"formula {shown(formula)}: {culprit} not vary {where}, and the baseline hazard takes "
            "up what is constant; leave one out"
        )
    return matrix, whole.model_spec


def _terms(names: list[str], spec: ModelSpec) -> dict[str, list[int]]:
    """Return the columns of each term of the formula."""
    full = list(spec.column_names)
    return {
        str(term): [names.index(full[index]) for index in indices]
        for term, indices in spec.term_indices.items()
        if any(full[index] in names for index in indices)
    }


def _by_lifelines(
    x: Array, names: list[str], past: Histories, cluster: pd.Series | None, confidence: float
) -> _Numbers:
    """Return the estimates of maximum likelihood, with robust errors where there are clusters."""
    scale = x.std(axis=0)
    beta = _maximum(x / scale, past) / scale
    found = shares(x, past, beta)
    information = found.variance.sum(axis=0) / np.outer(scale, scale)
    covariance, lost = _inverse(information, score(x, past, found) / scale)
    covariance = covariance / np.outer(scale, scale)
    error = np.sqrt(np.diag(covariance))
    if cluster is not None:
        change = pd.DataFrame(score_residuals(x, past, beta, found) @ covariance)
        change = change.groupby(cluster.to_numpy()).sum()
        covariance = change.to_numpy().T @ change.to_numpy()
        error = np.sqrt(np.diag(covariance))
    z = beta / error
    width = norm.ppf(0.5 + confidence / 2) * error
    p_value = 2 * norm.sf(np.abs(z))
    table = _table(names, beta, error, z, p_value, beta - width, beta + width)
    table.loc[lost, table.columns.difference(["term"])] = np.nan
    unbounded = [name for name, gone in zip(names, lost, strict=True) if gone]
    zero = np.zeros_like(beta)
    null = log_likelihood(x, past, zero, shares(x, past, zero))
    highest = log_likelihood(x, past, beta, found)
    return _Numbers(beta, covariance, table, unbounded, highest, null)


def _inverse(information: Array, slope: Array) -> tuple[Array, Array]:
    """
    Return the covariance, and in which columns the likelihood rises without end.

    There it is flat far from zero, or Newton's next step would still be a long one. Columns are in
    units of their standard deviations, in which errors that can be estimated are far below 50.
    """
    values, vectors = np.linalg.eigh(information)
    flat = values < 1 / 50**2
    kept = vectors[:, ~flat]
    covariance = (kept / values[~flat]) @ kept.T
    lost = (np.abs(vectors[:, flat]) > 0.1).any(axis=1) | (np.abs(covariance @ slope) > 1e-3)
    return covariance, lost


def _maximum(x: Array, past: Histories) -> Array:
    """Return what lifelines estimates."""
    table = pd.DataFrame(x, columns=[f"x{k}" for k in range(x.shape[1])])
    table = table.assign(time=past.stop, event=past.event)
    options: dict[str, object] = {}
    if past.stratum.any():
        table["stratum"], options["strata"] = past.stratum, ["stratum"]
    if np.isfinite(past.entry).all():
        table["entry"], options["entry_col"] = past.entry, "entry"
    # Its defaults stop some 1e-4 standard errors short of the maximum.
    exact = {"precision": 1e-12, "r_precision": 1e-14, "max_steps": 200}
    for step in (1.0, 0.5, 0.1):
        try:
            with warnings.catch_warnings():
                # What these warn of is found again, and said, by the length of the next step.
                warnings.simplefilter("ignore")
                fit = CoxPHFitter().fit(
                    table, "time", "event", fit_options={**exact, "step_size": step}, **options
                )
        except ConvergenceError:
            # Values far from the rest let a full step overshoot.
            continue
        return fit.params_.to_numpy()
    raise RequestError(
        "the likelihood has no maximum that could be found: a covariate may tell all events "
        "apart, or repeat others; try firth = true or fewer covariates"
    )


def _by_firth(x: Array, names: list[str], past: Histories, confidence: float) -> _Numbers:
    """Return the estimates of Firth's likelihood, with tests and intervals of its profile."""
    fit = penalised.fit(x, past, confidence)
    if not fit.converged:
        raise RequestError(
            "Firth's likelihood has no maximum that could be found; use fewer covariates"
        )
    z = np.sign(fit.beta) * np.sqrt(fit.chi2)
    error = np.sqrt(np.diag(fit.covariance))
    table = _table(names, fit.beta, error, z, chi2.sf(fit.chi2, 1), fit.ci_low, fit.ci_high)
    return _Numbers(fit.beta, fit.covariance, table, [], fit.log_likelihood, fit.null)


def _table(
    names: list[str], beta: Array, error: Array, z: Array, p: Array, low: Array, high: Array
):
    """Return the table of estimates."""
    values = (names, beta, error, z, np.nan, p, low, high)
    table = pd.DataFrame(dict(zip(ESTIMATES, values, strict=True)))
    with np.errstate(over="ignore"):
        return table.assign(
            hazard_ratio=np.exp(beta), hazard_ratio_low=np.exp(low), hazard_ratio_high=np.exp(high)
        )


def _facts(used: pd.DataFrame, past: Histories, x: Array, numbers: _Numbers) -> dict[str, Fact]:
    """Return numbers about the fit."""
    events, terms = int(past.event.sum()), x.shape[1]
    gain = 2 * (numbers.log_likelihood - numbers.null)
    return counts(used) | {
        "events": events,
        "events_per_variable": round(events / terms, 2),
        "strata": int(np.unique(past.stratum).size),
        "converged": not numbers.unbounded,
        "concordance": concordance(x @ numbers.beta, past),
        "log_likelihood": numbers.log_likelihood,
        "likelihood_ratio": gain,
        "likelihood_ratio_df": terms,
        "likelihood_ratio_p": float(chi2.sf(gain, terms)),
    }


def _notes(numbers: _Numbers, facts: dict[str, Fact], firth: bool) -> list[str]:
    """Return what a reader must know."""
    notes = []
    if numbers.unbounded:
        notes.append(
            f"{', '.join(numbers.unbounded)}: the likelihood rises without end (monotone "
            "likelihood: the column tells events from the rest), so that there is no estimate; "
            "use firth = true, which has one."
        )
    per_variable = facts["events_per_variable"]
    if float(per_variable) < _FEW_EVENTS:
        advice = "" if firth else "; firth = true takes most of the bias away"
        notes.append(
            f"There are {facts['events']} events for {facts['likelihood_ratio_df']} coefficients, "
            f"{per_variable} each, fewer than {_FEW_EVENTS}: hazard ratios are biased away from 1 "
            f"and intervals too narrow{advice}."
        )
    return notes


def _ph_notes(tests: pd.DataFrame | None) -> list[str]:
    """Return a sentence if hazards are not proportional."""
    failed = None if tests is None else tests[tests.p_value < 0.05]
    if failed is None or failed.empty:
        return []
    found = ", ".join(f"{row.term} (P = {row.p_value:.2g})" for row in failed.itertuples())
    return [f"Hazards are not proportional for {found}: the hazard ratio is a mean over time."]


def _forest(table: pd.DataFrame, confidence: float) -> Drawing:
    """Return the hazard ratios as a forest."""
    marks = {
        "term": "label",
        "hazard_ratio": "estimate",
        "hazard_ratio_low": "ci_low",
        "hazard_ratio_high": "ci_high",
        "p_value": "p_value",
    }
    return Drawing(
        "forest",
        table[list(marks)].rename(columns=marks),
        f"Hazard ratios per unit of each term with {100 * confidence:g} % confidence intervals.",
        {"estimate": "Hazard ratio", "null": "1", "scale": "log"},
    )


def _method(
    formula: str, time: str, event: str, entry: str, strata: list[str], cluster: str, firth: bool
) -> str:
    """Return what was done, in sentences."""
    right = formula.partition("~")[2].strip() or formula
    parts = [
        f"Time to event ({time}, {event}) was modelled by Cox regression (Cox 1972) on {right}, "
        "with Efron's method for ties (Efron 1977)"
    ]
    if entry:
        parts.append(f"with entry into the risk sets at {entry}")
    if strata:
        parts.append(f"stratified by {', '.join(strata)}")
    if cluster:
        parts.append(f"with standard errors robust to clusters of {cluster} (Lin & Wei 1989)")
    if firth:
        how = (
            "The likelihood was penalised after Firth (1993; Heinze & Schemper 2001); intervals "
            "and tests are of its profile."
        )
    else:
        how = f"The likelihood was maximised, unpenalised, by lifelines {version('lifelines')}."
    return (
        f"{', '.join(parts)}. {how} Proportional hazards were tested by the score test of each "
        "term times one less the Kaplan-Meier curve (Grambsch & Therneau 1994)."
    )
