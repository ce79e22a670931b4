"""What the group's page is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from qsmprep.reports.pages import IDENTITY, MISSING

LARGEST_CHART = 24
"""Rows of a chart; with more, groups and sites are drawn one after the other."""

_MOST_SITES = 12


@dataclass(frozen=True)
class Figure:
    """A quality figure: which file it is of, its unit, what it is, and the window that passes."""

    about: str
    unit: str = ""
    what: str = ""
    window: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Cohort:
    """
    Everything about a cohort; all tables but `regions` have the rows of `people`.

    Parameters
    ----------
    people
        A row per acquisition: `participant_id session_id acquisition run status reason site group
        verdict reasons page picture no_picture outputs`. `reasons` and `outputs` hold lists.
    regions
        Rows of all ``regions.tsv``.
    values, verdicts
        A column per quality figure; words among the values stay words.
    z, region_z
        Robust z of the figures that are numbers, and of the regional means of `region_means`.
    region_means
        Bilateral susceptibility, ppb, a column per region.
    figures
        The quality figures, by name.
    kinds
        Kinds of output that may be missing, by the name under which `outputs` lists them.
    reference, atlas
        Under which the susceptibility is shown, and whose regions.
    site_source, group_source
        Where sites and groups were read.
    notes
        What a reader should know, in sentences.
    """

    people: pd.DataFrame
    regions: pd.DataFrame
    values: pd.DataFrame
    verdicts: pd.DataFrame
    z: pd.DataFrame
    region_means: pd.DataFrame
    region_z: pd.DataFrame
    figures: dict[str, Figure]
    kinds: dict[str, str]
    reference: str
    atlas: str
    site_source: str
    group_source: str
    notes: tuple[str, ...]

    def labels(self) -> list[str]:
        """Return what each acquisition is called on the page."""
        return [label(*row) for row in self.people[list(IDENTITY)].itertuples(index=False)]

    def by_site(self) -> Iterator[tuple[str, pd.Index]]:
        """Yield name and rows of the largest sites by name, and of all others together."""
        yield from _largest(self.people["site"])

    def by_group_and_site(self) -> Iterator[tuple[str, pd.Index]]:
        """Yield name and rows of each group at each site, or of each where these are too many."""
        if not self.group_source:
            yield from self.by_site()
            return
        sites, groups = list(_largest(self.people["site"])), list(_largest(self.people["group"]))
        if len(sites) == 1:
            yield from groups
        elif len(sites) * len(groups) <= LARGEST_CHART:
            for group, of_group in groups:
                for site, of_site in sites:
                    if len(both := of_group.intersection(of_site)):
                        yield f"{group}, {site}", both
        else:
            yield from groups
            yield from sites


def label(*labels: str) -> str:
    """Return the labels that there are as one."""
    return " ".join(label for label in labels if label != MISSING)


def _largest(column: pd.Series) -> Iterator[tuple[str, pd.Index]]:
    counts = column.value_counts()
    kept = sorted(counts.index[:_MOST_SITES], key=str)
    for name in kept:
        yield str(name), column.index[column == name]
    if others := len(counts) - len(kept):
        yield f"{others} others", column.index[~column.isin(kept)]
