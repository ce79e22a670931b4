"""The kinds of models there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qsmprep.statistics.ancova import ancova
from qsmprep.statistics.change import change
from qsmprep.statistics.correlation import correlation
from qsmprep.statistics.cox import cox
from qsmprep.statistics.describe import describe
from qsmprep.statistics.growth import growth
from qsmprep.statistics.km import km
from qsmprep.statistics.linear import ols
from qsmprep.statistics.mixed import mixed
from qsmprep.statistics.reliability import reliability
from qsmprep.statistics.roc import roc
from qsmprep.statistics.voxel_keys import VoxelwiseKeys

PARTICIPANTS, ACQUISITIONS = "participants", "acquisitions"

VOXELWISE = "voxelwise"

KINDS: dict[str, tuple[Callable[..., Any], str]] = {
    "cox": (cox, PARTICIPANTS),
    "km": (km, PARTICIPANTS),
    "mixed": (mixed, ACQUISITIONS),
    "growth": (growth, ACQUISITIONS),
    "ols": (ols, PARTICIPANTS),
    "ancova": (ancova, PARTICIPANTS),
    "change": (change, ACQUISITIONS),
    "correlation": (correlation, PARTICIPANTS),
    "describe": (describe, PARTICIPANTS),
    "reliability": (reliability, ACQUISITIONS),
    "roc": (roc, PARTICIPANTS),
    VOXELWISE: (VoxelwiseKeys, PARTICIPANTS),
}
"""
The function of every kind, and what its rows are unless the model says otherwise.

Voxelwise models take maps, too, so that only their keys stand here.
"""
