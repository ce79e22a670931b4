"""Transverse relaxation from the decay of the magnitude."""

from __future__ import annotations

from array_api_compat import array_namespace


def log_linear(magnitude, mask, te, *, maximum: float = 500.0):
    """
    R2* by a straight line through the logarithm of the magnitude, weighted by its square.

    The weights undo what the logarithm does to the noise, so that late, weak echoes do not
    dominate. Echo times need not be even.

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

    Returns
    -------
    r2star : (X, Y, Z) real array
        1/s, zero outside the mask.

    Raises
    ------
    ValueError
        If there is only one echo.
    """
    xp = array_namespace(magnitude, mask)
    if len(te) < 2:
        raise ValueError("R2* needs two echoes; there is one")
    positive = xp.where(magnitude > 0, magnitude, xp.ones_like(magnitude))
    weight = xp.where(magnitude > 0, magnitude**2, 0.0)
    logs = xp.log(positive)
    echoes = range(len(te))
    total = sum(weight[e, ...] for e in echoes)
    fit = mask & (total > 0)
    total = xp.where(fit, total, xp.ones_like(total))
    mean_te = sum(weight[e, ...] * te[e] for e in echoes) / total
    slope = sum(weight[e, ...] * (te[e] - mean_te) * logs[e, ...] for e in echoes)
    spread = sum(weight[e, ...] * (te[e] - mean_te) ** 2 for e in echoes)
    fit = fit & (spread > 0)
    r2star = -slope / xp.where(fit, spread, xp.ones_like(spread))
    return xp.where(fit, xp.clip(r2star, 0.0, maximum), 0.0)
