from dataclasses import replace

import nibabel as nb
from nipype import Node
import numpy as np
from phantoms import TE, coordinates, make_head
import pytest
from scipy import ndimage

from qsmprep.interfaces.field import CorrectBipolar
from qsmprep.methods.echoes import OFFSETS
from qsmprep.methods.echoes.bipolar import correct_bipolar
from qsmprep.methods.echoes.coding import recognise_coding, to_radians
from qsmprep.methods.echoes.fringes import open_fringes
from qsmprep.methods.echoes.sign import judge_sign
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.units import hz_to_ppm

PHASE = np.random.default_rng(0).uniform(-np.pi, np.pi, 20000)
CODINGS = {
    "radians": (PHASE, None),
    "0..2pi": (PHASE % (2 * np.pi), "rad"),
    "0..4095": (np.floor(PHASE / (2 * np.pi) * 4096) + 2048, "arbitrary"),
    "-4096..4094": (2 * np.floor(PHASE / (2 * np.pi) * 4096), "arbitrary"),
    "-2048..2047": (np.floor(PHASE / (2 * np.pi) * 4096), None),
    "milliradians": (np.rint(1e3 * PHASE), None),
}


def recognise(values, units=None, **more):
    integers = bool(np.all(values == np.rint(values)))
    return recognise_coding(values.min(), values.max(), integers=integers, units=units, **more)


@pytest.mark.parametrize("name", CODINGS)
def test_every_coding_gives_the_phase_up_to_a_constant(name):
    values, units = CODINGS[name]
    phase = to_radians(values, recognise(values, units))
    offset = np.angle(np.exp(1j * (phase - PHASE)).mean())
    # Half a step of the coarsest coding, 4096 steps a turn, and its mean.
    assert np.abs(wrap(phase - PHASE - offset)).max() < 1.01 * np.pi / 4096


@pytest.mark.parametrize(
    ("name", "keep"), [("0..4095", 3000), ("-4096..4094", 3500), ("-2048..2047", 1500)]
)
def test_a_masked_phase_keeps_its_period(name, keep):
    values, units = CODINGS[name]
    masked = np.where(np.abs(values) < keep, values, 0)
    assert recognise(masked, units).period == recognise(values, units).period


def test_a_wrong_header_slope_is_seen_through():
    slope = 0.00117
    coding = recognise(PHASE * slope, stored=(PHASE.min(), PHASE.max()))
    assert coding.unscaled
    assert coding.period == 2 * np.pi


@pytest.mark.parametrize(
    ("values", "units", "message"),
    [
        (np.array([-4096.0, 4094]), "rad", "Units is rad but values run from -4096"),
        (np.array([0.0, 65535]), None, "no known phase coding"),
        (np.array([-0.01, 0.02]), None, "no known phase coding"),
        (np.zeros(3), None, "phase is 0 everywhere"),
    ],
)
def test_what_is_no_phase_is_refused(values, units, message):
    with pytest.raises(ValueError, match=message):
        recognise(values, units)


FINDERS = [name for name in OFFSETS if name != "none"]


def remove(name, head, **parameters):
    arguments = head.phase, head.magnitude, head.mask, head.te, head.geometry
    return OFFSETS[name](*arguments, **parameters)


@pytest.mark.parametrize("name", FINDERS)
def test_the_receive_phase_comes_off(name):
    head = make_head(noise=0.005)
    left = wrap(head.phase - remove(name, head) - head.true_phase)[:, head.mask]
    left = wrap(left - np.angle(np.exp(1j * left[0]).mean()))
    assert np.median(np.abs(left[0])) < 0.05  # rad; the specification's limit


@pytest.mark.parametrize("name", FINDERS)
def test_a_slope_is_followed_to_the_edge_of_the_mask(name):
    head = make_head(noise=1e-4)
    x, y, _ = coordinates(head.mask.shape, head.geometry.voxel_size)
    sloping = replace(head, phase=wrap(head.phase + 0.1 * x - 0.1 * y))  # a turn in 45 mm
    left = wrap(sloping.phase - remove(name, sloping) - head.true_phase)[0]
    left = wrap(left - np.angle(np.exp(1j * left[head.mask]).mean()))
    edge = head.mask & ~ndimage.binary_erosion(head.mask)
    assert np.abs(left[edge]).mean() < 0.03  # rad


