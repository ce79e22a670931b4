"""Figures of quality: each on a case with a known answer, planted errors, and no false alarm."""

from dataclasses import replace
import json
from pathlib import Path

from bids_skeleton import DATA
import nibabel as nb
import numpy as np
from phantoms import OBLIQUE, TE, ball, make_head, smooth_noise
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
from qsmprep.methods.inversion.tkd import tkd
from qsmprep.methods.quality import (
    edge_spread,
    field_residual,
    measure_facts,
    measure_quality,
    signal_to_noise,
    streaking_index,
)
from qsmprep.methods.quality_alignment import dice, offset_mm, similarity
from qsmprep.methods.quality_phase import clipped_percent, cut_percent, smooth_field_ratio
from qsmprep.methods.quality_regions import DEEP, measure_regions
from qsmprep.methods.verdicts import Window, conclude, judge, judge_all, worst
from qsmprep.units import GAMMA_HZ_PER_T, ppm_to_hz

TRUTH = "derivatives/truth/sub-01/anat/sub-01"
GRID = Geometry((1.0, 1.0, 1.0))
SHAPE = (48, 48, 48)
BALL = ball(SHAPE, GRID.voxel_size, 20)


@pytest.fixture(scope="module")
def true(simulated):
    """Return the true maps of the simulated head, as a perfect reconstruction would have them."""
    kinds = ("Chimap", "desc-local_fieldmap", "desc-total_fieldmap", "desc-brain_mask")
    chi, local, total, mask = (load(simulated, f"{TRUTH}_{kind}.nii.gz") for kind in kinds)
    affine = nb.load(simulated / f"{TRUTH}_Chimap.nii.gz").affine
    brain = mask > 0
    return {
        "brain": brain,
        "trusted": brain,
        "noise_hz": np.full(chi.shape, 0.1, "f4"),
        "local": np.where(brain, local, 0),
        "chi": np.where(brain, chi - chi[brain].mean(), 0).astype("f4"),
        "geometry": Geometry.from_affine(affine),
        "total": total,
    }


def verdicts(true, **planted):
    """Return the verdict on each figure of a map with something wrong in it."""
    given = {name: value for name, value in true.items() if name != "total"} | planted
    found = judge_all(measure_quality(**given), read_windows("maps"), {})["figures"]
    return {name: figure["verdict"] for name, figure in found.items()}


# Verdicts


WINDOW = Window("ppb", "the spread", (1.0, 2.0), (0.0, 4.0), "do this", "a paper")


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(1.0, "pass"), (2.0, "pass"), (2.1, "look"), (-1.0, "fail"), (9.0, "fail"), (None, "absent")],
)
def test_a_verdict_follows_from_the_window(value, verdict):
    assert judge(value, WINDOW)["verdict"] == verdict


def test_a_figure_tells_value_window_and_remedy():
    assert judge(3.0, WINDOW) == {
        "value": 3.0,
        "unit": "ppb",
        "verdict": "look",
        "reason": "the spread is 3 ppb, expected 1 to 2 ppb",
        "window": {"pass": [1.0, 2.0], "look": [0.0, 4.0]},
        "advice": "do this",
        "source": "a paper",
    }


def test_words_have_windows_too_and_what_has_none_is_not_judged():
    window = replace(WINDOW, unit="", good=("3D",), fair=("2D",))
    assert [judge(kind, window)["verdict"] for kind in ("3D", "2D", "1D")] == [
        "pass", "look", "fail",
    ]  # fmt: skip
    assert judge(3.0, replace(WINDOW, good=(), fair=()))["verdict"] == "info"


def test_the_worst_figure_decides_and_is_told_first():
    figures = {str(value): judge(value, WINDOW) for value in (1.5, 3.0, 9.0, None)}
    said = conclude(figures)
    assert said["verdict"] == "fail"
    assert [reason.split(":")[0] for reason in said["reasons"]] == ["fail", "look"]
    assert worst(["pass", "look"]) == "look"
    assert conclude({"1": judge(1.5, WINDOW)})["verdict"] == "pass"


