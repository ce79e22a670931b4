"""What the plain transcriptions share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.fft import fftn, ifftn
from subject import Subject

Laps = Callable[[int], Iterable[int]]


@dataclass(frozen=True)
class Steps:
    """
    How many steps a method took.

    Parameters
    ----------
    outer
        Iterations it tells of; 1 if it does not iterate.
    inner
        Iterations of each solution by conjugate gradients that it made.
    transforms
        Fourier transforms.
    """

    outer: int
    inner: tuple[int, ...]
    transforms: int


def dipole(subject: Subject):
    """Return the dipole kernel on the full spectrum."""
    axes = zip(subject.mask.shape, subject.geometry.voxel_size, strict=True)
    k = np.meshgrid(*(np.fft.fftfreq(n, h) for n, h in axes), indexing="ij")
    k2 = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    k2[0, 0, 0] = np.inf
    along = sum(b * ki for b, ki in zip(subject.geometry.b0_dir, k, strict=True))
    kernel = 1 / 3 - along**2 / k2
    kernel[0, 0, 0] = 0
    return kernel


def laplacian(shape):
    """Return the eigenvalues of ``-div(grad(.))``, for voxels of 1 mm."""
    axes = (2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(n)) for n in shape)
    return sum(np.meshgrid(*axes, indexing="ij"))


def convolve(kernel, x):
    return ifftn(kernel * fftn(x)).real


def grad(x):
    return np.stack([np.roll(x, -1, axis=a) - x for a in range(3)])


def div(g):
    return sum(g[a] - np.roll(g[a], 1, axis=a) for a in range(3))


def conjugate_gradient(apply, right, laps):
    """Solve linear equations in as many steps as there are `laps`."""
    x = np.zeros_like(right)
    rest = step = right
    power = np.sum(rest**2)
    for _ in laps:
        image = apply(step)
        length = power / np.sum(step * image)
        x = x + length * step
        rest = rest - length * image
        former, power = power, np.sum(rest**2)
        step = rest + power / former * step
    return x


def weights(subject: Subject):
    """Return one over the noise, 1 on average in the mask, 0 outside."""
    weight = np.where(subject.mask, 1 / subject.noise, 0)
    return weight / weight[subject.mask].mean()


def faces(subject: Subject, image=None):
    """Return 0 at the steepest three tenths of the voxel faces in the mask, 1 elsewhere."""
    steep = np.abs(grad(subject.combined if image is None else image))
    return (steep <= np.percentile(steep[:, subject.mask], 70)).astype(float)
