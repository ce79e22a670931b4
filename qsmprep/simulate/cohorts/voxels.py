"""Susceptibility maps of two groups on one grid, with known differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

SHAPE, VOXEL_MM = (32, 38, 32), 2.0
_CENTRE, _AXES = (16.0, 19.0, 16.0), (14.2, 17.9, 14.0)
"""Of the brain, voxels: an ellipsoid of 14 891 voxels."""

BALLS = {"left": ((10.0, 19.0, 16.0), 1.0), "right": ((22.0, 19.0, 16.0), -1.0)}
"""Centres of the two places where groups differ, voxels, and the sign of the difference."""

BALL_RADIUS = 4.5
NOISE_WIDTH = 2.0
"""Standard deviation of the Gaussian that noise is smoothed by, voxels."""


@dataclass(frozen=True)
class VoxelCohort:
    """
    Maps of two groups, and what is true of them.

    Parameters
    ----------
    data
        A row per map: `participant_id`, `group` (``control`` or ``patient``), `age`, `sex`.
    images : (n, V) float32 array
        Susceptibility in the brain, ppb.
    brain : (X, Y, Z) boolean array
        Its V voxels.
    affine : (4, 4) array
        From voxels to mm, RAS+.
    difference : (V,) array
        Patients less controls, ppb.
    """

    data: pd.DataFrame
    images: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    difference: np.ndarray


def voxel_cohort(
    seed: int,
    n: int = 40,
    *,
    effect_ppb: float = 12.0,
    noise_ppb: float = 12.0,
    age_slope: float = 0.2,
    exact: bool = False,
) -> VoxelCohort:
    """
    Return maps of `n` controls and `n` patients, who differ in a ball on each side.

    Parameters
    ----------
    seed
        Of the random numbers.
    n
        People in each group.
    effect_ppb
        What patients have more in the left ball, and less in the right; 0 for none.
    noise_ppb
        Standard deviation between people, of smooth noise.
    age_slope
        Everywhere, ppb per year beyond 50.
    exact
        Whether noise is freed of what the design explains, so that an adjusted difference
        equals the truth to rounding.
    """
    rng = np.random.default_rng(seed)
    grid = np.indices(SHAPE).astype(float)
    brain = _ball(grid, _CENTRE, _AXES)
    truth = np.zeros(SHAPE)
    for centre, sign in BALLS.values():
        truth[_ball(grid, centre, (BALL_RADIUS,) * 3)] = sign * effect_ppb
    people = 2 * n
    data = pd.DataFrame({
        "participant_id": [f"sub-{i:04d}" for i in range(1, people + 1)],
        "group": np.repeat(["control", "patient"], n),
        "age": np.round(rng.normal(50, 10, people), 1),
        "sex": rng.permutation(np.resize(["F", "M"], people)),
    })  # fmt: skip
    data.index = pd.Index(data["participant_id"], name="acquisition")
    noise = np.stack([_smooth_noise(rng)[brain] for _ in range(people)])
    noise *= noise_ppb / noise.std()
    patient = (data["group"] == "patient").to_numpy(float)
    if exact:
        men = (data["sex"] == "M").to_numpy(float)
        design = np.column_stack([np.ones(people), patient, data["age"], men])
        noise -= design @ np.linalg.lstsq(design, noise, rcond=None)[0]
    age = age_slope * (data["age"].to_numpy() - 50)
    images = noise + age[:, None] + patient[:, None] * truth[brain]
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = -VOXEL_MM * np.array(_CENTRE)
    return VoxelCohort(data, images.astype(np.float32), brain, affine, truth[brain])


def _ball(grid, centre, axes):
    distance = sum(((grid[i] - centre[i]) / axes[i]) ** 2 for i in range(3))
    return distance <= 1


def _smooth_noise(rng: np.random.Generator):
    """Return noise that is as smooth at the borders as in the middle."""
    return ndimage.gaussian_filter(rng.standard_normal(SHAPE), NOISE_WIDTH, mode="wrap")
