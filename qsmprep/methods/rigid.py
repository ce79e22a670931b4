"""Rigid transforms as 4 x 4 matrices: their middle, and distances between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import expm, logm

ROUNDS = 50


def centre(matrices: Sequence[np.ndarray]) -> list[np.ndarray]:
    """
    Return the same alignment seen from the middle of all spaces.

    Each matrix carries points of one common space into the space of an image. The common space is
    moved to where the mean of all movements, as logarithms, is none: no image lies nearer to it
    than another, and the order of the images does not count (Reuter and Fischl, 2011,
    doi:10.1016/j.neuroimage.2011.02.076, for pairs).

    Parameters
    ----------
    matrices
        Rigid 4 x 4 matrices, mm; rotations below half a turn.

    Returns
    -------
    centred
        The matrices from the middle, in the same order.
    """
    centred = [np.asarray(matrix, dtype=float) for matrix in matrices]
    for _ in range(ROUNDS):
        mean = np.mean([np.real(logm(matrix)) for matrix in centred], axis=0)
        centred = [matrix @ expm(-mean) for matrix in centred]
        if np.abs(mean).max() < 1e-10:
            break
    return [orthonormal(matrix) for matrix in centred]


def orthonormal(matrix: np.ndarray) -> np.ndarray:
    """Return a 4 x 4 matrix with the nearest rotation in place of its upper left part."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    result = np.array(matrix, dtype=float)
    result[:3, :3] = left @ right
    return result


def distance(first: np.ndarray, second: np.ndarray, radius: float = 80.0) -> float:
    """
    Return how far two rigid transforms put the points of a head apart, mm.

    The root mean square over a ball about the origin (Jenkinson, 1999, FMRIB TR99MJ1).

    Parameters
    ----------
    first, second
        4 x 4 matrices, mm.
    radius
        Of the ball, mm.
    """
    between = np.linalg.inv(first) @ second - np.eye(4)
    turn, shift = between[:3, :3], between[:3, 3]
    return float(np.sqrt(radius**2 / 5 * np.trace(turn.T @ turn) + shift @ shift))
