"""Lesions at enhancement, counted and measured as in Zhang et al. (AJNR 40:987, 2019)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qsmprep.simulate.cohorts.noise import matched

CHI: Mapping[str, tuple[int, float, float]] = {
    "nodular": (9, 6.87, 5.80),
    "shell": (23, 12.10, 8.95),
}
"""Lesions, mean and standard deviation (ppb) by enhancement, as printed."""

RIM, RIM_EARLY, RIM_LASTING, VEIN, PATIENTS = 16, 13, 14, 10, 19


def lesions(seed: int) -> pd.DataFrame:
    """
    Return 32 lesions of 19 patients whose counts, means and spreads are those printed.

    Returns
    -------
    table
        lesion_id, participant_id, enhancement (nodular, shell), chi (ppb, less adjacent white
        matter), rim, central_vein (yes, no), and, of lesions with a rim, rim_at_enhancement and
        rim_lasting. Which lesions have which mark is drawn by `seed`.
    """
    rng = np.random.default_rng(seed)
    n = sum(count for count, _, _ in CHI.values())
    enhancement = np.repeat(list(CHI), [count for count, _, _ in CHI.values()])
    chi = np.concatenate([matched(rng, *row) for row in CHI.values()])
    rim = np.isin(np.arange(n), rng.permutation(n)[:RIM])
    # Every patient has a lesion; who has more is drawn.
    patient = rng.permutation(np.concatenate(
        [np.arange(PATIENTS), rng.integers(0, PATIENTS, n - PATIENTS)]))  # fmt: skip
    table = pd.DataFrame(
        {
            "lesion_id": [f"lesion{number:02d}" for number in range(1, n + 1)],
            "participant_id": [f"sub-{number + 1:02d}" for number in patient],
            "enhancement": enhancement,
            "chi": chi,
            "rim": np.where(rim, "yes", "no"),
            "central_vein": _marked(rng, np.ones(n, bool), VEIN),
            "rim_at_enhancement": _marked(rng, rim, RIM_EARLY),
            "rim_lasting": _marked(rng, rim, RIM_LASTING),
        }
    )
    return table.set_index("lesion_id", drop=False).rename_axis(None)


def _marked(rng: np.random.Generator, among: np.ndarray, count: int) -> np.ndarray:
    """Return yes for a number of lesions drawn among some, no for the rest of these."""
    marks = np.full(len(among), None, dtype=object)
    marks[among] = "no"
    marks[rng.permutation(np.flatnonzero(among))[:count]] = "yes"
    return marks
