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


BAND = (0.06, 0.25)
"""Frequencies, 1/mm, between the smear of the mask and the limit of resolution."""


def relative_inconsistency(local, inside, geometry: Geometry) -> float:
    """
    Power of the part of a field that no susceptibility can make, relative to susceptibility's.

    Both are taken at the same frequencies: the first where the dipole kernel vanishes, the
    second elsewhere, less the first and divided by the kernel's square.

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
        Dimensionless; 0 without a field, and infinite if noise is all there is.
    """
    xp = array_namespace(local, inside)
    kx, ky, kz = frequencies(local.shape, geometry)
    k2 = kx**2 + ky**2 + kz**2
    band = xp.asarray((k2 > BAND[0] ** 2) & (k2 < BAND[1] ** 2), device=device(local))
    kernel = dipole_kernel(local, geometry)
    power = xp.abs(rfftn(local)) ** 2
    elsewhere = band & (xp.abs(kernel) > 3 * CONE)
    noise = float(xp.mean(power[band & (xp.abs(kernel) < CONE)]))
    signal = float(xp.mean(power[elsewhere])) - noise
    if noise == 0:
        return 0.0
    return noise * float(xp.mean(kernel[elsewhere] ** 2)) / signal if signal > 0 else float("inf")
