"""Volumes on a grid twice as coarse, and back."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from qsmprep.methods.fft import fast_shape


def halved(volume):
    """
    Return the means over blocks of two voxels along each axis.

    Parameters
    ----------
    volume : (X, Y, Z) real array
        Any unit; taken as zero beyond its end.

    Returns
    -------
    coarse : (X / 2, Y / 2, Z / 2) array
        Of a shape that transforms quickly, so slightly larger where need be.
    """
    xp = array_namespace(volume)
    shape = fast_shape([-(-n // 2) for n in volume.shape])
    even = xp.zeros(tuple(2 * n for n in shape), dtype=volume.dtype, device=device(volume))
    even[tuple(slice(0, n) for n in volume.shape)] = volume
    blocks = xp.reshape(even, tuple(size for n in shape for size in (n, 2)))
    return xp.mean(blocks, axis=(1, 3, 5))


def doubled(volume, shape):
    """Return a volume of the given shape whose voxels repeat those of `volume`, two by two."""
    xp = array_namespace(volume)
    blocks = xp.broadcast_to(
        volume[:, None, :, None, :, None], tuple(size for n in volume.shape for size in (n, 2))
    )
    return xp.reshape(blocks, tuple(2 * n for n in volume.shape))[
        tuple(slice(0, n) for n in shape)
    ]
