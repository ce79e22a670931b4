"""What is true about simulated heads, in the terms of measured tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def bilateral_truth(path: str | Path) -> pd.DataFrame:
    """
    Return what a perfect reconstruction finds in each region, left and right pooled.

    Parameters
    ----------
    path
        ``regions.tsv`` that ``qsmprep-simulate`` wrote for an acquisition.

    Returns
    -------
    table
        `name`, and `true_ppb` against the whole brain, as measured tables have it under the
        reference ``whole-brain``; regions in alphabetical order.
    """
    table = pd.read_csv(path, sep="\t")
    rows = [
        (name, np.average(sides["mean_ppb"], weights=sides["volume_mm3"]))
        for name, sides in table.groupby("region")
    ]
    truth = pd.DataFrame(rows, columns=["name", "true_ppb"])
    return truth.assign(true_ppb=truth["true_ppb"] - table["whole_brain_mean_ppb"].iloc[0])


def truth_tables(bids_dir: str | Path) -> dict[tuple[str, str], Path]:
    """
    Return the tables of truth of a simulated dataset, by participant and session.

    Sessions are ``n/a`` where there are none, as in measured tables.
    """
    truth = Path(bids_dir) / "derivatives/truth"
    tables = {}
    for path in sorted(truth.glob("sub-*/**/*_regions.tsv")):
        folders = path.relative_to(truth).parts
        session = next((part for part in folders if part.startswith("ses-")), "n/a")
        tables[folders[0], session] = path
    return tables
