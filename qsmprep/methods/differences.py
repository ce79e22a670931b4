"""First differences on a periodic grid, and their transform."""

from __future__ import annotations

from array_api_compat import array_namespace, device, is_numpy_array
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.methods.jit import compiled


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


def weighted_laplacian(x, weights, geometry: Geometry):
    """
    Return ``-divergence(weights * gradient(x))`` without holding the gradient.

    Parameters
    ----------
    x : (X, Y, Z) array
        Any unit.
    weights : (3, X, Y, Z) array
        One for every face, shared with the voxel that follows on its axis.
    geometry : Geometry
        Voxel size, mm.

    Returns
    -------
    flow : (X, Y, Z) array
        Unit of `x` times that of `weights`, per mm².
    """
    if is_numpy_array(x):
        squared = tuple(1 / h**2 for h in geometry.voxel_size)
        return _weighted_laplacian_loop(x, weights, squared)
    return -divergence(weights * gradient(x, geometry), geometry)


@compiled
def _weighted_laplacian_loop(x, weights, inverse2):
    nx, ny, nz = x.shape
    out = np.empty_like(x)
    # As single precision: a double factor would turn the whole sum into doubles.
    fx, fy, fz = np.float32(inverse2[0]), np.float32(inverse2[1]), np.float32(inverse2[2])
    for i in range(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k in range(nz):
                k1 = k + 1 if k + 1 < nz else 0
                here = x[i, j, k]
                # A negative index is the last voxel, as periodicity wants.
                out[i, j, k] = (
                    fx * weights[0, i, j, k] * (here - x[i1, j, k])
                    + fx * weights[0, i - 1, j, k] * (here - x[i - 1, j, k])
                    + fy * weights[1, i, j, k] * (here - x[i, j1, k])
                    + fy * weights[1, i, j - 1, k] * (here - x[i, j - 1, k])
                    + fz * weights[2, i, j, k] * (here - x[i, j, k1])
                    + fz * weights[2, i, j, k - 1] * (here - x[i, j, k - 1])
                )
    return out


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
