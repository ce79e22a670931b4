"""What is done to the echoes, plainly."""

from __future__ import annotations

import numpy as np
from numpy.fft import fftn, ifftn
from subject import Subject

from plain.tools import Laps, Steps, div, grad, laplacian


def laplacian_unwrapping(subject: Subject, steps: Steps, laps: Laps):
    """Laplacian unwrapping by sines and cosines, with Fourier transforms."""
    del steps, laps
    eigenvalues = laplacian(subject.mask.shape)
    eigenvalues[0, 0, 0] = np.inf
    out = np.empty_like(subject.phase)
    for echo, phase in enumerate(subject.phase):
        sine, cosine = np.sin(phase), np.cos(phase)
        bent = cosine * div(grad(sine)) - sine * div(grad(cosine))
        out[echo] = subject.mask * ifftn(-fftn(bent) / eigenvalues).real
    return out


def weighted_field(subject: Subject, steps: Steps, laps: Laps):
    """Inverse-variance mean over echoes, and its noise from the scatter of the echoes."""
    del steps, laps
    te = np.array(subject.te)[:, None, None, None]
    power = subject.magnitude**2
    information = (power * te**2).sum(0)
    rate = (power * te * subject.unwrapped).sum(0) / information
    misfit = (power * np.angle(np.exp(1j * (subject.unwrapped - te * rate))) ** 2).sum(0)
    return subject.mask * rate, np.sqrt(misfit / information)


def nonlinear_field(subject: Subject, steps: Steps, laps: Laps):
    """Gauss-Newton steps on the complex echoes, as many as are the default's tolerance's: 5."""
    del steps
    te = np.array(subject.te)[:, None, None, None]
    power = subject.magnitude**2
    zeroth, first, second = (power.sum(0), (power * te).sum(0), (power * te**2).sum(0))
    determinant = zeroth * second - first**2
    offset, rate = (
        np.zeros_like(zeroth),
        (subject.unwrapped[1] - subject.unwrapped[0]) / (subject.te[1] - subject.te[0]),
    )
    for _ in laps(5):
        left = np.angle(np.exp(1j * (subject.unwrapped - offset - te * rate)))
        pull, torque = (power * left).sum(0), (power * te * left).sum(0)
        offset = offset + (second * pull - first * torque) / determinant
        rate = rate + (zeroth * torque - first * pull) / determinant
    left = subject.unwrapped - offset - te * rate
    return subject.mask * rate, np.sqrt((power * left**2).sum(0) * zeroth / determinant)


def arlo(subject: Subject, steps: Steps, laps: Laps):
    """Auto-regression, for even echo times."""
    del steps, laps
    m = subject.magnitude
    integral = (subject.te[1] - subject.te[0]) / 3 * (m[:-2] + 4 * m[1:-1] + m[2:])
    fall = m[:-2] - m[2:]
    weight = integral + (subject.te[1] - subject.te[0]) / 3 * fall
    return subject.mask * (fall * weight).sum(0) / (integral * weight).sum(0)


def log_linear(subject: Subject, steps: Steps, laps: Laps):
    """Weighted straight line through the logarithm."""
    del steps, laps
    te = np.array(subject.te)[:, None, None, None]
    power, logs = subject.magnitude**2, np.log(subject.magnitude)
    mean = (power * te).sum(0) / power.sum(0)
    slope = (power * (te - mean) * logs).sum(0) / (power * (te - mean) ** 2).sum(0)
    return subject.mask * -slope


def nonlinear_decay(subject: Subject, steps: Steps, laps: Laps):
    """Two fits by eight Gauss-Newton steps, the second free of noise."""
    te = np.array(subject.te)[:, None, None, None]
    squares, noise = subject.magnitude**2, 0.0
    start = log_linear(subject, steps, laps)
    for _ in range(2):
        rate, power = start, squares[0] * np.exp(2 * te[0] * start)
        for _ in range(8):
            signal = power * np.exp(-2 * te * rate)
            trust = 1 / (4 * signal + 4 * noise + 1e-20)
            error = squares - 2 * noise - signal
            a = (trust * (signal / power) ** 2).sum(0)
            b = (trust * (signal / power) * (-2 * te * signal)).sum(0)
            c = (trust * (2 * te * signal) ** 2).sum(0)
            u = (trust * (signal / power) * error).sum(0)
            v = (trust * (-2 * te * signal) * error).sum(0)
            determinant = a * c - b**2 + 1e-30
            power = np.maximum(power + (c * u - b * v) / determinant, 1e-12)
            rate = np.clip(rate + (a * v - b * u) / determinant, 0, 500)
        left = subject.magnitude - np.sqrt(power) * np.exp(-te * rate)
        noise = (left**2).sum(0)[subject.mask].mean() / (len(subject.te) - 2)
    return subject.mask * rate
