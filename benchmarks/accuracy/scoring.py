"""The public scorer, applied alike to every method."""

from __future__ import annotations

import numpy as np

NAMES = {
    "nrmse": "NRMSE %",
    "xsim": "xSIM",
    "dgm_linearity": "slope error",
    "coverage": "coverage",
}
"""What is reported, by the scorer's names."""


def score(found, truth, mask, kind: str = "chi", labels=None) -> dict[str, float]:
    """
    Return the figures of a map over the whole mask; voxels it lost count as zero.

    Each map has zero where its method puts it; it is brought to the mean of the truth first, over
    the voxels it has, so that the choice of a reference is not taken for an error.

    Parameters
    ----------
    found, truth : (X, Y, Z) arrays
        Susceptibility or field, ppm.
    mask : (X, Y, Z) boolean array
        What is scored.
    kind
        ``chi`` or ``field``.
    labels : (X, Y, Z) integer array
        Regions of the simulated head, for its deep grey matter.
    """
    from qsm_ci.qsm_eval import score_arrays  # of the extra `bench`, which --help does without

    known = mask & (found != 0)
    shift = truth[known].mean() - found[known].mean() if kind == "chi" else 0.0
    moved = np.where(known, found + shift, 0)
    figures, _ = score_arrays(moved.astype(float), truth.astype(float), mask, kind, seg=labels)
    return {NAMES[name]: float(figures[name]) for name in NAMES if name in figures}
