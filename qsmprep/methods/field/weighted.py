"""One field from many echoes."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.field.noise import disagreement, image_noise, image_noise_alone
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

    misfit = sum(
        w * wrap(unwrapped[e, ...] - rate * t) ** 2
        for e, (w, t) in enumerate(zip(power, te, strict=True))
    )
    if len(te) > 1:
        sigma = image_noise(misfit, seen, len(te) - 1)
        factor = disagreement(misfit, sum(power), seen)
    else:
        sigma, factor = image_noise_alone(magnitude[0, ...], seen), xp.ones_like(rate)
    noise = xp.where(seen, sigma / xp.sqrt(safe) * factor, 0.0)
    return phase_to_hz(rate, 1.0), phase_to_hz(noise, 1.0)  # both in rad/s so far
