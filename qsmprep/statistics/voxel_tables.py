"""Tables of voxelwise results: clusters, and the highest and lowest voxel."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from qsmprep.statistics.permutation import Inference
from qsmprep.statistics.results import ESTIMATES
from qsmprep.statistics.tfce import clusters
from qsmprep.statistics.voxel_fits import VoxelFit

CLUSTERS = (
    "inference", "sign", "voxels", "size_mm3", "x_mm", "y_mm", "z_mm", "t", "effect_ppb", "p_fwe",
    "q_fdr",
)  # fmt: skip
"""Columns of the table of clusters."""

PLACE = ("x_mm", "y_mm", "z_mm")
"""Columns of where a peak lies, RAS+."""


def cluster_table(
    fit: VoxelFit, inference: Inference, q, mask, affine, neighbours, alpha: float
) -> pd.DataFrame:
    """
    Return a row per cluster of voxels that an inference finds, the largest |t| first.

    Parameters
    ----------
    fit, inference
        What was tested, and found.
    q : (V,) array
        Adjusted for the false discovery rate.
    mask : (X, Y, Z) boolean array
        The V voxels.
    affine : (4, 4) array
        From voxels to mm.
    neighbours : (V, K) integer array
        Of the voxels.
    alpha
        Below which p is significant.
    """
    size = round(abs(float(np.linalg.det(np.asarray(affine)[:3, :3]))), 6)
    rows = []
    for name, p in inference.p.items():
        significant = np.where(p <= alpha, fit.t, 0.0)
        labels, sizes, _ = clusters(significant, 0.0, neighbours)
        for label, count in enumerate(sizes, start=1):
            voxels = np.flatnonzero(labels == label)
            peak = voxels[np.argmax(np.abs(fit.t[voxels]))]
            rows.append({
                "inference": name,
                "sign": "positive" if fit.t[peak] > 0 else "negative",
                "voxels": int(count),
                "size_mm3": count * size,
                **dict(zip(PLACE, _place(peak, mask, affine), strict=True)),
                "t": fit.t[peak],
                "effect_ppb": fit.effect[peak],
                "p_fwe": p[voxels].min(),
                "q_fdr": q[peak],
            })  # fmt: skip
    table = pd.DataFrame(rows, columns=list(CLUSTERS))
    order = table["t"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].sort_values("inference", kind="stable").reset_index(drop=True)


def peak_table(
    term: str, fit: VoxelFit, inference: Inference, q, mask, affine, two_sided: bool
) -> pd.DataFrame:
    """
    Return estimates at the highest voxel and, in a two-sided test, at the lowest, clearest first.

    p_value is corrected for all voxels, by the last inference there is; confidence intervals are
    those of the voxel alone.
    """
    chosen = list(inference.p)[-1]
    peaks = {"highest": int(np.argmax(fit.t))}
    if two_sided:
        peaks["lowest"] = int(np.argmin(fit.t))
    peaks = dict(sorted(peaks.items(), key=lambda peak: -abs(fit.t[peak[1]])))
    rows = []
    for name, voxel in peaks.items():
        half = stats.t.ppf(0.975, fit.df[voxel]) * fit.std_error[voxel]
        effect = fit.effect[voxel]
        values = (
            term, effect, fit.std_error[voxel], fit.t[voxel], fit.df[voxel],
            inference.p[chosen][voxel], effect - half, effect + half,
        )  # fmt: skip
        rows.append({
            **dict(zip(ESTIMATES, values, strict=True)),
            "voxel": name,
            **dict(zip(PLACE, _place(voxel, mask, affine), strict=True)),
            **{f"p_{key.replace('-', '_')}": p[voxel] for key, p in inference.p.items()},
            "q_fdr": q[voxel],
        })  # fmt: skip
    return pd.DataFrame(rows)


def _place(voxel: int, mask, affine) -> tuple[float, ...]:
    """Return where a voxel lies, mm."""
    index = np.unravel_index(np.flatnonzero(mask)[voxel], mask.shape)
    return tuple(float(one) for one in (np.asarray(affine) @ [*index, 1])[:3])
