"""Angles and their differences."""

from __future__ import annotations

import math

from array_api_compat import array_namespace


def wrap(phase):
    """Return `phase` (rad, real array) shifted by whole turns into [-π, π]."""
    xp = array_namespace(phase)
    return phase - 2 * math.pi * xp.round(phase / (2 * math.pi))
