"""Heads are the same for the same seed, fields obey physics, files hold what was planted."""

import json
from pathlib import Path
import subprocess
import sys

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from qsmprep.errors import RequestError
from qsmprep.geometry import Geometry
from qsmprep.simulate.acquisition import SessionSpec, acquire
from qsmprep.simulate.anatomy import BRAIN, INDEX
from qsmprep.simulate.cli import main, parser, plan
from qsmprep.simulate.codings import CODINGS, encode
from qsmprep.simulate.dataset import ParticipantSpec, write_atlas, write_dataset
from qsmprep.simulate.head import make_head
from qsmprep.simulate.signal import VoxelGrid, add_noise, field_of, receive_phase, shim
from qsmprep.units import ppm_to_hz

GRE = SessionSpec(
    label="01",
    voxel_size=(3.0, 3.0, 3.5),
    tilt=(12.0, -5.0, 3.0),
    motion=(3.0, -2.0, 4.0, 2.5, -3.0, 1.5),
    echo_times=(0.005, 0.012),
)
AGAIN = SessionSpec(
    label="02", voxel_size=(3.0, 3.0, 3.5), echo_times=(0.005, 0.012), changes={"putamen": 10.0}
)


@pytest.fixture(scope="module")
def head():
    return make_head(seed=3, resolution=3.0)


@pytest.fixture(scope="module")
def scan(head):
    return acquire(head, GRE, seed=3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "bids"
    stored_otherwise = [
        SessionSpec(**{**vars(GRE), "acq": "slope", "coding": "slope"}),
        SessionSpec(**{**vars(GRE), "acq": "stack", "layout": "4D", "coding": "uint4096"}),
        SessionSpec(**{**vars(GRE), "acq": "ge", "coding": "real-imag-inverted"}),
    ]
    write_dataset(out, [ParticipantSpec("01", 3, (GRE, *stored_otherwise, AGAIN))], resolution=3.0)
    return out


def _load(path):
    return nb.load(path)


def _truth(dataset, session, name):
    stem = f"derivatives/truth/sub-01/ses-{session}/anat/sub-01_ses-{session}_{name}"
    if name.endswith(".tsv"):
        return pd.read_csv(dataset / stem, sep="\t").set_index(["region", "hemi"])
    return _load(dataset / f"{stem}.nii.gz")


def _echo(dataset, name):
    return _load(dataset / f"sub-01/ses-01/anat/sub-01_ses-01_{name}_MEGRE.nii.gz")


@pytest.mark.parametrize("b0_dir", [(0, 0, 1), (0.36, 0.48, 0.8)])
def test_a_sphere_makes_the_field_of_a_dipole(b0_dir):
    shape, radius = (64, 64, 64), 8.0
    at = np.stack(np.meshgrid(*[np.arange(n) - n / 2 + 0.5 for n in shape], indexing="ij"), -1)
    offsets = (np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3) + 0.5) / 4 - 0.5
    # The border with its partial volume, so that the sphere has the right size.
    chi = np.mean([np.linalg.norm(at + o, axis=-1) < radius for o in offsets], axis=0)
    field = field_of(chi, Geometry((1.0, 1.0, 1.0), b0_dir))
    r = np.linalg.norm(at, axis=-1)
    cosine = at @ np.asarray(b0_dir) / r
    expected = (radius / r) ** 3 * (3 * cosine**2 - 1) / 3
    outside = (r > radius + 2) & (r < 25)
    error = np.linalg.norm((field - expected)[outside]) / np.linalg.norm(expected[outside])
    # What is left is Gibbs ringing of the sampled kernel near the surface.
    assert error < 0.04
    # Inside, Lorentz's correction leaves nothing.
    assert np.abs(field[r < radius - 3].mean()) < 0.005


def test_air_around_a_uniform_body_is_enough_padding():
    chi = np.full((24, 24, 24), 9.2, "f4")
    chi[6:18, 6:18, 6:18] = 0
    geometry = Geometry((1.0, 1.0, 1.0))
    close, far = (field_of(chi, geometry, margin=m)[8:16, 8:16, 8:16] for m in (0.5, 1.5))
    # Images of the body four edges away add a field nearly constant over it, which a shim takes.
    assert np.abs(np.ptp(close - far)) < 0.02 * np.ptp(far)


