"""What a map says about each region of an atlas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

WHOLE_BRAIN = "whole-brain"
"""Name of the row that every table ends with."""

LOW_COVERAGE = 0.5
"""Below this part of a region measured, its row is flagged."""

IN_UNITS = ("mean", "std", "median", "mad", "p05", "p95", "sem")
"""What is in the unit of the map."""

CUT = 0.75
"""Below this part of its volume in the T1w a region was cut; small ones vary by 10 % unmoved."""


@dataclass(frozen=True)
class Region:
    """
    A labelled part of the brain.

    Parameters
    ----------
    index
        Value of its voxels.
    name
        What it is called, the same on both sides.
    hemisphere
        ``L``, ``R``, or ``M`` on the midline.
    """

    index: int
    name: str
    hemisphere: str


@dataclass(frozen=True)
class RegionStatistics:
    """
    One region in one map. NaN is what cannot be known.

    Parameters
    ----------
    index
        Value of the region's voxels, none where several labels are pooled.
    name
        Region.
    hemisphere
        ``L``, ``R``, ``M``, or ``B`` for both sides together.
    n_voxels
        Voxels measured, which the statistics rest on.
    volume_mm3
        Volume of the region before any mask, mm³.
    coverage
        Part of the region's voxels that were measured.
    mean, std, median, mad, p05, p95, sem
        Of the measured voxels, in the map's unit. `std` has n - 1 degrees of freedom, `mad` is the
        median distance from the median, not scaled to a standard deviation.
    flag
        What to beware of, or nothing.
    """

    index: int | None
    name: str
    hemisphere: str
    n_voxels: int
    volume_mm3: float
    coverage: float
    mean: float
    std: float
    median: float
    mad: float
    p05: float
    p95: float
    sem: float
    flag: str

    def shifted(self, constant: float) -> RegionStatistics:
        """Return the statistics of the map plus `constant`: a change of reference."""
        return self._mapped(("mean", "median", "p05", "p95"), lambda value: value + constant)

    def scaled(self, factor: float) -> RegionStatistics:
        """Return the statistics of the map times a positive `factor`: a change of unit."""
        return self._mapped(IN_UNITS, lambda value: value * factor)

    def _mapped(self, names, change) -> RegionStatistics:
        return replace(self, **{name: change(getattr(self, name)) for name in names})


def regional_statistics(
    values,
    labels,
    regions: Sequence[Region],
    *,
    brain,
    trusted,
    voxel_volume: float,
    noise=None,
    expected_mm3: Mapping[int, float] | None = None,
) -> list[RegionStatistics]:
    """
    Return one row per region, one after each left-right pair, and one for the whole brain.

    Parameters
    ----------
    values : (X, Y, Z) real array
        Map, any unit. Values that are not finite count as not measured.
    labels : (X, Y, Z) integer array
        Label of every voxel, before any mask.
    regions
        What the labels mean, in the order of the rows; no name twice on one side.
    brain : (X, Y, Z) boolean array
        Brain, the region of the last row.
    trusted : (X, Y, Z) boolean array
        Where the map is measured.
    voxel_volume
        Volume of a voxel, mm³.
    noise : (X, Y, Z) real array, optional
        Standard deviation of `values`, same unit. With it `sem` is the error that independent
        noise leaves in the mean; without it, `std` over the root of `n_voxels`. Neighbouring
        voxels of χ are not independent, so that both are lower bounds.
    expected_mm3
        Volume of each label where all of it was seen, as in the T1w, mm³: tells what the field
        of view has cut.

    Returns
    -------
    rows : list of RegionStatistics
        NumPy only.
    """
    measured = trusted & np.isfinite(values)

    def row(region: Region, index: int | None, body, whole_mm3: float | None):
        inside = body & measured
        size = int(np.count_nonzero(body))
        coverage = np.count_nonzero(inside) / size if size else np.nan
        return RegionStatistics(
            index=index,
            name=region.name,
            hemisphere=region.hemisphere,
            volume_mm3=size * voxel_volume,
            coverage=coverage,
            flag=_flag(size * voxel_volume, coverage, whole_mm3),
            n_voxels=int(np.count_nonzero(inside)),
            **_describe(values[inside], None if noise is None else noise[inside]),
        )

    def volume(indices: Sequence[int]) -> float | None:
        if expected_mm3 is None:
            return None
        return sum(expected_mm3.get(index, 0.0) for index in indices)

    rows = []
    sides: dict[str, dict[str, int]] = {}
    for region in regions:
        index = region.index
        rows.append(row(region, index, labels == index, volume([index])))
        pair = sides.setdefault(region.name, {})
        pair[region.hemisphere] = index
        if region.hemisphere != "M" and {"L", "R"} <= set(pair):
            both = [pair["L"], pair["R"]]
            pooled = Region(0, region.name, "B")
            rows.append(row(pooled, None, np.isin(labels, both), volume(both)))
    rows.append(row(Region(0, WHOLE_BRAIN, "B"), None, brain, None))
    return rows


def _describe(values, noise) -> dict[str, float]:
    """Return centre and spread."""
    values = values.astype(np.float64)  # or the mean of a large region would lose digits
    n = values.size
    if n == 0:
        return dict.fromkeys(IN_UNITS, np.nan)
    p05, median, p95 = np.percentile(values, (5, 50, 95)).tolist()
    std = float(values.std(ddof=1)) if n > 1 else np.nan
    sem = std / np.sqrt(n) if noise is None else np.linalg.norm(noise.astype(np.float64)) / n
    return {
        "mean": float(values.mean()),
        "std": std,
        "median": median,
        "mad": float(np.median(np.abs(values - median))),
        "p05": p05,
        "p95": p95,
        "sem": float(sem),
    }


def _flag(volume: float, coverage: float, whole_mm3: float | None) -> str:
    """Return what to beware of, the gravest first."""
    if volume == 0:
        return "outside the field of view" if whole_mm3 else "no voxels"
    if coverage == 0:
        return "not measured"
    if whole_mm3 and volume < CUT * whole_mm3:
        return "cut by the field of view"
    return "low coverage" if coverage < LOW_COVERAGE else ""
