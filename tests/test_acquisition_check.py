"""What is wrong with an acquisition is measured, or named and refused."""

from dataclasses import replace
from pathlib import Path

from bids_skeleton import DATA
import nibabel as nb
import numpy as np
from phantoms import OBLIQUE, ball, make_head
import pytest
from runs import load
from scipy.ndimage import gaussian_filter

from qsmprep.bids.acquisition_check import check_acquisition, describe_check, putamen_r2star
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.windows import read_windows
from qsmprep.errors import InputError
from qsmprep.geometry import Geometry
from qsmprep.interfaces.echoes import ReadEchoes
from qsmprep.methods.echoes.slips import find_slip
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.quality_phase import clipped_percent, cut_percent, smooth_field_ratio
from qsmprep.methods.unwrapping.romeo import unwrap_single
from qsmprep.methods.verdicts import judge
from qsmprep.units import ppm_to_hz

SHAPE = (48, 48, 48)
GRID = Geometry((1.0, 1.0, 1.0))
BALL = ball(SHAPE, GRID.voxel_size, 20)
TRUTH = "derivatives/truth/sub-01/anat/sub-01"


def test_a_filtered_phase_is_told_from_a_whole_one(simulated):
    total = load(simulated, f"{TRUTH}_desc-total_fieldmap.nii.gz")
    brain = load(simulated, f"{TRUTH}_desc-brain_mask.nii.gz") > 0
    affine = nb.load(simulated / f"{TRUTH}_Chimap.nii.gz").affine
    geometry = Geometry.from_affine(affine)
    window = read_windows("acquisition")["smooth_field_ratio"]
    width = [6 / h for h in geometry.voxel_size]
    # As scanners do for susceptibility-weighted images: divide by the smoothed complex image.
    phase = 2 * np.pi * 0.02 * ppm_to_hz(total, 3.0)
    signal = np.where(brain, np.exp(1j * phase), 0)
    smooth = gaussian_filter(signal.real, width) + 1j * gaussian_filter(signal.imag, width)
    for field, verdict in ((phase, "pass"), (np.angle(signal * smooth.conj()), "fail")):
        ratio = smooth_field_ratio(np.where(brain, field, 0), brain, geometry)
        assert judge(ratio, window)["verdict"] == verdict


@pytest.mark.skipif(DATA is None, reason="no data: set QSMPREP_TEST_DATA")
def test_a_tissue_field_measured_in_a_brain_counts_as_filtered():
    folder = DATA / "qsm2016"
    tissue, mask = (load(folder, f"{name}.nii.gz") for name in ("phs_tissue", "msk"))
    ratio = smooth_field_ratio(tissue, mask > 0, Geometry((1.0625, 1.0625, 1.0714)))
    assert judge(ratio, read_windows("acquisition")["smooth_field_ratio"])["verdict"] == "fail"


@pytest.mark.skipif(DATA is None, reason="no data: set QSMPREP_TEST_DATA")
def test_a_phase_measured_in_a_brain_counts_as_whole():
    # A crop of 24 × 24 × 41 mm at 7 T: its smooth part is what air outside of it makes.
    folder = DATA / "phase/romeo_7T_crop"
    image = nb.load(folder / "small_Phase.nii")
    # The slope of the header is wrong, as the README of the data says.
    phase = np.moveaxis(image.dataobj.get_unscaled(), -1, 0).astype("f4")
    magnitude = np.moveaxis(load(folder, "small_Mag.nii"), -1, 0)
    everywhere = np.ones(phase.shape[1:], bool)
    turned = unwrap_single(wrap(phase[1] - phase[0]), magnitude[1], everywhere)
    geometry = Geometry(tuple(map(float, image.header.get_zooms()[:3])))
    ratio = smooth_field_ratio(turned, everywhere, geometry)
    assert judge(ratio, read_windows("acquisition")["smooth_field_ratio"])["verdict"] == "pass"
    assert clipped_percent(phase, everywhere) < 0.1


def test_a_brain_cut_by_the_field_of_view_is_measured():
    assert cut_percent(BALL) == 0
    assert cut_percent(BALL[:, :, 24:]) == 100
    # A cap of the ball: its section at 14 of 20 mm has 51 % of the largest area.
    assert cut_percent(BALL[:, :, : 24 + 15]) == pytest.approx(51, abs=3)


def test_clipping_shows_at_the_ends_of_the_range():
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, *SHAPE)).astype("f4")
    assert clipped_percent(phase, BALL) < 0.1
    clipped = np.clip(phase, -0.95 * np.pi, 0.95 * np.pi)
    assert clipped_percent(clipped, BALL) == pytest.approx(5, abs=0.5)


