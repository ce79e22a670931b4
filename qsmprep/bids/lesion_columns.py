"""The columns of the tables of lesions."""

from __future__ import annotations

IDS = {
    "participant_id": "participant",
    "session_id": "session",
    "acquisition": "BIDS entity acq",
    "run": "BIDS entity run",
}

FIGURES = {
    "reference": "what zero means for susceptibility",
    "hemisphere": "L or R, the side of most of it; n/a on the midline",
    "x": "middle, mm in the space of the echoes, to the right",
    "y": "to the front",
    "z": "to the top",
    "volume_mm3": "volume in the image it was drawn in",
    "n_label": "voxels on the grid of the echoes",
    "n_vessel": "voxels taken for a vein",
    "n_voxels": "voxels left, which the statistics rest on",
    "coverage": "part of its voxels in the brain and with a trusted value",
    "chi_mean": "mean susceptibility, ppb; no voxel is eroded",
    "chi_std": "standard deviation, ppb",
    "chi_median": "median, ppb",
    "chi_p05": "5th percentile, ppb",
    "chi_p95": "95th percentile, ppb",
    "nawm_mean": "mean susceptibility of the normal-appearing white matter beside it, ppb",
    "nawm_std": "its standard deviation, ppb",
    "nawm_n_voxels": "its voxels",
    "nawm_side": "same or contralateral",
    "difference": "chi_mean less nawm_mean, ppb: does not depend on the reference",
    "difference_sem": "its standard error, ppb, where voxels vary together as those of this "
    "white matter do",
    "r2star": "mean R2*, 1/s",
    "nawm_r2star": "mean R2* of the white matter beside it, 1/s",
    "vein_fraction": "part of the measured voxels that veins take",
    "central_vein": "whether a vein runs through the middle, yes or no: an aid to a reader; n/a "
    "where nobody can say",
    "depth_mm": "depth of the deepest voxel",
    "n_rim": "voxels of the rim",
    "n_core": "voxels of the core",
    "rim_mean": "mean of the rim, ppb; this and what follows is a research aid, a human reading "
    "is required",
    "core_mean": "mean of the core, ppb",
    "rim_minus_core": "rim less core, ppb",
    "rim_ci_low": "interval of it, 95 % unless the protocol says otherwise, lower end, ppb",
    "rim_ci_high": "upper end, ppb",
    "completeness": "part of the directions from the middle in which the rim exceeds the core",
    "shell_score": "1 - core / rim, both against white matter: 0 solid, 1 an empty shell",
    "appearance": "shell or solid by thresholds of the protocol: a research aid, no diagnosis",
    "gd_fraction": "part of its voxels that take up gadolinium; n/a without a mask of these",
    "rim": "the reading of the rim, separated by | where readers differ",
    "enhancement": "the reading of enhancement, separated by | where readers differ",
    "reader": "readers, separated by |",
    "flag": "what to beware of, separated by semicolons; n/a for nothing",
}

COLUMNS = IDS | {"lesion_id": "number of the lesion in the image of labels"} | FIGURES
"""What stands in each column of the table of a session, in their order."""

PROFILE_COLUMNS = IDS | {
    "lesion_id": "number of the lesion in the image of labels",
    "depth_from": "mm from the border, not above this; negative outside",
    "depth_to": "mm, this not included",
    "n_voxels": "voxels of that depth",
    "mean": "mean susceptibility, ppb",
    "std": "standard deviation, ppb",
}
"""Those of the radial profiles."""

SERIES_COLUMNS = (
    IDS
    | {
        "years": "since the first session; n/a where the dataset does not tell",
        "lesion_id": "number of the lesion, the same in all sessions",
        "state": "baseline, absent, new, persistent, split, merged or vanished",
        "own_ids": "its numbers in the table of the session, separated by |",
        "merged_with": "lesions that it shares a part with, separated by |",
        "lesion_age": "years since the first session in which it enhanced; n/a before, and where "
        "no such session is known",
    }
    | FIGURES
    | {
        "volume_mm3": "volume in the image it was drawn in, in this session; of a shared part "
        "what is nearest to it",
        "n_label": "voxels of the fixed region, which is the same in all sessions",
    }
)
"""Those of the table through time: susceptibility in a fixed region, volume of the session."""

WORDS = (
    "participant_id", "session_id", "acquisition", "run", "lesion_id", "reference", "hemisphere",
    "nawm_side", "central_vein", "appearance", "rim", "enhancement", "reader", "flag", "state",
    "own_ids", "merged_with",
)  # fmt: skip
"""Columns that hold words, even where all of them look like numbers (session ``01``)."""

NO = frozenset({"", "n/a", "no", "none", "0", "false", "absent", "negative", "rim-", "rim\u2212"})
"""Words of a reader for what is not there, in small letters."""


def says_yes(word: str) -> bool:
    """Tell whether a reader's word, ``shell`` or ``yes`` say, is for something that is there."""
    return word.strip().lower() not in NO


TABLES = {
    ("lesions", "table"): COLUMNS,
    ("lesions", "profile"): PROFILE_COLUMNS,
    ("lesion_series", "table"): SERIES_COLUMNS,
}
"""Columns by kind and port of an output."""