def test_the_shim_takes_harmonics_and_leaves_the_rest(head):
    geometry = Geometry.from_affine(head.affine)
    x, y, z = (g * np.float32(0.03) for g in np.indices(head.brain.shape, sparse=True))
    second_order = 0.3 + 0.2 * x - y * z + 0.5 * (x * x - y * y)
    assert np.abs(shim(second_order, head.brain, geometry))[head.brain].max() < 1e-3
    bump = (np.exp(-((x - 3) ** 2) - (y - 4) ** 2 - (z - 4) ** 2) + 0 * second_order).astype("f4")
    once = shim(bump, head.brain, geometry)
    assert once[head.brain].std() > 0.5 * bump[head.brain].std()
    np.testing.assert_allclose(shim(once, head.brain, geometry), once, atol=1e-4)


def test_phase_grows_with_echo_time_where_the_field_is_high():
    ones = np.ones((6, 6, 6), "f4")
    grid = VoxelGrid((4, 4, 4), np.diag((1.0, 1.0, 1.0, 1.0)))
    signal = grid.echoes(ones, 20 * ones, 10 * ones, (0.0, 0.01, 0.02))
    np.testing.assert_allclose(
        np.angle(signal[1:]),
        [[[[0.2 * np.pi]]], [[[0.4 * np.pi]]]] + 0 * signal.real[1:],
        rtol=1e-4,
    )
    np.testing.assert_allclose(np.abs(signal[2]), np.exp(-0.4), rtol=1e-4)


def test_a_field_gradient_inside_a_voxel_costs_signal():
    ones = np.ones((20, 8, 8), "f4")
    field_hz = 5 * np.indices(ones.shape)[0].astype("f4")
    to_head = np.diag((3.0, 1.0, 1.0, 1.0))
    to_head[0, 3] = 4.0
    signal = VoxelGrid((3, 4, 4), to_head).echoes(ones, 0 * ones, field_hz, (0.02,))
    # 15 Hz over the edge of a voxel for 20 ms: the mean of a 0.3 turn.
    np.testing.assert_allclose(np.abs(signal), np.sinc(0.3), rtol=1e-3)


def test_noise_has_the_stated_size():
    clean = np.full((2, 20, 20, 20), 50 + 0j, "c8")
    noisy = add_noise(clean, np.ones((20, 20, 20), bool), snr=25, seed=(1, 2))
    # 16000 samples: the standard deviation is known to half a percent.
    assert np.std(noisy.real) == pytest.approx(2, rel=0.02)
    assert np.std(noisy.imag) == pytest.approx(2, rel=0.02)


def test_receive_phase_turns_several_times_and_smoothly():
    phase = receive_phase((40, 48, 40), np.diag((4.0, 4.0, 4.0, 1.0)), seed=1)
    assert np.ptp(phase) > 3
    assert max(np.abs(np.diff(phase, axis=i)).max() for i in range(3)) < 0.6


def test_same_seed_same_head_other_seed_other_head(head):
    again, other = make_head(seed=3, resolution=3.0), make_head(seed=4, resolution=3.0)
    np.testing.assert_array_equal(again.chi, head.chi)
    np.testing.assert_array_equal(again.t1w, head.t1w)
    both = head.brain & other.brain
    assert np.mean(other.labels[both] != head.labels[both]) > 0.2


def test_the_undeformed_head_is_symmetric_and_has_every_region():
    template = make_head(seed=None, resolution=2.0)
    assert set(np.unique(template.labels)) == set(template.names)
    mirrored = np.arange(max(template.names) + 1)
    for tissue in BRAIN:
        if tissue.paired:
            left, right = INDEX[tissue.name, "L"], INDEX[tissue.name, "R"]
            mirrored[[left, right]] = right, left
    half = template.labels.shape[0] // 2
    left_side, right_side = template.labels[:half], template.labels[::-1][:half]
    # Rounding decides where grey and white matter are equally likely.
    assert np.mean(mirrored[left_side] != right_side) < 1e-4


