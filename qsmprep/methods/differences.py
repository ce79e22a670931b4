"""First differences on a periodic grid, and their transform."""

from __future__ import annotations

from array_api_compat import array_namespace, device, is_numpy_array
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.jit import compiled


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
    if is_numpy_array(x):
        differences = np.empty((3, *x.shape), x.dtype)
        _gradient_loop(x, geometry.voxel_size, differences)
        return differences
    xp = array_namespace(x)
    return xp.stack([(xp.roll(x, -1, axis=a) - x) / h for a, h in enumerate(geometry.voxel_size)])


def divergence(g, geometry: Geometry):
    """Return the negative adjoint of `gradient`: (3, X, Y, Z) array to (X, Y, Z) array."""
    if is_numpy_array(g):
        out = np.empty(g.shape[1:], g.dtype)
        _divergence_loop(g, geometry.voxel_size, out)
        return out
    xp = array_namespace(g)
    return sum(
        (g[a, ...] - xp.roll(g[a, ...], 1, axis=a)) / h for a, h in enumerate(geometry.voxel_size)
    )


# Rows of voxels, as the compiler turns loops over them into vector instructions.


@compiled
def _gradient_loop(x, voxel_size, out):
    nx, ny, nz = x.shape
    real = x.dtype.type  # or single precision would become double
    hx, hy, hz = real(1 / voxel_size[0]), real(1 / voxel_size[1]), real(1 / voxel_size[2])
    for i in range(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k in range(nz):
                out[0, i, j, k] = (x[i1, j, k] - x[i, j, k]) * hx
            for k in range(nz):
                out[1, i, j, k] = (x[i, j1, k] - x[i, j, k]) * hy
            for k in range(nz - 1):
                out[2, i, j, k] = (x[i, j, k + 1] - x[i, j, k]) * hz
            out[2, i, j, nz - 1] = (x[i, j, 0] - x[i, j, nz - 1]) * hz


@compiled
def _divergence_loop(g, voxel_size, out):
    _, nx, ny, nz = g.shape
    real = g.dtype.type
    hx, hy, hz = real(1 / voxel_size[0]), real(1 / voxel_size[1]), real(1 / voxel_size[2])
    for i in range(nx):
        for j in range(ny):
            # A negative index is the last voxel, as periodicity wants.
            for k in range(nz):
                out[i, j, k] = (g[0, i, j, k] - g[0, i - 1, j, k]) * hx
            for k in range(nz):
                out[i, j, k] += (g[1, i, j, k] - g[1, i, j - 1, k]) * hy
            for k in range(1, nz):
                out[i, j, k] += (g[2, i, j, k] - g[2, i, j, k - 1]) * hz
            out[i, j, 0] += (g[2, i, j, 0] - g[2, i, j, nz - 1]) * hz


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
        flow = np.empty(x.shape, x.dtype)
        _weighted_laplacian_loop(x, weights, squared, flow)
        return flow
    return -divergence(weights * gradient(x, geometry), geometry)


@compiled
def _weighted_laplacian_loop(x, weights, inverse2, out):
    nx, ny, nz = x.shape
    real = x.dtype.type
    fx, fy, fz = real(inverse2[0]), real(inverse2[1]), real(inverse2[2])
    for i in range(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k in range(nz):
                here = x[i, j, k]
                out[i, j, k] = fx * (
                    weights[0, i, j, k] * (here - x[i1, j, k])
                    + weights[0, i - 1, j, k] * (here - x[i - 1, j, k])
                ) + fy * (
                    weights[1, i, j, k] * (here - x[i, j1, k])
                    + weights[1, i, j - 1, k] * (here - x[i, j - 1, k])
                )
            for k in range(nz - 1):
                out[i, j, k] += fz * weights[2, i, j, k] * (x[i, j, k] - x[i, j, k + 1])
            for k in range(1, nz):
                out[i, j, k] += fz * weights[2, i, j, k - 1] * (x[i, j, k] - x[i, j, k - 1])
            step = fz * weights[2, i, j, nz - 1] * (x[i, j, nz - 1] - x[i, j, 0])
            out[i, j, nz - 1] += step
            out[i, j, 0] -= step


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
