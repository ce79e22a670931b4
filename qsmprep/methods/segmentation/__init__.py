"""Segmentation: which voxels are brain, and which label several atlases agree on."""

from qsmprep.methods.segmentation.fusion import majority_vote
from qsmprep.methods.segmentation.skull import (
    BRAIN_LITRES,
    labelled_brain,
    stripped_brain,
    upper_centre,
)

__all__ = ["BRAIN_LITRES", "labelled_brain", "majority_vote", "stripped_brain", "upper_centre"]
