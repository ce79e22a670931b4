"""Small fields and heads with known answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from qsmprep.geometry import Geometry
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.units import ppm_to_hz

OBLIQUE = Geometry((1.0, 1.0, 2.0), (0.0, 0.6, 0.8))
TE = (0.005, 0.010, 0.017, 0.024)


def coordinates(shape, voxel_size):
    """Return the distances from the centre along each axis, mm, ready to broadcast."""
    axes = [(np.arange(n) - n // 2) * h for n, h in zip(shape, voxel_size, strict=True)]
    return axes[0][:, None, None], axes[1][:, None], axes[2]


def ball(shape, voxel_size, radius, centre=(0, 0, 0)):
    """Return the voxels within `radius` mm of `centre`."""
    axes = coordinates(shape, voxel_size)
    return sum((x - c) ** 2 for x, c in zip(axes, centre, strict=True)) <= radius**2


def forward(chi, geometry):
    """Return the field of a susceptibility map, ppm, padded against wrap-around."""
    padded = np.pad(chi, [(0, n) for n in chi.shape])
    field = irfftn(rfftn(padded) * dipole_kernel(padded, geometry), padded.shape)
    return field[tuple(slice(0, n) for n in chi.shape)]


@dataclass
class Head:
    """A ball of brain with nuclei, air outside it, and the echoes they make."""

    geometry: Geometry
    mask: np.ndarray
    chi: np.ndarray
    local: np.ndarray
    total: np.ndarray
    magnitude: np.ndarray
    phase: np.ndarray
    true_phase: np.ndarray
    r2star: np.ndarray
    te: tuple[float, ...] = TE
    b0: float = 3.0


def make_head(shape=(48, 48, 28), *, geometry=OBLIQUE, noise=0.01, seed=0, te=TE) -> Head:
    """Return a head of which everything is known; noise is relative to the first echo."""
    rng = np.random.default_rng(seed)
    mask = ball(shape, geometry.voxel_size, 20)
    chi = np.zeros(shape, "f4")
    chi[ball(shape, geometry.voxel_size, 4, (6, 3, 0))] = 0.1
    chi[ball(shape, geometry.voxel_size, 5, (-6, -4, 4))] = 0.05
    chi[ball(shape, geometry.voxel_size, 4, (0, 8, -6))] = -0.03
    local = forward(chi, geometry)
    air = forward(9.0 * ball(shape, geometry.voxel_size, 3, (0, -28, -8)).astype("f4"), geometry)
    total = (local + air).astype("f4")
    r2star = np.where(mask, 20 + 200 * np.abs(chi), 0).astype("f4")
    x, y, z = coordinates(shape, geometry.voxel_size)
    receive = 1.0 + 0.05 * x - 0.03 * y + 0.002 * x * y + 0.02 * z
    decay = np.stack([np.where(mask, np.exp(-r2star * t), 0.0) for t in te])
    true_phase = np.stack([2 * np.pi * ppm_to_hz(total, 3.0) * t for t in te])
    signal = decay * np.exp(1j * (true_phase + receive))
    signal += noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return Head(
        geometry, mask, chi, local * mask, total, np.abs(signal).astype("f4"),
        np.angle(signal).astype("f4"), true_phase.astype("f4"), r2star, te,
    )  # fmt: skip


def smooth_noise(shape, sigma, seed=0):
    """Return smooth random numbers of unit standard deviation."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return (noise / noise.std()).astype("f4")
