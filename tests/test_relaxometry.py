import os
from pathlib import Path

import array_api_strict
import nibabel as nb
import numpy as np
from phantoms import TE, make_head
import pytest

from qsmprep.methods.relaxometry import RELAXOMETRY
from qsmprep.methods.relaxometry.arlo import arlo
from qsmprep.methods.relaxometry.invert import r2star_to_t2star
from qsmprep.methods.relaxometry.nonlinear import nonlinear

SHAPE = (20, 20, 20)
MASK = np.ones(SHAPE, bool)
LONG = (0.004, 0.012, 0.020, 0.028)
FEWEST = {"log_linear": 2, "arlo": 3, "nonlinear": 2}
DATA = Path(os.environ.get("QSMPREP_TEST_DATA", Path(__file__).parents[2] / "shared/data"))


def echoes(r2star, sigma, te, shape=SHAPE):
    """Return magnitudes of decaying signal and complex noise, one at an echo time of zero."""
    rng = np.random.default_rng(0)
    signal = np.stack([np.exp(-r2star * t) * np.ones(shape) for t in te]).astype(complex)
    signal += sigma * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return np.abs(signal).astype("f4")


@pytest.mark.parametrize(
    ("name", "count"), [(n, count) for n in RELAXOMETRY for count in range(FEWEST[n], 5)]
)
@pytest.mark.parametrize("r2star", [3.0, 20.0, 60.0])
def test_decay_is_measured_within_one_percent(name, count, r2star):
    te = TE[:count]
    found = RELAXOMETRY[name](echoes(r2star, 0.005, te), MASK, te)
    error = found.std() / MASK.sum() ** 0.5
    assert found.mean() == pytest.approx(r2star, rel=0.01, abs=4 * error)


@pytest.mark.parametrize("name", RELAXOMETRY)
@pytest.mark.parametrize("r2star", [10.0, 40.0])
def test_decay_is_as_precise_as_noise_allows(name, r2star):
    sigma, te = 0.02, np.asarray(LONG)
    found = RELAXOMETRY[name](echoes(r2star, sigma, LONG), MASK, LONG)
    signal = np.exp(-r2star * te)
    slopes = np.stack([signal, -te * signal])
    bound = sigma * np.linalg.inv(slopes @ slopes.T)[1, 1] ** 0.5  # Cramér and Rao
    assert found.std() < 1.15 * bound  # ARLO loses an eighth, the others nothing


@pytest.mark.parametrize("name", RELAXOMETRY)
def test_decay_does_not_depend_on_the_unit_and_keeps_to_the_mask(name):
    head = make_head(noise=0.02)
    found = RELAXOMETRY[name](head.magnitude, head.mask, head.te)
    scaled = RELAXOMETRY[name](1000 * head.magnitude, head.mask, head.te)
    np.testing.assert_allclose(scaled, found, rtol=1e-3, atol=1e-3)
    assert found.dtype == np.float32
    assert not found[~head.mask].any()


@pytest.mark.parametrize("name", RELAXOMETRY)
def test_too_few_echoes_are_refused(name):
    head = make_head()
    for count, there in ((1, "there is one"), (2, "there are 2")):
        if count < FEWEST[name]:
            with pytest.raises(ValueError, match=there):
                RELAXOMETRY[name](head.magnitude[:count], head.mask, head.te[:count])


@pytest.mark.parametrize("name", RELAXOMETRY)
def test_any_array_library_gives_the_same(name):
    head, xp = make_head(noise=0.03), array_api_strict
    found = RELAXOMETRY[name](head.magnitude, head.mask, head.te)
    strict = RELAXOMETRY[name](xp.asarray(head.magnitude), xp.asarray(head.mask), head.te)
    assert isinstance(strict, type(xp.asarray(head.magnitude)))
    np.testing.assert_allclose(np.asarray(strict), found, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", RELAXOMETRY)
def test_a_voxel_without_signal_does_not_decay(name):
    magnitude = echoes(30.0, 0.01, TE)
    magnitude[:, 0, 0, 0] = 0
    found = RELAXOMETRY[name](magnitude, MASK, TE)
    assert found[0, 0, 0] == 0
    assert np.isfinite(found).all()


@pytest.mark.parametrize("te", [(0.002, 0.004, 0.006), (0.002, 0.005, 0.011)])
def test_arlo_is_exact_where_simpsons_rule_is(te):
    # A parabola is integrated exactly, so its fall over its integral comes out at any spacing.
    parabola = np.stack([np.full((2, 2, 2), 3 - 100 * t + 2000 * t**2) for t in te])
    t1, _, t3 = te
    integral = 3 * (t3 - t1) - 50 * (t3**2 - t1**2) + 2000 / 3 * (t3**3 - t1**3)
    found = arlo(parabola, np.ones((2, 2, 2), bool), te)
    np.testing.assert_allclose(found, (parabola[0] - parabola[2]) / integral)


def test_the_noise_floor_does_not_slow_the_decay():
    r2star, te = 100.0, LONG
    magnitude = echoes(r2star, 0.05, te, (40, 40, 40))
    mask = np.ones(magnitude.shape[1:], bool)
    floored, free = (
        nonlinear(magnitude, mask, te, noise_floor=known).mean() for known in (False, True)
    )
    # At the last two echoes the signal is as large as the noise or less.
    assert floored < r2star - 5
    assert free == pytest.approx(r2star, abs=2)


def test_nothing_to_fit_is_refused():
    with pytest.raises(ValueError, match="no signal in the mask"):
        nonlinear(np.zeros((4, *SHAPE), "f4"), MASK, LONG)


def test_times_are_the_inverse_of_rates():
    rates = np.array([0.0, 0.5, 20.0, 100.0])
    np.testing.assert_allclose(r2star_to_t2star(rates), [0, 1, 0.05, 0.01])


@pytest.mark.skipif(not (DATA / "relaxometry").is_dir(), reason="no QSMPREP_TEST_DATA")
def test_methods_agree_on_a_living_brain():
    te = (0.00289, *np.linspace(0.00642, 0.04587, 11))
    (path,) = (DATA / "relaxometry").glob("*.nii.gz")
    magnitude = np.moveaxis(np.asarray(nb.load(path).dataobj, dtype="f4"), -1, 0)
    head = magnitude[0] > 0.25 * np.percentile(magnitude[0], 97)
    medians = [np.median(method(magnitude, head, te)[head]) for method in RELAXOMETRY.values()]
    # Sources of disagreement are the noise floor and decays that are not exponential.
    assert max(medians) < 1.03 * min(medians)
    assert 15 < min(medians) < 30  # brain at 3 T
