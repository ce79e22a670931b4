"""Background removal by spherical mean values of varying size."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.smv import WHOLE, deconvolve, sphere_spectrum


def vsharp(
    field,
    mask,
    geometry,
    *,
    max_radius: float = 12.0,
    min_radius: float = 0.0,
    threshold: float = 0.05,
):
    """
    Local field by V-SHARP (Wu et al., 2012, doi:10.1002/mrm.23000).

    Harmonic fields equal their mean over any sphere without sources. Each voxel takes the
    largest sphere that stays inside the mask; the deconvolution uses the largest of all.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size, mm.
    max_radius
        Radius of the largest sphere, mm.
    min_radius
        Radius of the smallest, mm; 0 takes the longest voxel edge.
    threshold
        Frequencies whose amplitude after the largest sphere, relative to that before, is below
        this are left out.

    Returns
    -------
    local : (X, Y, Z) real array
        Local field, ppm, zero outside `valid`.
    valid : (X, Y, Z) boolean array
        The mask without the rim that no sphere reaches.

    Raises
    ------
    ValueError
        If no sphere fits into the mask.
    """
    xp = array_namespace(field, mask)
    margin = tuple(math.ceil(max_radius / h) for h in geometry.voxel_size)
    box = Box(mask, (margin[0], margin[1], margin[2]))
    inside = box.cut(mask)
    weights = xp.astype(inside, field.dtype)
    total = box.cut(field) * weights
    field_k, mask_k = rfftn(total), rfftn(weights)

    local = xp.zeros_like(total)
    valid = xp.zeros_like(inside)
    largest = None
    for radius in _radii(max_radius, min_radius, geometry.voxel_size):
        sphere_k = sphere_spectrum(total, geometry, radius)
        reached = inside & (irfftn(mask_k * sphere_k, box.shape) > WHOLE)
        if not bool(xp.any(reached)):
            continue
        if largest is None:
            largest = sphere_k
        fresh = reached & ~valid
        local = xp.where(fresh, total - irfftn(field_k * sphere_k, box.shape), local)
        valid = valid | reached
    if largest is None:
        raise ValueError(f"no sphere of {max_radius} mm or less fits into the mask")

    local = deconvolve(local, largest, threshold)
    return box.paste(xp.where(valid, local, 0.0)), box.paste(valid)


def _radii(largest: float, smallest: float, voxel_size) -> list[float]:
    """Return radii from the largest down to the smallest, one voxel apart, mm."""
    step = max(voxel_size)
    smallest = smallest or step
    count = max(int((largest - smallest) / step + 1e-6), 0)
    return [smallest + step * i for i in range(count, -1, -1)]
