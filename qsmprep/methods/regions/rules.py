"""The rules that decide which voxels of a label speak for its region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qsmprep.errors import ProtocolError


@dataclass(frozen=True)
class Rules:
    """
    Which voxels of a label its row in the table rests on.

    Parameters
    ----------
    erosion
        Width of the rim that regions other than cortex lose, mm: voxels whose centre is no further
        from a voxel outside the label; less than a voxel takes nothing.
    cortex_erosion
        The same for cortex, mm.
    partial_volume
        What is done with voxels of cortical regions that are partly white matter or fluid:
        ``none``, ``threshold`` leaves out those of little grey matter, ``weight`` weights all by
        their probability of grey matter.
    grey_matter
        Least probability of grey matter, relative to certainty, for ``threshold``.
    vessels
        Whether veins are left out.
    vessel_outlier
        Least difference of a vein from the median of the region, in standard deviations
        (1.4826 median absolute deviations).
    vessel_contrast
        Least difference of a vein from the median of the region, and from what is wide, ppm.
    vessel_width
        Width that no vein has, mm.
    legacy
        Whether the table has the column `mean_positive_below_p97`, to continue an old series.
    """

    erosion: float = 0.0
    cortex_erosion: float = 0.0
    partial_volume: Literal["none", "threshold", "weight"] = "threshold"
    grey_matter: float = 0.5
    vessels: bool = True
    vessel_outlier: float = 3.5
    vessel_contrast: float = 0.04
    vessel_width: float = 5.0
    legacy: bool = False

    def __post_init__(self):
        for name in ("erosion", "cortex_erosion", "vessel_outlier", "vessel_contrast"):
            if getattr(self, name) < 0:
                raise ProtocolError(f"[regions] {name} = {getattr(self, name)}: 0 is the least")
        if not 0 <= self.grey_matter <= 1:
            raise ProtocolError(
                f"[regions] grey_matter = {self.grey_matter}: a probability is 0 to 1"
            )
        if self.vessel_width <= 0:
            raise ProtocolError(
                f"[regions] vessel_width = {self.vessel_width}: give a width above 0 mm"
            )
