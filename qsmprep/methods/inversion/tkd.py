"""Direct division by the dipole kernel."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn

MARGIN = (16, 16, 16)
"""Voxels of zeros that keep the periodic images of a masked local field apart."""


def tkd(field, mask, geometry, *, threshold: float = 0.2):
    """
    Susceptibility by thresholded k-space division (Shmueli et al., 2009, doi:10.1002/mrm.22135).

    Parameters
    ----------
    field : (X, Y, Z) real array
        Local field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    threshold
        Smallest magnitude of the dipole kernel divided by, relative: the kernel ends at 2/3.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the mask.
    """
    xp = array_namespace(field, mask)
    box = Box(mask, MARGIN)
    local = box.cut(xp.where(mask, field, 0.0))
    kernel = dipole_kernel(local, geometry)
    clipped = xp.copysign(
        xp.maximum(xp.abs(kernel), xp.asarray(threshold, dtype=kernel.dtype)), kernel
    )
    chi = box.paste(irfftn(rfftn(local) / clipped, box.shape))
    return xp.where(mask, chi, 0.0)
