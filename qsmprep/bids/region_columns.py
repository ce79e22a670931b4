"""The columns of ``regions.tsv``."""

from __future__ import annotations

COLUMNS = {
    "participant_id": "participant",
    "session_id": "session",
    "acquisition": "BIDS entity acq",
    "run": "BIDS entity run",
    "atlas": "atlas the labels come from",
    "index": "value of the region's voxels in the segmentation; n/a where several are pooled",
    "name": "region",
    "hemisphere": "L, R, M (midline) or B (left and right pooled)",
    "map": "Chimap or R2starmap",
    "reference": "what zero means for susceptibility; n/a for other maps",
    "units": "unit of mean, std, median, mad, p05, p95 and sem",
    "n_label": "voxels of the label, before any mask or rule",
    "n_outside_mask": "voxels of the label outside the brain",
    "n_untrusted": "voxels in the brain without trusted value",
    "n_eroded": "further voxels taken by erosion",
    "n_partial_volume": "further voxels taken for too little grey matter",
    "n_vessel": "further voxels taken for a vein",
    "n_voxels": "voxels left, which the statistics rest on: n_label less what was taken",
    "volume_mm3": "volume of the region in the GRE, before any mask or rule",
    "coverage": "part of the label's voxels in the brain and with a trusted value",
    "mean": "mean; this and what follows weighted by grey matter if the protocol says so",
    "std": "standard deviation, n - 1 degrees of freedom",
    "median": "median",
    "mad": "median distance from the median, not scaled to a standard deviation",
    "p05": "5th percentile",
    "p95": "95th percentile",
    "sem": "standard error of the mean; for Chimap what noise of the field leaves in it after a "
    "linear inversion, for other maps std / sqrt(n_voxels), a lower bound",
    "flag": "what to beware of, separated by semicolons; n/a for nothing",
    "mean_positive_below_p97": "mean of positive voxels below the 97th percentile, unweighted, to "
    "continue an old series; there only if the protocol asks for it",
}
"""What stands in each column, in their order."""

LEGACY = "mean_positive_below_p97"
"""The column that a table has only if the protocol asks for it."""

WORDS = (
    "participant_id", "session_id", "acquisition", "run", "atlas", "name", "hemisphere", "map",
    "reference", "units", "flag",
)  # fmt: skip
"""Those that hold words, even where all of them look like numbers (run ``01``)."""

UNITS = {"volume_mm3": "mm^3"}
"""Of those whose unit does not stand in the column ``units``."""
