"""What an interpolation does to a measured map, against its exact shift in frequency space."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
from scipy import ndimage
from steps import read

SHIFT = 0.5
"""Of a voxel, on each axis: where interpolations are worst."""

RIM = 4
"""Voxels taken off the mask, so that the truth is known on both sides of the rim."""


def measure(data: Path, work: Path) -> pd.DataFrame:
    """Return the error of susceptibility half-way between voxels, inside and at the rim."""
    chi, _ = read(data / "qsm2016/chi_cosmos.nii.gz")
    brain = read(data / "qsm2016/msk.nii.gz")[0] > 0
    chi = np.where(brain, chi, 0)
    ramps = np.meshgrid(*(np.fft.fftfreq(n) for n in chi.shape), indexing="ij")
    truth = np.fft.ifftn(np.fft.fftn(chi) * np.exp(2j * np.pi * SHIFT * sum(ramps))).real
    mask = ndimage.binary_erosion(brain, iterations=RIM)
    rows = []
    for interpolation in ("linear", "bSpline"):
        found, known = _carried(chi, mask, interpolation, work / f"interpolation/{interpolation}")
        depth = ndimage.distance_transform_edt(known)
        inner, rim = depth > RIM, known & (depth == 1)
        error = 1e3 * (found - truth)
        rows.append({
            "interpolation": interpolation,
            "rmse_ppb": np.sqrt((error[inner] ** 2).mean()),
            "rim_rmse_ppb": np.sqrt((error[rim] ** 2).mean()),
            "sd_kept": found[inner].std() / truth[inner].std(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _carried(chi, mask, interpolation: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the map on a grid that is shifted, and where it is known there."""
    from qsmprep.interfaces.registration import CarryMap, seeded_ants

    folder.mkdir(parents=True, exist_ok=True)
    ants = seeded_ants(0)
    identity = str(folder / "identity.txt")
    ants.write_transform(ants.create_ants_transform("AffineTransform"), identity)
    grid = nb.affines.from_matvec(np.eye(3), [SHIFT] * 3)
    for name, array, affine in (
        ("chi", chi, np.eye(4)), ("mask", mask, np.eye(4)), ("grid", mask, grid),
    ):  # fmt: skip
        nb.Nifti1Image(array.astype(np.float32), affine).to_filename(folder / f"{name}.nii")
    found = CarryMap(
        image=str(folder / "chi.nii"), mask=str(folder / "mask.nii"),
        reference=str(folder / "grid.nii"), transforms=[identity], interpolation=interpolation,
    ).run(cwd=str(folder)).outputs  # fmt: skip
    return read(found.resampled)[0], read(found.mask)[0] > 0
