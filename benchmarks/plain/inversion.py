"""Dipole inversion, plainly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.fft import fftn, ifftn
from subject import Subject

from plain.tools import (
    Laps,
    Steps,
    conjugate_gradient,
    convolve,
    dipole,
    div,
    faces,
    grad,
    laplacian,
    weights,
)

PHASE_SCALE = 6.42
"""Of nonlinear fidelities, rad/ppm."""


def divided(subject: Subject, steps: Steps, laps: Laps, inverse: Callable):
    """Division in k-space."""
    del steps, laps
    return subject.mask * convolve(inverse(dipole(subject)), subject.local * subject.mask)


def thresholded(kernel):
    """Return the inverse of the kernel, never large (TKD)."""
    return np.where(kernel < 0, -1, 1) / np.maximum(np.abs(kernel), 0.2)


def truncated(kernel):
    """Return the inverse of the kernel where that is large (TSVD)."""
    large = np.abs(kernel) > 0.15
    return np.where(large, 1 / np.where(large, kernel, 1), 0)


def regularised(kernel):
    """Return the inverse of the kernel by Tikhonov."""
    return kernel / (kernel**2 + 0.01)


def variation(subject: Subject, normal, right, steps: Steps, laps: Laps, start=0.0):
    """Total variation by ADMM, with a fidelity that is diagonal in k-space."""
    alpha, penalty = 2e-4 * (0.3 + 0.7 * faces(subject)), 2e-2
    inverse = 1 / (normal + penalty * laplacian(subject.mask.shape) + 1e-8)
    chi, split = start + np.zeros(subject.mask.shape), np.zeros((3, *subject.mask.shape))
    dual = np.zeros_like(split)
    for _ in laps(steps.outer):
        previous = chi
        chi = ifftn((right - penalty * fftn(div(split - dual))) * inverse).real
        raw = grad(chi) + dual
        split = np.sign(raw) * np.maximum(np.abs(raw) - alpha / penalty, 0)
        dual = raw - split
        np.linalg.norm(chi - previous)
    return subject.mask * chi


def tv(subject: Subject, steps: Steps, laps: Laps):
    """Total variation."""
    kernel = dipole(subject)
    return variation(subject, kernel**2, kernel * fftn(subject.local * subject.mask), steps, laps)


def rts(subject: Subject, steps: Steps, laps: Laps):
    """Least squares, then total variation where the kernel is small."""
    kernel, weight2 = dipole(subject), weights(subject) ** 2
    first = conjugate_gradient(
        lambda x: convolve(kernel, weight2 * convolve(kernel, x)) + 1e-3 * x,
        convolve(kernel, weight2 * subject.local),
        laps(sum(steps.inner)),
    )
    well = (np.abs(kernel) > 0.15).astype(float)
    return variation(subject, well, well * fftn(first), steps, laps, first)


def split_field(subject: Subject, steps: Steps, laps: Laps, newton: int = 0, stages: int = 1):
    """Total variation by ADMM, with a fidelity voxel by voxel: linear, or by Newton steps."""
    # Of two stages the method tells of the second only; each iteration has four transforms.
    iterations = steps.outer if stages == 1 else steps.transforms // 4
    kernel, weight2 = dipole(subject), weights(subject) ** 2
    local = subject.local * subject.mask
    alpha, penalty = 2e-4 * (0.3 + 0.7 * faces(subject)), 2e-2
    inverse = 1 / (kernel**2 + penalty * laplacian(local.shape) + 1e-8)
    chi, split = np.zeros_like(local), np.zeros((3, *local.shape))
    dual, predicted, field_dual = np.zeros_like(split), np.zeros_like(local), np.zeros_like(local)
    for _ in laps(iterations):
        previous = chi
        right = kernel * fftn(predicted - field_dual) - penalty * fftn(div(split - dual))
        chi_k = right * inverse
        chi, field = ifftn(chi_k).real, ifftn(kernel * chi_k).real
        raw = grad(chi) + dual
        split = np.sign(raw) * np.maximum(np.abs(raw) - alpha / penalty, 0)
        dual = raw - split
        if newton:
            for _ in range(newton):
                off = PHASE_SCALE * (predicted - local)
                pull = weight2 * np.sin(off) / PHASE_SCALE + predicted - field - field_dual
                predicted = predicted - pull / (weight2 * np.cos(off) + 1)
        else:
            predicted = (weight2 * local + field + field_dual) / (weight2 + 1)
        field_dual = field_dual + field - predicted
        np.linalg.norm(chi - previous)
    return subject.mask * chi


def ndi(subject: Subject, steps: Steps, laps: Laps):
    """Nonlinear dipole inversion by gradient descent."""
    kernel, weight2 = dipole(subject), weights(subject) ** 2
    chi = np.zeros(subject.mask.shape)
    for _ in laps(steps.outer):
        off = PHASE_SCALE * (convolve(kernel, chi) - subject.local)
        np.linalg.norm(weight2 * off)
        chi = chi - convolve(kernel, weight2 * np.sin(off)) / PHASE_SCALE
    return subject.mask * chi


def medi(subject: Subject, steps: Steps, laps: Laps, fluid: bool = False):
    """MEDI, with `fluid` MEDI+0."""
    kernel, weight2, edges = dipole(subject), weights(subject) ** 2, faces(subject)
    local = PHASE_SCALE * subject.local * subject.mask
    fidelity, csf = 1000.0, subject.csf * (100.0 if fluid else 0.0)
    x = np.zeros_like(local)

    def uneven(x):
        return csf * (x - x[subject.csf].mean()) if fluid else 0

    for _ in laps(steps.outer):
        costs = edges**2 / np.sqrt((edges * grad(x)) ** 2 + 1e-6)
        misfit = convolve(kernel, x) - local
        trust = weight2 * np.cos(misfit)

        def normal(v, costs=costs, trust=trust):
            data = convolve(kernel, trust * convolve(kernel, v))
            return 2 * fidelity * data - div(costs * grad(v)) + uneven(v)

        slope = 2 * fidelity * convolve(kernel, weight2 * np.sin(misfit))
        right = div(costs * grad(x)) - slope - uneven(x)
        step = conjugate_gradient(normal, right, laps(round(np.mean(steps.inner))))
        x = x + step
        residual = np.abs(np.exp(1j * convolve(kernel, x)) - np.exp(1j * local))
        excess = residual / (6 * residual[subject.mask].std())
        weight2 = weight2 / np.maximum(excess, 1) ** 4
    return subject.mask * x / PHASE_SCALE


def sfcr(subject: Subject, steps: Steps, laps: Laps, fluid: bool = False):
    """SFCR by split Bregman, with `fluid` SFCR+0."""
    kernel, weight = dipole(subject), weights(subject)
    local = subject.local * subject.mask
    well = np.abs(kernel) > 0.18
    known = np.where(well, fftn(local) / np.where(well, kernel, 1), 0)
    csf = subject.csf * (200.0 if fluid else 0.0)

    def uneven(x):
        return csf * (x - x[subject.csf].mean()) if fluid else 0

    def bregman(apply, right, edges, inner, outer):
        x, penalty = np.zeros_like(local), 10.0
        split = dual = np.zeros_like(edges)
        for _ in laps(outer):
            x = conjugate_gradient(
                lambda v: apply(v) - penalty * div(edges**2 * grad(v)) + uneven(v),
                right - penalty * div(edges * (split - dual)),
                laps(round(np.mean(inner))),
            )
            raw = edges * grad(x) + dual
            split = np.sign(raw) * np.maximum(np.abs(raw) - 1 / penalty, 0)
            dual = raw - split
        return x

    begun = len(steps.inner) - steps.outer  # solutions that the first step took
    first = bregman(
        lambda v: 500 * convolve(well, v), 500 * ifftn(known).real,
        faces(subject, weight), steps.inner[:begun], begun,
    )  # fmt: skip
    second = bregman(
        lambda v: 1000 * convolve(kernel, weight * convolve(kernel, v)),
        1000 * convolve(kernel, weight * local),
        faces(subject, first), steps.inner[begun:], steps.outer,
    )  # fmt: skip
    share = ((np.abs(kernel) > 0.13) + (np.abs(kernel) > 0.23).astype(float)) / 2
    return subject.mask * ifftn(share * fftn(first) + (1 - share) * fftn(second)).real
