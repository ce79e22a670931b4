"""The tissues susceptibility is reported against."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from qsmprep.geometry import Geometry
from qsmprep.methods.morphology import erode

REFERENCES = ("whole-brain", "csf", "white-matter", "none")
"""Those that every table has; a protocol may add a region of the atlas."""

MIN_VOXELS = 50
"""Fewer voxels than this make no reference."""

PURE = 0.9
"""Probability above which a voxel counts as a tissue."""


def reference_regions(
    mask, geometry: Geometry, *, r2star=None, fluid=None, white_matter=None, elsewhere=None
):
    """
    Find the voxels of every reference that can be found.

    Parameters
    ----------
    mask : (X, Y, Z) boolean array
        Where susceptibility is known. NumPy only.
    geometry : Geometry
        Voxel size, mm.
    r2star : (X, Y, Z) real array, optional
        1/s; without it and `fluid` there is no CSF.
    fluid : (X, Y, Z) real array, optional
        Probability of CSF in the T1w; without it R2* decides alone.
    white_matter : (X, Y, Z) real array, optional
        Probability; without it there is no white matter.
    elsewhere : (X, Y, Z) boolean array, optional
        What is known to be no white matter, though its T1w may look like it, as the pallidum's.

    Returns
    -------
    regions : dict of (X, Y, Z) boolean arrays
        By the names in `REFERENCES`.
    """
    regions = {"whole-brain": mask}
    if fluid is not None:
        regions["csf"] = central_csf(r2star, mask & (fluid > PURE), geometry, centre_of=mask)
    elif r2star is not None:
        regions["csf"] = central_csf(r2star, mask, geometry)
    if white_matter is not None:
        white = white_matter > PURE
        if elsewhere is not None:
            white &= ~elsewhere
        # One voxel in, away from grey matter and from the surface.
        pure = erode(white, max(geometry.voxel_size), geometry)
        regions["white-matter"] = pure & mask
    return regions


def take_references(chi, mask, regions, method: str):
    """
    Measure every reference and subtract one.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, not referenced. NumPy only.
    mask : (X, Y, Z) boolean array
        Where it is known.
    regions : dict of (X, Y, Z) boolean arrays
        What `reference_regions` found, and any other region.
    method
        The reference to subtract. Where it has fewer than `MIN_VOXELS` voxels, the whole brain
        takes its place, and the facts say so.

    Returns
    -------
    referenced : (X, Y, Z) real array
        ppm, zero outside the mask.
    references : dict
        For every name in `REFERENCES` and `regions` its ``mean_ppm``, ``sd_ppm`` and ``n_voxels``
        before any subtraction, or None where it could not be taken.
    facts : dict
        What was subtracted: its name, and its mean and standard deviation against the whole
        brain, as the ISMRM consensus (2024, doi:10.1002/mrm.30006) asks.
    """
    names = dict.fromkeys([*REFERENCES[:-1], *regions])
    references = {name: _measure(chi, regions.get(name)) for name in names}
    references["none"] = {"mean_ppm": 0.0, "sd_ppm": 0.0, "n_voxels": 0}
    taken = method if references.get(method) else "whole-brain"
    reference, whole = references[taken], references["whole-brain"]
    if reference is None or whole is None:
        raise ValueError(f"only {int(mask.sum())} voxels of susceptibility are known")
    facts = {
        "name": taken,
        "mean_ppm": reference["mean_ppm"] - whole["mean_ppm"],
        "sd_ppm": reference["sd_ppm"],
        "n_voxels": reference["n_voxels"],
        "against": "whole-brain",
    }
    if taken != method:
        found = int(regions[method].sum()) if method in regions else 0
        facts["instead_of"] = f"{method}, which has {found} voxels where {MIN_VOXELS} are needed"
    referenced = np.where(mask, chi - np.float32(reference["mean_ppm"]), np.float32(0))
    return referenced, references, facts


def _measure(chi, region):
    """Return mean and standard deviation over a region, or None where it is too small."""
    if region is None or np.count_nonzero(region) < MIN_VOXELS:
        return None
    values = chi[region].astype(np.float64)
    return {
        "mean_ppm": float(values.mean()),
        "sd_ppm": float(values.std()),
        "n_voxels": int(values.size),
    }


def central_csf(
    r2star,
    mask,
    geometry: Geometry,
    *,
    centre_of=None,
    maximum: float = 5.0,
    half_width: float = 30.0,
):
    """
    Find the fluid of the ventricles by its slow decay, and by where it is.

    After the rule of the Johns Hopkins toolbox for automatic CSF referencing (Chen et al.,
    SFCR+0): among voxels of low R2*, the three largest connected parts near the centre of the
    brain. It differs from there in that nothing outside the central box is added, so that no
    fluid between the gyri, mixed with cortex, gets in.

    Parameters
    ----------
    r2star : (X, Y, Z) real array
        1/s; None if there is but one echo, for a mask of fluid. NumPy only.
    mask : (X, Y, Z) boolean array
        Where fluid may be: all voxels where susceptibility is known, or those that another image
        shows as fluid.
    geometry : Geometry
        Voxel size, mm.
    centre_of : (X, Y, Z) boolean array, optional
        The brain whose centre counts; the mask by default.
    maximum
        Fluid decays slower than this, 1/s.
    half_width
        The box reaches this far from the centre on each axis, mm.

    Returns
    -------
    csf : (X, Y, Z) boolean array
    """
    near = np.zeros_like(mask)
    centre = [axis.mean() for axis in np.nonzero(mask if centre_of is None else centre_of)]
    near[
        tuple(
            slice(max(int(c - half_width / h), 0), int(c + half_width / h) + 1)
            for c, h in zip(centre, geometry.voxel_size, strict=True)
        )
    ] = True
    slow = mask if r2star is None else mask & (r2star < maximum)
    parts, _ = label(slow & near)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = np.argsort(sizes)[::-1][:3]
    return np.isin(parts, largest[sizes[largest] > 0])
