"""Susceptibility-weighted images: magnitudes that phase has darkened."""

from __future__ import annotations

import math

from array_api_compat import array_namespace, device
import numpy as np

from qsmprep.methods.box import Box
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.units import hz_to_phase

CONTRAST = 0.06
"""Echo time times field strength, s T: 40 ms at 1.5 T in Haacke et al. (2004)."""


def weighting_echo(te, b0: float, echo_time: float = 0.0) -> tuple[int, float]:
    """
    Choose the echo to weight, and the echo time to take its phase at.

    Parameters
    ----------
    te : sequence of E floats
        Echo times, s.
    b0
        Field strength, T.
    echo_time
        Wanted, s; 0 takes that whose phase is the same at all field strengths, 20 ms at 3 T.

    Returns
    -------
    echo
        Index of the nearest echo.
    echo_time
        s.
    """
    wanted = echo_time or CONTRAST / b0
    return min(range(len(te)), key=lambda echo: abs(te[echo] - wanted)), wanted


def susceptibility_weighted_image(
    field_hz,
    magnitude,
    mask,
    geometry,
    *,
    echo_time: float,
    width: float = 4.0,
    power: int = 4,
):
    """
    Magnitude darkened where the field is high (Haacke et al., 2004, doi:10.1002/mrm.20198).

    Veins are paramagnetic: along the main field they raise it, and phase runs ahead in them. The
    phase of the high-passed field is turned into a factor that falls from one at zero to nothing
    at half a turn, and multiplies the magnitude `power` times. This differs from there in the
    high-pass, which takes the unwrapped field and only the mask: no wrap and no air alters it.

    Parameters
    ----------
    field_hz : (X, Y, Z) real array
        Total field, Hz, positive where tissue is paramagnetic.
    magnitude : (X, Y, Z) real array
        Any unit.
    mask : (X, Y, Z) boolean array
        Where the field is known.
    geometry : Geometry
        Voxel size, mm.
    echo_time
        Of the phase, s.
    width
        Standard deviation of the Gaussian whose mean is taken off the field, mm.
    power
        How often the factor is applied.

    Returns
    -------
    weighted : (X, Y, Z) real array
        Unit of `magnitude`, which is kept outside the mask.
    """
    xp = array_namespace(field_hz, magnitude, mask)
    phase = hz_to_phase(_high_pass(field_hz, mask, geometry, width), echo_time)
    factor = 1 - xp.clip(phase / math.pi, 0.0, 1.0)
    return magnitude * factor**power


def minimum_intensity_projection(image, mask, geometry, *, thickness: float):
    """
    Darkest voxel of a slab about every slice, in which veins become continuous.

    Parameters
    ----------
    image : (X, Y, Z) real array
        Slices along the last axis, any unit.
    mask : (X, Y, Z) boolean array
        Which voxels count.
    geometry : Geometry
        Voxel size, mm.
    thickness
        Of the slab, mm; at least a slice is taken.

    Returns
    -------
    projection : (X, Y, Z) real array
        Unit of `image`; slabs are thinner at both ends; zero where none of their voxels counts.
    """
    xp = array_namespace(image, mask)
    slices = image.shape[2]
    count = max(round(thickness / geometry.voxel_size[2]), 1)
    counted = xp.where(mask, image, math.inf * xp.ones_like(image))
    darkest = xp.asarray(counted, copy=True)
    for shift in range(-(count // 2), (count + 1) // 2):
        low, high = max(-shift, 0), min(slices - shift, slices)
        near = xp.minimum(darkest[:, :, low:high], counted[:, :, low + shift : high + shift])
        darkest[:, :, low:high] = near
    return xp.where(xp.isfinite(darkest), darkest, xp.zeros_like(image))


def _high_pass(field, mask, geometry, width: float):
    """Return the field less its Gaussian mean over the mask, zero outside."""
    xp = array_namespace(field, mask)
    reach = tuple(math.ceil(3 * width / h) for h in geometry.voxel_size)
    box = Box(mask, (reach[0], reach[1], reach[2]))
    inside = box.cut(mask)
    weights = xp.astype(inside, field.dtype)
    total = _blur(box.cut(field) * weights, geometry, width)
    share = _blur(weights, geometry, width)
    mean = total / xp.where(inside, share, xp.ones_like(share))
    return xp.where(mask, field - box.paste(mean), xp.zeros_like(field))


def _blur(volume, geometry, width: float):
    """Return a periodic volume convolved with a Gaussian of unit sum."""
    xp = array_namespace(volume)
    spectrum = rfftn(volume)
    for axis, (n, h) in enumerate(zip(volume.shape, geometry.voxel_size, strict=True)):
        frequency = np.fft.fftfreq(n, h)[: spectrum.shape[axis]]
        factor = np.exp(-2 * (np.pi * width * frequency) ** 2)
        shape = [-1 if a == axis else 1 for a in range(3)]
        spectrum *= xp.asarray(factor.reshape(shape), dtype=volume.dtype, device=device(volume))
    return irfftn(spectrum, volume.shape)
