"""What a scanner makes of a head: field, shim, and complex echoes on an oblique grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
import math

import numpy as np
from scipy import ndimage

from qsmprep.geometry import Geometry
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import fast_shape, irfftn, rfftn
from qsmprep.units import hz_to_phase


def field_of(chi, geometry: Geometry, *, margin: float = 0.25):
    """
    Field of a distribution of susceptibility, with the Lorentz sphere corrected for.

    Convolution with the dipole by Fourier transform (Salomir et al., 2003,
    doi:10.1002/cmr.b.10083; Marques & Bowtell, 2005, doi:10.1002/cmr.b.20034). A paramagnetic
    source raises the field along its poles.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility, ppm.
    geometry : Geometry
        Voxel size and field direction.
    margin : float
        What is added on every side, as a fraction of the edge, so that the periodic images of
        the transform lie far away. The margin repeats the border: the neck goes on, and so does
        the air.

    Returns
    -------
    field : (X, Y, Z) real array
        Relative field offset, ppm.
    """
    before = [math.ceil(margin * n) for n in chi.shape]
    shape = fast_shape(chi.shape, tuple(2 * n for n in before))
    width = [(b, s - n - b) for b, s, n in zip(before, shape, chi.shape, strict=True)]
    padded = np.pad(np.asarray(chi, dtype="f4"), width, mode="edge")
    # A constant makes no field, and with air at zero less precision is lost.
    padded -= padded[0, 0, -1]
    field = irfftn(rfftn(padded) * dipole_kernel(padded, geometry), shape)
    return field[tuple(slice(b, b + n) for b, n in zip(before, chi.shape, strict=True))].copy()


def shim(field, mask, geometry: Geometry):
    """
    Field that is left when the shim coils have done their best in the mask.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Relative field offset, ppm.
    mask : (X, Y, Z) boolean array
        What the scanner shims on.
    geometry : Geometry
        Voxel size and field direction.

    Returns
    -------
    field : (X, Y, Z) real array
        The field less its least-squares fit by harmonic polynomials up to second order, ppm.
    """
    # About 100 mm to the unit, or second order would dwarf the constant.
    edges = np.asarray(geometry.voxel_size) / 100
    where = np.nonzero(mask)
    middle = [float(axis.mean()) for axis in where]
    stride = max(1, where[0].size // 200_000)
    at = [(axis[::stride] - m) * e for axis, m, e in zip(where, middle, edges, strict=True)]
    basis = np.stack(list(_harmonics(*at)), axis=-1)
    wanted = field[where][::stride]
    weights = np.linalg.lstsq(basis, wanted, rcond=None)[0].astype(field.dtype)
    axes = [
        ((np.arange(n) - m) * e).astype(field.dtype)
        for n, m, e in zip(field.shape, middle, edges, strict=True)
    ]
    left = field.copy()
    for weight, term in zip(weights, _harmonics(*np.ix_(*axes)), strict=True):
        left -= weight * term
    return left


def _harmonics(x, y, z) -> Iterator:
    yield np.ones_like(x)
    yield from (x, y, z, x * y, y * z, z * x, x * x - y * y, 2 * z * z - x * x - y * y)


def steady_state(m0, t1, *, tr: float, flip_deg: float):
    """Spoiled gradient-echo signal before decay; `tr` and `t1` in seconds (Ernst, 1966)."""
    flip = math.radians(flip_deg)
    e1 = np.exp(-tr / t1)
    return m0 * math.sin(flip) * (1 - e1) / (1 - math.cos(flip) * e1)


def receive_phase(shape, affine, seed: int):
    """
    Phase of the receive coil: smooth, several turns across the head, the same in every echo.

    Parameters
    ----------
    shape
        Grid of the acquisition.
    affine : (4, 4) array
        From its voxels to mm.
    seed
        Picks the phase.

    Returns
    -------
    phase : (X, Y, Z) real array
        Phase, rad.
    """
    rng = np.random.default_rng(seed)
    x, y, z = (
        sum(affine[row, axis] * grid for axis, grid in enumerate(np.indices(shape, sparse=True)))
        / 100
        for row in range(3)
    )
    turns = rng.uniform(1.0, 2.5, 6) * rng.choice((-1, 1), 6)
    phase = turns[0] * x + turns[1] * y + turns[2] * z
    phase = phase + turns[3] * x * x + turns[4] * y * y + turns[5] * np.cos(2 * z + x)
    return (phase + rng.uniform(-np.pi, np.pi)).astype("f4")


class VoxelGrid:
    """
    Averages maps of a head over the voxels of an acquisition.

    Each voxel is a Gauss-Legendre mean over points in it, about one internal voxel apart and at
    least two along each edge: partial volume and dephasing inside a voxel follow.

    Parameters
    ----------
    shape
        Grid of the acquisition.
    to_head : (4, 4) array
        From its voxels to those of the head.
    """

    def __init__(self, shape: tuple[int, ...], to_head):
        self.shape = shape
        self.to_head = np.asarray(to_head, dtype=float)
        edges = np.linalg.norm(self.to_head[:3, :3], axis=0)
        counts = [max(2, math.ceil(edge - 0.01)) for edge in edges]
        self.rules = [np.polynomial.legendre.leggauss(n) for n in counts]

    def points(self) -> Iterator[tuple]:
        """Yield weight and head voxel coordinates of one point in each voxel after another."""
        for nodes in product(*(np.transpose(rule) for rule in self.rules)):
            offset, weights = np.transpose(nodes) / 2
            yield np.float32(weights.prod()), self._coordinates(offset)

    def _coordinates(self, offset):
        grid = np.indices(self.shape, dtype="f4", sparse=True)
        return np.stack(
            [
                sum(np.float32(m) * (g + o) for m, g, o in zip(row, grid, offset, strict=True))
                + np.float32(shift)
                for row, shift in zip(self.to_head[:3, :3], self.to_head[:3, 3], strict=True)
            ]
        )

    def mean(self, volume):
        """Mean of a map over each voxel; outside the head's grid its border goes on."""
        total = np.zeros(self.shape, dtype="f4")
        for share, at in self.points():
            total += share * _linear(volume, at)
        return total

    def nearest(self, volume):
        """Value of a map of labels at the middle of each voxel."""
        at = self._coordinates((0.0, 0.0, 0.0))
        return ndimage.map_coordinates(volume, at, order=0, mode="nearest")

    def echoes(self, weight, r2star, field_hz, echo_times: Sequence[float]):
        r"""
        Complex echoes without noise.

        .. math:: S(TE) = \langle w \exp(-TE R_2^* + 2 \pi i f TE) \rangle_\mathrm{voxel}

        Parameters
        ----------
        weight : (X, Y, Z) real array
            Signal before decay.
        r2star : (X, Y, Z) real array
            Transverse relaxation rate, 1/s.
        field_hz : (X, Y, Z) real array
            Frequency offset, Hz.
        echo_times
            Echo times, s.

        Returns
        -------
        signal : (E, ...) complex array
            One volume for each echo.
        """
        signal = np.zeros((len(echo_times), *self.shape), dtype="c8")
        for share, at in self.points():
            w, r, f = (_linear(volume, at) for volume in (weight, r2star, field_hz))
            for echo, te in enumerate(echo_times):
                signal[echo] += share * w * np.exp(np.float32(-te) * r + 1j * hz_to_phase(f, te))
        return signal


def _linear(volume, at):
    return ndimage.map_coordinates(volume, at, order=1, mode="nearest", output="f4")


def add_noise(signal, mask, *, snr: float, seed: Sequence[int]):
    """
    Add complex Gaussian noise.

    Parameters
    ----------
    signal : (E, X, Y, Z) complex array
        Echoes without noise.
    mask : (X, Y, Z) boolean array
        The brain.
    snr : float
        Mean magnitude of the first echo in the mask, over the noise of one channel.
    seed
        Picks the noise.

    Returns
    -------
    noisy : (E, X, Y, Z) complex array
        Echoes with noise.
    """
    rng = np.random.default_rng(seed)
    sigma = np.float32(np.abs(signal[0])[mask].mean() / snr)
    noise = rng.standard_normal((2, *signal.shape), dtype="f4")
    return signal + sigma * (noise[0] + 1j * noise[1])