def test_what_the_polynomial_leaves_comes_off():
    head = make_head(noise=1e-4)
    x, y, z = coordinates(head.mask.shape, head.geometry.voxel_size)
    bump = (0.5 * np.exp(-((x - 5) ** 2 + y**2 + z**2) / (2 * 8**2))).astype("f4")
    bumpy = replace(head, phase=wrap(head.phase + bump))
    left = wrap(remove("mcpc3ds", bumpy, order=1) - remove("mcpc3ds", head, order=1) - bump)
    assert left[head.mask].std() < 0.5 * bump[head.mask].std()


def test_the_noise_of_two_echoes_hardly_passes():
    quiet, noisy = make_head(noise=1e-4), make_head(noise=0.05)
    passed = wrap(remove("mcpc3ds", noisy) - remove("mcpc3ds", quiet))[quiet.mask]
    assert passed.std() < 0.008  # rad; at an echo time of zero there are 0.1


@pytest.mark.parametrize("name", FINDERS)
def test_what_dephases_before_the_second_echo_tells_nothing(name):
    head = make_head(noise=1e-4)
    x, y, z = coordinates(head.mask.shape, head.geometry.voxel_size)
    gone = (x - 8) ** 2 + y**2 + z**2 < 7**2
    phase, magnitude = head.phase.copy(), head.magnitude.copy()
    magnitude[1:, gone] *= 0.02
    phase[1:, gone] = wrap(phase[1:, gone] + 1.0)  # rad; at an echo time of zero, -0.7
    noisy = replace(head, phase=phase, magnitude=magnitude)
    moved = wrap(remove(name, noisy) - remove(name, head))
    assert np.abs(moved[head.mask & ~gone]).max() < 0.02  # rad


def test_a_polynomial_of_its_order_is_found_through_wraps_and_noise():
    head = make_head(noise=0.1)
    x, y, z = coordinates(head.mask.shape, head.geometry.voxel_size)
    more = (0.01 * x * y - 0.008 * z**2 + 0.2 * y + 0.001 * x**2 * y).astype("f4")
    turned = replace(head, phase=wrap(head.phase + more))  # more than a turn across the head
    gain = wrap(remove("polynomial", turned, order=3) - remove("polynomial", head, order=3) - more)
    assert np.abs(gain[head.mask]).max() < 0.05  # rad; phase at zero has a noise of 0.3


def test_none_leaves_phase_alone():
    assert not remove("none", make_head()).any()


@pytest.mark.parametrize("name", FINDERS)
def test_one_echo_shows_no_offset(name):
    head = make_head(te=(0.005,))
    with pytest.raises(ValueError, match="there is one"):
        remove(name, head)


def read_out(head, axis, slope, constant):
    """Return the phase of a head whose even echoes are shifted to and fro."""
    ramp = slope * np.moveaxis(np.arange(head.mask.shape[axis]) * np.ones((1, 1, 1)), -1, axis)
    ramp = ramp + constant
    phase = head.phase.copy()
    phase[1::2] = wrap(phase[1::2] + ramp)
    return phase


TIMES = [TE, TE[:3], (0.005, 0.010, 0.015, 0.020, 0.025)]


