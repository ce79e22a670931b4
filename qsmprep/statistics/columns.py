"""What columns of the tables of models mean, for their sidecars."""

from __future__ import annotations

from collections.abc import Collection
import re

import pandas as pd

_T = "t with df degrees of freedom, or z where df is missing"
_CHI_SQUARED = "Chi squared with df degrees of freedom"

COLUMNS: dict[str, str] = {
    # what a row is about
    "region": "Region whose susceptibility, relaxation rate or volume the formula names",
    "row": "Row of the data: an acquisition, or a line of another table",
    "reason": "What the row lacks",
    "participant_id": "Participant",
    "session_id": "Session",
    "acquisition_key": "How it was acquired",
    "term": "Term of the formula; name[T.level] compares a level with the first",
    "group": "Group of rows",
    "versus": "Group it is compared with",
    "covariates": "Whether the covariates are those of the formula, or one more beside them",
    "n": "Rows",
    "rows": "Rows",
    "time": "In units of the column that tells times",
    "note": "What to know of the row",
    # estimates
    "estimate": "In units of the outcome for one unit of the term",
    "std_error": "Standard error of the estimate",
    "statistic": _T,
    "df": "Degrees of freedom",
    "p_value": "Two-sided, not corrected",
    "ci_low": "Lower end of the confidence interval",
    "ci_high": "Upper end of the confidence interval",
    "p_holm": "Corrected after Holm: family-wise error over regions, or over the rows of a table",
    "p_bh": "Corrected over regions after Benjamini and Hochberg: false discovery rate",
    "p_adjusted": "Corrected over the contrasts of one model",
    "p_corrected": "Corrected over all pairs of the model",
    "boot_se": "Standard error by the bootstrap",
    "boot_low": "Lower end of the confidence interval by the bootstrap",
    "boot_high": "Upper end of the confidence interval by the bootstrap",
    "hazard_ratio": "Ratio of hazards for one unit of the term, or of two groups",
    "hazard_ratio_low": "Lower end of its confidence interval",
    "hazard_ratio_high": "Upper end of its confidence interval",
    # linear models
    "beta_standardised": "Coefficient times SD of its column by SD of the outcome",
    "partial_eta2": "Share of the variance that it tells of what the other terms leave",
    "vif": "How many times its correlation with the others inflates its variance",
    "cohens_d": "Difference by the residual standard deviation",
    "d_ci_low": "Lower end of the confidence interval of d",
    "d_ci_high": "Upper end of the confidence interval of d",
    "sum_sq": "Sum of squares",
    "f": "F",
    "df_residual": "Degrees of freedom of its denominator",
    "check": "Assumption that is tested",
    "test": "Name of the test",
    "cooks_distance": "Cook's distance",
    "leverage": "Diagonal of the hat matrix",
    "studentised_residual": "Residual by the standard deviation it has without its row",
    "observed_mean": "Mean as observed, not adjusted",
    "arithmetic_mean": "Mean of the lognormal distribution",
    # mixed models and curves
    "panel": "Panel of the figure: values of a column, and which",
    "line": "Line within the panel: values of a column, and which",
    "level": "What the random effect varies between; residual is the noise",
    "effect": "Random effect",
    "with_effect": "Other random effect, of a correlation",
    "variance": "Variance of the random effect",
    "sd": "Standard deviation",
    "correlation": "Correlation of two random effects",
    "polynomial": "Orthonormal polynomial of time",
    "peak_time": "Time of the largest fitted mean",
    "compared_with": "Time whose interval a decay leaves",
    "floor": "Lower end of the confidence interval at that time",
    "decay_start": "First time after both at which the fitted mean is below; missing if never",
    "share_decayed": "Share of bootstrap draws in which it falls below at all",
    # change
    "first_time": "Years at the first of both sessions",
    "last_time": "Years at the last of both sessions",
    "first_value": "Value at the first of both sessions",
    "last_value": "Value at the last of both sessions",
    "absolute_change": "Last value less first value",
    "annual_change": "The same per year",
    # survival
    "stratum": "Rows with a baseline hazard of their own",
    "survival": "Share without the event until then, or where they all were at risk",
    "at_risk": "Rows observed just before that time",
    "events": "Events: at that time in curves, until then in the table at risk, else all",
    "censorings": "Ends of observation without event, at that time",
    "expected": "Events expected if all groups had one hazard",
    "median": "Median",
    "horizon": "Time up to which the mean is taken",
    "restricted_mean": "Mean time without the event up to the horizon",
    "comparison": "Groups that are compared",
    # description
    "column": "Column of the data",
    "missing": "Rows without value",
    "count": "Rows that have the level",
    "percent": "Their share of the rows that have a value, %",
    "q1": "First quartile",
    "q3": "Third quartile",
    "minimum": "Smallest value",
    "maximum": "Largest value",
    "text": "As papers print it",
    # correlation, reliability, thresholds
    "x": "First column of the pair",
    "y": "Second column of the pair",
    "flag": "Whether the corrected p is below alpha",
    "pair": "Sessions that are compared",
    "mean": "Mean of both sessions",
    "difference": "Later less earlier session",
    "limit_low": "Lower limit of agreement",
    "limit_high": "Upper limit of agreement",
    "source": "Source of variance",
    "mean_square": "Sum of squares by degrees of freedom",
    "threshold": "Values at or above it are called positive",
    "sensitivity": "Share of the second level called positive",
    "specificity": "Share of the first level not called positive",
    "youden": "Sensitivity plus specificity less 1",
    "positive_predictive": "Share of those called positive that are of the second level",
    "negative_predictive": "Share of the others that are of the first level",
    # voxels
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
"""Of all tables, unless the kind or the table has a meaning of its own for it."""

OF_KIND: dict[str, dict[str, str]] = {
    "cox": {
        "estimate": "Logarithm of the hazard ratio for one unit of the term",
        "statistic": "z; signed root of the likelihood ratio with Firth's likelihood",
    },
    "km": {
        "estimate": "Logarithm of the hazard ratio of two groups, by Peto's one step; the median "
        "where there is one group",
        "statistic": "Chi squared of the log-rank test with df degrees of freedom",
    },
    "describe": {
        "estimate": "Mean, or share of the rows that have a value",
        "statistic": "There is none",
        "level": "Level of the column; empty for numbers",
    },
    "correlation": {
        "estimate": "Correlation r",
        "statistic": "t of r with df degrees of freedom",
    },
    "reliability": {
        "estimate": "What the term names; in agreement the mean difference",
        "statistic": "F of an intraclass correlation, t of a mean difference",
    },
    "roc": {"estimate": "Area under the curve", "statistic": "z against an area of 0.5"},
    "voxelwise": {"p_value": "Corrected for all voxels, as the column inference says"},
}
"""Of the tables of a kind of model."""

OF_TABLE: dict[str, dict[str, str]] = {
    "anova": {"df": "Degrees of freedom of the term; of the residual in the last row"},
    "checks": {"statistic": "That of the test which is named"},
    "curves": {"ci_low": "Lower end, symmetric for log(-log survival)",
               "ci_high": "Upper end, symmetric for log(-log survival)"},
    "means": {"estimate": "Adjusted or fitted mean, in units of the outcome",
              "p_value": "Two-sided, of a mean of zero"},
    "differences": {"estimate": "Group less the one it is compared with; their ratio with log"},
    "ph_test": {"statistic": _CHI_SQUARED},
    "predicted": {"level": "Value of the column in focus"},
    "predictions": {"estimate": "Predicted outcome, without random effects"},
    "tests": {"statistic": "That of the test which is named", "df": "Degrees of freedom of F"},
    "variance": {"df": "Degrees of freedom of the source"},
}  # fmt: skip
"""Of one further table, by its name."""

_PATTERNS = {
    r"deviation_(.+)": "Predicted random effect of the participant: {}",
    r"(.+)_low": "Lower end of the interval of {}",
    r"(.+)_high": "Upper end of the interval of {}",
}


def describe_columns(
    table: pd.DataFrame, *, kind: str = "", name: str = "", data: Collection[str] = ()
) -> dict[str, dict[str, str]]:
    """
    Return what a sidecar says of the columns of a table that are known.

    Parameters
    ----------
    table
        Whose columns.
    kind
        Of its model.
    name
        Of the table.
    data
        Columns of the data, which predictions and excluded rows may have too.
    """
    known = {**COLUMNS, **OF_KIND.get(kind, {}), **OF_TABLE.get(name, {})}
    found = {}
    for column in map(str, table.columns):
        if told := known.get(column) or _by_pattern(column):
            found[column] = {"Description": told}
        elif column in data:
            found[column] = {"Description": "As in the data"}
        elif name == "table1":
            found[column] = {"Description": f"As papers print it, of the rows of {column}"}
    return found


def _by_pattern(column: str) -> str:
    for pattern, told in _PATTERNS.items():
        if match := re.fullmatch(pattern, column):
            return told.format(match[1])
    return ""
