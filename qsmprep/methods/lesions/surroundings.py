"""Normal-appearing white matter beside a lesion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from qsmprep.geometry import Geometry
from qsmprep.methods.lesions.depth import depth_of
from qsmprep.methods.lesions.rules import LesionRules


@dataclass(frozen=True, eq=False)
class Surroundings:
    """
    White matter that a lesion is compared with.

    Parameters
    ----------
    voxels : (N,) integer array
        Where it is in the flattened volume; nothing where there is too little on both sides.
    side
        ``same`` or ``contralateral``, or nothing.
    flag
        What to beware of, or nothing.
    """

    voxels: np.ndarray
    side: str
    flag: str


class WhiteMatter:
    """
    White matter free of lesions, and the plane between its hemispheres.

    Parameters
    ----------
    white : (X, Y, Z) boolean array
        White matter that was measured; lesions may be part of it.
    lesions : (X, Y, Z) integer array
        Number of the lesion of each voxel, 0 for none.
    geometry : Geometry
        Voxel size.
    rules : LesionRules
        Distances.
    hemispheres : (X, Y, Z) integer array, or None
        1 on the left, 2 on the right, 0 elsewhere; without it a lesion is compared with what is
        near on any side, and there is no other side to turn to.
    """

    def __init__(
        self, white, lesions, geometry: Geometry, rules: LesionRules, *, hemispheres=None
    ):
        self.white, self.lesions, self.hemispheres = white, lesions, hemispheres
        self.geometry, self.rules = geometry, rules
        self.size = np.asarray(geometry.voxel_size, dtype=float)
        self.mirror = None if hemispheres is None else _mirror(hemispheres, self.size)

    def around(self, lesion: int) -> Surroundings:
        """
        Return the white matter beside a lesion, or that at its mirror image.

        Beside it is what lies between the two distances from its border, on its side, and keeps
        the gap from all other lesions. Where that is too little, its mirror image about the plane
        between the hemispheres stands in, with what surrounds it up to the greater distance.
        """
        own = self.lesions == lesion
        if not own.any():
            return Surroundings(np.zeros(0, dtype=int), "", "no lesion")
        side = self._side(own)
        near = self._shell(own, self.rules.white_inner, side, but=lesion)
        if near.size >= self.rules.white_voxels:
            return Surroundings(near, "same", "")
        if side and self.mirror is not None:
            opposite = self._shell(self._reflected(own, self.mirror), -np.inf, 3 - side, but=None)
            if opposite.size >= self.rules.white_voxels:
                return Surroundings(opposite, "contralateral", "white matter of the other side")
        return Surroundings(np.zeros(0, dtype=int), "", "too little normal-appearing white matter")

    def _side(self, own) -> int:
        """Return the hemisphere that most of a lesion lies in, 0 on the midline."""
        if self.hemispheres is None:
            return 0
        counts = np.bincount(self.hemispheres[own], minlength=3)[1:3]
        return int(1 + np.argmax(counts)) if counts[0] != counts[1] else 0

    def _shell(self, body, inner: float, side: int, *, but: int | None):
        """Return the flat indices of clean white matter at the distances from a body."""
        if not body.any():
            return np.zeros(0, dtype=int)
        margin = (
            np.ceil((self.rules.white_outer + self.rules.white_gap) / self.size).astype(int) + 1
        )
        at = np.argwhere(body)
        low = np.maximum(at.min(axis=0) - margin, 0)
        box = tuple(slice(a, b) for a, b in zip(low, at.max(axis=0) + margin + 1, strict=True))
        distance = -depth_of(body[box], self.geometry, outside=self.rules.white_outer)
        others = self.lesions[box] != 0
        clean = self.white[box] & ~others
        if but is not None:
            others &= self.lesions[box] != but
        if others.any():
            clean &= (
                ndimage.distance_transform_edt(~others, sampling=self.size) > self.rules.white_gap
            )
        if side:
            clean &= self.hemispheres[box] == side
        clean &= (distance >= inner) & (distance <= self.rules.white_outer)
        found = np.argwhere(clean) + low
        return np.ravel_multi_index(tuple(found.T), body.shape)

    def _reflected(self, own, mirror):
        """Return the mirror image of a lesion, as far as it lies in the volume."""
        normal, offset = mirror
        at = np.argwhere(own) * self.size
        at -= 2 * np.outer(at @ normal - offset, normal)
        voxels = np.rint(at / self.size).astype(int)
        voxels = voxels[np.all((voxels >= 0) & (voxels < own.shape), axis=1)]
        reflected = np.zeros(own.shape, dtype=bool)
        reflected[tuple(voxels.T)] = True
        return reflected


def _mirror(hemispheres, size):
    """Return normal and offset, mm, of the plane that best separates left from right."""
    points = np.argwhere(hemispheres)
    left = hemispheres[tuple(points.T)] == 1
    if left.all() or not left.any():
        return None
    points = points * size
    # Least squares of ±1 on coordinates: the linear discriminant of the two sides.
    design = np.column_stack([points, np.ones(len(points))])
    *normal, constant = np.linalg.lstsq(design, np.where(left, -1.0, 1.0), rcond=None)[0]
    length = np.linalg.norm(normal)
    return np.asarray(normal) / length, -constant / length
