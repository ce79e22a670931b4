import numpy as np
from phantoms import OBLIQUE, coordinates, make_head, smooth_noise
import pytest

from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.unwrapping import UNWRAPPERS
from qsmprep.methods.unwrapping.edges import WEIGHTS, edge_ranks, mean_weights
from qsmprep.methods.unwrapping.laplacian import laplacian
from qsmprep.methods.unwrapping.romeo import romeo, unwrap_single, voxel_quality

SHAPE = (40, 36, 24)
MODES = [
    *({"weights": name} for name in WEIGHTS),
    {"template": 3},
    {"individual": True},
    {"individual": True, "template": 2},
    {"uncertain": 0.5},
]


def turns(x):
    return x / (2 * np.pi)


def wrong_turns(found, true, mask):
    """Return where echoes are off by whole turns, but for a common number of turns of each."""
    off = np.round(turns(found - true))
    return np.stack([echo != np.median(echo[mask]) for echo in off]) & mask


def noisy_head():
    head = make_head(noise=0.01)
    true = head.true_phase
    return head, wrap(true + np.angle(1 + 0.03 * smooth_noise(true.shape, 0.5)))


def test_twelve_turns_are_undone_exactly():
    x, y, z = coordinates(SHAPE, OBLIQUE.voxel_size)
    true = (2 * x + 0.02 * y**2 + 0 * z).astype("f4")
    assert np.ptp(true) > 12 * 2 * np.pi
    mask = np.ones(SHAPE, bool)
    found = unwrap_single(wrap(true), np.ones(SHAPE, "f4"), mask)
    np.testing.assert_allclose(found - true, np.median(found - true), atol=1e-3)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_band_of_noise_is_walked_around(weights):
    x, *_ = coordinates(SHAPE, OBLIQUE.voxel_size)
    true = np.broadcast_to(0.6 * x, SHAPE).astype("f4")
    rng = np.random.default_rng(0)
    noisy = np.zeros(SHAPE, bool)
    noisy[18:22, :20] = True
    phase = np.where(noisy, rng.uniform(-np.pi, np.pi, SHAPE), true).astype("f4")
    magnitude = np.where(noisy, 0.05, 1).astype("f4")
    mask = np.ones(SHAPE, bool)
    found = romeo(wrap(phase)[None], magnitude[None], mask, (0.01,), weights=weights)[0]
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
        assert abs(np.median(found[island])) < np.pi
    assert not found[~mask].any()


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_no_echo_jumps_inside_the_mask(mode):
    head, wrapped = noisy_head()
    found = romeo(wrapped, head.magnitude, head.mask, head.te, **mode)
    assert not wrong_turns(found, head.true_phase, head.mask).any()
    assert not found[:, ~head.mask].any()


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_echoes_are_on_the_same_turn(mode):
    head, wrapped = noisy_head()
    shift = np.float32(40 * 2 * np.pi)  # 40 Hz, more than a turn at the last echoes
    true = head.true_phase + np.stack([np.full_like(head.total, shift * t) for t in head.te])
    wrapped = wrap(wrapped + true - head.true_phase)
    found = romeo(wrapped, head.magnitude, head.mask, head.te, **mode)
    assert not np.round(turns(found - true))[:, head.mask].any()


def test_islands_are_on_the_turn_of_the_shortest_echo():
    te, shape = (0.005, 0.02), (20, 12, 12)
    field = np.ones(shape, "f4")
    field[:9], field[9:11], field[11:] = 60, 0, -80  # Hz: 1.2 and -1.6 turns at the second echo
    mask = field != 0
    true = np.stack([2 * np.pi * t * field for t in te])
    found = romeo(wrap(true), np.ones_like(true), mask, te, template=2)
    np.testing.assert_allclose(found, true, atol=1e-4)


def test_voxels_that_jump_in_time_are_unwrapped_in_space():
    te, shape = (0.005, 0.02), (12, 12, 12)
    x, y, z = coordinates(shape, (1, 1, 1))
    true = np.stack([t * (100 * x + 50 * y + 0 * z) for t in te]).astype("f4")
    phase = true.copy()
    phase[0, 6, 6, 6] += 1.2  # times 4, as at the second echo: more than half a turn
    magnitude, mask = np.ones_like(phase), np.ones(shape, bool)
    in_time, in_space = (
        romeo(wrap(phase), magnitude, mask, te, uncertain=limit) for limit in (0.0, 0.5)
    )
    assert wrong_turns(in_time, true, mask).sum() == 1
    assert not wrong_turns(in_space, true, mask).any()