def test_infinite_ends_and_values_are_json():
    for value in (np.inf, 1.0):
        window = replace(WINDOW, good=(0.0, np.inf), fair=(0.0, np.inf))
        json.dumps(judge(value, window), allow_nan=False)


@pytest.mark.parametrize("kind", ["acquisition", "maps", "regions"])
def test_windows_are_nested_and_have_a_source_and_a_remedy(kind):
    for name, window in read_windows(kind).items():
        assert not name.endswith("_verdict"), "qc.tsv has a column of that name"
        if not window.good:
            continue
        assert window.source, name
        assert window.advice, name
        if isinstance(window.good[0], str):
            assert not set(window.good) & set(window.fair), name
        else:
            assert window.fair[0] <= window.good[0] <= window.good[1] <= window.fair[1], name


# Figures of maps


def test_clean_maps_raise_no_alarm(true):
    assert set(verdicts(true).values()) == {"pass"}


def test_a_wrong_unit_is_caught(true):
    chi, local = true["chi"], true["local"]
    for slip in (1e3, 1e-3, 3 * GAMMA_HZ_PER_T * 1e-6):  # ppb for ppm and back, Hz for ppm
        found = verdicts(true, chi=slip * chi, local=slip * local)
        assert found["chi_sd_ppb"] == found["local_field_sd_ppb"] == "fail"


def test_a_wrong_sign_is_caught(true):
    assert verdicts(true, chi=-true["chi"])["chi_skewness"] == "fail"


@pytest.mark.parametrize("offset_ppm", [0.1, -0.1])
def test_a_wrong_reference_is_caught(true, offset_ppm):
    shifted = np.where(true["brain"], true["chi"] + offset_ppm, 0)
    assert verdicts(true, chi=shifted)["whole_brain_mean_ppb"] == "fail"


