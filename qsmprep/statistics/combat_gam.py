"""ComBat that lets age bend: covariates may enter as splines, and these are protected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.statistics import combat
from qsmprep.statistics.combat import Combat, apply

__all__ = ["KNOTS", "apply", "fit"]

KNOTS = 5
"""Of a spline where nothing else is said: four columns."""


def fit(
    values: np.ndarray,
    batch: Sequence[str],
    covariates: pd.DataFrame,
    *,
    smooth: Mapping[str, int] | None = None,
    reference_batch: str | None = None,
    mean_only: bool = False,
    parametric: bool = True,
) -> Combat:
    """
    Learn what batches do to features, the curves of some covariates protected.

    The idea is of Pomponio et al. (2020, doi:10.1016/j.neuroimage.2019.116450). Differs in: 1. The
    curve is a natural cubic spline with few knots, without penalty: straight beyond the youngest
    and the oldest, so that new participants can be older than those it was learnt from.

    Parameters
    ----------
    values, batch, covariates, reference_batch, mean_only, parametric
        As for `qsmprep.statistics.combat.fit`.
    smooth
        Numbers among the covariates that may bend, with their number of knots; age with `KNOTS`
        where it is not said.
    """
    smooth = dict(smooth or {"age": KNOTS})
    if absent := [name for name in smooth if name not in covariates]:
        raise RequestError(f"{absent[0]} is to be smooth and no covariate; name it in covariates")
    return combat.fit(
        values, batch, covariates, smooth=smooth, reference_batch=reference_batch,
        mean_only=mean_only, parametric=parametric,
    )  # fmt: skip
