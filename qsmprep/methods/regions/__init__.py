"""Regions: which voxels speak for them, and what stands in the rows of a table."""

from qsmprep.methods.regions.errors import errors_of_means
from qsmprep.methods.regions.rules import Rules
from qsmprep.methods.regions.selection import (
    WHOLE_BRAIN,
    Head,
    Region,
    Sample,
    select_voxels,
)
from qsmprep.methods.regions.statistics import (
    FEW_VOXELS,
    RegionStatistics,
    regional_statistics,
    with_positive_means,
)

__all__ = [
    "FEW_VOXELS",
    "WHOLE_BRAIN",
    "Head",
    "Region",
    "RegionStatistics",
    "Rules",
    "Sample",
    "errors_of_means",
    "regional_statistics",
    "select_voxels",
    "with_positive_means",
]