def test_a_mask_twice_too_large_or_half_empty_is_caught(true):
    brain = true["brain"].copy()
    while brain.sum() < 2 * true["brain"].sum():
        brain = gaussian_filter(brain.astype("f4"), 1) > 0.2
    found = verdicts(true, brain=brain)
    assert found["brain_volume_ml"] == "fail"
    half = true["brain"].copy()
    half[: half.shape[0] // 2] = False
    assert verdicts(true, trusted=half)["trusted_fraction"] != "pass"


def test_noise_is_caught(true):
    brain = true["brain"]
    noise = 0.05 * np.random.default_rng(0).standard_normal(brain.shape).astype("f4")
    noisy = np.where(brain, true["local"] + noise, 0)
    found = verdicts(true, local=noisy, noise_hz=np.full(brain.shape, 6.4, "f4"))
    assert found["field_inconsistency_ppb"] == found["median_field_noise_hz"] == "fail"


def test_streaks_are_caught(true):
    brain, geometry = true["brain"], true["geometry"]
    noise = 0.01 * np.random.default_rng(0).standard_normal(brain.shape).astype("f4")
    streaky = tkd(np.where(brain, true["local"] + noise, 0), brain, geometry, threshold=0.02)
    assert verdicts(true, chi=streaky * brain)["streaking_index"] == "fail"


def test_the_streaking_index_of_isotropic_maps_is_one():
    # 48 voxels leave some 20 frequencies of the cone in a shell: within a fifth.
    chi = np.random.default_rng(0).standard_normal(SHAPE).astype("f4")
    assert streaking_index(chi, np.ones(SHAPE, bool), GRID) == pytest.approx(1, rel=0.2)


def test_the_edge_is_compared_with_the_depth():
    chi = np.random.default_rng(0).standard_normal(SHAPE).astype("f4")
    shell = BALL & ~ball(SHAPE, GRID.voxel_size, 17)
    edge, ratio = edge_spread(np.where(shell, 3 * chi, chi), BALL, GRID)
    # A ball of voxels has a ragged shell: some of it counts as depth.
    assert edge == pytest.approx(3, rel=0.1)
    assert ratio == pytest.approx(3, rel=0.15)


def test_an_edge_artefact_is_caught(true):
    brain = true["brain"]
    inner = gaussian_filter(brain.astype("f4"), 1.5) > 0.9
    noise = 0.2 * smooth_noise(brain.shape, 1)
    spoiled = np.where(brain & ~inner, true["chi"] + noise, true["chi"])
    assert verdicts(true, chi=spoiled)["edge_sd_ratio"] == "fail"


def test_the_residual_of_a_fit_is_the_noise_of_the_phase():
    head = make_head(noise=0.02)
    field_hz = ppm_to_hz(head.total, head.b0)
    residual = field_residual(head.phase, head.magnitude, field_hz, head.mask, TE)
    # Noise is 0.02 of the first echo, more of later ones; one of four echoes goes into the offset.
    assert 0.01 < residual < 0.03
    wrong = field_residual(head.phase, head.magnitude, field_hz + 15, head.mask, TE)
    assert wrong > 0.3


def test_an_echo_of_another_series_shows_in_the_residual():
    head = make_head()
    phase = head.phase.copy()
    phase[2] = wrap(phase[2] + smooth_noise(phase[2].shape, 4).astype("f4") * 2)
    field_hz = ppm_to_hz(head.total, head.b0)
    assert field_residual(phase, head.magnitude, field_hz, head.mask, TE) > 0.3


def test_the_signal_to_noise_ratio_is_that_of_the_image():
    magnitude = 50 + 5 * smooth_noise(SHAPE, 6) + np.random.default_rng(1).standard_normal(SHAPE)
    # Waves of 6 voxels leave little in second differences, and 20,000 voxels 1 % of error.
    assert signal_to_noise(magnitude, BALL, GRID) == pytest.approx(50, rel=0.05)


def test_solvers_reference_and_sign_become_figures():
    facts = {
        "InversionConvergence": {"iterations": 200, "residual": 0.02, "converged": False},
        "Reference": {"name": "csf", "mean_ppm": 0.012, "sd_ppm": 0.03, "instead_of": "white"},
        "PhaseSign": {"inverted": True, "sign": 1, "agree": True},
    }
    values = measure_facts(facts)
    assert values == {
        "inversion_iterations": 200,
        "inversion_residual": 0.02,
        "inversion_solver": "not converged",
        "reference_mean_ppb": 12,
        "reference_sd_ppb": 30,
        "reference_region": "another one",
        "phase_sign": "against the data",
    }
    found = judge_all(values, read_windows("maps"), {})["figures"]
    assert found["inversion_solver"]["verdict"] == found["reference_region"]["verdict"] == "look"
    assert found["phase_sign"]["verdict"] == "fail"


# Figures of the acquisition


def test_a_filtered_phase_is_told_from_a_whole_one(true):
    brain, geometry, total = (true[name] for name in ("brain", "geometry", "total"))
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
def test_susceptibility_measured_in_a_brain_raises_no_alarm():
    # Of the 2016 challenge, in vivo: from twelve directions of the head.
    folder = DATA / "qsm2016"
    kinds = ("chi_cosmos", "phs_tissue", "msk", "magn")
    chi, local, mask, magnitude = (load(folder, f"{kind}.nii.gz") for kind in kinds)
    brain, geometry = mask > 0, Geometry((1.0625, 1.0625, 1.0714))
    given = {
        "brain": brain,
        "trusted": brain,
        "noise_hz": np.full(chi.shape, 0.5, "f4"),
        "local": np.where(brain, local, 0),
        "chi": np.where(brain, chi, 0),
        "geometry": geometry,
    }
    assert set(verdicts(given).values()) == {"pass"}
    assert verdicts(given, chi=-given["chi"])["chi_skewness"] == "fail"
    snr = signal_to_noise(magnitude, brain, geometry)
    assert judge(snr, read_windows("acquisition")["snr"])["verdict"] == "pass"


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
    given = dict(zip(("magnitude", "phase"), echoes(), strict=True))
    slip = find_slip(**given | {part: spoil(given[part])})
    assert (slip.part, slip.fact) == (part, fact)


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


# Figures of regions and registrations


NORMAL = {"caudate": 44, "putamen": 38, "pallidum": 130, "thalamus": 20, "substantia-nigra": 111}


def regions_of(values, **changed):
    means = {(name, side): float(value) for name, value in values.items() for side in "LRB"}
    means |= {("cerebral-cortex", "B"): 20.0, ("cerebral-white-matter", "B"): -30.0}
    means |= {tuple(key.rsplit("_", 1)): value for key, value in changed.items()}
    tissues = {name: "white" if "white" in name else "grey" for name, _ in means}
    values, missing = measure_regions(means, dict.fromkeys(means, 1.0), tissues)
    found = judge_all(values, read_windows("regions"), missing)["figures"]
    return {name: figure["verdict"] for name, figure in found.items()}


def test_the_regions_of_the_phantom_are_in_order():
    assert set(regions_of(NORMAL).values()) == {"pass"}


def test_a_wrong_sign_or_unit_of_regions_is_caught():
    inverted = {name: -value for name, value in NORMAL.items()}
    for wrong in (inverted, {name: 1e3 * v for name, v in NORMAL.items()}):
        assert regions_of(wrong)["pallidum_minus_thalamus_ppb"] == "fail"
        assert regions_of(wrong)["caudate_minus_thalamus_ppb"] == "fail"


def test_regions_are_told_apart_from_an_offset():
    # The order of regions needs no reference; that of the map is judged by whole_brain_mean_ppb.
    shifted = {name: value + 500 for name, value in NORMAL.items()}
    assert regions_of(shifted)["pallidum_minus_putamen_ppb"] == "pass"


def test_one_sided_iron_is_seen():
    assert regions_of(NORMAL, putamen_L=110.0)["left_right_difference_percent"] == "fail"


def test_regions_that_dropped_out_are_counted():
    coverage = {(name, side): 1.0 for name in DEEP for side in "LR"} | {("caudate", "L"): 0.1}
    values, missing = measure_regions({}, coverage, {})
    assert values == {"deep_nuclei_coverage": 0.1, "regions_lost_percent": 12.5}
    assert missing["putamen_minus_thalamus_ppb"] == "putamen and thalamus are not both measured"


def test_overlap_is_that_of_dice():
    other = np.roll(BALL, 10, axis=0)
    both = (BALL & other).sum()
    assert dice(BALL, other) == pytest.approx(2 * both / (2 * BALL.sum()))
    assert dice(BALL, BALL) == 1


@pytest.mark.parametrize("shift", [(0, 0, 0), (10, 0, 0), (0, -6, 8)])
def test_a_misregistration_is_measured_in_mm(shift):
    # Another contrast, as that of the T1w: dark where the other is bright.
    anatomy = smooth_noise(SHAPE, 2)
    other = np.exp(-np.roll(anatomy, shift, (0, 1, 2)))
    found = offset_mm(anatomy, other, ball(SHAPE, GRID.voxel_size, 12), GRID)
    assert found == pytest.approx(np.linalg.norm(shift), abs=2)
    window = read_windows("regions")["t1w_offset_mm"]
    assert judge(found, window)["verdict"] == ("fail" if any(shift) else "pass")


def test_similarity_runs_from_one_to_two():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, *SHAPE))
    assert similarity(one, one, BALL) == pytest.approx(2)
    # 30,000 voxels in 1024 bins leave a little by chance.
    assert similarity(one, other, BALL) == pytest.approx(1, abs=0.01)


# Whole runs


def read(out, about):
    return json.loads((out / f"sub-01/anat/sub-01_desc-{about}qc.json").read_text())


def test_a_clean_run_raises_no_alarm_but_for_the_size_of_its_voxels(maps):
    acquisition, quality = read(maps.out, "acquisition_"), read(maps.out, "")
    assert [reason.split(" is ")[0] for reason in acquisition["reasons"]] == [
        "look: the longest edge of a voxel"
    ]
    assert quality["reasons"] == []
    assert quality["verdict"] == "pass"
    assert set(quality["facts"]) >= {"PhaseCoding", "PhaseSign", "Reference"}
    assert not (maps.out / "sub-01/anat/sub-01_desc-regions_qc.json").exists()
    for said, kind in ((acquisition, "acquisition"), (quality, "maps")):
        assert set(said["figures"]) == set(read_windows(kind))


def test_regions_and_registrations_of_a_clean_run_raise_no_alarm(complete):
    said = read(complete.out, "regions_")
    assert set(said["figures"]) == set(read_windows("regions"))
    assert said["reasons"] == []
