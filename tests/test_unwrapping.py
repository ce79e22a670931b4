import numpy as np
from phantoms import OBLIQUE, coordinates, make_head, smooth_noise
import pytest

from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.unwrapping import UNWRAPPERS
from qsmprep.methods.unwrapping.romeo import unwrap_single, voxel_quality

SHAPE = (40, 36, 24)


def turns(x):
    return x / (2 * np.pi)


def test_twelve_turns_are_undone_exactly():
    x, y, z = coordinates(SHAPE, OBLIQUE.voxel_size)
    true = (2 * x + 0.02 * y**2 + 0 * z).astype("f4")
    assert np.ptp(true) > 12 * 2 * np.pi
    mask = np.ones(SHAPE, bool)
    found = unwrap_single(wrap(true), np.ones(SHAPE, "f4"), mask)
    np.testing.assert_allclose(found - true, np.median(found - true), atol=1e-3)


def test_a_band_of_noise_is_walked_around():
    x, *_ = coordinates(SHAPE, OBLIQUE.voxel_size)
    true = np.broadcast_to(0.6 * x, SHAPE).astype("f4")
    rng = np.random.default_rng(0)
    noisy = np.zeros(SHAPE, bool)
    noisy[18:22, :20] = True
    phase = np.where(noisy, rng.uniform(-np.pi, np.pi, SHAPE), true).astype("f4")
    magnitude = np.where(noisy, 0.05, 1).astype("f4")
    found = unwrap_single(wrap(phase), magnitude, np.ones(SHAPE, bool))
    difference = (found - true)[~noisy]
    np.testing.assert_allclose(difference, np.median(difference), atol=1e-3)


def test_two_islands_are_both_unwrapped():
    true = 4 * smooth_noise(SHAPE, 4)
    mask = np.ones(SHAPE, bool)
    mask[18:22] = False
    found = unwrap_single(wrap(true), np.ones(SHAPE, "f4"), mask)
    for island in (np.s_[:18], np.s_[22:]):
        difference = (found - true)[island]
        np.testing.assert_allclose(difference, np.median(difference), atol=1e-3)
    assert not found[~mask].any()


@pytest.mark.parametrize("name", UNWRAPPERS)
def test_no_echo_jumps_inside_the_mask(name):
    head = make_head(noise=0.01)
    true = head.true_phase
    wrapped = wrap(true + np.angle(1 + 0.03 * smooth_noise(true.shape, 0.5)))
    found = UNWRAPPERS[name](wrapped, head.magnitude, head.mask, head.te)
    constant = np.round(turns(np.median((found - true)[0][head.mask])))
    for echo in range(len(head.te)):
        jumps = np.round(turns(found - true)[echo][head.mask] - constant)
        assert not jumps.any()
    assert not found[:, ~head.mask].any()


@pytest.mark.parametrize("name", UNWRAPPERS)
def test_inverted_phase_gives_the_inverted_result(name):
    head = make_head(noise=0.01)
    unwrap = UNWRAPPERS[name]
    there = unwrap(head.phase, head.magnitude, head.mask, head.te)
    back = unwrap(-head.phase, head.magnitude, head.mask, head.te)
    np.testing.assert_allclose(back, -there, atol=1e-5)


def test_quality_parts_tissue_from_noise():
    head = make_head(noise=0.02)
    quality = voxel_quality(head.phase, head.magnitude, head.te)
    assert np.median(quality[head.mask]) > 0.7
    assert np.median(quality[~head.mask]) < 0.4
