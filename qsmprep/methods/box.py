"""The part of a volume worth computing on."""

from __future__ import annotations

from collections.abc import Sequence

from array_api_compat import array_namespace, device

from qsmprep.methods.fft import fast_shape


class Box:
    """
    The bounding box of a mask, with a margin of zeros that makes transforms fast.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        What the box has to hold.
    margin
        Least number of zero voxels after the mask on each axis, which keeps the two ends of a
        periodic convolution apart.
    """

    def __init__(self, mask, margin: tuple[int, int, int]):
        xp = array_namespace(mask)
        bounds = []
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            hits = xp.nonzero(xp.any(mask, axis=others))[0]
            if hits.shape[0] == 0:
                raise ValueError("the mask is empty")
            bounds.append((int(hits[0]), int(hits[-1]) + 1))
        self.full_shape = tuple(mask.shape)
        self.slices = tuple(slice(low, high) for low, high in bounds)
        self.size = tuple(high - low for low, high in bounds)
        self.shape = fast_shape(self.size, margin)
        self.inner = tuple(slice(0, n) for n in self.size)

    def cut(self, volume):
        """Return the box of a volume, zero in its margin."""
        xp = array_namespace(volume)
        out = xp.zeros(self.shape, dtype=volume.dtype, device=device(volume))
        out[self.inner] = volume[self.slices]
        return out

    def paste(self, part):
        """Return a full volume, zero outside the box."""
        xp = array_namespace(part)
        out = xp.zeros(self.full_shape, dtype=part.dtype, device=device(part))
        out[self.slices] = part[self.inner]
        return out


def slices_around(mask, margin: Sequence[float]) -> tuple[slice, ...]:
    """
    Return the bounding box of a mask and what lies around it inside the volume.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        What the box has to hold.
    margin
        Voxels beyond the mask on each axis, a whole number.
    """
    return tuple(
        slice(max(side.start - int(width), 0), side.stop + int(width))
        for side, width in zip(Box(mask, (0, 0, 0)).slices, margin, strict=True)
    )
