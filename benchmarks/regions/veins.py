"""What a planted vein does to the mean of a region, with and without the rule on vessels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from steps import read

REGIONS = (
    "putamen", "caudate", "thalamus", "pallidum", "hippocampus", "entorhinal",
    "posterior-cingulate", "precuneus",
)  # fmt: skip
ACQUISITIONS = ("sub-1000", "sub-1001_ses-01", "sub-1001_ses-02")
"""Those with labels of all these regions."""

WIDTHS = (1.0, 1.5, 2.0)
"""Voxels across a vein."""

STRENGTH = 0.2
"""Susceptibility of a vein against tissue, ppm (+200 ppb)."""

BIAS = 6.0
"""Veins are added until they raise the mean of their region by as much, ppb."""


def measure(data: Path, _work: Path) -> pd.DataFrame:
    """Return the bias of regional means in true maps, per region and width of the veins."""
    from qsmprep.bids.atlas import read_atlas
    from qsmprep.geometry import Geometry
    from qsmprep.methods.regions import Rules
    from qsmprep.methods.regions.selection import Head

    regions = [
        r for r in read_atlas(data / "atlas-OASIS").regions
        if r.name in REGIONS and r.hemisphere == "R"
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    rows = []
    for name in ACQUISITIONS:
        stem = data.joinpath("bids/derivatives/truth", *name.split("_"), "anat", name)
        chi, affine = read(f"{stem}_Chimap.nii.gz")
        labels = np.rint(read(f"{stem}_dseg.nii.gz")[0]).astype(int)
        brain = read(f"{stem}_desc-brain_mask.nii.gz")[0] > 0
        head = Head(labels, brain, brain, Geometry.from_affine(affine), chi)
        for region in regions:
            body = labels == region.index
            for width in WIDTHS:
                veins = STRENGTH * _plant(body, head.geometry.voxel_size, width, rng)
                marred = replace(head, chi=chi + veins)
                true = _mean(head, region, Rules(partial_volume="none", vessels=False))
                rows.append({
                    "acquisition": name, "region": region.name, "voxels_across": width,
                    "bias_without_ppb": _mean(
                        marred, region, Rules(partial_volume="none", vessels=False)) - true,
                    "bias_with_ppb": _mean(marred, region, Rules(partial_volume="none")) - true,
                    "vein_free_ppb": _mean(head, region, Rules(partial_volume="none")) - true,
                })  # fmt: skip
    return pd.DataFrame(rows)


def _mean(head, region, rules) -> float:
    """Return the mean susceptibility of a region, ppb."""
    from qsmprep.methods.regions.selection import select_voxels

    sample = select_voxels(head, [region], rules)[0]
    return 1e3 * float(head.chi.ravel()[sample.voxels].mean(dtype=float))


def _plant(body, voxel_size, width: float, rng) -> np.ndarray:
    """Return the share of every voxel that straight veins through a region fill."""
    size = np.array(voxel_size)
    points = np.argwhere(body) * size
    axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2]
    corner = np.maximum(np.argwhere(body).min(axis=0) - 5, 0)
    box = tuple(slice(c, e + 6) for c, e in zip(corner, np.argwhere(body).max(0), strict=True))
    grid = np.moveaxis(np.indices(body[box].shape), 0, -1) * size + corner * size
    veins = np.zeros(body.shape, dtype=np.float32)
    while 1e3 * STRENGTH * veins[body].mean() < BIAS:
        along = rng.normal(size=3) * (1, 1, 0.3) @ axes  # rather through a sheet than across
        through = points[rng.integers(len(points))]
        share = _tube(grid - through, along / np.linalg.norm(along), width * size.min(), size)
        veins[box] = np.maximum(veins[box], share)
    return veins


def _tube(places, along, diameter: float, size) -> np.ndarray:
    """Return the share of voxels in a tube through the origin, by 4³ points in each."""
    steps = (np.arange(4) + 0.5) / 4 - 0.5
    share = np.zeros(places.shape[:3], dtype=np.float32)
    for offset in np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3):
        at = places + offset * size
        across = at - (at @ along)[..., None] * along
        share += np.linalg.norm(across, axis=-1) < diameter / 2
    return share / 64
