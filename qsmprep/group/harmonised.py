"""Harmonised values as models, tables and pages take them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.group.harmonise_options import Options
from qsmprep.statistics import harmonisation

CHI = "Chimap"
STATISTIC = "mean"
"""The statistic of regions that is harmonised."""

UNITS = {CHI: "ppb", "R2starmap": "1/s"}
"""Of regional means in tables."""


class Cohort(Protocol):
    """What is needed of `qsmprep.group.cohort_table.CohortTable`."""

    @property
    def acquisitions(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def atlases(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def maps(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def references(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def reference(self) -> str: ...  # noqa: D102
    @property
    def region_values(self) -> Any: ...  # noqa: D102

    def values(self, map: str, reference: str, atlas: str, statistic: str) -> pd.DataFrame: ...  # noqa: A002, D102


class Key(NamedTuple):
    """What a set of values is of; maps without reference have ``n/a``."""

    map: str
    reference: str
    atlas: str


@dataclass(frozen=True)
class Part:
    """
    One set of values: a map, a reference, an atlas.

    Parameters
    ----------
    key
        What it is of.
    before, after
        A row per acquisition, a column per region.
    parameters
        What was learnt, of `regions`.
    regions
        Those that parameters are of.
    variance
        Of the batches `batches`, by region, before and after; empty where it cannot be told.
    batches
        Names in the rows of ``adjusted``.
    """

    key: Key
    before: pd.DataFrame
    after: pd.DataFrame
    parameters: harmonisation.Parameters
    regions: tuple[str, ...]
    variance: tuple[dict[str, np.ndarray], ...] = ()
    batches: tuple[str, ...] = ()


@dataclass(frozen=True)
class Harmonised:
    """
    Harmonised values of a cohort, as models take them.

    Parameters
    ----------
    label
        The method as it stands in names of files and columns.
    method
        What was done, in sentences with references.
    notes
        What a reader must know, one sentence each.
    options
        What was asked for, columns named.
    parts
        By map, reference and atlas.
    failures
        Why a map, reference and atlas was not harmonised.
    batch
        That of every acquisition; missing where it is not harmonised.
    """

    label: str
    method: str
    notes: tuple[str, ...]
    options: Options
    parts: dict[Key, Part] = field(repr=False)
    failures: dict[Key, str]
    batch: pd.Series = field(repr=False)

    def values(self, map: str, reference: str, atlas: str, statistic: str) -> pd.DataFrame:  # noqa: A002
        """
        Return harmonised values, a row per acquisition and a column per region.

        Raises
        ------
        RequestError
            If these were not harmonised.
        """
        key = Key(map, reference if map == CHI else "n/a", atlas)
        if statistic != STATISTIC:
            raise RequestError(
                f"{statistic} of regions is not harmonised, only {STATISTIC} is; set statistic = "
                f'"{STATISTIC}", or harmonised = false'
            )
        if key in self.failures:
            raise RequestError(f"{said(key)} is not harmonised: {self.failures[key]}")
        if key not in self.parts:
            raise RequestError(f"{said(key)} is not harmonised; set harmonised = false")
        return self.parts[key].after


def said(key: Key) -> str:
    """Return what a set of values is of, in words."""
    against = "" if key.reference == "n/a" else f" against {key.reference}"
    return f"{key.map}{against} ({key.atlas})"
