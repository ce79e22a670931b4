"""How much of a local field is not the field of any susceptibility."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from qsmprep.geometry import Geometry
from qsmprep.methods.dipole import dipole_kernel, frequencies
from qsmprep.methods.fft import rfftn

CONE = 0.05
"""Largest magnitude of the dipole kernel that counts as zero."""

LOWEST = 0.05
"""Frequencies below this, 1/mm, are left out: the mask smears susceptibility into the cone."""


def inconsistency(local, inside, geometry: Geometry) -> float:
    """
    Standard deviation, per voxel, of the part of a field that no susceptibility can make.

    No source has a field at the magic angle, where the dipole kernel is zero. What is found
    there nevertheless is noise, residual background and artefact; its power, which it has
    elsewhere too, tells how far an inversion may trust the field.

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
    deviation
        ppm.
    """
    xp = array_namespace(local, inside)
    kx, ky, kz = frequencies(local.shape, geometry)
    fast = xp.asarray(kx**2 + ky**2 + kz**2 > LOWEST**2, device=device(local))
    power = xp.abs(rfftn(local)) ** 2
    cone = fast & (xp.abs(dipole_kernel(local, geometry)) < CONE)
    voxels = float(xp.sum(xp.astype(inside, local.dtype)))
    return (float(xp.mean(power[cone])) / voxels) ** 0.5
