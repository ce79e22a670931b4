"""Files of echoes, in every form they come in, give one magnitude and one phase."""

import nibabel as nb
import numpy as np
from phantoms import make_head
import pytest

from qsmprep.errors import InputError
from qsmprep.interfaces._nifti import load, save_like
from qsmprep.interfaces.echoes import ReadEchoes

AFFINE = np.array([[-1.0, 0, 0, 5], [0, 0.8, -1.2, 7], [0, 0.6, 1.6, -3], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def head():
    return make_head((32, 30, 20), noise=0.02)


def write(folder, name, array, dtype="f4", slope=None):
    """Write a volume, scaled by the header where `slope` says so, and return its path."""
    factor, offset = slope or (1, 0)
    image = nb.Nifti1Image(((array - offset) / factor).astype(dtype), AFFINE)
    image.header.set_slope_inter(factor, offset)
    path = folder / f"{name}.nii.gz"
    image.to_filename(path)
    return str(path)


def read(folder, first, second, *, cartesian=False, **more):
    found = ReadEchoes(first=first, second=second, cartesian=cartesian, **more).run(
        cwd=str(folder)
    )
    phase, magnitude = (load(getattr(found.outputs, n))[0] for n in ("phase", "magnitude"))
    return phase, magnitude, found.outputs.facts["PhaseCoding"]


def volumes(folder, name, echoes, **more):
    return [write(folder, f"{name}{n}", echo, **more) for n, echo in enumerate(echoes)]


def turn(one, other):
    """Return the angle between two phases, a constant offset taken off."""
    difference = np.exp(1j * (one - other))
    return np.abs(np.angle(difference / difference.mean()))


def test_one_file_per_echo_and_one_for_all_are_the_same(tmp_path, head):
    apart = read(
        tmp_path, volumes(tmp_path, "m", head.magnitude), volumes(tmp_path, "p", head.phase)
    )
    together = read(
        tmp_path,
        [write(tmp_path, "mag", np.moveaxis(head.magnitude, 0, -1))],
        [write(tmp_path, "phase", np.moveaxis(head.phase, 0, -1))],
    )
    np.testing.assert_array_equal(apart[0], together[0])
    np.testing.assert_array_equal(apart[1], together[1])
    np.testing.assert_allclose(apart[0], np.moveaxis(head.phase, 0, -1), atol=1e-5)
    assert apart[2] == "radians"


def test_real_and_imaginary_give_magnitude_and_phase(tmp_path, head):
    signal = head.magnitude * np.exp(1j * head.phase)
    phase, magnitude, coding = read(
        tmp_path,
        volumes(tmp_path, "real", signal.real),
        volumes(tmp_path, "imag", signal.imag),
        cartesian=True,
    )
    np.testing.assert_allclose(magnitude, np.moveaxis(head.magnitude, 0, -1), atol=1e-6)
    assert turn(phase, np.moveaxis(head.phase, 0, -1)).max() < 1e-4
    assert coding == "real and imaginary"


@pytest.mark.parametrize(
    ("coded", "slope", "coding"),
    [
        (lambda p: np.floor(p / (2 * np.pi) * 4096) + 2048, None, "0..4095"),
        (lambda p: np.floor(p / np.pi * 2048) * 2, (2, -4096), "-4096..4095"),
    ],
)
def test_integers_become_radians(tmp_path, head, coded, slope, coding):
    phase, _, found = read(
        tmp_path,
        volumes(tmp_path, "m", head.magnitude),
        volumes(tmp_path, "p", coded(head.phase), dtype="i2", slope=slope),
    )
    assert found == coding
    assert turn(phase, np.moveaxis(head.phase, 0, -1)).max() < 1.1 * np.pi / 4096


def test_nan_in_phase_is_refused_by_name(tmp_path, head):
    broken = head.phase.copy()
    broken[1, 3, 4, 5] = np.nan
    paths = volumes(tmp_path, "p", broken)
    with pytest.raises(InputError, match=r"p1.nii.gz: 1 of its voxels are NaN or infinite; "):
        read(tmp_path, volumes(tmp_path, "m", head.magnitude), paths)


def test_a_cut_off_file_is_refused_by_name(tmp_path, head):
    paths = volumes(tmp_path, "p", head.phase)
    with open(paths[2], "r+b") as file:
        file.truncate(2000)
    with pytest.raises(InputError, match=r"p2.nii.gz: cannot be read to its end"):
        read(tmp_path, volumes(tmp_path, "m", head.magnitude), paths)


def test_what_is_no_phase_is_refused_by_name(tmp_path, head):
    paths = volumes(tmp_path, "p", 1e5 * head.magnitude, dtype="i4")
    with pytest.raises(InputError, match=r"p0.nii.gz: its phase cannot be read \(values from"):
        read(tmp_path, volumes(tmp_path, "m", head.magnitude), paths)


def test_saving_keeps_precision_and_place(tmp_path):
    image = nb.Nifti1Image(np.zeros((4, 5, 6), "i2"), AFFINE)
    image.header.set_slope_inter(3, 7)
    values = np.random.default_rng(0).standard_normal((4, 5, 6)).astype("f4")
    loaded, back = load(save_like(values, image, tmp_path / "x.nii.gz"))
    np.testing.assert_array_equal(loaded, values)
    np.testing.assert_allclose(back.affine, AFFINE, atol=1e-6)
    assert back.header.get_xyzt_units() == ("mm", "sec")