@pytest.mark.parametrize("name", UNWRAPPERS)
def test_inverted_phase_gives_the_inverted_result(name):
    head = make_head(noise=0.01)
    unwrap = UNWRAPPERS[name]
    there = unwrap(head.phase, head.magnitude, head.mask, head.te)
    back = unwrap(-head.phase, head.magnitude, head.mask, head.te)
    np.testing.assert_allclose(back, -there, atol=1e-4)


@pytest.mark.parametrize("name", UNWRAPPERS)
def test_whole_turns_do_not_matter(name):
    head = make_head(noise=0.01)
    unwrap = UNWRAPPERS[name]
    there = unwrap(head.phase, head.magnitude, head.mask, head.te)
    more = np.random.default_rng(1).integers(-2, 3, head.phase.shape).astype("f4")
    again = unwrap(wrap(head.phase + 2 * np.pi * more), head.magnitude, head.mask, head.te)
    np.testing.assert_allclose(again, there, atol=1e-4)
    assert there.dtype == np.float32
    assert there.shape == head.phase.shape
    assert not there[:, ~head.mask].any()


@pytest.mark.parametrize("name", UNWRAPPERS)
def test_an_empty_mask_is_refused(name):
    head = make_head()
    with pytest.raises(ValueError, match="mask is empty"):
        UNWRAPPERS[name](head.phase, head.magnitude, np.zeros_like(head.mask), head.te)


@pytest.mark.parametrize(
    ("mode", "message"),
    [({"weights": "romeo9"}, "choose romeo or"), ({"template": 5}, "template 5 of 4 echoes")],
)
def test_what_does_not_exist_is_named(mode, message):
    head = make_head()
    with pytest.raises(ValueError, match=message):
        romeo(head.phase, head.magnitude, head.mask, head.te, **mode)


def test_the_laplacian_loses_only_what_is_harmonic():
    head = make_head(noise=0.0)
    true = head.true_phase
    found = laplacian(wrap(true), head.magnitude, head.mask, head.te)
    inner = head.mask.copy()
    for axis in range(3):
        inner &= np.roll(head.mask, 1, axis) & np.roll(head.mask, -1, axis)

    def bend(phase):
        sums = sum(np.roll(phase, s, axis) for axis in (1, 2, 3) for s in (-1, 1))
        return (sums - 6 * phase)[:, inner]

    # Rounding of single precision, of phases up to ten turns
    np.testing.assert_allclose(bend(found), bend(true), atol=1e-3)


def test_a_block_of_smooth_phase_is_exact_but_for_its_mean():
    true = 4 * smooth_noise(SHAPE, 4)
    found = laplacian(wrap(true)[None], true[None], np.ones(SHAPE, bool), (0.01,))[0]
    np.testing.assert_allclose(found, true - true.mean(), atol=1e-3)


def test_quality_parts_tissue_from_noise():
    head = make_head(noise=0.02)
    quality = voxel_quality(head.phase, head.magnitude, head.te)
    assert np.median(quality[head.mask]) > 0.7
    assert np.median(quality[~head.mask]) < 0.4


def test_weights_are_those_of_the_paper():
    phase = np.array([0.0, 0.3, 0.9, 1.0], "f4").reshape(4, 1, 1)
    second = np.array([0.0, 0.8, 1.6, 2.4], "f4").reshape(4, 1, 1)
    magnitude = np.array([1.0, 0.5, 1.0, 1.0], "f4").reshape(4, 1, 1)
    mask = np.ones((4, 1, 1), bool)
    ranks = edge_ranks(phase, magnitude, mask, second, 0.5, WEIGHTS["romeo6"])
    terms = [
        1 - 0.6 / np.pi,  # coherence of phase
        1 - abs(0.6 - 0.5 * 0.8),  # coherence of its gradient over echo time
        (1 - abs(0 - 2 * 0.3 + 0.9) / 2) * (1 - abs(0.3 - 2 * 0.9 + 1.0) / 2),  # linearity
        0.5**2,  # coherence of magnitude
        1.0,  # the darker end has half the brightest magnitude
        0.5 + 0.5 * 0.5,  # the brighter end twice that half
    ]
    expected = np.prod([0.1 + 0.9 * term for term in terms])
    assert ranks[1, 0, 0, 0] == round(255 * (1 - expected))
    assert ranks[3].tolist() == [[[0, 0, 0, 1]]]  # no voxel after the last
    assert mean_weights(ranks)[2, 0, 0] == pytest.approx(
        1 - np.mean(ranks[1:3, 0, 0, 0].astype(float)) / 255
    )
