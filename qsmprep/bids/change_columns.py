"""The columns of ``change.tsv``."""

from __future__ import annotations

CHANGE_COLUMNS = {
    "participant_id": "participant",
    "session_from": "first session",
    "session_to": "later session",
    "years": "from the first to the later session; n/a where the dataset does not tell",
    "acquisition": "BIDS entity acq",
    "run": "BIDS entity run",
    "atlas": "atlas the labels come from",
    "index": "value of the region's voxels in the segmentation",
    "name": "region",
    "hemisphere": "L, R, M (midline) or B (left and right pooled)",
    "map": "Chimap or R2starmap",
    "reference": "what zero means for susceptibility; n/a for other maps",
    "units": "unit of first, later, change and sem",
    "first": "mean in the first session",
    "later": "mean in the later session, in the same voxels",
    "change": "later less first",
    "change_per_year": "change divided by years; n/a where years are not known or 0",
    "sem": "standard error of the change that those of the two means amount to",
    "n_core": "voxels deeper in the region than 1.5 mm",
    "core_change": "change in these voxels, which share nothing with what lies beside the region; "
    "n/a for fewer than 30",
    "flag": "what to beware of in either session, separated by semicolons; n/a for nothing",
}
"""What stands in each column of the table of changes, in their order."""
