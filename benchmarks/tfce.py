"""
Time and p-values of threshold-free cluster enhancement, qsmprep's and nilearn's, on one core.

    python benchmarks/tfce.py [--permutations 100] [--effect 6]

Both permute the same data in the same orders, one after the other in one process. Three lines
compare p-values:

* those of `permuted_ols`, which takes a hundredth of the largest score of each permutation for a
  step and does not multiply by it;
* the same, with the exact integral divided by the largest score of each permutation;
* those of nilearn's `calculate_tfce` with one step, 0.1, for all permutations, as in the paper.
"""

from argparse import ArgumentParser
from time import perf_counter

import nibabel as nb
from nilearn.maskers import NiftiMasker
from nilearn.mass_univariate import permuted_ols
from nilearn.mass_univariate._utils import calculate_tfce
import numpy as np
from scipy import ndimage

from qsmprep.simulate.cohorts.voxels import VoxelCohort, voxel_cohort
from qsmprep.statistics.permutation import Settings, p_values, permutation_test
from qsmprep.statistics.tfce import neighbours, tfce
from qsmprep.statistics.voxel_fits import VoxelFit, fit_voxels
from qsmprep.statistics.voxel_terms import Term, tested_term

FORMULA = "group + age + sex"


def nilearn_orders(n: int, count: int, seed: int):
    """Return the orders of nilearn's permutations in one job."""
    chunk_seed = np.random.RandomState(seed).randint(1, np.iinfo(np.int32).max - 1)
    rng, order, orders = np.random.RandomState(chunk_seed), np.arange(n), []
    for _ in range(count):
        order = order[rng.permutation(n)]
        orders.append(order)
    return np.array(orders)


def run_nilearn(cohort: VoxelCohort, term: Term, permutations: int, seed: int):
    """Return seconds, and p-values of TFCE."""
    masker = NiftiMasker(nb.Nifti1Image(cohort.brain.astype(np.uint8), cohort.affine)).fit()
    start = perf_counter()
    found = permuted_ols(
        term.tested[:, None], cohort.images.astype(float), term.nuisance[:, 1:],
        model_intercept=True, n_perm=permutations, two_sided_test=True, random_state=seed,
        n_jobs=1, masker=masker, tfce=True, output_type="dict",
    )  # fmt: skip
    return perf_counter() - start, 10 ** -found["logp_max_tfce"][0]


def run_ours(fit: VoxelFit, beside, permutations: int, orders):
    """Return seconds, and p-values of TFCE."""
    settings = Settings(permutations=permutations, inference=("tfce",))
    start = perf_counter()
    found = permutation_test(fit, beside, settings, orders=orders)
    return perf_counter() - start, found.p["tfce"]


def scaled_p(fit: VoxelFit, beside, orders):
    """Return p-values of nilearn's statistic, by our means."""

    def scaled(scores):
        return np.abs(tfce(scores, beside)) / np.abs(scores).max()

    null = np.array([scaled(scores).max() for scores in fit.rearranged(orders=orders)])
    return p_values(scaled(fit.t), null)


def fixed_step_p(cohort: VoxelCohort, fit: VoxelFit, orders):
    """Return p-values of nilearn's sums over steps of 0.1, the paper's, and seconds."""
    structure = ndimage.generate_binary_structure(3, 1)

    def summed(scores):
        volume = np.zeros(cohort.brain.shape)
        volume[cohort.brain] = scores
        # Its steps end at the largest score, and are not quite what they were asked to be.
        largest = np.abs(scores).max()
        step = largest / max(round(largest / 0.1), 10)
        return np.abs(calculate_tfce(volume[..., None], structure, dh=0.1))[cohort.brain, 0] * step

    null = np.array([summed(scores).max() for scores in fit.rearranged(orders=orders)])
    return p_values(summed(fit.t), null)


def main() -> None:
    parser = ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--permutations", type=int, default=100)
    parser.add_argument("--effect", type=float, default=6.0, help="ppb")
    asked = parser.parse_args()
    count = asked.permutations
    cohort = voxel_cohort(0, effect_ppb=asked.effect)
    term = tested_term(FORMULA, "group", cohort.data)
    orders = nilearn_orders(len(cohort.data), count, seed=0)
    seconds, theirs = run_nilearn(cohort, term, count, seed=0)
    fit = fit_voxels(cohort.images.copy(), term.tested, term.nuisance)
    beside = neighbours(cohort.brain)
    run_ours(fit, beside, 1, orders[:1])  # compiles
    ours_seconds, ours = run_ours(fit, beside, count, orders)
    alike, fixed = scaled_p(fit, beside, orders), fixed_step_p(cohort, fit, orders)
    print(f"{fit.t.size} voxels, {len(cohort.data)} maps, {count} permutations, one core")
    print(f"nilearn  {1e3 * seconds / count:8.2f} ms per permutation")
    print(f"qsmprep  {1e3 * ours_seconds / count:8.2f} ms per permutation")
    print(f"ratio    {seconds / ours_seconds:8.1f}")
    for name, other, p in (
        ("permuted_ols", theirs, ours),
        ("permuted_ols, scaled as there", theirs, alike),
        ("calculate_tfce, one step", fixed, ours),
    ):
        off = np.abs(p - other)
        error = np.sqrt(np.maximum(other * (1 - other), 1 / count) / count)
        print(
            f"{name}: p differs by {off.max():.4f} at most, within two standard errors of "
            f"permutation in {100 * np.mean(off <= 2 * error):.2f} % of voxels; significant "
            f"there {(other <= 0.05).sum()}, here {(p <= 0.05).sum()}, in both "
            f"{((other <= 0.05) & (p <= 0.05)).sum()}"
        )


if __name__ == "__main__":
    main()
