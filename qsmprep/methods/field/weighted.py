"""One field from many echoes."""

from __future__ import annotations

from dataclasses import dataclass
import math

from array_api_compat import array_namespace

from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.statistics import median_in


@dataclass(frozen=True)
class FieldEstimate:
    """
    A field map and how far it can be trusted; all are (X, Y, Z) real arrays, zero outside.

    Parameters
    ----------
    field_hz
        Total field, Hz.
    noise_hz
        Its standard deviation, Hz, from the magnitude and the scatter of the echoes.
    reliability
        1 where the echoes agree as well as noise lets them, falling to 0 where they do not.
    """

    field_hz: object
    noise_hz: object
    reliability: object


def weighted_field(unwrapped, magnitude, mask, te) -> FieldEstimate:
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
    estimate : FieldEstimate
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
    if len(te) > 1:
        # With E - 1 degrees of freedom the median of chi-square is near E - 1 - 2/3 + ...: 1 here.
        sigma = math.sqrt(median_in(misfit, seen) / _median_chi2(len(te) - 1))
        disagreement = xp.sqrt(misfit / xp.where(seen, sum(power), xp.ones_like(safe)))
        scale = 3 * 1.4826 * median_in(disagreement, seen)
        excess = disagreement / scale if scale > 0 else xp.zeros_like(rate)
        reliability = xp.where(excess > 1, 1 / xp.where(excess > 1, excess, 1.0) ** 2, 1.0)
    else:
        sigma = _noise_of(magnitude[0, ...], seen)
        reliability = xp.ones_like(rate)
    noise = xp.where(seen, sigma / xp.sqrt(safe), 0.0)
    return FieldEstimate(
        rate / (2 * math.pi),
        noise / (2 * math.pi),
        xp.where(seen, reliability, 0.0),
    )


def _median_chi2(degrees: int) -> float:
    """Return the median of the chi-square distribution (Wilson and Hilferty, 1931)."""
    return degrees * (1 - 2 / (9 * degrees)) ** 3


def _noise_of(magnitude, seen) -> float:
    """Return the noise of a single image from differences of next-but-one neighbours."""
    xp = array_namespace(magnitude)
    second = magnitude - 0.5 * (xp.roll(magnitude, 1, axis=0) + xp.roll(magnitude, -1, axis=0))
    return 1.4826 * median_in(xp.abs(second), seen) / math.sqrt(1.5)
