"""Least squares with a quadratic penalty, in closed form."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.differences import laplacian_spectrum
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.damping import wiener_damping
from qsmprep.methods.inversion.tkd import MARGIN


def tikhonov(field, mask, geometry, *, regularisation: float = 1.0, penalty: str = "identity"):
    r"""
    Susceptibility by Tikhonov regularisation (Bilgic et al., 2014, doi:10.1002/jmri.24365).

    .. math:: \min_\chi \|D * \chi - f\|_2^2 + \lambda \|R \chi\|_2^2, \qquad
              \hat\chi = \frac{D \hat f}{D^2 + \lambda |R|^2}

    It differs from there in :math:`\lambda`, which is `regularisation` times that of a Wiener
    filter (`wiener_damping`), so that one setting serves acquisitions of any quality.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Local field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    regularisation
        Weight of the penalty, relative to that of a Wiener filter; in mm² with the gradient.
    penalty
        ``identity`` penalises susceptibility itself, ``gradient`` its differences.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the mask.

    Raises
    ------
    ValueError
        If there is no such penalty.
    """
    if penalty not in ("identity", "gradient"):
        raise ValueError(f"the penalty is identity or gradient, not {penalty!r}")
    xp = array_namespace(field, mask)
    box = Box(mask, MARGIN)
    local = box.cut(xp.where(mask, field, 0.0))
    kernel = dipole_kernel(local, geometry)
    weight = regularisation * wiener_damping(local, box.cut(mask), geometry)
    cost = weight * laplacian_spectrum(local, geometry) if penalty == "gradient" else weight
    # The constant keeps the mean, which no field shows, from being divided by zero.
    chi_k = kernel * rfftn(local) / (kernel**2 + cost + 1e-8)
    return xp.where(mask, box.paste(irfftn(chi_k, box.shape)), 0.0)
