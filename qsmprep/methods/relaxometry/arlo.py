"""Transverse relaxation from sums over echoes, without logarithm or iteration."""

from __future__ import annotations

from array_api_compat import array_namespace


def arlo(magnitude, mask, te, *, maximum: float = 500.0):
    r"""
    R2* by auto-regression on linear operations (Pei et al., 2015, doi:10.1002/mrm.25137).

    A decay falls between two echoes by its integral times R2*. Simpson's rule gives the integral
    :math:`s` over three neighbouring echoes, whose outer ones differ by :math:`d`:

    .. math:: R_2^* = \frac{\sum d (s + \gamma d)}{\sum s (s + \gamma d)},

    with :math:`\gamma` the rule's weight of the last of the three. Spacing need not be even.

    Parameters
    ----------
    magnitude : (E, X, Y, Z) real array
        Three echoes or more, any unit.
    mask : (X, Y, Z) boolean array
        Where to fit.
    te : sequence of E floats
        Echo times, s.
    maximum
        Values are limited to 0 and this, 1/s.

    Returns
    -------
    r2star : (X, Y, Z) real array
        1/s, zero outside the mask.

    Raises
    ------
    ValueError
        If there are fewer than three echoes.
    """
    xp = array_namespace(magnitude, mask)
    if len(te) < 3:
        count = "is one" if len(te) == 1 else f"are {len(te)}"
        raise ValueError(f"R2* by ARLO needs three echoes; there {count}")
    numerator = denominator = xp.zeros_like(magnitude[0, ...])
    for first in range(len(te) - 2):
        y1, y2, y3 = (magnitude[first + e, ...] for e in range(3))
        alpha, beta, gamma = _simpson(*te[first : first + 3])
        integral = alpha * y1 + beta * y2 + gamma * y3
        fall = y1 - y3
        # Free of the last echo, which the regression predicts
        weight = (alpha + gamma) * y1 + beta * y2
        numerator = numerator + fall * weight
        denominator = denominator + integral * weight
    fit = mask & (denominator > 0)
    r2star = numerator / xp.where(fit, denominator, xp.ones_like(denominator))
    return xp.where(fit, xp.clip(r2star, 0.0, maximum), xp.zeros_like(r2star))


def _simpson(t1: float, t2: float, t3: float) -> tuple[float, float, float]:
    """Return the weights of Simpson's rule for three points at any distance."""
    h1, h2, sixth = t2 - t1, t3 - t2, (t3 - t1) / 6
    return sixth * (2 - h2 / h1), sixth * (t3 - t1) ** 2 / (h1 * h2), sixth * (2 - h1 / h2)