def test_each_region_has_the_susceptibility_that_was_planted(head):
    for tissue in BRAIN:
        for side in "LR" if tissue.paired else "M":
            mean = 1000 * head.chi[head.labels == INDEX[tissue.name, side]].mean()
            # Texture of 5 ppb, a few voxels long, averages out to this in the smallest nuclei.
            assert mean == pytest.approx(tissue.chi, abs=6), tissue.name


def test_changes_are_local_and_raise_relaxation(head):
    later = make_head(seed=3, resolution=3.0, changes={"putamen": 10.0})
    putamen = np.isin(head.labels, (INDEX["putamen", "L"], INDEX["putamen", "R"]))
    np.testing.assert_allclose(later.chi - head.chi, np.where(putamen, 0.010, 0), atol=1e-6)
    assert np.all((later.r2star > head.r2star)[putamen])
    with pytest.raises(RequestError, match="no region puttamen in a simulated head; choose"):
        make_head(seed=3, changes={"puttamen": 10.0})


def test_phase_follows_the_true_field(scan):
    turn = np.angle(scan.signal[1] * np.conj(scan.signal[0]))
    expected = 2 * np.pi * ppm_to_hz(scan.total_field, GRE.b0) * np.diff(GRE.echo_times)
    inside = ndimage.binary_erosion(scan.labels > 0, iterations=2)
    error = np.angle(np.exp(1j * (turn - expected)))[inside]
    # Noise of 1/60 in the first echo and somewhat more in the second one.
    assert np.median(np.abs(error)) < 0.03
    assert np.abs(np.median(error)) < 0.003


def test_relaxation_is_in_the_magnitudes(head):
    quiet = acquire(head, SessionSpec(**{**vars(GRE), "snr": 1e5}), seed=3)
    first, second = np.abs(quiet.signal)
    r2star = np.log(first / second) / np.diff(GRE.echo_times)
    white = [INDEX["cerebral-white-matter", side] for side in "LR"]
    inside = ndimage.binary_erosion(np.isin(quiet.labels, white), iterations=2)
    # Field gradients inside a voxel add a little, and never take any.
    assert np.median(r2star[inside]) == pytest.approx(np.median(quiet.r2star[inside]), rel=0.05)
    assert np.median(r2star[inside] - quiet.r2star[inside]) > 0


def test_signal_is_lost_next_to_the_sinuses(head, scan):
    decay = np.abs(scan.signal[1]) / np.abs(scan.signal[0])
    field = np.abs(scan.total_field)
    inside = scan.labels > 0
    assert np.median(decay[inside & (field > 1)]) < 0.9 * np.median(decay[inside & (field < 0.1)])
    assert head.chi.max() > 9


def test_the_t1w_image_meets_the_echoes_through_the_true_transform(head, scan):
    labels = head.labels.copy()
    to_echo = np.linalg.inv(scan.affine) @ scan.t1w_to_gre_world @ head.affine
    for name in ("putamen", "lateral-ventricle"):
        inside = labels == INDEX[name, "L"]
        there = to_echo[:3, :3] @ np.argwhere(inside).mean(axis=0) + to_echo[:3, 3]
        centre = np.argwhere(scan.labels == INDEX[name, "L"]).mean(axis=0)
        # Sampling labels to their nearest voxel moves a centre by a fraction of a voxel.
        np.testing.assert_allclose(centre, there, atol=0.3)


def test_the_brain_alone_makes_the_local_field(scan):
    geometry = Geometry.from_affine(scan.affine)
    again = field_of(scan.chi, geometry)
    inside = ndimage.binary_erosion(scan.labels > 0, iterations=2)
    # The kernel is turned to the slab here and to the head there; the grids differ as well.
    assert np.corrcoef(again[inside], scan.local_field[inside])[0, 1] > 0.95


