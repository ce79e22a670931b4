"""Digital heads: the template's brain in a skull, with a smooth deformation of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from qsmprep.errors import RequestError
from qsmprep.simulate import anatomy
from qsmprep.simulate.anatomy import FIRST_OUTSIDE, INDEX, LABELS
from qsmprep.units import PPB_PER_PPM

BOUNDS = ((-104.0, 104.0), (-140.0, 124.0), (-136.0, 112.0))
"""Extent of a head with its neck in x, y and z, mm."""

CENTRE = np.array((0.0, -18.0, 5.0), dtype="f4")
"""About the middle of the brain, mm: heads turn and grow around it."""


@dataclass(frozen=True)
class Head:
    """
    A digital head on a grid of its own.

    Parameters
    ----------
    labels : (X, Y, Z) int16 array
        What each voxel is made of.
    names
        Name and hemisphere (L, R or M) of every label.
    chi : (X, Y, Z) real array
        Susceptibility, ppm.
    r2star : (X, Y, Z) real array
        Transverse relaxation rate, 1/s.
    m0 : (X, Y, Z) real array
        Proton density, against water.
    t1 : (X, Y, Z) real array
        Longitudinal relaxation time, s.
    t1w : (X, Y, Z) real array
        T1-weighted intensity without noise, arbitrary units.
    brain : (X, Y, Z) boolean array
        The brain with its fluid.
    affine : (4, 4) array
        From voxels to mm, RAS+.
    lesions : (X, Y, Z) int16 array, or None
        Number of the lesion of each voxel, 0 for none.
    """

    labels: np.ndarray
    names: Mapping[int, tuple[str, str]]
    chi: np.ndarray
    r2star: np.ndarray
    m0: np.ndarray
    t1: np.ndarray
    t1w: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    lesions: np.ndarray | None = None


def make_head(
    *,
    seed: int | None,
    resolution: float = 1.0,
    changes: Mapping[str, float] | None = None,
) -> Head:
    """
    Build a head, the same one for the same seed.

    Parameters
    ----------
    seed
        Picks a deformation of the template and a texture; None leaves the template as it is.
    resolution
        Edge of a voxel, mm.
    changes
        What is added to the susceptibility of a region on both sides, ppb by name. The anatomy
        stays, so the same seed with changes is the same person later.

    Returns
    -------
    Head
        Maps on a grid along the axes of the template.
    """
    changes = changes or {}
    check_changes(changes)
    rng = None if seed is None else np.random.default_rng(seed)
    affine = np.diag((resolution,) * 3 + (1.0,))
    affine[:3, 3] = [low for low, _ in BOUNDS]
    shape = tuple(round((high - low) / resolution) + 1 for low, high in BOUNDS)
    points = _template_points(shape, affine, rng)
    labels, t1w = _paint(points, resolution)
    labels, t1w = labels.reshape(shape), t1w.reshape(shape)
    if rng is not None:
        t1w *= _bias(points, rng).reshape(shape)
    lookup = _lookup_tables()
    texture = _texture(labels, resolution, rng)
    for name, ppb in changes.items():
        texture[np.isin(labels, [i for i, (t, _) in LABELS.items() if t.name == name])] += ppb
    return Head(
        labels=labels,
        names={index: (tissue.name, side) for index, (tissue, side) in LABELS.items()},
        chi=(lookup["chi"][labels] + texture) / np.float32(PPB_PER_PPM),
        r2star=np.maximum(lookup["r2star"][labels] + anatomy.R2STAR_PER_PPB * texture, 0),
        m0=lookup["m0"][labels],
        t1=lookup["t1"][labels],
        t1w=t1w,
        brain=labels < FIRST_OUTSIDE,
        affine=affine,
    )


def template_points(head: Head, seed: int | None):
    """Where in the template each voxel of a head of this seed comes from: (N, 3) in mm."""
    rng = None if seed is None else np.random.default_rng(seed)
    return _template_points(head.labels.shape, head.affine, rng)


def check_changes(changes: Mapping[str, float]) -> None:
    """Raise an error that names the regions if one that is to change does not exist."""
    known = {tissue.name for tissue in anatomy.BRAIN}
    if unknown := sorted(set(changes) - known):
        raise RequestError(
            f"no region {', '.join(unknown)} in a simulated head; "
            f"choose from {', '.join(sorted(known))}"
        )


def _lookup_tables() -> dict[str, np.ndarray]:
    tables = {
        name: np.zeros(max(LABELS) + 1, dtype="f4") for name in ("chi", "r2star", "m0", "t1")
    }
    for index, (tissue, _) in LABELS.items():
        for name, table in tables.items():
            table[index] = getattr(tissue, name)
    return tables


def _template_points(shape, affine, rng):
    """Where in the template each voxel's tissue comes from: (N, 3) in mm."""
    world = [
        np.arange(n, dtype="f4") * np.float32(affine[i, i]) + np.float32(affine[i, 3])
        for i, n in enumerate(shape)
    ]
    points = np.stack(np.meshgrid(*world, indexing="ij"), axis=-1)
    if rng is None:
        return points.reshape(-1, 3)
    turn = Rotation.from_euler("xyz", rng.normal(0, 3, 3), degrees=True).as_matrix()
    linear = (turn @ np.diag(rng.normal(1, 0.03, 3))).astype("f4")
    shift = rng.normal(0, 3, 3).astype("f4")
    # Knots 8 mm apart, smoothed over 32 mm: gradients stay near 0.1, far from folding.
    knots = [round((high - low) / 8) + 2 for low, high in BOUNDS]
    steps = [np.arange(n, dtype="f4") * np.float32(affine[0, 0] / 8) for n in shape]
    at = np.stack(np.meshgrid(*steps, indexing="ij"))
    moved = (points - CENTRE) @ linear.T + CENTRE + shift
    for axis in range(3):
        wave = ndimage.gaussian_filter(rng.standard_normal(knots), 4, mode="wrap")
        wave *= 3 / wave.std()
        moved[..., axis] += ndimage.map_coordinates(wave.astype("f4"), at, order=1, mode="nearest")
    return moved.reshape(-1, 3)


