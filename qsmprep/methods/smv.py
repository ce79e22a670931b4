"""Spherical mean values, the tool of the SHARP family of background removal."""

from __future__ import annotations

import math

from array_api_compat import array_namespace, device
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.methods.box import Box
from qsmprep.methods.fft import irfftn, rfftn

WHOLE = 1 - 1e-5
"""Share of a sphere in the mask from which all of it counts as inside, as transforms round."""


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
    spectrum : (X, Y, Z // 2 + 1) real array
        Multiplying a transform by it replaces every voxel by the mean over its sphere. Real, as
        the sphere is symmetric.
    """
    xp = array_namespace(like)
    spectrum = sphere_weights(geometry.voxel_size, radius)
    spectrum = xp.asarray(spectrum, dtype=like.dtype, device=device(like))
    # Being symmetric, the sphere needs cosines only, and those of its few voxels: a fifth of the
    # time of a transform.
    ends = (like.shape[0], like.shape[1], like.shape[2] // 2 + 1)
    for n, end in zip(like.shape, ends, strict=True):
        reach = spectrum.shape[0] // 2
        angles = 2 * np.pi / n * np.outer(np.arange(-reach, reach + 1), np.arange(end))
        cosines = xp.asarray(np.cos(angles), dtype=like.dtype, device=device(like))
        spectrum = xp.tensordot(spectrum, cosines, axes=((0,), (0,)))  # the axis becomes the last
    return spectrum


class SphericalMean:
    """
    The spherical mean of a field, and where all of its sphere lies in a mask.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Any unit.
    mask : (X, Y, Z) boolean array
        Where the field is known.
    geometry : Geometry
        Voxel size, mm.
    radius
        Radius, mm.

    Raises
    ------
    ValueError
        If no sphere fits into the mask.
    """

    def __init__(self, field, mask, geometry: Geometry, radius: float):
        xp = array_namespace(field, mask)
        margin = [math.ceil(radius / h) for h in geometry.voxel_size]
        self.box = Box(mask, (margin[0], margin[1], margin[2]))
        inside = self.box.cut(mask)
        self.total = self.box.cut(xp.where(mask, field, xp.zeros_like(field)))
        """The field on the crop, zero outside the mask."""
        self.spectrum = sphere_spectrum(self.total, geometry, radius)
        reached = inside & (self.mean(xp.astype(inside, field.dtype)) > WHOLE)
        if not bool(xp.any(reached)):
            raise ValueError(f"no sphere of {radius} mm fits into the mask")
        self.within = xp.astype(reached, field.dtype)
        """1 where the whole sphere lies in the mask, else 0."""

    def mean(self, volume):
        """Return the mean of a volume on the crop over the sphere about each voxel."""
        return irfftn(self.spectrum * rfftn(volume), self.box.shape)

    def paste(self, local):
        """Return a volume on the whole grid, zero where no sphere fits, and where one does."""
        return self.box.paste(self.within * local), self.box.paste(self.within > 0)


def deconvolve(high, sphere, threshold: float):
    """
    Undo the removal of spherical means where that is well-conditioned.

    Parameters
    ----------
    high : (X, Y, Z) array
        What a field differs from its spherical means.
    sphere : (X, Y, Z // 2 + 1) array
        Spectrum of the sphere.
    threshold
        Frequencies kept by a smaller share than this are left out.

    Returns
    -------
    field : (X, Y, Z) array
    """
    xp = array_namespace(high)
    high_pass = 1 - xp.real(sphere)
    keep = xp.abs(high_pass) > threshold
    inverse = xp.where(keep, 1 / xp.where(keep, high_pass, xp.ones_like(high_pass)), 0.0)
    return irfftn(rfftn(high) * inverse, high.shape)


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