@pytest.mark.parametrize("te", TIMES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_bipolar_readout_is_seen_and_undone(te, axis):
    head = make_head(te=te)
    shifted = read_out(head, axis, 0.05, 0.4)
    corrected, readout = correct_bipolar(shifted, head.magnitude, head.mask, te)
    assert readout.bipolar
    assert readout.axis == "ijk"[axis]
    assert readout.slope == pytest.approx(0.05, abs=0.003)
    left = wrap(corrected - head.phase)[:, head.mask]
    assert not left[::2].any()
    # All but one constant, which as a shift of frequency alters no susceptibility.
    left = wrap(left[1::2] - np.angle(np.exp(1j * left[1::2]).mean()))
    assert np.abs(left).max() < 0.003 * max(head.mask.shape)


@pytest.mark.parametrize("te", TIMES)
def test_a_monopolar_readout_is_left_alone_to_the_bit(te):
    head = make_head(te=te)
    corrected, readout = correct_bipolar(head.phase, head.magnitude, head.mask, te)
    assert not readout.bipolar
    assert corrected is head.phase


def test_eddy_currents_that_die_away_are_no_bipolar_readout():
    head = make_head()
    x = np.arange(head.mask.shape[0])[:, None, None]
    dying = np.stack([0.1 * x * np.exp(-t / 0.01) + 0 * head.total for t in head.te])
    phase = wrap(head.phase + dying).astype("f4")
    corrected, readout = correct_bipolar(phase, head.magnitude, head.mask, head.te)
    assert not readout.bipolar
    assert corrected is phase


def test_two_echoes_cannot_tell_a_bipolar_readout():
    head = make_head(te=TE[:2])
    shifted = read_out(head, 0, 0.05, 0.4)
    corrected, readout = correct_bipolar(shifted, head.magnitude, head.mask, head.te)
    assert corrected is shifted
    assert readout is None


def test_the_readout_reaches_the_facts(tmp_path):
    head = make_head()
    paths = {"phase": read_out(head, 1, 0.05, 0.0), "magnitude": head.magnitude}
    paths = {name: np.moveaxis(echoes, 0, -1) for name, echoes in paths.items()}
    paths["mask"] = head.mask.astype("u1")
    for name, array in paths.items():
        nb.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / f"{name}.nii")
        paths[name] = str(tmp_path / f"{name}.nii")
    node = Node(CorrectBipolar(te=list(head.te), **paths), "readout", base_dir=tmp_path)
    found = node.run().outputs
    assert found.facts["BipolarReadout"]["bipolar"]
    assert found.facts["BipolarReadout"]["axis"] == "j"
    corrected = np.moveaxis(np.asanyarray(nb.load(found.phase).dataobj), -1, 0)
    assert np.abs(wrap(corrected - head.phase)[0]).max() < 1e-6
    assert np.abs(wrap(corrected - head.phase)[1, head.mask]).max() < 0.2


def whirl(shape, centre):
    """Return a phase that runs through a whole turn about a line along the third axis."""
    x, y, _ = np.indices(shape)
    return np.arctan2(y - centre[1] - 0.5, x - centre[0] - 0.5).astype("f4")


def fringes_of(head, phase):
    return open_fringes(phase, head.magnitude, head.mask, head.te, head.geometry)


def test_an_open_fringe_is_found_where_it_ends():
    head = make_head()
    centre = (28, 20)
    near, count = fringes_of(head, wrap(head.phase + whirl(head.mask.shape, centre)))
    assert count == 1
    x, y, z = np.nonzero(near)
    assert np.hypot(x - centre[0] - 0.5, y - centre[1] - 0.5).max() < 4  # voxels
    assert set(z) >= set(np.nonzero(head.mask[centre])[0][1:-1])  # all along
    assert head.mask[near].all()


def test_two_open_fringes_are_two_lines():
    head = make_head()
    both = whirl(head.mask.shape, (34, 24)) - whirl(head.mask.shape, (14, 24))
    assert fringes_of(head, wrap(head.phase + both))[1] == 2


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_fringes_of_a_field_and_of_noise_are_not_open(noise):
    head = make_head(noise=noise)
    near, count = fringes_of(head, head.phase)
    assert count == 0
    assert not near.any()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("with_r2star", [True, False])
def test_iron_decides_the_sign(sign, with_r2star):
    head = make_head((64, 64, 40))
    r2star = head.r2star if with_r2star else None
    evidence = judge_sign(sign * head.total, head.mask, head.geometry, r2star=r2star)
    assert evidence.sign == sign
    assert evidence.agree


def test_ppm_and_hz_agree():
    assert hz_to_ppm(127.732, 3.0) == pytest.approx(1, rel=1e-5)
