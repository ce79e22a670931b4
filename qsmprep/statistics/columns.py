"""What columns of the tables of models mean, for their sidecars."""

from __future__ import annotations

import pandas as pd

COLUMNS: dict[str, str] = {
    "region": "Region whose susceptibility, relaxation rate or volume the formula names",
    "row": "Row of the data: an acquisition, or a line of another table",
    "reason": "What the row lacks",
    "term": "Term of the formula; name[T.level] compares a level with the first",
    "estimate": "In units of the outcome for one unit of the term; for cox the logarithm of the "
    "hazard ratio",
    "std_error": "Standard error of the estimate",
    "statistic": "t where df is given, else z",
    "df": "Degrees of freedom of the statistic",
    "p_value": "Two-sided, not corrected; of voxelwise models corrected for all voxels",
    "ci_low": "Lower end of the confidence interval",
    "ci_high": "Upper end of the confidence interval",
    "p_holm": "Corrected over regions after Holm: family-wise error",
    "p_bh": "Corrected over regions after Benjamini and Hochberg: false discovery rate",
    "hazard_ratio": "Ratio of hazards for one unit of the term",
    "hazard_ratio_low": "Lower end of its confidence interval",
    "hazard_ratio_high": "Upper end of its confidence interval",
    "participant_id": "Participant",
    "session_id": "Session",
    "acquisition_key": "How it was acquired",
    "voxel": "The highest or the lowest voxel",
    "inference": "How the family-wise error of a voxelwise model was controlled",
    "sign": "Of the effect",
    "voxels": "Significant voxels of a cluster",
    "size_mm3": "Their volume, mm³",
    "x_mm": "Where the peak lies on the template, mm to the right",
    "y_mm": "Where the peak lies on the template, mm to the front",
    "z_mm": "Where the peak lies on the template, mm to the top",
    "t": "At the peak",
    "effect_ppb": "At the peak, adjusted, ppb for one unit of the term",
    "p_fwe": "The smallest p of the cluster, corrected for all voxels",
    "p_voxel": "Corrected for all voxels by the largest t",
    "p_cluster_size": "Corrected for all voxels by the size of clusters; 1 outside of them",
    "p_cluster_mass": "Corrected for all voxels by the mass of clusters; 1 outside of them",
    "p_tfce": "Corrected for all voxels by threshold-free cluster enhancement",
    "q_fdr": "p of t at the peak, adjusted for the false discovery rate over all voxels",
    "peak_region": "Region at the peak",
}


def describe_columns(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return what a sidecar says of the columns of a table that are known."""
    return {
        str(name): {"Description": COLUMNS[str(name)]}
        for name in table.columns
        if str(name) in COLUMNS
    }
