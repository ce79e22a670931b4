"""One field from many echoes."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.statistics import median_in
from qsmprep.units import phase_to_hz


def weighted_field(unwrapped, magnitude, mask, te):
    r"""
    Field as the inverse-variance mean over echoes (Robinson et al., 2017, doi:10.1002/nbm.3601).

    .. math:: f = \sum_e m_e^2 t_e \varphi_e / (2 \pi \sum_e m_e^2 t_e^2)

    Phase noise is the inverse of magnitude over noise, so these are the weights of least
    variance. What the noise is, the echoes tell by their scatter about the fit.

    Parameters
    ----------
    unwrapped : (E, X, Y, Z) real array
        Unwrapped phase without receive offset, rad.
    magnitude : (E, X, Y, Z) real array
        Any unit.
    mask : (X, Y, Z) boolean array
        Where to fit.
    te : sequence of E floats
        Echo times, s.

    Returns
    -------
    field_hz : (X, Y, Z) real array
        Total field, Hz, zero outside the mask.
    noise_hz : (X, Y, Z) real array
        Its standard deviation, Hz, raised where the echoes disagree by more than noise lets
        them, as they do beside air and in flowing blood; zero outside the mask.
    """
    xp = array_namespace(unwrapped, magnitude, mask)
    power = [magnitude[e, ...] ** 2 for e in range(len(te))]
    numerator = sum(
        w * t * unwrapped[e, ...] for e, (w, t) in enumerate(zip(power, te, strict=True))
    )
    information = sum(w * t**2 for w, t in zip(power, te, strict=True))
    seen = mask & (information > 0)
    safe = xp.where(seen, information, xp.ones_like(information))
    rate = xp.where(seen, numerator / safe, 0.0)

    residuals = [wrap(unwrapped[e, ...] - rate * t) for e, t in enumerate(te)]
    misfit = sum(w * r**2 for w, r in zip(power, residuals, strict=True))
    disagreement = xp.ones_like(rate)
    if len(te) > 1:
        sigma = math.sqrt(median_in(misfit, seen) / _median_chi2(len(te) - 1))
        root = xp.sqrt(misfit / xp.where(seen, sum(power), xp.ones_like(safe)))
        scale = 3 * 1.4826 * median_in(root, seen)
        if scale > 0:
            disagreement = xp.where(root > scale, (root / scale) ** 2, disagreement)
    else:
        sigma = _noise_of(magnitude[0, ...], seen)
    noise = xp.where(seen, sigma / xp.sqrt(safe) * disagreement, 0.0)
    return phase_to_hz(rate, 1.0), phase_to_hz(noise, 1.0)  # both in rad/s so far


def _median_chi2(degrees: int) -> float:
    """Return the median of the chi-square distribution (Wilson and Hilferty, 1931)."""
    return degrees * (1 - 2 / (9 * degrees)) ** 3


def _noise_of(magnitude, seen) -> float:
    """Return the noise of a single image from differences of next-but-one neighbours."""
    xp = array_namespace(magnitude)
    second = magnitude - 0.5 * (xp.roll(magnitude, 1, axis=0) + xp.roll(magnitude, -1, axis=0))
    return 1.4826 * median_in(xp.abs(second), seen) / math.sqrt(1.5)
