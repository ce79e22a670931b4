"""What several protocols measured in the same regions, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

KEY = (
    "participant_id", "session_id", "acquisition", "run", "atlas", "index", "name", "hemisphere",
    "reference", "units",
)  # fmt: skip

COLUMNS = {
    "participant_id": "participant",
    "session_id": "session",
    "acquisition": "acquisition label",
    "run": "run number",
    "atlas": "atlas the regions come from",
    "index": "label of the region in the atlas",
    "name": "region",
    "hemisphere": "L, R, B for both together, M for the midline",
    "reference": "region whose mean was subtracted",
    "units": "of all values in the row",
    "range": "largest less smallest value among the protocols",
}


def compare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """
    Return one row per region and reference, and one column per protocol.

    Parameters
    ----------
    tables
        Rows of all ``regions.tsv`` of each protocol, by its name.

    Returns
    -------
    table
        Regional means of susceptibility. Rows are in the order of the first protocol; what a
        protocol did not measure is missing.
    """
    columns = []
    for protocol, table in tables.items():
        rows = table[table["map"] == "Chimap"].set_index(list(KEY))
        columns.append(rows["mean"].rename(protocol))
    wide = pd.concat(columns, axis=1, sort=False)
    wide["range"] = wide.max(axis=1) - wide.min(axis=1)
    return wide.reset_index()