@cache
def _template() -> dict[str, np.ndarray]:
    """Read T1w, grey and white matter, brain mask, and the distances around the brain, in mm."""
    from nilearn import datasets

    t1w = datasets.load_mni152_template(resolution=1)
    mask = datasets.load_mni152_brain_mask(resolution=1).get_fdata(dtype="f4")
    maps = {
        "t1w": t1w.get_fdata(dtype="f4"),
        "grey": datasets.load_mni152_gm_template(resolution=1).get_fdata(dtype="f4"),
        "white": datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype="f4"),
        "mask": mask,
    }
    # Every other voxel is enough for distances; 40 mm around, for the face and the neck.
    brain = np.pad(mask[::2, ::2, ::2] > 0.5, 20)
    gap = ndimage.distance_transform_edt(~brain, sampling=2)
    closed = ndimage.distance_transform_edt(gap < 14, sampling=2) > 14
    maps["to_brain"] = gap.astype("f4")
    maps["to_closed"] = ndimage.gaussian_filter(
        ndimage.distance_transform_edt(~closed, sampling=2), 1
    ).astype("f4")
    return maps | {"affine": t1w.affine}


def _sample(name: str, points):
    """Interpolate a map of the template at `points`, (N, 3) in mm."""
    template = _template()
    origin, step = template["affine"][:3, 3], 1.0
    if name.startswith("to_"):
        origin, step = origin - 40, 2.0
    at = ((points - origin.astype("f4")) / np.float32(step)).T
    return ndimage.map_coordinates(template[name], at, order=1, mode="nearest")


def _paint(points, resolution: float):
    """Label, and T1-weighted intensity, of each point of the template."""
    to_brain = _sample("to_brain", points)
    labels = _paint_outside(points, to_brain, resolution)
    near = np.flatnonzero(to_brain < 4)
    inside = near[_sample("mask", points[near]) > 0.5]
    labels[inside] = _paint_brain(points[inside], resolution)
    # Vessels at the border of the brain belong to it only where the brain's mask has them.
    blood, vein = INDEX["blood", "M"], INDEX["vein", "M"]
    folded = _fold(points[near])
    for shape in anatomy.VEINS:
        vessel = near[shape.find(folded, 0.6 * resolution)]
        labels[vessel] = np.where(labels[vessel] < FIRST_OUTSIDE, vein, blood)

    shades = np.zeros(max(LABELS) + 1, dtype="f4")
    for name, shade in anatomy.T1W_OUTSIDE.items():
        shades[INDEX[name, "M"]] = shade
    t1w = shades[labels]
    t1w[inside] = _sample("t1w", points[inside])
    return labels, 1000 * t1w


