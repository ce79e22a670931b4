"""Segmentation: which voxels are brain, and which label several atlases agree on."""

from collections.abc import Callable

from qsmprep.methods.segmentation.fusion import Fusion, majority_vote
from qsmprep.methods.segmentation.hybrid import DEEP_NUCLEI, hybrid_image, replace_labels
from qsmprep.methods.segmentation.joint_fusion import joint_label_fusion
from qsmprep.methods.segmentation.sessions import fuse_sessions
from qsmprep.methods.segmentation.skull import (
    BRAIN_LITRES,
    brain_of_labelled,
    labelled_brain,
    stripped_brain,
    upper_centre,
)

FUSIONS: dict[str, Callable[..., Fusion]] = {
    "joint": joint_label_fusion,
    "majority": majority_vote,
}
"""Ways to make one segmentation of several; the first is the default."""

__all__ = [
    "BRAIN_LITRES",
    "DEEP_NUCLEI",
    "FUSIONS",
    "Fusion",
    "brain_of_labelled",
    "fuse_sessions",
    "hybrid_image",
    "joint_label_fusion",
    "labelled_brain",
    "majority_vote",
    "replace_labels",
    "stripped_brain",
    "upper_centre",
]
