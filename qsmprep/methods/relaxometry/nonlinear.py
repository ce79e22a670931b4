"""Transverse relaxation by least squares that know the noise."""

from __future__ import annotations

import math

from array_api_compat import array_namespace, is_numpy_array
import numpy as np
from scipy.special import chdtri

from qsmprep.jit import compiled
from qsmprep.methods.relaxometry.log_linear import log_linear
from qsmprep.methods.statistics import median_in

STEPS = 8
"""Gauss-Newton steps; in brains R2* changes by less than 0.1 1/s after five."""


def nonlinear(
    magnitude, mask, te, *, maximum: float = 500.0, noise_floor: bool = True, prior: float = 100.0
):
    r"""
    R2* by least squares, Rician noise (Gudbjartsson and Patz, 1995, doi:10.1002/mrm.1910340618).

    However weak the signal, the square of a magnitude exceeds that of the signal by
    :math:`2 \sigma^2` on average. So the squares are fitted, weighted by their variance:

    .. math:: \min_{a, R} \sum_e \frac{(m_e^2 - 2 \sigma^2 - a^2 e^{-2 R t_e})^2}
              {4 (a^2 e^{-2 R t_e} + \sigma^2)} + \frac{\sigma^2 (R - R_0)^2}{p^2}

    Where only the first echo stands out of the noise, nothing but the last term bounds R2*, and
    it stays near :math:`R_0`, which is what `log_linear` finds. The noise is what remains of a
    fit without it; of two echoes nothing does.

    Parameters
    ----------
    magnitude : (E, X, Y, Z) real array
        Two echoes or more, any unit.
    mask : (X, Y, Z) boolean array
        Where to fit.
    te : sequence of E floats
        Echo times, s.
    maximum
        Values are limited to 0 and this, 1/s.
    noise_floor
        Whether squares are freed of noise.
    prior
        What R2* is expected to differ from :math:`R_0`, that of ``log_linear``, 1/s; it binds
        where the echoes do not.

    Returns
    -------
    r2star : (X, Y, Z) real array
        1/s, zero outside the mask.

    Raises
    ------
    ValueError
        If there is only one echo, or no signal in the mask.
    """
    xp = array_namespace(magnitude, mask)
    start = log_linear(magnitude, mask, te, maximum=maximum)
    fit = mask & (xp.max(magnitude, axis=0) > 0)
    if not bool(xp.any(fit)):
        raise ValueError("there is no signal in the mask")
    refine = _refine_loop if is_numpy_array(magnitude) else _refine
    times = np.asarray(te, dtype=np.float64)
    rate, misfit = refine(magnitude, fit, times, start, 0.0, prior, maximum)
    freedom = len(te) - 2
    noise = median_in(misfit, fit) / float(chdtri(freedom, 0.5)) if freedom else 0.0
    if noise_floor and noise > 0:
        rate, _ = refine(magnitude, fit, times, start, noise, prior, maximum)
    return rate


def _refine(magnitude, fit, te, start, noise: float, prior: float, maximum: float):
    """
    Return R2* after Gauss-Newton steps from `start`, and the squares of what remains.

    Parameters are those of `nonlinear`, and the variance of the `noise`.
    """
    xp = array_namespace(magnitude)
    one = xp.ones_like(start)
    echoes = [(float(t), xp.where(fit, magnitude[e, ...], one)) for e, t in enumerate(te)]
    stiffness = noise / prior**2
    rate = start
    decays = [xp.exp(-t * rate) for t, _ in echoes]
    power = (
        sum(m * d for (_, m), d in zip(echoes, decays, strict=True)) / sum(d**2 for d in decays)
    ) ** 2
    for _ in range(STEPS):
        a = b = u = xp.zeros_like(rate)
        c, v = stiffness * one, stiffness * (start - rate)
        for t, m in echoes:
            signal = power * xp.exp(-2 * t * rate)
            pull = signal / (signal + noise + 1e-20 * power)  # never 0 / 0
            slope, error = pull * signal, 0.5 * pull * (m**2 - 2 * noise - signal)
            a, b, c = a + slope, b - t * slope, c + t**2 * slope
            u, v = u + error, v - t * error
        determinant = a * c - b**2
        determinant = xp.where(determinant > 1e-6 * a * c, determinant, 1e-6 * a * c)
        step, growth = (a * v - b * u) / determinant, (c * u - b * v) / determinant
        rate = xp.clip(rate + xp.clip(step, -50.0, 50.0), 0.0, maximum)
        power = power * xp.exp(2 * xp.clip(growth, -0.5, 0.5))
    misfit = sum((m - xp.sqrt(power) * xp.exp(-t * rate)) ** 2 for t, m in echoes)
    return xp.where(fit, rate, xp.zeros_like(rate)), misfit


@compiled
def _refine_loop(magnitude, fit, te, start, noise, prior, maximum):
    """Do as `_refine`, voxel by voxel, each until it has settled."""
    rates, misfits = np.zeros_like(start), np.zeros_like(start)
    stiffness = noise / prior**2
    for i, j, k in np.ndindex(fit.shape):
        if not fit[i, j, k]:
            continue
        rate = centre = float(start[i, j, k])
        up = down = 0.0
        for e, t in enumerate(te):
            decay = math.exp(-t * rate)
            up += magnitude[e, i, j, k] * decay
            down += decay**2
        power = (up / down) ** 2
        for _ in range(STEPS):
            a = b = u = 0.0
            c, v = stiffness, stiffness * (centre - rate)
            for e, t in enumerate(te):
                signal = power * math.exp(-2 * t * rate)
                pull = signal / (signal + noise + 1e-20 * power)
                slope = pull * signal
                error = 0.5 * pull * (magnitude[e, i, j, k] ** 2 - 2 * noise - signal)
                a, b, c = a + slope, b - t * slope, c + t**2 * slope
                u, v = u + error, v - t * error
            determinant = max(a * c - b**2, 1e-6 * a * c)
            step, growth = (a * v - b * u) / determinant, (c * u - b * v) / determinant
            rate = min(max(rate + min(max(step, -50.0), 50.0), 0.0), maximum)
            power *= math.exp(2 * min(max(growth, -0.5), 0.5))
            if abs(step) < 0.01:
                break
        rates[i, j, k] = rate
        for e, t in enumerate(te):
            misfits[i, j, k] += (
                magnitude[e, i, j, k] - math.sqrt(power) * math.exp(-t * rate)
            ) ** 2
    return rates, misfits
