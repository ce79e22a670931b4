"""Spherical mean values, the tool of the SHARP family of background removal."""

from __future__ import annotations

from array_api_compat import array_namespace, device
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.methods.fft import rfftn


def sphere_spectrum(like, geometry: Geometry, radius: float):
    """
    Transform of a normalised sphere about the origin.

    Parameters
    ----------
    like : (X, Y, Z) array
        Volume whose shape, precision and device the result takes.
    geometry : Geometry
        Voxel size, mm.
    radius
        Radius, mm.

    Returns
    -------
    spectrum : (X, Y, Z // 2 + 1) complex array
        Multiplying a transform by it replaces every voxel by the mean over its sphere.
    """
    xp = array_namespace(like)
    weights = sphere_weights(geometry.voxel_size, radius)
    reach = [n // 2 for n in weights.shape]
    sphere = np.zeros(like.shape)
    indices = [np.arange(-r, r + 1) % n for r, n in zip(reach, like.shape, strict=True)]
    np.add.at(sphere, np.ix_(*indices), weights)
    return rfftn(xp.asarray(sphere, dtype=like.dtype, device=device(like)))


def sphere_weights(voxel_size, radius: float):
    """
    Voxel weights whose mean of a smooth harmonic field is the field at the centre.

    On a grid the mean value property fails where the second moments of the weights differ
    between the axes, as they do for a sphere of whole anisotropic voxels. So the voxels whose
    centre lies within the sphere are weighted by a Gaussian factor, as flat as can be, that
    makes the moments agree.

    Parameters
    ----------
    voxel_size
        mm.
    radius
        Radius, mm.

    Returns
    -------
    weights : (2a + 1, 2b + 1, 2c + 1) array
        Sum 1.
    """
    reach = [int(radius / h + 1e-6) for h in voxel_size]
    axes = [(np.arange(-n, n + 1) * h) ** 2 for n, h in zip(reach, voxel_size, strict=True)]
    squares = np.stack(np.broadcast_arrays(axes[0][:, None, None], axes[1][:, None], axes[2]))
    inside = squares.sum(axis=0) <= (radius * (1 + 1e-6)) ** 2
    points = squares[:, inside].T
    free = points.max(axis=0) > 0  # a radius below the voxel edge leaves an axis without moment
    points = points[:, free]
    factor = np.full(len(points), 1 / len(points))
    target = (factor @ points).mean()
    slopes = np.zeros(points.shape[1])
    for _ in range(20):
        moments = factor @ points
        spread = (factor[:, None] * points).T @ points - np.outer(moments, moments)
        slopes += np.linalg.lstsq(spread, target - moments, rcond=None)[0]
        factor = np.exp(points @ slopes - (points @ slopes).max())
        factor /= factor.sum()
    weights = np.zeros(inside.shape)
    weights[inside] = factor
    return weights
