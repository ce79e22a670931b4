"""Lesions: which they are through time, what surrounds them, and what their maps say."""

from qsmprep.methods.lesions.components import Lesions, find_lesions, volumes_of
from qsmprep.methods.lesions.matching import (
    LesionState,
    Matched,
    follow_labels,
    match_lesions,
    replace_regions,
)
from qsmprep.methods.lesions.measure import LesionMaps, LesionRow, measure_lesions
from qsmprep.methods.lesions.profile import ProfileBin, Rim
from qsmprep.methods.lesions.rules import LesionRules

__all__ = [
    "LesionMaps",
    "LesionRow",
    "LesionRules",
    "LesionState",
    "Lesions",
    "Matched",
    "ProfileBin",
    "Rim",
    "find_lesions",
    "follow_labels",
    "match_lesions",
    "measure_lesions",
    "replace_regions",
    "volumes_of",
]
