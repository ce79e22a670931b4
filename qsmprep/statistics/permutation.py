"""Permutation tests of one term at every voxel, with family-wise error over all voxels."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import stats

from qsmprep.statistics.tfce import clusters, tfce
from qsmprep.statistics.voxel_fits import VoxelFit

INFERENCES = ("voxel", "cluster", "tfce")

_ROUNDING = 1e-5
"""Scores as close as this are equal: arrangements that repeat the data count, however rounded."""

_BATCH = 16
"""Permutations at a time in each thread: residuals are read from memory once for all of them."""


@dataclass(frozen=True)
class Settings:
    """
    How a permutation test is done.

    Parameters
    ----------
    permutations
        Random arrangements; the smallest p-value is 1 / (permutations + 1).
    inference
        Some of `INFERENCES`.
    cluster_threshold
        p-value of a voxel, uncorrected, that clusters form below.
    two_sided
        Whether effects of both signs count; else positive ones only.
    connectivity
        Neighbours of a voxel, 6, 18 or 26.
    seed
        Of the random numbers; the number of threads has no influence on results.
    nprocs
        Threads.
    """

    permutations: int = 5000
    inference: tuple[str, ...] = INFERENCES
    cluster_threshold: float = 0.001
    two_sided: bool = True
    connectivity: int = 6
    seed: int = 0
    nprocs: int = 1


@dataclass(frozen=True)
class Inference:
    """
    What a permutation test found.

    Parameters
    ----------
    p
        p-values corrected for all voxels, (V,) arrays by ``voxel``, ``cluster-size``,
        ``cluster-mass`` and ``tfce``; 1 outside clusters.
    null
        Largest statistic of each permutation, (P,) arrays by the same names.
    enhanced : (V,) array or None
        TFCE of the data.
    labels : (V,) int32 array
        Number of the cluster of each voxel from 1, zero for none.
    threshold
        t that clusters form above.
    """

    p: dict[str, np.ndarray]
    null: dict[str, np.ndarray]
    enhanced: np.ndarray | None
    labels: np.ndarray
    threshold: float


def arrangements(n: int, settings: Settings, blocks=None):
    """
    Return the random orders of observations.

    Parameters
    ----------
    n
        Observations.
    settings
        `permutations` and `seed`.
    blocks : (n,) integer array, optional
        Observations are exchanged within blocks; all with all without.

    Returns
    -------
    orders : (P, n) intp array
        Places of the observations, in each row another arrangement.
    """
    keys = np.random.default_rng(settings.seed).random((settings.permutations, n))
    blocks = np.zeros(n, dtype=int) if blocks is None else np.asarray(blocks)
    orders = np.empty(keys.shape, dtype=np.intp)
    # Keys are below 1, so that sorting brings the blocks one after the other.
    orders[:, np.argsort(blocks, kind="stable")] = np.argsort(keys + 2.0 * blocks, axis=1)
    return orders


def sign_flips(n: int, settings: Settings):
    """Return (P, n) random signs, float64."""
    flips = np.random.default_rng(settings.seed).random((settings.permutations, n)) < 0.5
    return np.where(flips, -1.0, 1.0)


def permutation_test(
    fit: VoxelFit, neighbours, settings: Settings, *, orders=None, signs=None
) -> Inference:
    """
    Return corrected p-values of every voxel, from the largest statistic of each permutation.

    Residuals of the reduced model are exchanged (Freedman and Lane, 1983), or their signs
    flipped, and the whole model is fitted again; only its t is computed, by products of matrices.
    p-values are (1 + b) / (1 + P), with b of P permutations at least as large as the data
    (Phipson and Smyth, 2010).

    Parameters
    ----------
    fit
        The data's.
    neighbours : (V, K) integer array
        See `qsmprep.statistics.tfce.neighbours`.
    settings
        What is computed, and by how many threads.
    orders : (P, n) integer array, optional
        Arrangements.
    signs : (P, n) array, optional
        Signs of the residuals.

    Notes
    -----
    nilearn's `permuted_ols` computes the same t and p-values, and is the reference of our tests.
    It is not used because its TFCE takes some 50 times as long and another step in every
    permutation, and because it knows neither blocks nor voxels that some participants lack.

    References
    ----------
    Winkler et al. (2014), NeuroImage 92:381, doi:10.1016/j.neuroimage.2014.01.060;
    Phipson and Smyth (2010), Stat Appl Genet Mol Biol 9:39, doi:10.2202/1544-6115.1585
    """
    tail = settings.cluster_threshold / (2 if settings.two_sided else 1)
    threshold = float(stats.t.isf(tail, fit.df.max()))
    observed, labels, enhanced = _observed(fit, neighbours, settings, threshold)

    def batch(rows: slice) -> list[dict[str, float]]:
        chosen = (None if part is None else part[rows] for part in (orders, signs))
        return [
            _largest(scores, neighbours, settings, threshold) for scores in fit.rearranged(*chosen)
        ]

    given = orders if orders is not None else signs
    with ThreadPoolExecutor(settings.nprocs) as pool:
        largest = [one for part in pool.map(batch, _batches(len(given))) for one in part]
    null = {name: np.array([one[name] for one in largest]) for name in observed}
    p = {name: p_values(values, null[name]) for name, values in observed.items()}
    return Inference(p, null, enhanced, labels, threshold)


def p_values(observed, null):
    """Return (1 + b) / (1 + P), with b of P values of `null` at least as large as observed."""
    ordered = np.sort(null)
    limit = observed - np.abs(observed) * _ROUNDING
    return (1 + null.size - np.searchsorted(ordered, limit)) / (1 + null.size)


def _batches(count: int) -> Iterator[slice]:
    return (slice(start, start + _BATCH) for start in range(0, count, _BATCH))


def _observed(fit: VoxelFit, neighbours, settings: Settings, threshold: float):
    """Return the statistics of the data by name, the clusters, and the enhanced scores."""
    scores = fit.t.astype(np.float32)
    found, enhanced = {}, None
    labels = np.zeros(scores.size, dtype=np.int32)
    if "voxel" in settings.inference:
        found["voxel"] = _sided(fit.t, settings)
    if "cluster" in settings.inference:
        labels, sizes, masses = clusters(
            scores, threshold, neighbours, two_sided=settings.two_sided
        )
        # A statistic below all others where there is no cluster.
        found["cluster-size"] = np.concatenate([[-1], sizes])[labels]
        found["cluster-mass"] = np.concatenate([[-1], masses])[labels]
    if "tfce" in settings.inference:
        enhanced = tfce(scores, neighbours, two_sided=settings.two_sided)
        found["tfce"] = np.abs(enhanced)
    return found, labels, enhanced


def _largest(scores, neighbours, settings: Settings, threshold: float) -> dict[str, float]:
    """Return the largest statistics of one permutation by name."""
    found = {}
    if "voxel" in settings.inference:
        found["voxel"] = float(_sided(scores, settings).max())
    if "cluster" in settings.inference:
        _, sizes, masses = clusters(scores, threshold, neighbours, two_sided=settings.two_sided)
        found["cluster-size"] = float(sizes.max(initial=0))
        found["cluster-mass"] = float(masses.max(initial=0))
    if "tfce" in settings.inference:
        enhanced = tfce(scores, neighbours, two_sided=settings.two_sided)
        found["tfce"] = float(np.abs(enhanced).max())
    return found


def _sided(scores, settings: Settings):
    return np.abs(scores) if settings.two_sided else scores
