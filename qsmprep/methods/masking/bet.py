"""The brain in a magnitude image, found by a surface that grows until it meets the skull."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage, sparse

from qsmprep.geometry import Geometry
from qsmprep.methods.morphology import dilate, fill_holes, largest_component


def bet(
    magnitude,
    geometry: Geometry,
    *,
    fraction: float = 0.5,
    smoothness: float = 1.0,
    iterations: int = 3000,
):
    r"""
    Brain mask by a deformable surface (Smith, 2002, doi:10.1002/hbm.10062).

    Each vertex of a sphere inside the head, whose displacement to the mean of its
    neighbours is :math:`s` (normal part :math:`s_n`, tangential part :math:`s_t`), moves by

    .. math:: u = s_t / 2 + f_2 s_n + 0.05 f_3 l \hat{n},

    where :math:`f_2` smooths what is curved more sharply than a brain and :math:`f_3` pushes
    outwards over tissue and inwards over the dark skull. This differs from the paper in:

    1. The image is smoothed by 1 mm (SD), or noise below the surface would be taken for skull.
    2. The surface grows twice, the second time from the centre of the first brain, on an image
       divided by the smooth part of its brightness: neck and receive coils lose their say.
    3. A head cut by the field of view goes on for 30 mm beyond it, so that the cut is not rounded.
    4. Where the surface crosses itself, as its winding number tells, it grows again ten times
       smoother.
    5. It may take more than 1000 steps, which cut and noisy heads need, and stops when at rest.
    6. Voxels within 2 mm of the surface and above half the 90th percentile of the brain, which is
       about half the brightness of cortex and CSF, are added: the surface stops short of the edge.

    Parameters
    ----------
    magnitude : (X, Y, Z) real array
        Magnitude of the first echo or of all combined, any unit.
    geometry : Geometry
        Voxel size.
    fraction : float
        Brightness of the darkest tissue below the surface, relative to the brightest, 0 to 1;
        smaller gives a larger brain (default of FSL's BET).
    smoothness : float
        Smoothing of the surface, relative to the paper's.
    iterations : int
        Most steps of the surface each time it grows.

    Returns
    -------
    mask : (X, Y, Z) boolean array
        The brain, in one piece and without cavities.
    """
    voxel = np.array(geometry.voxel_size)
    image = _normalise(magnitude)
    smooth = ndimage.gaussian_filter(image, BLUR / voxel)
    parameters = fraction, smoothness, iterations
    first = _extract(smooth, voxel, _head(smooth, voxel), parameters)
    shading = _shading(smooth, first, voxel)
    image, smooth = image / shading, smooth / shading
    mask = _extract(smooth, voxel, _ball(first, voxel), parameters)
    edge = dilate(mask, REACH, geometry) & (image > np.percentile(image[mask], 90) / 2)
    return fill_holes(largest_component(mask | edge))


# The paper's radii of curvature: sharper bends are smoothed away, wider ones are let be, mm.
R_MIN, R_MAX = 3.33, 10.0
# How deep below the surface the darkest and the brightest voxel are sought, mm.
DEPTH_MIN, DEPTH_MAX = 7, 3
# Standard deviation of the smoothing, mm.
BLUR = 1.0
# Width of the windows that tell a coil's shading from anatomy, mm.
SHADING = 60.0
# How far a cut head goes on beyond the field of view, mm.
MARGIN = 30.0
# The surface is at rest if its mean radius changes by less in 50 steps, mm.
STEADY = 0.02
# How far the mask may grow beyond the surface, mm.
REACH = 2.0


class _Mesh(NamedTuple):
    vertices: np.ndarray  # (n, 3), on the unit sphere
    faces: np.ndarray  # (m, 3), counterclockwise seen from outside
    to_vertices: sparse.csr_array  # (n, m), sums what faces hold
    mean: sparse.csr_array  # (n, n), averages neighbours


class _Levels(NamedTuple):
    low: float  # of air
    threshold: float  # between air and head
    middle: float  # of the brain


def _normalise(magnitude):
    """Return the image with its brightest tissue about one."""
    image = np.asarray(magnitude, dtype=np.float64)
    if not np.isfinite(image).all():
        raise ValueError("the magnitude has values that are not finite")
    low, high = np.percentile(image, [2, 98])
    if not high > low:
        raise ValueError("the magnitude has no signal: nearly all its voxels are the same")
    # Single precision also hides how the unit of the input was rounded.
    return (image / high).astype(np.float32)


def _threshold(image):
    """Return the levels of air, of the faintest tissue and of the brightest tissue."""
    low, high = np.percentile(image, [2, 98]).tolist()
    return low, low + 0.1 * (high - low), high


def _head(image, voxel):
    """Return the centre of gravity of the head and the radius of a ball of its volume, mm."""
    _, threshold, high = _threshold(image)
    head = image > threshold
    centre = ndimage.center_of_mass(np.where(head, np.minimum(image, high), 0))
    return np.array(centre) * voxel, _ball(head, voxel)[1]


def _ball(mask, voxel):
    """Return the centre of the mask and the radius of a ball of its volume, mm."""
    radius = (0.75 / np.pi * np.count_nonzero(mask) * voxel.prod()) ** (1 / 3)
    return np.array(ndimage.center_of_mass(mask)) * voxel, radius


def _shading(image, mask, voxel):
    """Return the smooth part of the image in the mask over its mean, near one far outside."""
    window = [2 * int(SHADING / 2 / size) + 1 for size in voxel]
    share = mask.astype(np.float32)
    total = image / image[mask].mean() * share
    for _ in range(2):
        share = ndimage.uniform_filter(share, window, mode="constant")
        total = ndimage.uniform_filter(total, window, mode="constant")
    return (total + 1e-3) / (share + 1e-3)


def _extract(image, voxel, ball, parameters):
    """Return the inside of a surface that grew in a ball and does not cross itself."""
    centre, radius = ball
    low, threshold, high = _threshold(image)
    grid = np.ogrid[tuple(slice(n) for n in image.shape)]
    near = sum((g * v - c) ** 2 for g, v, c in zip(grid, voxel, centre, strict=True)) < radius**2
    tissue = image[near]
    tissue = tissue[(tissue > low) & (tissue <= high)]
    if not tissue.size:
        raise ValueError("the magnitude has no signal where the brain should be")
    levels = _Levels(low, threshold, float(np.median(tissue)))
    fraction, smoothness, iterations = parameters
    mesh = _icosphere(4)
    start = centre + radius / 2 * mesh.vertices
    for _ in range(4):
        vertices = _grow(start, mesh, image, voxel, levels, (fraction, smoothness, iterations))
        winding = _winding(vertices, mesh.faces, image.shape, voxel)
        inside = winding > 0
        if not inside.any():
            break
        if np.count_nonzero(winding != inside) <= 1e-3 * np.count_nonzero(inside):
            return inside
        smoothness *= 10
    raise ValueError("no surface without folds fits the magnitude: it does not look like a head")


@cache
def _icosphere(subdivisions):
    """Return an icosahedron, each face of which was quartered that many times."""
    golden = (1 + 5**0.5) / 2
    rectangle = [(0.0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    vertices = np.array([np.roll(corner, axis) for axis in range(3) for corner in rectangle])
    touch = np.isclose(np.linalg.norm(vertices[:, None] - vertices, axis=2), 2)
    i, j, k = np.nonzero(touch[:, :, None] & touch[:, None] & touch[None])
    faces = np.stack([i, j, k], axis=1)
    # Of the six orders of each face, keep the one that starts lowest and faces outwards.
    faces = faces[(i < j) & (i < k) & (np.linalg.det(vertices[faces]) > 0)]
    for _ in range(subdivisions):
        sides = np.sort(faces[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
        sides, which = np.unique(sides, axis=0, return_inverse=True)
        (a, b, c), (p, q, r) = faces.T, which.reshape(-1, 3).T + len(vertices)
        vertices = np.concatenate([vertices, vertices[sides].mean(axis=1)])
        faces = np.concatenate(
            [np.stack(face, axis=1) for face in [(a, r, q), (r, b, p), (q, p, c), (p, q, r)]]
        )
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    n, m = len(vertices), len(faces)
    ones, corners = np.ones(3 * m), faces.ravel()
    to_vertices = sparse.csr_array((ones, (corners, np.repeat(np.arange(m), 3))), (n, m))
    touching = sparse.csr_array((ones, (corners, np.roll(faces, 1, axis=1).ravel())), (n, n))
    mean = sparse.csr_array(sparse.diags_array(1 / touching.sum(axis=1)) @ touching)
    return _Mesh(vertices, faces, to_vertices, mean)


def _grow(vertices, mesh, image, voxel, levels, parameters):
    """Return the vertices, mm, when they have come to rest."""
    fraction, smoothness, iterations = parameters
    margin = np.ceil(MARGIN / voxel).astype(int)
    wide = np.pad(image, [(n, n) for n in margin], mode="edge")
    wide = np.pad(wide, 1)  # the dark end of the world
    origin = (margin + 1) * voxel
    sharp, flat = 1 / R_MIN, 1 / R_MAX
    radius = 0.0
    for step in range(iterations):
        corners = vertices[mesh.faces]
        side = np.roll(corners, -1, axis=1) - corners
        if step % 50 == 0:
            spacing = np.linalg.norm(side, axis=2).mean()
            before = radius
            radius = np.linalg.norm(vertices - vertices.mean(axis=0), axis=1).mean()
            if abs(radius - before) < STEADY:
                break
        normal = mesh.to_vertices @ np.cross(side[:, 0], side[:, 1])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
        pull = mesh.mean @ vertices - vertices
        along = np.sum(pull * normal, axis=1, keepdims=True)
        curvature = 2 * np.abs(along) / spacing**2
        bend = 0.5 * (1 + np.tanh(6 / (sharp - flat) * (curvature - (sharp + flat) / 2)))
        bend = np.minimum(smoothness * bend, 1)
        push = 0.05 * spacing * _push(vertices + origin, normal, wide, voxel, levels, fraction)
        vertices = vertices + 0.5 * pull + ((bend - 0.5) * along + push[:, None]) * normal
    return vertices


def _push(vertices, normal, image, voxel, levels, fraction):
    """Return how strongly the image pushes each vertex outwards, about -2 to 1."""
    depth = np.arange(DEPTH_MIN + 1)[:, None]
    points = [
        (x - depth * n) / size for x, n, size in zip(vertices.T, normal.T, voxel, strict=True)
    ]
    # Nearest voxels would do for the shape, but never let the surface rest: the same head with
    # another rounding of its intensities would get another mask.
    values = ndimage.map_coordinates(image, points, order=1, mode="nearest")
    darkest = np.clip(values.min(axis=0), levels.low, levels.middle)
    brightest = np.clip(values[: DEPTH_MAX + 1].max(axis=0), levels.threshold, levels.middle)
    # The power is that of FSL, with whose fractions ours are to be comparable.
    expected = levels.low + (brightest - levels.low) * fraction**0.275
    return 2 * (darkest - expected) / (brightest - levels.low)


def _winding(vertices, faces, shape, voxel):
    """Return how many times the surface encloses the centre of each voxel: 0 or 1 if simple."""
    corners = (vertices / voxel)[faces]
    plane = corners[..., :2]
    first, last = np.ceil(plane.min(axis=1)).astype(int), np.floor(plane.max(axis=1)).astype(int)
    # Both faces of an edge must agree on which columns of voxels it passes: each takes the edge
    # from the vertex with the lower number.
    swapped = faces > np.roll(faces, -1, axis=1)
    ahead = np.roll(plane, -1, axis=1)
    start = np.where(swapped[..., None], ahead, plane)
    run = np.where(swapped[..., None], plane, ahead) - start
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    crossings = np.zeros((shape[0], shape[1], shape[2] + 1), dtype=np.int32)
    for offset in np.ndindex(*(last - first).max(axis=0) + 1):
        column = first + offset
        face = np.flatnonzero(
            np.all((column <= last) & (column >= 0) & (column < shape[:2]), axis=1)
        )
        away = column[face, None] - start[face]
        left = run[face, :, 0] * away[..., 1] >= run[face, :, 1] * away[..., 0]
        left ^= swapped[face]
        hit = left.all(axis=1) | ~left.any(axis=1)
        face, upwards = face[hit], left[hit, 0]
        x, y = column[face].T
        slope = normal[face, :2] * (column[face] - plane[face, 0])
        height = corners[face, 0, 2] - slope.sum(axis=1) / normal[face, 2]
        z = np.clip(np.ceil(height), 0, shape[2]).astype(int)
        np.add.at(crossings, (x, y, z), np.where(upwards, -1, 1))
    return np.cumsum(crossings, axis=2)[..., :-1]