@pytest.mark.parametrize("coding", CODINGS)
def test_codings_differ_by_rounding_only(coding):
    rng = np.random.default_rng(0)
    phase = np.concatenate([rng.uniform(-np.pi, np.pi, 500), [-np.pi, 0, np.pi]])
    signal = 1000 * np.exp(1j * phase)
    parts = {
        part: np.polyval(coded.scaling or (1, 0), coded.values.astype(float))
        for part, coded in encode(signal, coding).items()
    }
    if "real" in parts:
        found = np.angle(parts["real"] + 1j * parts["imag"])
        phase, step = (-phase if coding.endswith("inverted") else phase), 0.0015
    else:
        low, high = {"radians": (-np.pi, np.pi), "uint4096": (0, 4096)}.get(coding, (-4096, 4096))
        found = (parts["phase"] - low) / (high - low) * 2 * np.pi - np.pi
        step = 1e-6 if coding == "radians" else np.pi / 4096 + 1e-6
        assert parts["phase"].min() >= low - 1e-6
        assert parts["phase"].max() < high + 1e-6 * (coding == "radians")
        np.testing.assert_array_equal(parts["mag"], 1000)
    assert np.abs(np.angle(np.exp(1j * (found - phase)))).max() < step


def test_files_store_one_signal_in_different_ways(dataset):
    phase = _echo(dataset, "echo-2_part-phase").get_fdata()
    slope = _echo(dataset, "acq-slope_echo-2_part-phase")
    stack = _echo(dataset, "acq-stack_part-phase")
    real, imag = (_echo(dataset, f"acq-ge_echo-2_part-{p}").get_fdata() for p in ("real", "imag"))
    assert slope.get_data_dtype() == np.int16
    stored = slope.dataobj.get_unscaled()
    assert (stored.min(), stored.max()) == (0, 4095)
    np.testing.assert_array_equal(stored, stack.dataobj[..., 1])

    def apart(one, other):
        return np.abs(np.angle(np.exp(1j * (one - other))))

    assert apart(slope.get_fdata() * np.pi / 4096, phase).max() < np.pi / 4096 + 1e-5
    strong = np.hypot(real, imag) > 300
    # Rounding real and imaginary part to integers turns a signal of 300 by 1/300 at most.
    assert apart(-np.angle(real + 1j * imag), phase)[strong].max() < 1 / 300


def test_tables_hold_the_means_of_the_maps(dataset):
    table = _truth(dataset, "01", "regions.tsv")
    chi = 1000 * _truth(dataset, "01", "Chimap").get_fdata()
    labels = _truth(dataset, "01", "dseg").get_fdata()
    caudate = labels == INDEX["caudate", "L"]
    row = table.loc["caudate", "L"]
    assert row["mean_ppb"] == pytest.approx(chi[caudate].mean(), abs=1e-3)
    assert row["volume_mm3"] == pytest.approx(caudate.sum() * 31.5, abs=0.01)
    assert row["whole_brain_mean_ppb"] == pytest.approx(chi[labels > 0].mean(), abs=1e-3)
    assert row["mean_nominal_ppb"] == pytest.approx(44, abs=6)


def test_the_second_session_has_more_iron_in_the_putamen_alone(dataset):
    first, second = (_truth(dataset, session, "regions.tsv") for session in ("01", "02"))
    nominal = second["mean_nominal_ppb"] - first["mean_nominal_ppb"]
    assert nominal["putamen"].tolist() == pytest.approx([10, 10], abs=2e-3)
    assert nominal.drop("putamen").abs().max() == 0
    # The slabs are tilted differently, and a putamen 10 mm wide is mostly rim in 3 mm voxels.
    gain = second["mean_ppb"] - first["mean_ppb"]
    assert gain["putamen"].between(4, 10).all()


def test_the_dataset_is_bids(dataset, tmp_path):
    write_atlas(tmp_path / "atlas", resolution=4.0)
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    for folder in (dataset, dataset / "derivatives/truth", tmp_path / "atlas"):
        answer = subprocess.run(
            [validator, folder, "--json", "--ignoreWarnings"],
            capture_output=True,
            text=True,
            check=False,
        )
        issues = json.loads(answer.stdout)["issues"]["issues"]
        assert not [issue for issue in issues if issue["severity"] == "error"]


