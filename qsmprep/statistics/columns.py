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
    "p_value": "Two-sided, not corrected",
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
}


def describe_columns(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return what a sidecar says of the columns of a table that are known."""
    return {
        str(name): {"Description": COLUMNS[str(name)]}
        for name in table.columns
        if str(name) in COLUMNS
    }
