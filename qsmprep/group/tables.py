"""The tables of all participants in one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qsmprep.errors import InputError

WORDS = "participant_id session_id acquisition run atlas name hemisphere map reference units flag"
"""Columns that hold words, even where all of them look like numbers (run ``01``)."""


def join_regions(paths: list[Path]) -> pd.DataFrame:
    """
    Return the rows of all regional tables, in the order given.

    Raises
    ------
    InputError
        If a table cannot be read, or differs in its columns from the first.
    """
    tables: list[pd.DataFrame] = []
    for path in paths:
        try:
            table = pd.read_csv(
                path,
                sep="\t",
                dtype=dict.fromkeys(WORDS.split(), str),
                na_values=["n/a"],
                keep_default_na=False,
            )
        except (OSError, ValueError, pd.errors.ParserError) as error:
            raise InputError(
                path, f"cannot be read as a table ({error})", "run its participant again"
            ) from error
        if tables and list(table.columns) != list(tables[0].columns):
            raise InputError(
                path, f"has other columns than {paths[0].name}", "run its participant again"
            )
        tables.append(table)
    joined = pd.concat(tables, ignore_index=True)
    joined["index"] = joined["index"].astype("Int64")
    return joined


def join_quality(content: dict[str, dict[str, object]]) -> pd.DataFrame:
    """
    Return one row per acquisition and one column per number that says how good it is.

    Parameters
    ----------
    content
        ``desc-qc.json`` of every acquisition, by its name.
    """
    rows = []
    for name, quality in content.items():
        row: dict[str, object] = {"acquisition_name": name}
        for key, value in quality.items():
            if isinstance(value, dict):
                row |= {f"{key}_{k}".replace(" ", "_"): v for k, v in value.items()}
            else:
                row[key] = value
        rows.append(row)
    return pd.DataFrame(rows)