def test_same_request_same_bytes(tmp_path):
    spec = SessionSpec(voxel_size=(5.0, 5.0, 5.0), echo_times=(0.005,), skull=False)
    for out in ("one", "two"):
        write_dataset(tmp_path / out, [ParticipantSpec("01", 1, (spec,))], resolution=5.0)
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        twin = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == twin.read_bytes(), path.name


def test_the_atlas_is_a_stripped_head_with_labels(tmp_path):
    write_atlas(tmp_path, resolution=4.0)
    names = pd.read_csv(tmp_path / "atlas-simulated_dseg.tsv", sep="\t")
    assert list(names.columns) == ["index", "name", "hemisphere"]
    stem = tmp_path / "tpl-simulated/anat/tpl-simulated"
    labels = _load(f"{stem}_dseg.nii.gz").get_fdata()
    t1w = _load(f"{stem}_T1w.nii.gz").get_fdata()
    assert set(np.unique(labels)) - {0} <= set(names["index"])
    assert not t1w[labels == 0].any()
    chi = _load(f"{stem}_Chimap.nii.gz").get_fdata()
    assert not chi[labels == 0].any()
    dentate = names["index"][names["name"] == "dentate"]
    assert chi[np.isin(labels, dentate)].mean() == pytest.approx(0.152)  # no texture in a template


def test_the_command_writes_and_explains(tmp_path, capsys):
    small = ["--resolution", "5", "--voxel-size", "5", "5", "5", "--echo-times", "0.004", "0.02"]
    assert main([str(tmp_path / "out"), *small, "--coding", "sint4096", "--b0", "7"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert all(Path(line).exists() for line in printed)
    sidecar = tmp_path / "out/sub-01/anat/sub-01_echo-2_part-phase_MEGRE.json"
    assert json.loads(sidecar.read_text())["EchoTime"] == 0.02
    assert json.loads(sidecar.read_text())["MagneticFieldStrength"] == 7
    assert main([str(tmp_path / "out"), *small]) == 2
    assert "is not empty; name a new folder" in capsys.readouterr().err
    assert main([str(tmp_path / "new"), "--preset", "demo", "--participants", "3"]) == 2
    assert "--participants goes with --preset single" in capsys.readouterr().err


def test_presets_take_the_settings_that_are_given():
    first, second = plan(parser().parse_args(["out", "--preset", "demo", "--snr", "30"]))
    assert [session.changes for session in first.sessions] == [{}, {"putamen": 10.0}]
    assert {session.snr for session in first.sessions + second.sessions} == {30.0}
    assert first.seed != second.seed
    (stored,) = plan(parser().parse_args(["out", "--preset", "codings"]))
    assert len({session.coding for session in stored.sessions}) == 4
    several = plan(parser().parse_args(["out", "--participants", "3", "--sessions", "2"]))
    assert [(p.label, p.sessions[1].label) for p in several] == [
        ("01", "02"),
        ("02", "02"),
        ("03", "02"),
    ]


@pytest.mark.parametrize(
    ("participants", "message"),
    [
        ([ParticipantSpec("01", 1), ParticipantSpec("01", 2)], "differ in their labels"),
        ([ParticipantSpec("0_1", 1)], "letters and digits"),
        ([ParticipantSpec("01", 1, (GRE, GRE))], "differ in session or acq"),
        ([ParticipantSpec("01", 1, (SessionSpec(coding="octal"),))], "choose from radians"),
        ([ParticipantSpec("01", 1, (SessionSpec(layout="5D"),))], "choose from per-echo"),
        ([ParticipantSpec("01", 1, (SessionSpec(echo_times=(5.0,)),))], "must be in seconds"),
        ([ParticipantSpec("01", 1, (SessionSpec(changes={"x": 1.0}),))], "no region x"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(participants, message, tmp_path):
    with pytest.raises(RequestError, match=message):
        write_dataset(tmp_path / "out", participants)
    assert not (tmp_path / "out").exists()
