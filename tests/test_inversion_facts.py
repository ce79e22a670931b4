"""What single dipole inversions promise beyond what all of them do (test_inversion.py)."""

from __future__ import annotations

import numpy as np
from phantoms import OBLIQUE, ball, coordinates, make_head
import pytest

from qsmprep.methods.inversion import INVERSIONS
from qsmprep.methods.solvers import Convergence
from qsmprep.protocol import needed_arrays

SHAPE = (48, 48, 28)
DIRECT = {"tkd", "tsvd", "tikhonov"}
"""They do not iterate."""


@pytest.fixture(scope="module")
def head():
    head = make_head(SHAPE)
    rng = np.random.default_rng(5)
    head.local = np.where(head.mask, head.local + 5e-4 * rng.standard_normal(SHAPE), 0)
    head.local = head.local.astype("f4")
    return head


CSF = ball(SHAPE, OBLIQUE.voxel_size, 4, (0, -10, 0))


def solve(name, head, field=None, noise=None, **params):
    """Return all that an inversion returns, for a head with little noise."""
    arrays = {
        "noise": np.where(head.mask, 5e-4, 0).astype("f4") if noise is None else noise,
        "magnitude": np.where(head.mask, 1 - 3 * np.abs(head.chi), 0).astype("f4"),
        "csf": head.mask & CSF,
    }
    method = INVERSIONS[name]
    needed = {key: arrays[key] for key in needed_arrays(method)}
    field = head.local if field is None else field
    return method(field.astype("f4"), head.mask, OBLIQUE, **needed, **params)


def error(head, chi):
    """Return the relative error, free of the mean."""
    got, true = chi[head.mask], head.chi[head.mask]
    true = true - true.mean()
    return np.linalg.norm(got - got.mean() - true) / np.linalg.norm(true)


@pytest.mark.parametrize("name", sorted(INVERSIONS.keys() - DIRECT))
def test_what_iterates_says_how_it_ended(name, head):
    _, done = solve(name, head)
    assert isinstance(done, Convergence)
    assert done.iterations >= 1
    _, cut = solve(name, head, max_iterations=1, tolerance=1e-9)
    assert (cut.iterations, cut.converged) == (1, False)


@pytest.mark.parametrize("plain", ["medi", "sfcr"])
def test_plus_zero_makes_fluid_even_and_zero(plain, head):
    # A ramp of 20 ppb over the head, as background removal may leave it.
    x, _, _ = coordinates(SHAPE, OBLIQUE.voxel_size)
    field = np.where(head.mask, head.local + 2e-3 * x / 5, 0)
    without, _ = solve(plain, head, field)
    zeroed, _ = solve(f"{plain}0", head, field)
    assert abs(zeroed[CSF].mean()) < 1e-6
    assert zeroed[CSF].std() < 0.9 * without[CSF].std()
    # Without fluid it is the plain method.
    nowhere = np.zeros(SHAPE, bool)
    inputs = {
        "noise": np.where(head.mask, 5e-4, 0).astype("f4"),
        "magnitude": head.mask.astype("f4"),
        "csf": nowhere,
    }
    method = INVERSIONS[f"{plain}0"]
    needed = {key: inputs[key] for key in needed_arrays(method)}
    alone, _ = method(head.local, head.mask, OBLIQUE, **needed)
    del needed["csf"]
    np.testing.assert_array_equal(
        alone, INVERSIONS[plain](head.local, head.mask, OBLIQUE, **needed)[0]
    )


def test_the_weak_harmonic_term_takes_what_background_removal_left(head):
    x, y, _ = coordinates(SHAPE, OBLIQUE.voxel_size)
    left = np.where(head.mask, head.local + 2e-2 * (x**2 - y**2) / 20**2, 0)
    plain, _ = solve("fansi", head, left)
    harmonic, _ = solve("fansi", head, left, harmonic_weight=150.0)
    assert error(head, harmonic) < 0.7 * error(head, plain)


def test_absolute_differences_find_the_wrong_voxels(head):
    rng = np.random.default_rng(0)
    wrong = head.mask & (rng.random(SHAPE) < 0.001)
    field = head.local + np.where(wrong, 0.2 * rng.choice([-1, 1], SHAPE), 0)
    found, _ = solve("hdqsm", head, field)
    blind, _ = solve("hdqsm", head, field, first_iterations=0)
    assert error(head, found) < 0.95 * error(head, blind)


def test_more_noise_ends_the_descent_earlier(head):
    rng = np.random.default_rng(1)
    noisy = np.where(head.mask, head.local + 5e-3 * rng.standard_normal(SHAPE), 0)
    _, soon = solve("ndi", head, noisy)
    _, late = solve("ndi", head)
    assert soon.converged
    assert soon.iterations < late.iterations


def test_a_penalty_on_gradients_is_smoother(head):
    rng = np.random.default_rng(2)
    noisy = np.where(head.mask, head.local + 5e-3 * rng.standard_normal(SHAPE), 0)

    def roughness(penalty):
        chi = solve("tikhonov", head, noisy, penalty=penalty)
        return np.diff(chi, axis=0).std() / chi.std()

    assert roughness("gradient") < roughness("identity")
    with pytest.raises(ValueError, match="the penalty is identity or gradient, not 'l1'"):
        solve("tikhonov", head, penalty="l1")


def test_truncation_loses_less_than_all_and_divides_no_small_value(head):
    # What is left out of k-space cannot be there in the result: less energy at a higher threshold.
    low, high = (np.square(solve("tsvd", head, threshold=t)).sum() for t in (0.1, 0.3))
    assert high < low


@pytest.mark.parametrize("name", sorted(INVERSIONS))
def test_a_field_that_no_susceptibility_makes_gives_numbers_all_the_same(name, head):
    # All of its power lies where the dipole kernel vanishes: regularisation that follows the
    # inconsistency of the field has no bound but its own.
    x, y, z = coordinates(SHAPE, OBLIQUE.voxel_size)
    direction = (np.array([2**0.5, 0, 0]) + OBLIQUE.b0_dir) / 3**0.5  # at the magic angle
    wave = np.cos(2 * np.pi * 0.12 * (direction[0] * x + direction[1] * y + direction[2] * z))
    chi = solve(name, head, np.where(head.mask, 0.02 * wave, 0))
    chi = chi[0] if isinstance(chi, tuple) else chi
    assert np.isfinite(chi).all()
    assert chi.any()
