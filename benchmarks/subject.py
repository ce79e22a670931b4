"""A simulated head of any size, whose every intermediate result is known."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.units import ppm_to_hz

B0 = 3.0
TE = (0.006, 0.012, 0.018, 0.024)

NOISE = 0.01
"""Standard deviation of the real and imaginary images, relative to the brightest voxel."""

DIAMETER = 0.875
"""Of the brain, relative to the volume's edges; it then fills 35 % of the volume."""

SEED = 1


@dataclass(frozen=True)
class Subject:
    """
    Inputs of every stage.

    Parameters
    ----------
    geometry : Geometry
        Voxel size and field direction.
    mask, csf : (X, Y, Z) boolean arrays
        Brain, and fluid in its middle.
    chi, local, field, noise : (X, Y, Z) arrays
        Susceptibility, local and total field, and the noise in both, ppm.
    magnitude, phase, unwrapped : (E, X, Y, Z) arrays
        Echoes; phase in rad.
    combined : (X, Y, Z) array
        Root of the sum of the squares of the magnitudes.
    te
        Echo times, s.
    """

    geometry: Geometry
    mask: np.ndarray
    csf: np.ndarray
    chi: np.ndarray
    local: np.ndarray
    field: np.ndarray
    noise: np.ndarray
    magnitude: np.ndarray
    phase: np.ndarray
    unwrapped: np.ndarray
    combined: np.ndarray
    te: tuple[float, ...] = TE

    def as_double(self) -> Subject:
        """Return the subject with its single precision doubled."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays = {
            name: value.astype(np.float64)
            for name, value in values.items()
            if isinstance(value, np.ndarray) and value.dtype == np.float32
        }
        return replace(self, **arrays)


def make_subject(shape: tuple[int, int, int]) -> Subject:
    """Return the head on voxels of 1 mm."""
    rng = np.random.default_rng(SEED)
    geometry = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 1.0))
    axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")

    def ellipsoid(centre, radii):
        parts = zip(axes, centre, np.broadcast_to(radii, 3), strict=True)
        return sum(((x - c) / r) ** 2 for x, c, r in parts) < 1

    mask = ellipsoid((0, 0, 0), DIAMETER)
    chi = np.zeros(shape, np.float32)
    for _ in range(60):
        nucleus = ellipsoid(rng.uniform(-0.5, 0.5, 3), rng.uniform(0.03, 0.15, 3))
        chi[nucleus] += np.float32(rng.normal(0, 0.1))
    csf = ellipsoid((0, 0, 0), (0.08, 0.2, 0.12))
    chi[csf] = 0
    outside = np.zeros(shape, np.float32)
    for _ in range(8):
        direction = rng.standard_normal(3)
        outside[ellipsoid(0.95 * direction / np.linalg.norm(direction), 0.08)] = 9.0
    outside[mask] = 0

    kernel = dipole_kernel(chi, geometry)
    local, background = (irfftn(kernel * rfftn(x), shape) for x in (chi * mask, outside))
    density = np.where(mask, 0.8 + 2 * chi - 0.2 * axes[0], 0).astype(np.float32)
    r2star = 20 + 100 * np.abs(chi)
    truth, signal = _echoes(local + background, density, r2star, rng)
    magnitude, phase = np.abs(signal), np.angle(signal)
    unwrapped = truth + np.angle(np.exp(1j * (phase - truth)))
    combined = np.sqrt((magnitude**2).sum(axis=0))
    noise = _per_ppm(NOISE) / np.sqrt(
        sum((t * m) ** 2 for t, m in zip(TE, magnitude, strict=True))
    )
    rest = noise * rng.standard_normal(shape, np.float32)
    return Subject(
        geometry,
        mask,
        csf,
        chi * mask,
        (local + rest) * mask,
        (local + background + rest) * mask,
        noise,
        magnitude,
        phase,
        unwrapped * mask,
        combined,
    )


def _per_ppm(radians):
    """Return ppm of field for radians per second."""
    return np.float32(radians / (2 * np.pi * ppm_to_hz(1.0, B0)))


def _echoes(field, density, r2star, rng):
    """Return the true phase and the noisy signal of each echo."""
    truth = np.stack([2 * np.pi * ppm_to_hz(field, B0) * t for t in TE]).astype(np.float32)
    decay = np.stack([density * np.exp(-t * r2star) for t in TE]).astype(np.float32)
    signal = decay * np.exp(1j * truth)
    signal.real += NOISE * rng.standard_normal(signal.shape, np.float32)
    signal.imag += NOISE * rng.standard_normal(signal.shape, np.float32)
    return truth, signal
