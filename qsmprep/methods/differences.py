"""First differences on a periodic grid, and their transform."""

from __future__ import annotations

from array_api_compat import array_namespace, device
import numpy as np

from qsmprep.geometry import Geometry


def gradient(x, geometry: Geometry):
    """
    Forward differences along the three axes, periodic.

    Parameters
    ----------
    x : (X, Y, Z) array
        Any unit.
    geometry : Geometry
        Voxel size, mm.

    Returns
    -------
    differences : (3, X, Y, Z) array
        Unit of `x` per mm.
    """
    xp = array_namespace(x)
    return xp.stack([(xp.roll(x, -1, axis=a) - x) / h for a, h in enumerate(geometry.voxel_size)])


def divergence(g, geometry: Geometry):
    """Return the negative adjoint of `gradient`: (3, X, Y, Z) array to (X, Y, Z) array."""
    xp = array_namespace(g)
    return sum(
        (g[a, ...] - xp.roll(g[a, ...], 1, axis=a)) / h for a, h in enumerate(geometry.voxel_size)
    )


def laplacian_spectrum(like, geometry: Geometry):
    """
    Eigenvalues of ``-divergence(gradient(.))`` on the half spectrum of a real transform, 1/mm².

    Parameters
    ----------
    like : (X, Y, Z) array
        Volume whose shape, precision and device the result takes.
    geometry : Geometry
        Voxel size, mm.

    Returns
    -------
    spectrum : (X, Y, Z // 2 + 1) array
    """
    xp = array_namespace(like)
    axes = zip(like.shape, geometry.voxel_size, strict=True)
    ex, ey, ez = ((2 - 2 * np.cos(2 * np.pi * np.arange(n) / n)) / h**2 for n, h in axes)
    half = like.shape[2] // 2 + 1
    spectrum = ex[:, None, None] + ey[:, None] + ez[:half]
    return xp.asarray(spectrum, dtype=like.dtype, device=device(like))
