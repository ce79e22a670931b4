"""Background removal, plainly."""

from __future__ import annotations

import numpy as np
from numpy.fft import fftn
from subject import Subject

from plain.tools import Laps, Steps, conjugate_gradient, convolve, dipole, div, grad, weights
from qsmprep.methods.smv import sphere_weights


def sphere(subject: Subject, radius: float):
    """Return the transform of a sphere."""
    part = sphere_weights(subject.geometry.voxel_size, radius)
    whole = np.zeros(subject.mask.shape)
    whole[tuple(slice(0, n) for n in part.shape)] = part
    return fftn(np.roll(whole, [-(n // 2) for n in part.shape], axis=(0, 1, 2))).real


def eroded(subject: Subject, sphere_k):
    return subject.mask & (convolve(sphere_k, subject.mask.astype(float)) > 1 - 1e-6)


def sharp(subject: Subject, steps: Steps, laps: Laps, radii=(6,)):
    """SHARP; with several radii, V-SHARP."""
    del steps, laps
    total = subject.field * subject.mask
    high, valid, largest = np.zeros_like(total), np.zeros_like(subject.mask), None
    for radius in radii:
        sphere_k = sphere(subject, radius)
        largest = sphere_k if largest is None else largest
        reached = eroded(subject, sphere_k)
        difference = total - convolve(sphere_k, total)
        high[reached & ~valid] = difference[reached & ~valid]
        valid |= reached
    kernel = 1 - largest
    keep = np.abs(kernel) > 0.05
    inverse = np.where(keep, 1 / np.where(keep, kernel, 1), 0)
    return convolve(inverse, high) * valid


def resharp(subject: Subject, steps: Steps, laps: Laps):
    """RESHARP by conjugate gradients."""
    sphere_k = sphere(subject, 4)
    within, kernel = eroded(subject, sphere_k), 1 - sphere_k

    def back(x):
        return convolve(kernel, within * convolve(kernel, x))

    total = subject.field * subject.mask
    return within * conjugate_gradient(
        lambda x: back(x) + 1e-3 * x, back(total), laps(steps.outer)
    )


def ismv(subject: Subject, steps: Steps, laps: Laps):
    """Iterated spherical means."""
    sphere_k = sphere(subject, 5)
    within = eroded(subject, sphere_k)
    total = subject.field * subject.mask
    background = total
    for _ in laps(steps.outer):
        previous = background
        background = np.where(within, convolve(sphere_k, background), total)
        np.linalg.norm(background - previous)
    return within * (total - background)


def pdf(subject: Subject, steps: Steps, laps: Laps, inside: float = 0.0):
    """Projection onto dipole fields; with `inside`, its strength of sources in the mask."""
    kernel, weight2 = dipole(subject), weights(subject) ** 2
    strength = np.where(subject.mask, inside, 1)

    def normal(x):
        return strength * convolve(kernel, weight2 * convolve(kernel, strength * x)) + inside * x

    right = strength * convolve(kernel, weight2 * subject.field)
    sources = strength * conjugate_gradient(normal, right, laps(steps.outer))
    return subject.mask * (subject.field - convolve(kernel, np.where(subject.mask, 0, sources)))


def lbv(subject: Subject, steps: Steps, laps: Laps):
    """Laplacian boundary values, by conjugate gradients without a preconditioner."""
    inner = subject.mask
    for axis in range(3):
        inner = inner & np.roll(subject.mask, 1, axis) & np.roll(subject.mask, -1, axis)
    rim = np.where(subject.mask & ~inner, subject.field, 0)
    background = conjugate_gradient(
        lambda x: -div(grad(x)) * inner, inner * div(grad(rim)), laps(steps.outer)
    )
    return inner * (subject.field - background)
