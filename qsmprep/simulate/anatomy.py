"""What a simulated head is made of: tissues, and where they lie in template space."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Tissue:
    """
    One kind of tissue at 3 T.

    Parameters
    ----------
    name
        Name of the region, in the vocabulary of atlases.
    paired
        Whether there is one on each side of the head.
    chi
        Susceptibility, ppb against muscle.
    r2star
        Transverse relaxation rate, 1/s.
    t1
        Longitudinal relaxation time, s.
    m0
        Proton density against water.
    """

    name: str
    paired: bool
    chi: float
    r2star: float
    t1: float
    m0: float


# Susceptibilities of the QSM challenge's head (Marques et al., 2021, doi:10.1002/mrm.28716) where
# it has the region; the rest is placed between its neighbours. Iron raises R2*.
BRAIN = (
    Tissue("putamen", True, 38, 30, 1.20, 0.82),
    Tissue("caudate", True, 44, 26, 1.25, 0.83),
    Tissue("pallidum", True, 130, 46, 0.95, 0.74),
    Tissue("thalamus", True, 20, 23, 1.15, 0.80),
    Tissue("hippocampus", True, 5, 18, 1.40, 0.86),
    Tissue("amygdala", True, 8, 18, 1.40, 0.86),
    Tissue("accumbens", True, 30, 22, 1.30, 0.83),
    Tissue("entorhinal", True, 12, 18, 1.40, 0.86),
    Tissue("red-nucleus", True, 100, 36, 1.00, 0.78),
    Tissue("substantia-nigra", True, 111, 38, 1.00, 0.78),
    Tissue("dentate", True, 152, 40, 1.10, 0.78),
    Tissue("ventral-diencephalon", True, 10, 21, 1.10, 0.80),
    Tissue("lateral-ventricle", True, 19, 2.5, 4.00, 1.00),
    Tissue("cerebral-cortex", True, 20, 18, 1.40, 0.85),
    Tissue("cerebral-white-matter", True, -30, 22, 0.85, 0.72),
    Tissue("cerebellum-exterior", True, 15, 19, 1.40, 0.85),
    Tissue("cerebellum-white-matter", True, -20, 22, 0.90, 0.73),
    Tissue("brainstem", False, -10, 21, 0.95, 0.76),
    Tissue("3rd-ventricle", False, 19, 2.5, 4.00, 1.00),
    Tissue("4th-ventricle", False, 19, 2.5, 4.00, 1.00),
    Tissue("csf", False, 19, 3.0, 4.00, 1.00),
    Tissue("vein", False, 190, 42, 1.65, 0.80),
)
OUTSIDE = (
    Tissue("air", False, 9200, 0, 1.00, 0.00),
    Tissue("air-cavity", False, 9200, 0, 1.00, 0.00),
    Tissue("bone", False, -2100, 150, 0.40, 0.08),
    Tissue("muscle", False, 0, 32, 1.10, 0.70),
    Tissue("fat", False, 600, 35, 0.37, 0.75),
    Tissue("fluid", False, 0, 4, 3.50, 1.00),
    Tissue("blood", False, 190, 42, 1.65, 0.80),
)

T1W_OUTSIDE = {"bone": 0.10, "muscle": 0.50, "fat": 1.10, "fluid": 0.22, "blood": 0.25}
"""T1w intensity around the brain, against white matter; air is dark."""

R2STAR_PER_PPB = 0.2
"""What one more ppb of iron adds to R2* at 3 T, 1/s."""

FIRST_OUTSIDE = 101
"""Labels from here on lie outside the brain."""


def _number() -> dict[int, tuple[Tissue, str]]:
    numbered: dict[int, tuple[Tissue, str]] = {}
    for tissue in BRAIN:
        for hemisphere in "LR" if tissue.paired else "M":
            numbered[len(numbered) + 1] = (tissue, hemisphere)
    numbered |= {FIRST_OUTSIDE + i: (tissue, "M") for i, tissue in enumerate(OUTSIDE)}
    return numbered


LABELS = _number()
"""Tissue and hemisphere of every label; 0 is used for none."""

INDEX = {(tissue.name, hemisphere): index for index, (tissue, hemisphere) in LABELS.items()}
"""Label of a name and a hemisphere."""


def _box(points, low, high):
    """Indices of the points in a box; coordinates one at a time, as most points are far off."""
    near = np.flatnonzero((points[:, 2] > low[2]) & (points[:, 2] < high[2]))
    for axis in range(2):
        coordinate = points[near, axis]
        near = near[(coordinate > low[axis]) & (coordinate < high[axis])]
    return near


@dataclass(frozen=True)
class Ellipsoid:
    """A turned ellipsoid: centre and semi-axes in mm, turns about x, y and z in degrees."""

    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def find(self, points, thinnest: float = 0.0):
        """Indices of the `points`, (N, 3) in mm, inside; no semi-axis is below `thinnest`."""
        semi_axes = np.maximum(self.semi_axes, thinnest)
        centre, reach = np.asarray(self.centre), semi_axes.max()
        inside = _box(points, centre - reach, centre + reach)
        axes = Rotation.from_euler("xyz", self.turn, degrees=True).as_matrix()
        local = (points[inside] - centre) @ axes / semi_axes
        return inside[np.sum(local**2, axis=1) < 1]


@dataclass(frozen=True)
class Tube:
    """A tube along a polyline of (x, y, z, radius), mm; the radius tapers between the knots."""

    course: tuple[tuple[float, float, float, float], ...]

    def find(self, points, thinnest: float = 0.0):
        """Indices of the `points`, (N, 3) in mm, inside; no radius is below `thinnest`."""
        course = np.array(self.course)
        course[:, 3] = np.maximum(course[:, 3], thinnest)
        found = []
        for (*start, r0), (*end, r1) in pairwise(course):
            reach = max(r0, r1)
            near = _box(points, np.minimum(start, end) - reach, np.maximum(start, end) + reach)
            step, offset = np.subtract(end, start), points[near] - np.asarray(start)
            along = np.clip(offset @ step / (step @ step), 0, 1)
            apart = np.linalg.norm(offset - along[:, None] * step, axis=1)
            found.append(near[apart < r0 + (r1 - r0) * along])
        return np.unique(np.concatenate(found))


Shape = Ellipsoid | Tube

# Right side of the symmetric template MNI152NLin2009aSym, mm; the left side is its mirror image.
# Shapes are painted in this order, a later one over an earlier one, and only over the given
# tissue: "any" brain tissue but CSF, "grey" where grey matter is likely, "csf" where fluid is.
REGIONS: tuple[tuple[str, str, tuple[Shape, ...]], ...] = (
    (
        "brainstem",
        "any",
        (
            Tube(((0, -23, -16, 12), (0, -26, -20, 16), (0, -28, -27, 18), (0, -30, -38, 18))),
            Tube(((0, -33, -44, 15), (0, -38, -54, 12), (0, -44, -76, 12))),
        ),
    ),
    ("ventral-diencephalon", "any", (Ellipsoid((8, -12, -8), (8, 13, 6), (0, 20, 0)),)),
    (
        "thalamus",
        "any",
        (
            Ellipsoid((10.5, -17, 7), (8, 14.5, 9.5), (0, 0, 24)),
            Ellipsoid((15, -25, 5), (8.5, 8.5, 8.5)),
        ),
    ),
    (
        "putamen",
        "grey",
        (
            Ellipsoid((27, -1, 1), (6.5, 17, 12), (0, -12, 14)),
            Ellipsoid((23, 11, -1), (6.5, 9, 10)),
        ),
    ),
    ("pallidum", "any", (Ellipsoid((19.5, -4, -1), (4.2, 10.5, 7), (0, -25, 24)),)),
    (
        "caudate",
        "grey",
        (
            Ellipsoid((13, 15, 5), (7.5, 10, 12)),
            Tube(((13, 12, 12, 7), (15, 0, 18, 5.5), (18, -14, 22, 4), (22, -26, 19, 3))),
        ),
    ),
    ("accumbens", "any", (Ellipsoid((10, 11, -8), (5, 5.5, 4)),)),
    (
        "hippocampus",
        "grey",
        (
            Tube(((24, -11, -21, 6), (28, -18, -17, 6), (30, -26, -12, 6), (28, -33, -7, 5))),
            Tube(((28, -33, -7, 5), (22, -38, -1, 3.5))),
        ),
    ),
    ("amygdala", "any", (Ellipsoid((23, -4, -19), (7.5, 6.5, 7)),)),
    ("entorhinal", "grey", (Tube(((21, 2, -33, 6), (21, -8, -32, 7), (22, -20, -28, 6))),)),
    ("red-nucleus", "any", (Ellipsoid((5, -20, -9), (3, 3.5, 4.5)),)),
    ("substantia-nigra", "any", (Ellipsoid((10, -17, -12), (3.4, 8, 3.8), (20, 25, 35)),)),
    ("dentate", "any", (Ellipsoid((15, -58, -35), (4.5, 9, 6), (0, 30, -25)),)),
    (
        "lateral-ventricle",
        "csf",
        (
            Tube(((9, 30, 6, 14), (9, 5, 14, 13), (12, -15, 23, 10), (18, -32, 21, 11))),
            Tube(((20, -34, 20, 10), (27, -46, 10, 11), (34, -38, -4, 6), (34, -20, -15, 6))),
        ),
    ),
    ("3rd-ventricle", "csf", (Tube(((0, 0, -8, 6), (0, -12, 2, 6), (0, -24, 2, 6))),)),
    ("4th-ventricle", "csf", (Ellipsoid((0, -45, -33), (10, 9, 16), (20, 0, 0)),)),
)


def in_cerebellum(folded):
    """Tell which points, (N, 3) in mm with the left side folded over, lie below the tentorium."""
    x, y, z = folded.T
    return (y < -36) & (z < -4 - 0.5 * x - 0.6 * np.maximum(-65 - y, 0))


def _surface_vein(y0: float, sweep: float) -> Tube:
    """Run over the cortex from the midline at `y0` sideways, `sweep` mm forwards."""
    angles = np.linspace(0.12, 1.25, 9)
    y = y0 + sweep * angles / angles[-1]
    # The template's convexity is close to an ellipsoid; sulci make the vein dip and surface.
    shrink = np.sqrt(np.clip(1 - ((y + 18) / 89) ** 2, 0, 1))
    x, z = 65 * shrink * np.sin(angles), 4 + 70 * shrink * np.cos(angles)
    return Tube(tuple(zip(x, y, z, np.full(9, 1.4), strict=True)))


VEINS: tuple[Shape, ...] = (
    Tube(((0, 68, 22, 2.5), (0, 52, 54, 3), (0, 20, 74, 3.5), (0, -20, 82, 3.5))),
    Tube(((0, -20, 82, 3.5), (0, -60, 76, 4), (0, -92, 40, 4), (0, -104, 6, 4.5))),
    Tube(((0, -42, 8, 2), (0, -60, 3, 2.2), (0, -82, -14, 2.5))),
    Tube(((2, 0, 14, 1.2), (2.5, -20, 17, 1.3), (1, -42, 8, 1.8))),
    Tube(((3, 2, 12, 1), (12, -2, 19, 1.2), (18, -12, 24, 1.2))),
    _surface_vein(30, 12),
    _surface_vein(-5, 18),
    _surface_vein(-38, 22),
    _surface_vein(-66, 10),
)

FACE: tuple[Shape, ...] = (
    Ellipsoid((0, 32, -66), (64, 62, 62)),
    Ellipsoid((0, 92, -52), (11, 17, 14), (-25, 0, 0)),
)
FLESH: tuple[Shape, ...] = (Ellipsoid((0, 32, -66), (60, 58, 58)),)
CHIN, SKULL_BASE = -45.0, -66.0
"""Upper end of the neck, and lower end of the skull, mm."""

LAYERS_MM = {"bone": 7.0, "muscle": 10.0, "fat": 14.0}
"""How far each layer around the brain reaches from its smoothed surface, inside out."""

NECK = ((0.0, -32.0), (58.0, 62.0))
"""Centre and semi-axes, in x and y, of the neck, mm."""

SPINE = ((0.0, -50.0), 17.0, 9.0)
"""Centre in x and y, and radii of the bone and of the canal, mm."""

ORBIT: tuple[Shape, ...] = (Ellipsoid((33, 58, -40), (17, 22, 15)),)
EYE: tuple[Shape, ...] = (Ellipsoid((33, 68, -40), (12, 12, 12)),)
AIR_CAVITIES: tuple[Shape, ...] = (
    Ellipsoid((11, 73, -6), (10, 6, 12)),  # frontal sinus
    Ellipsoid((7, 40, -42), (6, 17, 9)),  # ethmoid cells
    Ellipsoid((8, 12, -41), (9, 12, 10)),  # sphenoid sinus
    Ellipsoid((30, 42, -68), (13, 15, 15)),  # maxillary sinus
    Ellipsoid((0, 50, -66), (9, 30, 15)),  # nasal cavity
    Tube(((0, 18, -68, 9), (0, 2, -92, 9), (0, 6, -200, 9))),  # pharynx and trachea
    Ellipsoid((54, -31, -47), (9, 9, 11)),  # mastoid cells
    Tube(((47, -20, -44, 5), (62, -21, -43, 4), (90, -22, -42, 5))),  # middle ear and canal
)
