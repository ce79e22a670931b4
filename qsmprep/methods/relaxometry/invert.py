"""Between relaxation rates and times."""

from __future__ import annotations

from array_api_compat import array_namespace

LONGEST = 1.0
"""Longest T2* told apart from no decay at all, s: the fluid of the brain has less."""


def r2star_to_t2star(r2star):
    """Return T2* (s, at most 1; 0 where R2* is 0) of R2* (1/s), real arrays of any shape."""
    xp = array_namespace(r2star)
    decays = r2star > 1 / LONGEST
    limit = xp.where(r2star > 0, LONGEST * xp.ones_like(r2star), xp.zeros_like(r2star))
    return xp.where(decays, 1 / xp.where(decays, r2star, xp.ones_like(r2star)), limit)
