"""The rules by which lesions are counted, followed and measured."""

from __future__ import annotations

from dataclasses import dataclass

from qsmprep.errors import ProtocolError

BETWEEN = {
    "minimum_mm3": (0, 100_000),
    "white_inner": (0, 100),
    "white_outer": (0, 100),
    "white_gap": (0, 100),
    "white_voxels": (1, 100_000),
    "rim": (0.1, 100),
    "core": (0.1, 100),
    "rim_voxels": (2, 100_000),
    "rim_sigmas": (0, 100),
    "rim_contrast": (0, 10),
    "rim_completeness": (0, 1),
    "profile_width": (0.1, 100),
    "profile_outside": (0, 100),
}
"""Least and greatest value of a rule; 100 mm is more than any lesion or its surroundings has."""


@dataclass(frozen=True)
class LesionRules:
    """
    What a lesion is, what it is compared with, and from when on a rim is called one.

    Parameters
    ----------
    minimum_mm3
        Least volume of a lesion of a mask, mm³.
    minimum_overlap
        What a part has in common with a lesion seen before, at least, to be the same; relative to
        the smaller of the two. What only touches, as by an error of registration, is another one.
    white_probability
        Probability in the T1w from which on a voxel is white matter, relative to certainty.
    white_inner, white_outer
        Nearest and furthest white matter that a lesion is compared with, mm from its border.
    white_gap
        Distance that this white matter keeps from any other lesion, mm.
    white_voxels
        Least number of its voxels: with fewer the other hemisphere is taken.
    rim
        Greatest depth of the rim, mm. Whatever is said of rims is a research aid: a human reading
        is required.
    core
        Depth that the core begins beyond, mm.
    rim_voxels
        Least number of voxels of either; with fewer nothing is said of a rim.
    rim_sigmas
        What the rim of a direction exceeds the core by, in standard deviations of the core.
    rim_contrast
        Least difference of rim and core, in a direction and of all, ppm.
    rim_completeness
        Least part of a shell's directions that have a rim, relative to all.
    rim_confidence
        Confidence of the interval of rim less core, relative to certainty.
    profile_width
        Width of a bin of the radial profile, mm.
    profile_outside
        How far the profile goes on outside the lesion, mm.
    """

    minimum_mm3: float = 3.0
    minimum_overlap: float = 0.1
    white_probability: float = 0.5
    white_inner: float = 2.0
    white_outer: float = 6.0
    white_gap: float = 3.0
    white_voxels: int = 30
    rim: float = 1.5
    core: float = 2.5
    rim_voxels: int = 10
    rim_sigmas: float = 1.0
    rim_contrast: float = 0.005
    rim_completeness: float = 0.5
    rim_confidence: float = 0.95
    profile_width: float = 1.0
    profile_outside: float = 4.0

    def __post_init__(self):
        for name, (least, most) in BETWEEN.items():
            if not least <= getattr(self, name) <= most:
                self._refuse(name, f"give {least:g} to {most:g}")
        for name in ("minimum_overlap", "white_probability"):
            if not 0 < getattr(self, name) <= 1:
                self._refuse(name, "give more than 0, at most 1")
        if not 0 < self.rim_confidence < 1:
            self._refuse("rim_confidence", "give a probability between 0 and 1")
        if self.rim > self.core:
            self._refuse("rim", f"give at most core = {self.core:g}, where the core begins")
        if self.white_inner >= self.white_outer:
            self._refuse("white_inner", f"give less than white_outer = {self.white_outer:g}")

    def _refuse(self, name: str, remedy: str) -> None:
        raise ProtocolError(f"[lesions] {name} = {getattr(self, name):g}: {remedy}")
