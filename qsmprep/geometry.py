"""Where the voxels are with respect to the main field."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np


@dataclass(frozen=True)
class Geometry:
    """
    Voxel size and field direction of a volume.

    Parameters
    ----------
    voxel_size
        Edge lengths of a voxel, mm.
    b0_dir
        Unit vector along the main field, in voxel axes.
    """

    voxel_size: tuple[float, float, float]
    b0_dir: tuple[float, float, float] = (0.0, 0.0, 1.0)

    @classmethod
    def from_affine(cls, affine) -> Geometry:
        """Read voxel size and field direction off a scanner-anatomical RAS+ affine."""
        axes = np.asarray(affine, dtype=float)[:3, :3]
        size = np.linalg.norm(axes, axis=0)
        # The scanner's z axis, which the field follows, along the (orthogonal) voxel axes.
        return cls(tuple(size.tolist()), tuple((axes[2] / size).tolist()))

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel, mm³."""
        return math.prod(self.voxel_size)
