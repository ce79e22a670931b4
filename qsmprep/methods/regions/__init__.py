"""Regions: which rows a table has, and what stands in them."""

from qsmprep.methods.regions.statistics import (
    WHOLE_BRAIN,
    Region,
    RegionStatistics,
    regional_statistics,
)

__all__ = ["WHOLE_BRAIN", "Region", "RegionStatistics", "regional_statistics"]
