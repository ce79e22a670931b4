"""How much an inversion has to damp what noise would dominate."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.geometry import Geometry
from qsmprep.methods.inversion.inconsistency import inconsistency

MEAN_SQUARE = 4 / 45
"""Of the dipole kernel, over all directions."""


def wiener_damping(local, inside, geometry: Geometry) -> float:
    """
    Ratio of the power of noise in the field to that of susceptibility, as in Wiener's filter.

    Noise is the part of the field that no susceptibility can make; the rest of the field's
    variance is that of susceptibility times the mean square of the dipole kernel. Divided by
    ``D**2`` plus this ratio, the spectrum of the field times ``D`` has the least expected error,
    if both were white.

    Parameters
    ----------
    local : (X, Y, Z) real array
        Local field, ppm, zero outside the mask.
    inside : (X, Y, Z) boolean array
        The mask.
    geometry : Geometry
        Voxel size and field direction.

    Returns
    -------
    ratio
        Dimensionless; the power of susceptibility counts as a tenth of the field's at least.
    """
    xp = array_namespace(local, inside)
    power = float(xp.sum(local**2)) / float(xp.sum(xp.astype(inside, local.dtype)))
    if power == 0:
        return 0.0
    share = inconsistency(local, inside, geometry) ** 2 / power
    return MEAN_SQUARE * share / max(1 - share, 0.1)
