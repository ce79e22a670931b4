"""Background removal by spherical mean values of one size."""

from __future__ import annotations

from qsmprep.methods.smv import SphericalMean, deconvolve


def sharp(
    field,
    mask,
    geometry,
    *,
    radius: float = 6.0,
    threshold: float = 0.05,
):
    """
    Local field by SHARP (Schweser et al., 2011, doi:10.1016/j.neuroimage.2010.10.070).

    Harmonic fields equal their mean over any sphere without sources. What differs from it, where
    the whole sphere lies in the mask, is deconvolved.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size, mm.
    radius
        Radius of the sphere, mm; default of QSM.rs.
    threshold
        Frequencies of which the removal of means keeps less than this, relative, are left out;
        default of QSM.rs and QSM.jl.

    Returns
    -------
    local : (X, Y, Z) real array
        Local field, ppm, zero outside `valid`.
    valid : (X, Y, Z) boolean array
        The mask without its rim.

    Raises
    ------
    ValueError
        If no sphere fits into the mask.
    """
    sphere = SphericalMean(field, mask, geometry, radius)
    high = sphere.within * (sphere.total - sphere.mean(sphere.total))
    return sphere.paste(deconvolve(high, sphere.spectrum, threshold))
