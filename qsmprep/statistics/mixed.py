"""Linear mixed models: what changes over time within people, and with what."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.design import variables
from qsmprep.statistics.mixed_tables import (
    Mixed,
    Wishes,
    diagnostics,
    estimates,
    facts,
    fit_formula,
    participants,
    random_effects,
    sentences,
    tests_of_terms,
)
from qsmprep.statistics.predictions import prediction_rows
from qsmprep.statistics.results import Drawing, Fitted


def mixed(
    data: pd.DataFrame,
    *,
    formula: str,
    random: str = "",
    time: str = "years",
    subject: str = "participant_id",
    unit: str = "",
    lines: str = "",
    panels: str = "",
    at: Mapping[str, object] | None = None,
    reml: bool = True,
    df: str = "satterthwaite",
    confidence: float = 0.95,
    bootstrap: int = 0,
    seed: int = 1,
) -> Fitted:
    """
    Return a linear mixed model of repeated observations (Laird and Ware, 1982,
    doi:10.2307/2529876).

    Parameters
    ----------
    data
        One row per observation.
    formula
        ``outcome ~ fixed effects``, e.g. ``score ~ age + years * chi``.
    random
        Formula of the random effects of a participant; unless given, ``1 + time`` where `time` is
        in `formula`, else ``1``.
    time
        Column that predictions run over.
    subject
        Column that says whose row it is.
    unit
        Column that says of which unit within a participant the row is, e.g. which lesion: units
        have a random intercept of their own.
    lines, panels
        Columns that predicted lines, and panels of lines, differ in: at the mean and a standard
        deviation to either side of participants, or at every value if these are text or only two.
    at
        Values of other columns where predictions are made; unless given the mean over
        participants, or for text the most frequent.
    reml
        Restricted maximum likelihood, or maximum likelihood.
    df
        Degrees of freedom of t tests and intervals: ``satterthwaite``, or ``normal`` for z.
    confidence
        Of all intervals.
    bootstrap
        How often participants are drawn with replacement for further intervals; 0 for never.
    seed
        Of these draws.

    Raises
    ------
    RequestError
        If data or formula do not allow it.
    """
    if "|" in formula:
        raise RequestError(
            f"formula {shown(formula)}: a | has no meaning here; give random effects as random"
        )
    wishes = Wishes(subject, unit, reml, df, confidence, bootstrap, seed)
    names = variables(formula.partition("~")[2])
    random = random or (f"1 + `{time}`" if time in names else "1")
    model = fit_formula(data, formula, random, wishes)
    table, _, notes = estimates(model)
    tables = {
        "random_effects": random_effects(model),
        "tests": tests_of_terms(model),
        "participants": participants(model),
    }
    drawings = {}
    if time in names:
        rows = prediction_rows(model.data, names, time, lines, panels, at or {}, subject)
        tables["predictions"] = _predict(model, rows)
        drawings["predictions"] = _trajectories(
            tables["predictions"], time, formula.partition("~")[0].strip(), confidence
        )
    elif lines or panels or at:
        raise RequestError(f"predictions run over time = {time}, which is not in the formula")
    drawings["residuals"] = diagnostics(model)
    return Fitted(
        estimates=table,
        facts=facts(model),
        method=sentences(model),
        tables=tables,
        drawings=drawings,
        notes=(*model.notes, *notes),
        excluded=model.excluded,
    )


def _predict(model: Mixed, rows: pd.DataFrame) -> pd.DataFrame:
    """Return predictions for an average participant, with the values they are made at."""
    # By the specification of the design, so that center() and the like keep their centres.
    contrasts = model.x.model_spec.get_model_matrix(rows, context={}).to_numpy(float)
    predicted = model.compare([""] * len(rows), contrasts)
    return rows.join(predicted[["estimate", "std_error", "df", "ci_low", "ci_high"]])


def _trajectories(table: pd.DataFrame, time: str, outcome: str, confidence: float) -> Drawing:
    data = table.rename(columns={"estimate": "y"}).assign(x=table[time])
    return Drawing(
        "trajectories",
        data[["panel", "line", "x", "y", "ci_low", "ci_high"]],
        f"Predicted {outcome} over {time}, with bands of {confidence:.0%} confidence for the mean "
        "of participants; values held are in the table of predictions.",
        {"x": time, "y": outcome},
    )
