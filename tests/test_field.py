import array_api_strict
import numpy as np
from phantoms import TE
import pytest

from qsmprep.methods.echoes.magnitude import combine_magnitudes
from qsmprep.methods.field import FIELD_FITS
from qsmprep.methods.field.noise import of_unknown_phase
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


def least_noise(r2star, sigma, *, offset):
    """Return the bound of Cramér and Rao, Hz, with or without an offset to be found as well."""
    te = np.array(TE)
    weights = (np.exp(-r2star * te) / sigma) ** 2
    centre = np.average(te, weights=weights) if offset else 0.0
    return (weights @ (2 * np.pi * (te - centre)) ** 2) ** -0.5


@pytest.mark.parametrize("name", FIELD_FITS)
@pytest.mark.parametrize("r2star", [5.0, 40.0])
def test_the_field_is_as_precise_as_noise_allows(name, r2star):
    sigma = 0.02
    phase, magnitude = echoes(30.0, r2star, sigma)
    field, noise = FIELD_FITS[name](phase, magnitude, MASK, TE)
    bound = least_noise(r2star, sigma, offset=name == "nonlinear")
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


@pytest.mark.parametrize("sigma", [0.02, 0.2])
def test_the_nonlinear_fit_is_as_precise_as_the_line(sigma):
    phase, magnitude = echoes(3.0, 20.0, sigma)
    te, power = np.array(TE)[:, None, None, None], magnitude.astype(float) ** 2
    late = te - (power * te).sum(0) / power.sum(0)
    line = (power * late * phase).sum(0) / (power * late**2).sum(0) / (2 * np.pi)
    field, _ = FIELD_FITS["nonlinear"](phase, magnitude, MASK, TE)
    assert field.std() < 1.01 * line.std()


def test_an_offset_is_forgiven_by_the_nonlinear_fit():
    phase, magnitude = echoes(30.0, 20.0, 0.01)
    fields = [FIELD_FITS["nonlinear"](p, magnitude, MASK, TE)[0] for p in (phase, phase + 1)]
    np.testing.assert_allclose(*fields, atol=1e-3)  # Hz


def test_whole_turns_do_not_count_in_the_nonlinear_fit():
    phase, magnitude = echoes(30.0, 20.0, 0.01)
    turned = phase + 2 * np.pi * np.array([0, 0, 0, 1])[:, None, None, None]
    fields = [FIELD_FITS["nonlinear"](p, magnitude, MASK, TE)[0] for p in (phase, turned)]
    np.testing.assert_allclose(*fields, atol=1e-2)  # Hz


def test_where_phase_is_unknown_the_field_is_unknown_by_a_turn():
    noise = np.full(SHAPE, 0.2, "f4")
    noise[0] = 100.0
    unknown = np.zeros(SHAPE, bool)
    unknown[:2] = True
    raised = of_unknown_phase(noise, unknown, (0.01, 0.03))
    assert raised.dtype == noise.dtype
    np.testing.assert_array_equal(raised[2:], noise[2:])
    np.testing.assert_allclose(raised[1], 50 / 12**0.5)  # Hz, a turn in 0.02 s
    np.testing.assert_array_equal(raised[0], noise[0])


def test_magnitudes_add_in_squares():
    magnitude = np.stack([np.full((2, 2, 2), 3.0), np.full((2, 2, 2), 4.0)])
    np.testing.assert_allclose(combine_magnitudes(magnitude), 5.0)


def test_units_of_field_maps_meet():
    assert ppm_to_hz(1, 3) == pytest.approx(127.73, abs=0.01)
