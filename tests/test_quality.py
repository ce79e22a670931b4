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

from qsmprep.bids.windows import read_windows
from qsmprep.geometry import Geometry
from qsmprep.interfaces.quality import CheckAcquisition, MeasureQuality
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
from qsmprep.methods.verdicts import Window, conclude, judge, judge_all, worst
from qsmprep.units import GAMMA_HZ_PER_T, ppm_to_hz

TRUTH = "derivatives/truth/sub-01/anat/sub-01"
GRID = Geometry((1.0, 1.0, 1.0))
SHAPE = (48, 48, 48)
BALL = ball(SHAPE, GRID.voxel_size, 20)


@pytest.fixture(scope="module")
def true(simulated):
    """Return the true maps of the simulated head, as a perfect reconstruction would have them."""
    kinds = ("Chimap", "desc-local_fieldmap", "desc-brain_mask")
    chi, local, mask = (load(simulated, f"{TRUTH}_{kind}.nii.gz") for kind in kinds)
    affine = nb.load(simulated / f"{TRUTH}_Chimap.nii.gz").affine
    brain = mask > 0
    return {
        "brain": brain,
        "trusted": brain,
        "noise_hz": np.full(chi.shape, 0.1, "f4"),
        "local": np.where(brain, local, 0),
        "chi": np.where(brain, chi - chi[brain].mean(), 0).astype("f4"),
        "geometry": Geometry.from_affine(affine),
    }


def verdicts(true, **planted):
    """Return the verdict on each figure of a map with something wrong in it."""
    found = judge_all(measure_quality(**true | planted), read_windows("maps"), {})["figures"]
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


@pytest.mark.parametrize("kind", ["acquisition", "maps", "regions"])
def test_every_figure_is_documented_with_its_window_and_source(kind):
    text = (Path(__file__).parents[1] / "docs/quality.md").read_text(encoding="utf-8")
    for name, window in read_windows(kind).items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` | "))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        ends = [numbers(cell) for cell in cells[3:5]]
        assert cells[1] == (window.unit or "–"), name
        assert ends == [numbers(window.good), numbers(window.fair)], name
        assert cells[5] == (window.source or "–"), name


def numbers(window):
    """Return the ends of a window, as text or as numbers, that are not infinite."""
    if isinstance(window, str):
        words = window.removeprefix("≥").replace("–", "").replace("…", ";").split(";")
    else:
        words = [word for word in window if word != np.inf]
        words = words[:1] if len(set(words)) == 1 else words
    texts = [str(word).strip() for word in words]
    return [float(t) if t.lstrip("-").replace(".", "").isdigit() else t for t in texts if t]


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


def test_what_stages_found_is_judged_and_kept(tmp_path):
    head = make_head()
    affine = np.diag([*OBLIQUE.voxel_size, 1])
    arrays = {
        "phase": np.moveaxis(head.phase, 0, -1),
        "magnitude": np.moveaxis(head.magnitude, 0, -1),
        "field_hz": ppm_to_hz(head.total, head.b0),
        "noise": np.full(head.mask.shape, 0.1, "f4"),
        "local": head.local,
        "chi": head.chi,
        "brain_mask": head.mask.astype("f4"),
        "trusted_mask": head.mask.astype("f4"),
    }
    files = {name: str(tmp_path / f"{name}.nii") for name in arrays}
    for name, array in arrays.items():
        nb.Nifti1Image(array.astype("f4"), affine).to_filename(files[name])
    facts = [
        {"PhaseCoding": "radians, header slope ignored"},
        {"BipolarReadout": {"bipolar": True}, "OpenFringes": {"lines": 2, "voxels": 90}},
        {"InversionConvergence": {"iterations": 9, "residual": 0.5, "converged": False}},
    ]
    maps = MeasureQuality(**files, te=list(TE), facts=facts).run(cwd=str(tmp_path))
    said = json.loads(Path(maps.outputs.quality).read_text())
    assert said["figures"]["inversion_solver"]["verdict"] == "look"
    assert said["figures"]["background_solver"]["reason"].endswith("the method does not iterate")
    assert said["facts"]["OpenFringes"] == {"lines": 2, "voxels": 90}
    parts = ("phase", "magnitude", "field_hz", "brain_mask", "trusted_mask")
    known = {"parts": judge("mag and phase", read_windows("acquisition")["parts"])}
    acquired = CheckAcquisition(
        **{name: files[name] for name in parts}, checked=known, facts=facts
    ).run(cwd=str(tmp_path))
    figures = json.loads(Path(acquired.outputs.quality).read_text())["figures"]
    assert figures["parts"]["value"] == "mag and phase"
    for name in ("readout", "open_fringes", "phase_scaling"):
        assert figures[name]["verdict"] == "look", name


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
