"""The tissues susceptibility is reported against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

MIN_VOXELS = 50
"""Fewer voxels than this make no reference."""


@dataclass(frozen=True)
class Reference:
    """
    Mean susceptibility of a reference region, before it is subtracted.

    Parameters
    ----------
    name
        ``whole-brain``, ``csf``, ``white-matter`` or ``none``.
    mean, sd
        Of unreferenced susceptibility, ppm.
    n_voxels
        Voxels of the region.
    """

    name: str
    mean: float
    sd: float
    n_voxels: int

    @property
    def usable(self) -> bool:
        """Whether the region has voxels enough, or needs none."""
        return self.name == "none" or self.n_voxels >= MIN_VOXELS


def measure_reference(name: str, chi, region) -> Reference:
    """
    Return the statistics of unreferenced susceptibility in a region.

    Parameters
    ----------
    name
        Name of the reference.
    chi : (X, Y, Z) real array
        Unreferenced susceptibility, ppm. NumPy only.
    region : (X, Y, Z) boolean array, or None
        The region; None for the reference ``none``, which shifts nothing.
    """
    if region is None:
        return Reference(name, 0.0, 0.0, 0)
    values = chi[region].astype(np.float64)
    if values.size == 0:
        return Reference(name, float("nan"), float("nan"), 0)
    return Reference(name, float(values.mean()), float(values.std()), int(values.size))


def central_csf(r2star, mask, geometry, *, maximum: float = 5.0, half_width: float = 30.0):
    """
    Cerebrospinal fluid of the ventricles, from its slow decay alone.

    The rule of the Johns Hopkins pipeline for SFCR+0 (Chen et al., 2019, as described for the
    central-CSF reference): among voxels of low R2*, the three largest connected parts near the
    centre of the brain, with all they are connected to inside the box.

    Parameters
    ----------
    r2star : (X, Y, Z) real array
        1/s. NumPy only.
    mask : (X, Y, Z) boolean array
        Where susceptibility is known.
    geometry : Geometry
        Voxel size, mm.
    maximum
        Fluid decays slower than this, 1/s.
    half_width
        The box reaches this far from the centre of the mask on each axis, mm.

    Returns
    -------
    csf : (X, Y, Z) boolean array
    """
    slow = mask & (r2star < maximum)
    near = np.zeros_like(mask)
    centre = [axis.mean() for axis in np.nonzero(mask)]
    near[
        tuple(
            slice(max(int(c - half_width / h), 0), int(c + half_width / h) + 1)
            for c, h in zip(centre, geometry.voxel_size, strict=True)
        )
    ] = True
    parts, _ = label(slow & near)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = np.argsort(sizes)[::-1][:3]
    return np.isin(parts, largest[sizes[largest] > 0])