def _fold(points):
    """Return the points with the left side mirrored onto the right."""
    folded = points.copy()
    np.abs(folded[:, 0], out=folded[:, 0])
    return folded


def _paint_brain(points, resolution: float):
    grey, white = _sample("grey", points), _sample("white", points)
    fluid = grey + white < 0.5
    folded = _fold(points)
    cerebellum = anatomy.in_cerebellum(folded)
    # Left and middle labels; the right one of a pair follows its left one.
    first = {t.name: INDEX[t.name, "L" if t.paired else "M"] for t in anatomy.BRAIN}
    labels = np.where(
        grey >= white,
        np.where(cerebellum, first["cerebellum-exterior"], first["cerebral-cortex"]),
        np.where(cerebellum, first["cerebellum-white-matter"], first["cerebral-white-matter"]),
    ).astype("i2")
    labels[fluid] = first["csf"]
    allowed = {"any": ~fluid, "grey": ~fluid & (white < 0.65), "csf": fluid}
    for name, tissue, shapes in anatomy.REGIONS:
        for shape in shapes:
            found = shape.find(folded, 0.6 * resolution)
            labels[found[allowed[tissue][found]]] = first[name]
    right = (points[:, 0] >= 0) & np.isin(
        labels, [first[t.name] for t in anatomy.BRAIN if t.paired]
    )
    labels[right] += 1
    return labels


def _paint_outside(points, to_brain, resolution: float):
    """Skull, scalp, face, neck and the air in and around them, everywhere."""
    to_closed = _sample("to_closed", points)
    folded = _fold(points)
    labels = np.full(len(points), INDEX["air", "M"], dtype="i2")

    def paint(name, where):
        labels[where] = INDEX[name, "M"]

    def paint_shapes(name, shapes, apart_mm):
        for shape in shapes:
            found = shape.find(folded, 0.6 * resolution)
            paint(name, found[to_brain[found] > apart_mm])

    x, y, z = points.T
    (cx, cy), (rx, ry) = anatomy.NECK
    neck = np.hypot((x - cx) / rx, (y - cy) / ry)
    neck[z > anatomy.CHIN] = np.inf
    reach = anatomy.LAYERS_MM
    paint("fat", (to_closed < reach["fat"]) | (neck < 1))
    paint_shapes("fat", anatomy.FACE, 0)
    paint("muscle", (to_closed < reach["muscle"]) | (neck < 0.92))
    paint_shapes("muscle", anatomy.FLESH, 0)
    (cx, cy), bone, canal = anatomy.SPINE
    spine = np.hypot(x - cx, y - cy)
    paint("bone", (spine < bone) & (z < anatomy.SKULL_BASE - 8))
    paint("bone", (to_closed < reach["bone"]) & (z > anatomy.SKULL_BASE))
    paint("fluid", (spine < canal) & (z < anatomy.SKULL_BASE))
    paint_shapes("fat", anatomy.ORBIT, 3)
    paint_shapes("fluid", anatomy.EYE, 3)
    paint_shapes("air-cavity", anatomy.AIR_CAVITIES, 2.5)
    paint("fluid", to_brain < 2)
    return labels


def _texture(labels, resolution: float, rng):
    """Variation of the susceptibility inside the tissues, ppb."""
    texture = np.zeros(labels.shape, dtype="f4")
    if rng is None:
        return texture

    def waves(widths_mm, ppb):
        noise = rng.standard_normal(labels.shape, dtype="f4")
        noise = ndimage.gaussian_filter(noise, np.divide(widths_mm, resolution))
        return noise * (ppb / noise.std())

    fluid = [i for i, (t, _) in LABELS.items() if t.name.endswith("ventricle") or t.name == "csf"]
    white = [i for i, (t, _) in LABELS.items() if t.name.endswith("white-matter")]
    solid = (labels < FIRST_OUTSIDE) & ~np.isin(labels, fluid)
    texture[solid] = waves((2, 2, 2), 2.5)[solid] + waves((8, 8, 8), 2.0)[solid]
    # Fibres run far in one direction and not in the others.
    fibres = np.isin(labels, white)
    texture[fibres] += waves((1.5, 8, 2), 3.0)[fibres]
    return texture


def _bias(points, rng):
    """Mild shading by the receive coil, around 1."""
    x, y, z = ((points - CENTRE) / np.float32(90)).T
    a, b, c, d = rng.uniform(-0.12, 0.12, 4)
    return 1 + a * x + b * y + c * z + d * (x * x - y * y)
