import numpy as np
from phantoms import make_head
import pytest

from qsmprep.methods.echoes.coding import recognise_coding, to_radians
from qsmprep.methods.echoes.offset import mcpc3ds
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


def test_the_receive_phase_comes_off():
    head = make_head(noise=0.005)
    offset = mcpc3ds(head.phase, head.magnitude, head.mask, head.te, head.geometry)
    left = wrap(head.phase - offset - head.true_phase)[:, head.mask]
    left = wrap(left - np.angle(np.exp(1j * left[0]).mean()))
    assert np.median(np.abs(left[0])) < 0.05  # rad; the specification's limit


def test_one_echo_shows_no_offset():
    head = make_head()
    with pytest.raises(ValueError, match="there is one"):
        mcpc3ds(head.phase[:1], head.magnitude[:1], head.mask, head.te[:1], head.geometry)


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
