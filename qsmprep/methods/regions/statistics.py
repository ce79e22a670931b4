"""What a map says about each region of an atlas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qsmprep.methods.regions.selection import WHOLE_BRAIN, Counts, Sample

LOW_COVERAGE = 0.5
"""Below this part of a region measured, its row is flagged."""

FEW_VOXELS = 30
"""Below this number of voxels, a mean is decided by where the border of the label runs."""

THIN = 0.2
"""Below this part of voxels with six neighbours of the same label, a label is mostly border."""

IN_UNITS = ("mean", "std", "median", "mad", "p05", "p95", "sem")
"""What is in the unit of the map, and always there."""

CUT = 0.75
"""Below this part of its volume in the T1w a region was cut; small ones vary by 10 % unmoved."""


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
    n_label
        Voxels of the label, before any mask or rule.
    n_outside_mask, n_untrusted, n_eroded, n_partial_volume, n_vessel
        Voxels that each rule took away, of those that the ones before it left.
    n_voxels
        Voxels left, which the statistics rest on.
    volume_mm3
        Volume of the label, mm³.
    coverage
        Part of the label's voxels that were measured.
    mean, std, median, mad, p05, p95, sem
        Of the voxels left, in the map's unit, weighted if they have weights. `std` has n - 1
        degrees of freedom, `mad` is the median distance from the median, not scaled to a standard
        deviation. `sem` is the standard error of the mean.
    flag
        What to beware of, separated by semicolons, or nothing.
    mean_positive_below_p97
        Mean of what is positive and below the 97th percentile, for old series only, or None.
    """

    index: int | None
    name: str
    hemisphere: str
    n_label: int
    n_outside_mask: int
    n_untrusted: int
    n_eroded: int
    n_partial_volume: int
    n_vessel: int
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
    mean_positive_below_p97: float | None = None

    def shifted(self, constant: float) -> RegionStatistics:
        """Return the statistics of the map plus `constant`: a change of reference."""
        return self._mapped(("mean", "median", "p05", "p95"), lambda value: value + constant)

    def scaled(self, factor: float) -> RegionStatistics:
        """Return the statistics of the map times a positive `factor`: a change of unit."""
        legacy = () if self.mean_positive_below_p97 is None else ("mean_positive_below_p97",)
        return self._mapped((*IN_UNITS, *legacy), lambda value: value * factor)

    def _mapped(self, names, change) -> RegionStatistics:
        return replace(self, **{name: change(getattr(self, name)) for name in names})


def regional_statistics(
    values,
    samples: Sequence[Sample],
    *,
    voxel_volume: float,
    errors: Sequence[float] | None = None,
    expected_mm3: Mapping[int, float] | None = None,
) -> list[RegionStatistics]:
    """
    Return one row per sample.

    Parameters
    ----------
    values : (X, Y, Z) real array
        Map, any unit, finite in all samples.
    samples
        The voxels of each row.
    voxel_volume
        Volume of a voxel, mm³.
    errors
        Standard error of the mean of each sample, same unit. Without them `sem` is `std` over the
        root of the number of voxels, or of as many of equal weight: a lower bound, because
        neighbouring voxels are not independent.
    expected_mm3
        Volume of each label where all of it was seen, as in the T1w, mm³: tells what the field
        of view has cut.

    Returns
    -------
    rows : list of RegionStatistics
        NumPy only.
    """
    rows = []
    for number, sample in enumerate(samples):
        counts = sample.counts
        seen = counts.n_label - counts.n_outside_mask - counts.n_untrusted
        described = _describe(np.ravel(values)[sample.voxels], sample.weights)
        if errors is not None:
            described["sem"] = errors[number]
        whole = None
        if expected_mm3 is not None and sample.name != WHOLE_BRAIN:
            whole = sum(expected_mm3.get(index, 0.0) for index in sample.indices)
        rows.append(
            RegionStatistics(
                index=sample.indices[0] if len(sample.indices) == 1 else None,
                name=sample.name,
                hemisphere=sample.hemisphere,
                n_label=counts.n_label,
                n_outside_mask=counts.n_outside_mask,
                n_untrusted=counts.n_untrusted,
                n_eroded=counts.n_eroded,
                n_partial_volume=counts.n_partial_volume,
                n_vessel=counts.n_vessel,
                n_voxels=sample.voxels.size,
                volume_mm3=counts.n_label * voxel_volume,
                coverage=seen / counts.n_label if counts.n_label else np.nan,
                flag="; ".join(_flags(counts, sample.voxels.size, voxel_volume, whole)),
                **described,
            )
        )
    return rows


