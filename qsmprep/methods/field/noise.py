"""What the echoes say of the noise in a field fitted to them."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from qsmprep.methods.statistics import median_in


def image_noise(misfit, seen, degrees: int) -> float:
    """
    Return the noise of an image, in units of magnitude, from what a fit of its phases leaves.

    Parameters
    ----------
    misfit : (X, Y, Z) real array
        Sum over echoes of the squares of magnitude times phase left, magnitude squared rad².
    seen : (X, Y, Z) boolean array
        Where there was a fit.
    degrees
        Of freedom: echoes less what was fitted to them.
    """
    # Median of the chi-square distribution (Wilson and Hilferty, 1931).
    return math.sqrt(median_in(misfit, seen) / (degrees * (1 - 2 / (9 * degrees)) ** 3))


def image_noise_alone(magnitude, seen) -> float:
    """
    Return the noise of a single image from differences of next-but-one neighbours.

    Parameters
    ----------
    magnitude : (X, Y, Z) real array
        Any unit, which is that of the noise.
    seen : (X, Y, Z) boolean array
        Where there is signal.
    """
    xp = array_namespace(magnitude)
    second = magnitude - 0.5 * (xp.roll(magnitude, 1, axis=0) + xp.roll(magnitude, -1, axis=0))
    return 1.4826 * median_in(xp.abs(second), seen) / math.sqrt(1.5)


def disagreement(misfit, power, seen):
    """
    Return how many times noisier than its signal a field is where its echoes disagree.

    The root of the misfit over its expectation predicts errors better (a correlation of logarithms
    of 0.39, not 0.23, in a simulated head). But it doubts all that is strong as well, and maps of
    susceptibility are worse for it.

    Parameters
    ----------
    misfit : (X, Y, Z) real array
        Sum over echoes of the squares of magnitude times phase left, magnitude squared rad².
    power : (X, Y, Z) real array
        Sum over echoes of the squares of magnitude.
    seen : (X, Y, Z) boolean array
        Where there was a fit.

    Returns
    -------
    factor : (X, Y, Z) real array
        1 where the echoes agree as well as three times their median; beyond, the square of by
        how much they do not.
    """
    xp = array_namespace(misfit, power, seen)
    one = xp.ones_like(misfit)
    root = xp.sqrt(misfit / xp.where(seen, power, one))
    scale = 3 * 1.4826 * median_in(root, seen)
    return xp.where(root > scale, (root / scale) ** 2, one) if scale > 0 else one


def of_unknown_phase(noise_hz, unknown, te):
    """
    Return the noise of a field where its phase might be anything, from that elsewhere.

    Parameters
    ----------
    noise_hz : (X, Y, Z) real array
        Standard deviation of the field, Hz.
    unknown : (X, Y, Z) boolean array
        Where phase might be anything, such as beside open fringes.
    te : sequence of E floats
        Echo times, s.

    Returns
    -------
    noise_hz : (X, Y, Z) real array
        There, at least that of one turn, evenly spread, in the mean echo time.
    """
    xp = array_namespace(noise_hz, unknown)
    turn = len(te) / (math.sqrt(12) * sum(te))
    return xp.where(unknown & (noise_hz < turn), turn, noise_hz)
