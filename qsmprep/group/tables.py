"""The tables of all participants in one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qsmprep.bids.quality import flatten_quality
from qsmprep.bids.region_columns import WORDS
from qsmprep.errors import InputError


def join_regions(paths: list[Path]) -> pd.DataFrame:
    """
    Return the rows of all regional tables, in the order given; none where there is no table.

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
                dtype=dict.fromkeys(WORDS, str),
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
    if not tables:
        return pd.DataFrame(columns=[*WORDS, "index", "mean"])
    joined = pd.concat(tables, ignore_index=True)
    joined["index"] = joined["index"].astype("Int64")
    return joined


def join_quality(content: dict[str, dict[str, dict]]) -> pd.DataFrame:
    """
    Return one row per acquisition and two columns per figure, its value and its verdict.

    Parameters
    ----------
    content
        What `qsmprep.bids.quality.read_quality` returns for every acquisition, by its name.
    """
    return pd.DataFrame(
        [{"acquisition_name": name, **flatten_quality(said)} for name, said in content.items()]
    )