def with_positive_means(
    rows: Sequence[RegionStatistics], values, samples: Sequence[Sample], *, zero: float = 0.0
) -> list[RegionStatistics]:
    """
    Return the rows with the mean of what is above zero and below the 97th percentile.

    A rule of older series, which makes every mean positive and cuts the tail that iron has; only
    to continue those.

    Parameters
    ----------
    rows
        Rows of the map.
    values : (X, Y, Z) real array
        Map, any unit.
    samples
        The voxels of each row; their weights are not used.
    zero
        What the reference says is zero, same unit.
    """
    means = []
    for sample in samples:
        part = np.ravel(values)[sample.voxels].astype(np.float64) - zero
        if part.size:  # a percentile of nothing is not defined
            part = part[(part > 0) & (part < np.percentile(part, 97))]
        means.append(float(part.mean()) if part.size else np.nan)
    return [
        replace(row, mean_positive_below_p97=mean) for row, mean in zip(rows, means, strict=True)
    ]


def _describe(values, weights) -> dict[str, float]:
    """Return centre and spread."""
    values = values.astype(np.float64)  # or the mean of a large region would lose digits
    if values.size == 0:
        return dict.fromkeys(IN_UNITS, np.nan)
    weights = np.ones(values.size) if weights is None else weights.astype(np.float64)
    mean = np.average(values, weights=weights)
    p05, median, p95 = _quantiles(values, weights, (0.05, 0.5, 0.95))
    # As many voxels of equal weight would have a mean as certain.
    size = weights.sum() ** 2 / (weights**2).sum()
    square = np.average((values - mean) ** 2, weights=weights)
    std = np.sqrt(square * size / (size - 1)) if size > 1 else np.nan
    return {
        "mean": float(mean),
        "std": float(std),
        "median": median,
        "mad": _quantiles(np.abs(values - median), weights, (0.5,))[0],
        "p05": p05,
        "p95": p95,
        "sem": float(std / np.sqrt(size)),
    }


def _quantiles(values, weights, parts) -> list[float]:
    """Return quantiles, interpolated so that equal weights give what `np.quantile` does."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    # Voxels lie at the middle of their weight; the first and the last are the ends.
    places = np.cumsum(weights) - weights / 2
    if places[-1] == places[0]:
        return [float(values[0])] * len(parts)
    places = (places - places[0]) / (places[-1] - places[0])
    return [float(q) for q in np.interp(parts, places, values)]


def _flags(counts: Counts, n_voxels: int, voxel_volume: float, whole: float | None) -> list[str]:
    """Return what to beware of, the gravest first."""
    volume = counts.n_label * voxel_volume
    seen = counts.n_label - counts.n_outside_mask - counts.n_untrusted
    if volume == 0:
        return ["outside the field of view" if whole else "no voxels"]
    if seen == 0:
        return ["not measured"]
    if n_voxels == 0:
        return ["nothing left by the rules"]
    found = {
        "cut by the field of view": whole is not None and volume < CUT * whole,
        "low coverage": seen < LOW_COVERAGE * counts.n_label,
        "few voxels": n_voxels < FEW_VOXELS,
        "thin": counts.n_interior < THIN * counts.n_label,
    }
    return [name for name, applies in found.items() if applies]
