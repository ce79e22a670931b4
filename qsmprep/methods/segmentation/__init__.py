"""Segmentation: which voxels are brain, and which label several atlases agree on."""

from qsmprep.methods.segmentation.fusion import majority_vote
from qsmprep.methods.segmentation.skull import labelled_brain, stripped_brain

__all__ = ["labelled_brain", "majority_vote", "stripped_brain"]
