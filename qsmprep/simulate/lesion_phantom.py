"""A ball of brain at 1 mm with a solid and a shell lesion in its white matter, and its field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.simulate.signal import field_of
from qsmprep.units import PPB_PER_PPM

EDGE = 96
"""Voxels of 1 mm along each side."""

RADIUS, RIM = 6.0, 1.5
"""Of both lesions, and the thickness of the shell, mm."""

SOLID_PPB, SHELL_PPB = 20.0, 30.0
"""What the solid lesion and the rim of the shell add to white matter."""

CENTRES = ((-17.0, 3.0, 2.0), (17.0, -2.0, -3.0))
"""Middle of the solid and of the shell lesion, mm."""

# As anatomy.py has them, ppb, with the magnitude that goes with them.
WHITE, CORTEX, VENTRICLE, PUTAMEN, PALLIDUM, VEIN = (
    (-30.0, 0.72),
    (20.0, 0.85),
    (19.0, 1.0),
    (38.0, 0.82),
    (130.0, 0.74),
    (190.0, 0.5),
)


@dataclass(frozen=True, eq=False)
class LesionPhantom:
    """
    A phantom of which everything is known.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the brain.
    field, noisy : (X, Y, Z) real array
        Field of it, without and with noise, ppm; the latter is zero outside the brain.
    noise : (X, Y, Z) real array
        Standard deviation of the noise, ppm.
    magnitude : (X, Y, Z) real array
        Arbitrary units.
    lesions : (X, Y, Z) integer array
        1 in the solid lesion, 2 in the shell with its hollow.
    brain, white, csf : (X, Y, Z) boolean array
        All of it, its white matter with the lesions, its ventricles.
    hemispheres : (X, Y, Z) integer array
        1 on the left, 2 on the right, 0 outside.
    geometry : Geometry
        Voxels of 1 mm, the field along the third axis.
    """

    chi: np.ndarray
    field: np.ndarray
    noisy: np.ndarray
    noise: np.ndarray
    magnitude: np.ndarray
    lesions: np.ndarray
    brain: np.ndarray
    white: np.ndarray
    csf: np.ndarray
    hemispheres: np.ndarray
    geometry: Geometry


def lesion_phantom(seed: int, *, noise_ppb: float = 2.0) -> LesionPhantom:
    """
    Return the phantom: folded cortex, ventricles, nuclei and veins make a field as a brain does.

    Its local field has a standard deviation of 8 ppb, that of a simulated head: regularised
    inversions weigh noise against it, and in white matter alone would see little but noise.

    Parameters
    ----------
    seed
        Picks the noise.
    noise_ppb
        Standard deviation of the noise of the field.
    """
    geometry = Geometry((1.0, 1.0, 1.0))
    axis = np.arange(EDGE) - EDGE / 2 + 0.5
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    apart = np.sqrt(x * x + y * y + z * z)
    brain = apart < 40
    lesions = np.zeros(brain.shape, dtype="i4")
    added = np.zeros(brain.shape)
    for number, centre in enumerate(CENTRES, start=1):
        distance = np.sqrt(sum((g - c) ** 2 for g, c in zip((x, y, z), centre, strict=True)))
        lesions[distance <= RADIUS] = number
        if number == 1:
            added[distance <= RADIUS] = SOLID_PPB
        else:
            added[(distance <= RADIUS) & (distance > RADIUS - RIM)] = SHELL_PPB
    parts = _parts(x, y, z, apart)
    chi, magnitude = (np.where(brain, value, 0.0) for value in WHITE)
    for where, (ppb, shade) in parts:
        where = where & brain & (lesions == 0)
        chi[where], magnitude[where] = ppb, shade
    chi = ((chi + added) / PPB_PER_PPM).astype("f4")
    grey = np.any([where for where, _ in parts], axis=0)
    field = field_of(chi, geometry)
    noise = np.full(brain.shape, noise_ppb / PPB_PER_PPM, dtype="f4")
    rng = np.random.default_rng(seed)
    noisy = np.where(brain, field + noise * rng.standard_normal(brain.shape, dtype="f4"), 0)
    ventricles = parts[1][0]
    return LesionPhantom(
        chi,
        field,
        noisy.astype("f4"),
        noise,
        magnitude.astype("f4"),
        lesions,
        brain,
        brain & (~grey | (lesions > 0)),
        ventricles,
        np.where(x < 0, 1, 2) * brain,
        geometry,
    )


def _parts(x, y, z, apart):
    """Return where all but white matter is, with susceptibility and magnitude; later ones win."""
    turn, tilt = np.arctan2(y, x), np.arccos(z / apart)
    cortex = apart > 34.5 + 3 * np.sin(9 * turn) * np.sin(8 * tilt)
    side = np.abs(x)

    def ellipsoid(centre, axes):
        places = zip((side, y, z), centre, axes, strict=True)
        return sum(((g - c) / a) ** 2 for g, c, a in places) < 1

    vein = (side - 20) ** 2 + (z - 18 - 0.2 * y) ** 2 < 1.5**2
    return [
        (cortex, CORTEX),
        (ellipsoid((4, 12, 4), (2.5, 13, 5)), VENTRICLE),
        (ellipsoid((11, -18, 6), (4, 9, 7)), PUTAMEN),
        (ellipsoid((7, -18, 5), (2.5, 6, 4)), PALLIDUM),
        (vein & (apart < 39), VEIN),
    ]
