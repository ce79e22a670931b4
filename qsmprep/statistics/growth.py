"""Growth curves of groups: polynomials of time with units within participants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.statistics import growth_curves as curves
from qsmprep.statistics.decay import decay
from qsmprep.statistics.mixed_tables import (
    Wishes,
    diagnostics,
    estimates,
    facts,
    participants,
    random_effects,
    sentences,
)
from qsmprep.statistics.predictions import POINTS
from qsmprep.statistics.results import Fitted


def growth(
    data: pd.DataFrame,
    *,
    outcome: str,
    time: str = "years",
    group: str = "",
    levels: Sequence = (),
    bins: int | Sequence[float] = 0,
    spacing: str = "equal",
    order: int | str = "auto",
    covariates: Sequence[str] = (),
    log: bool = False,
    times: Sequence[float] = (),
    decay_from: float | None = None,
    subject: str = "participant_id",
    unit: str = "",
    reml: bool = True,
    df: str = "satterthwaite",
    confidence: float = 0.95,
    bootstrap: int = 0,
    seed: int = 1,
) -> Fitted:
    """
    Return growth curves of groups (Mirman et al., 2008, doi:10.1016/j.jml.2007.11.006).

    The outcome is a polynomial of time for each group, with random intercepts of participants,
    and of units such as lesions within them.

    Parameters
    ----------
    data
        One row per observation.
    outcome
        Column that is modelled.
    time
        Column of times.
    group
        Column of groups, which are compared; one curve for all where it is empty.
    levels
        Groups that take part, the one compared with first; all, by the alphabet, unless given.
    bins
        Times of bins, to the nearest of which every row belongs, or a number of bins with equally
        many rows; 0 for time as it is.
    spacing
        Polynomials of the number of a bin (``equal``) or of its ``time``.
    order
        Highest degree of the polynomials, or ``auto``: that with the smallest AIC under maximum
        likelihood, at most one less than there are bins, or 5.
    covariates
        Further terms of the formula.
    log
        Model the logarithm of the outcome; means are then geometric, differences ratios.
    times
        When groups are compared; at all bins, or at the quartiles of time, unless given.
    decay_from
        When a group's interval is taken, below which its mean has decayed; the second bin unless
        given.
    subject
        Column that says whose row it is.
    unit
        Column that says of which unit within a participant the row is, e.g. which lesion.
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
        If data or keys do not allow it.
    """
    wishes = Wishes(subject, unit, reml, df, confidence, bootstrap, seed)
    if spacing not in ("equal", "time"):
        raise RequestError(f"spacing = {shown(spacing)}: choose equal or time")
    equal = bool(bins) and spacing == "equal"
    axis = curves.Axis(outcome, time, group, tuple(covariates), log, bins, equal)
    rows, excluded = curves.rows_of(data, axis, levels, wishes)
    curve = curves.fit_curves(rows, axis, order, wishes)
    grid, gaps, start = _places(curve, times, decay_from)
    asked = [part[1] for part in (grid, gaps, start)]
    table, draws, notes = estimates(curve.model, np.vstack(asked))
    of_grid, of_gaps, of_start = np.split(draws, np.cumsum([len(a) for a in asked])[:-1], axis=2)
    tables = {"means": curves.means(curve, grid, of_grid)}
    if group:
        tables["differences"] = curves.differences(curve, gaps, of_gaps)
        tables["polynomials"] = curves.polynomials(curve)
    tables["tests"] = curves.tests(curve)
    if len(start[0]):
        tables["decay"] = decay(curve, grid, start, of_grid, of_start)
    tables["random_effects"] = random_effects(curve.model)
    tables["participants"] = participants(curve.model)
    return Fitted(
        estimates=table,
        facts=facts(curve.model) | curves.facts_of(curve),
        method=f"{curves.sentence(curve)} {sentences(curve.model)}",
        tables=tables,
        drawings={
            "curves": curves.drawing(curve, tables["means"]),
            "residuals": diagnostics(curve.model),
        },
        notes=(*curve.notes, *curve.model.notes, *notes),
        excluded=excluded,
    )


Places = tuple[pd.DataFrame, np.ndarray]


def _places(
    curve: curves.Curve, times: Sequence[float], decay_from: float | None
) -> tuple[Places, Places, Places]:
    """Return where curves are told, where groups are compared, and where decay is counted from."""
    binned, points = bool(curve.axis.bins), curve.points
    everywhere = points if binned else np.linspace(points[0], points[-1], POINTS)
    compared = times or (points if binned else np.quantile(points, (0, 0.25, 0.5, 0.75, 1)))
    early = [points[1]] if binned and decay_from is None else [decay_from]
    for key, values in (("times", compared), ("decay_from", early)):
        for value in values:
            if value is not None and not points[0] <= value <= points[-1]:
                raise RequestError(
                    f"{key}: {value} is outside the data, {points[0]} to {points[-1]}"
                )
    return (
        curve.grid(everywhere),
        curve.gaps(np.unique(np.asarray(compared, float))),
        curve.grid([value for value in early if value is not None]),
    )