def test_the_last_echo_is_held_against_t2star_at_the_field():
    assert [1e3 / putamen_r2star(b0) for b0 in (1.5, 3.0, 7.0)] == pytest.approx(
        [55.5, 31.5, 16.1]
    )
    assert putamen_r2star(1.5) < putamen_r2star(2.0) < putamen_r2star(5.0) < putamen_r2star(9.4)


def test_headers_and_sidecars_are_held_against_the_consensus(simulated):
    (acquisition,) = read_plan(simulated).acquisitions
    said = check_acquisition(acquisition)
    assert said["reasons"] == ["look: the longest edge of a voxel is 3 mm, expected 0 to 2.05 mm"]
    flat = replace(
        acquisition,
        metadata={"MRAcquisitionType": "2D", "ImageType": ["ORIGINAL", "M", "NORM"]},
        echo_times=(0.030,),
    )
    found = check_acquisition(flat)["figures"]
    expected = {
        "dimensions": "look",
        "echo_count": "look",
        "first_echo_ms": "fail",
        "echo_spacing_ms": "absent",
        "prescan_normalised": "info",
        "obliqueness_deg": "info",
    }
    assert {name: found[name]["verdict"] for name in expected} == expected
    assert len(describe_check(flat)) == 4


# Slips


PARTS = ("magnitude", "phase")


def echoes():
    head = make_head(noise=0.02)
    return 1000 * head.magnitude, head.phase


def test_echoes_without_a_slip_pass():
    magnitude, phase = echoes()
    assert find_slip(magnitude, phase) is None
    assert find_slip(magnitude[:1], phase[:1]) is None
    assert find_slip(magnitude - 20, np.rint(phase / np.pi * 2047) + 2048) is None
    inside = magnitude[0] > 300
    assert find_slip(magnitude * inside, phase * inside) is None


@pytest.mark.parametrize("coded", [lambda p: p, lambda p: np.rint((p / np.pi + 1) * 2047)])
def test_swapped_magnitude_and_phase_are_named(coded):
    magnitude, phase = echoes()
    slip = find_slip(coded(phase), magnitude)
    assert slip.fact == "its magnitude looks like phase"


@pytest.mark.parametrize(
    ("part", "spoil", "fact"),
    [
        ("magnitude", lambda echoes: 0 * echoes, "its magnitude is 0 everywhere"),
        ("phase", lambda echoes: 0 * echoes + 2, "its phase is 2 everywhere"),
        ("phase", lambda e: e[[0, 1, 0, 3]], "its phase in echo 3 is that of echo 1"),
        ("magnitude", lambda e: e[[0, 0, 2, 3]], "its magnitude in echo 2 is that of echo 1"),
    ],
)
def test_constant_and_repeated_echoes_are_named(part, spoil, fact):
    magnitude, phase = (
        spoil(e) if name == part else e for name, e in zip(PARTS, echoes(), strict=True)
    )
    slip = find_slip(magnitude, phase)
    assert (PARTS[slip.part], slip.fact) == (part, fact)


def test_an_imaginary_part_that_is_empty_is_named():
    magnitude, phase = echoes()
    real, imaginary = magnitude * np.cos(phase), magnitude * np.sin(phase)
    assert find_slip(real, imaginary, cartesian=True) is None
    slip = find_slip(real, 0 * imaginary, cartesian=True)
    assert slip.fact == "its imaginary part is 0 everywhere"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda first, second: (second, first), "looks like phase"),
        (lambda first, second: ([first[0]] * 4, second), "is that of echo 1"),
        # A map of susceptibility, ppm, under the name of phase.
        (lambda first, second: (first, [0.02 * phase for phase in second]), "cannot be read"),
    ],
)
def test_a_slip_ends_with_file_fact_and_remedy(tmp_path, spoil, sentence):
    affine = np.diag([*OBLIQUE.voxel_size, 1])
    files = []
    for part, volumes in zip(("mag", "phase"), spoil(*map(list, echoes())), strict=True):
        names = [tmp_path / f"echo-{n}_part-{part}.nii" for n in range(1, 5)]
        for name, volume in zip(names, volumes, strict=True):
            nb.Nifti1Image(volume.astype("f4"), affine).to_filename(name)
        files.append(list(map(str, names)))
    with pytest.raises(InputError, match=sentence) as told:
        ReadEchoes(first=files[0], second=files[1], cartesian=False).run(cwd=str(tmp_path))
    assert Path(told.value.path).parent == tmp_path
