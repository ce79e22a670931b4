"""Dipole inversion alone, in vivo, against COSMOS: the head of the 2016 challenge."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter

import nibabel as nb
import numpy as np
import pandas as pd
from scoring import score

from qsmprep.geometry import Geometry
from qsmprep.methods.inversion import INVERSIONS
from qsmprep.protocol import needed_arrays


def voxels(path: Path) -> np.ndarray:
    """Return an image as an array."""
    return nb.load(path).get_fdata(dtype=np.float32)


def invert(name: str, field, mask, geometry: Geometry, arrays: dict) -> tuple[np.ndarray, dict]:
    """Return the susceptibility of an inversion with its defaults, and how it went."""
    needed = {key: arrays[key] for key in needed_arrays(INVERSIONS[name])}
    start = perf_counter()
    result = INVERSIONS[name](field, mask, geometry, **needed)
    chi, convergence = result if isinstance(result, tuple) else (result, None)
    return chi, {
        "iterations": convergence.iterations if convergence else 0,
        "converged": convergence.converged if convergence else True,
        "seconds": perf_counter() - start,
    }


def measure(folder: Path) -> pd.DataFrame:
    """
    Return the figures of every inversion with default parameters, a row each.

    Noise is taken as one over the magnitude; no fluid is known, so that methods that make it even
    are those that do not.
    """
    settings = json.loads((folder / "params.json").read_text())
    field, magnitude, truth = (
        voxels(folder / f"{name}.nii.gz") for name in ("phs_tissue", "magn", "chi_cosmos")
    )
    mask = voxels(folder / "msk.nii.gz") > 0
    geometry = Geometry(tuple(settings["voxel_mm"]), (0.0, 0.0, 1.0))
    floor = 1e-6 * magnitude.max()
    arrays = {
        "noise": np.where(mask, 1 / np.maximum(magnitude, floor), 0).astype(np.float32),
        "magnitude": magnitude,
        "csf": np.zeros_like(mask),
    }
    rows = []
    for name in INVERSIONS:
        if name.endswith("0"):
            continue  # without fluid, MEDI+0 is MEDI
        chi, run = invert(name, np.where(mask, field, 0), mask, geometry, arrays)
        rows.append({"method": name, **score(chi, truth, mask), **run})
        print(rows[-1], flush=True)
    return pd.DataFrame(rows).sort_values("NRMSE %")
