"""One magnitude from many echoes."""

from __future__ import annotations

from array_api_compat import array_namespace


def combine_magnitudes(magnitude):
    """Return the root sum of squares over echoes: (E, X, Y, Z) to (X, Y, Z) array, same unit."""
    xp = array_namespace(magnitude)
    return xp.sqrt(xp.sum(magnitude**2, axis=0))
