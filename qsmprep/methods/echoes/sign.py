"""Which way the phase turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

from qsmprep.methods.background.vsharp import vsharp
from qsmprep.methods.inversion.tkd import tkd

DEPTH = 8.0
"""Millimetres from the surface below which evidence counts: away from air and large sinuses."""


@dataclass(frozen=True)
class SignEvidence:
    """
    What speaks for the sign of a field map.

    Parameters
    ----------
    skewness
        Robust skewness of susceptibility in the depth of the brain. Iron-rich nuclei and veins
        make a tail on the paramagnetic side; nothing comparable exists on the other.
    contrast_ppm
        Mean susceptibility, ppm, of the fastest decaying voxels less that of all: iron and
        deoxygenated blood shorten T2*. None where R2* is missing.
    sign
        1 if the field is right, -1 if it has to be inverted.
    agree
        Whether all the evidence points the same way.
    """

    skewness: float
    contrast_ppm: float | None
    sign: int
    agree: bool


def judge_sign(field, mask, geometry, *, r2star=None) -> SignEvidence:
    """
    Decide whether paramagnetic tissue raises the field, as it must.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm. NumPy only.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    r2star : (X, Y, Z) real array, optional
        1/s.

    Returns
    -------
    evidence : SignEvidence
    """
    local, valid = vsharp(field, mask, geometry)
    chi = tkd(local, valid, geometry)
    depth = distance_transform_edt(valid, sampling=geometry.voxel_size)
    deep = depth > min(DEPTH, 0.5 * float(depth.max()))
    values = chi[deep]
    low, middle, high = np.percentile(values, [0.5, 50, 99.5])
    skewness = (high + low - 2 * middle) / (high - low) if high > low else 0.0
    votes = [float(skewness)]
    contrast = None
    if r2star is not None:
        inner = binary_erosion(deep) & (r2star > 0)
        decay = r2star[inner]
        fast = decay >= np.percentile(decay, 98)
        contrast = float(chi[inner][fast].mean() - np.median(chi[inner]))
        votes.append(contrast / max(float(chi[inner].std()), 1e-6))
    return SignEvidence(
        skewness=float(skewness),
        contrast_ppm=contrast,
        sign=1 if sum(votes) >= 0 else -1,
        agree=len({vote >= 0 for vote in votes}) == 1,
    )
