"""Division by the dipole kernel where it is large."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.tkd import MARGIN


def tsvd(field, mask, geometry, *, threshold: float = 0.15):
    """
    Susceptibility by k-space division that leaves out the small values of the dipole kernel.

    They are the singular values of the problem (Wharton et al., 2010, doi:10.1002/mrm.22334).

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
    large = xp.abs(kernel) > threshold
    inverse = xp.where(large, 1 / xp.where(large, kernel, 1.0), 0.0)
    return xp.where(mask, box.paste(irfftn(rfftn(local) * inverse, box.shape)), 0.0)
