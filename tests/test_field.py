import array_api_strict
import numpy as np
from phantoms import TE
import pytest

from qsmprep.methods.echoes.magnitude import combine_magnitudes
from qsmprep.methods.field import FIELD_FITS
from qsmprep.units import ppm_to_hz

SHAPE = (20, 20, 20)
MASK = np.ones(SHAPE, bool)


def echoes(field_hz, r2star, sigma, te=TE, seed=0):
    """Return unwrapped phase and magnitude of noisy echoes."""
    rng = np.random.default_rng(seed)
    signal = np.stack([np.exp(-r2star * t) * np.ones(SHAPE) for t in te]).astype(complex)
    signal += sigma * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    turn = np.stack([np.full(SHAPE, 2 * np.pi * field_hz * t) for t in te])
    return (np.angle(signal) + turn).astype("f4"), np.abs(signal).astype("f4")


@pytest.mark.parametrize("name", FIELD_FITS)
@pytest.mark.parametrize("r2star", [5.0, 40.0])
def test_the_field_is_as_precise_as_noise_allows(name, r2star):
    sigma = 0.02
    phase, magnitude = echoes(30.0, r2star, sigma)
    field, noise = FIELD_FITS[name](phase, magnitude, MASK, TE)
    information = sum((np.exp(-r2star * t) * 2 * np.pi * t / sigma) ** 2 for t in TE)
    bound = information**-0.5  # Cramér and Rao
    assert field.mean() == pytest.approx(30.0, abs=5 * bound / MASK.sum() ** 0.5)
    assert field.std() < 1.2 * bound
    assert np.median(noise) == pytest.approx(bound, rel=0.15)


@pytest.mark.parametrize("name", FIELD_FITS)
def test_echoes_that_disagree_are_noisy(name):
    phase, magnitude = echoes(30.0, 20.0, 0.01)
    phase[1:, 10, 10, 10] += (1.0, -1.5, 2.0)
    _, noise = FIELD_FITS[name](phase, magnitude, MASK, TE)
    assert noise[10, 10, 10] > 10 * np.median(noise)


@pytest.mark.parametrize("name", FIELD_FITS)
def test_a_single_echo_has_a_field_and_noise(name):
    phase, magnitude = echoes(30.0, 20.0, 0.02, te=TE[1:2])
    field, noise = FIELD_FITS[name](phase, magnitude, MASK, TE[1:2])
    assert field.mean() == pytest.approx(30.0, abs=0.1)
    assert np.median(noise) == pytest.approx(field.std(), rel=0.1)


@pytest.mark.parametrize("name", FIELD_FITS)
def test_fields_are_the_same_in_any_array_library(name):
    xp = array_api_strict
    phase, magnitude = echoes(30.0, 20.0, 0.02)
    strict = FIELD_FITS[name](*map(xp.asarray, (phase, magnitude, MASK)), TE)
    for one, other in zip(strict, FIELD_FITS[name](phase, magnitude, MASK, TE), strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=1e-4, atol=1e-6)


def test_magnitudes_add_in_squares():
    magnitude = np.stack([np.full((2, 2, 2), 3.0), np.full((2, 2, 2), 4.0)])
    np.testing.assert_allclose(combine_magnitudes(magnitude), 5.0)


def test_units_of_field_maps_meet():
    assert ppm_to_hz(1, 3) == pytest.approx(127.73, abs=0.01)
