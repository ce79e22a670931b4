import array_api_strict
import numpy as np
from phantoms import OBLIQUE, ball, make_head
import pytest

from qsmprep.geometry import Geometry
from qsmprep.methods.inversion import INVERSIONS
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.methods.inversion.wtv import wtv
from qsmprep.protocol import needed_arrays

SHAPE = (48, 48, 28)
LIMITS = {"wtv": 0.15, "hdqsm": 0.2, "medi": 0.2, "medi0": 0.2, "sfcr": 0.2, "sfcr0": 0.2}
LIMITS |= {"rts": 0.2, "tv": 0.15, "fansi": 0.15, "ndi": 0.6, "tikhonov": 0.45}
LIMITS |= {"tsvd": 0.6, "tkd": 0.5, "ilsqr": 0.4, "tgv": 0.15}
"""Largest relative error in a small head with little noise."""
NOT_SCALE_FREE = {"medi", "medi0", "ndi", "sfcr", "sfcr0"}
"""Methods that the unit of the field matters to: phase in an exponential, published weights."""


@pytest.fixture(scope="module")
def head():
    head = make_head(SHAPE)
    rng = np.random.default_rng(3)
    head.local = np.where(head.mask, head.local + 5e-4 * rng.standard_normal(SHAPE), 0)
    head.local = head.local.astype("f4")
    return head


def invert(name, head, field=None, xp=np, geometry=OBLIQUE, turn=lambda x: x, **params):
    """Return susceptibility alone, whatever else the method needs and returns."""
    arrays = {
        "noise": np.where(head.mask, 5e-4, 0).astype("f4"),
        "magnitude": np.where(head.mask, 1 - 3 * np.abs(head.chi), 0).astype("f4"),
    }
    arrays["csf"] = head.mask & ball(SHAPE, OBLIQUE.voxel_size, 4, (0, -10, 0))
    needed = {n: xp.asarray(turn(arrays[n])) for n in needed_arrays(INVERSIONS[name])}
    field = head.local if field is None else field
    result = INVERSIONS[name](
        xp.asarray(turn(field)), xp.asarray(turn(head.mask)), geometry, **needed, **params
    )
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("name", INVERSIONS)
def test_keeps_precision_and_mask(name, head):
    chi = invert(name, head)
    assert chi.dtype == np.float32
    assert chi.shape == SHAPE
    assert not chi[~head.mask].any()


@pytest.mark.parametrize("name", sorted(INVERSIONS.keys() - NOT_SCALE_FREE))
@pytest.mark.parametrize("factor", [-1.0, 3.0])
def test_the_result_scales_with_the_field(name, head, factor):
    # Also where the method is not linear: its settings are relative to the field.
    field = (factor * head.local).astype("f4")
    np.testing.assert_allclose(
        invert(name, head, field), factor * invert(name, head), rtol=1e-3, atol=2e-4
    )


@pytest.mark.parametrize("name", INVERSIONS)
def test_any_array_library_gives_the_same(name, head):
    strict = invert(name, head, xp=array_api_strict)
    assert isinstance(strict, type(array_api_strict.asarray(head.local)))
    np.testing.assert_allclose(np.asarray(strict), invert(name, head), atol=2e-4)


@pytest.mark.parametrize("name", INVERSIONS)
def test_a_rotated_head_gives_the_rotated_map(name, head):
    turned = Geometry(OBLIQUE.voxel_size[::-1], OBLIQUE.b0_dir[::-1])
    there = invert(name, head, geometry=turned, turn=lambda x: np.ascontiguousarray(x.transpose()))
    # Sums run in another order; voxels at the limit of distrust may fall on its other side.
    np.testing.assert_allclose(there.transpose(), invert(name, head), atol=2e-3)


@pytest.mark.parametrize("name", INVERSIONS)
def test_recovers_the_nuclei(name, head):
    chi, true = invert(name, head)[head.mask], head.chi[head.mask]
    error = np.linalg.norm((chi - chi.mean()) - (true - true.mean()))
    assert error < LIMITS[name] * np.linalg.norm(true - true.mean())


def test_no_field_is_no_susceptibility(head):
    for name in INVERSIONS:
        assert not invert(name, head, np.zeros(SHAPE, "f4")).any()


def test_the_iteration_tells_how_it_ended(head):
    arrays = {"noise": head.mask.astype("f4"), "magnitude": head.mask.astype("f4")}
    _, done = wtv(head.local, head.mask, OBLIQUE, **arrays)
    assert done.converged
    assert done.residual <= 1e-2
    _, cut = wtv(head.local, head.mask, OBLIQUE, max_iterations=3, **arrays)
    assert (cut.iterations, cut.converged) == (3, False)


def test_one_wrong_voxel_spoils_less_where_it_is_distrusted(head):
    field = head.local.copy()
    field[24, 24, 14] += 0.05
    noise = np.where(head.mask, 5e-4, 0).astype("f4")
    known = noise.copy()
    known[24, 24, 14] = 0.05
    magnitude = head.mask.astype("f4")
    near = ball(SHAPE, OBLIQUE.voxel_size, 4)

    def error(noise, robust_every):
        chi, _ = wtv(
            field, head.mask, OBLIQUE, noise=noise, magnitude=magnitude, robust_every=robust_every
        )
        return np.linalg.norm((chi - head.chi)[near])

    trusted = error(noise, 0)
    assert error(noise, 4) < 0.8 * trusted  # found by its residual
    assert error(known, 0) < 0.8 * trusted  # known by its noise


def test_inconsistency_is_the_noise_and_not_the_signal(head):
    rng = np.random.default_rng(0)
    noise = np.where(head.mask, rng.standard_normal(SHAPE), 0).astype("f4")
    clean = make_head(SHAPE).local.astype("f4")
    assert inconsistency(noise, head.mask, OBLIQUE) == pytest.approx(1, rel=0.05)
    assert inconsistency(clean, head.mask, OBLIQUE) < 0.25 * clean[head.mask].std()
