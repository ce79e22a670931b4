"""Lesions are planted where they are said to be, and nowhere else."""

from dataclasses import replace
import json
import os
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from qsmprep.errors import InputError, RequestError
from qsmprep.geometry import Geometry
from qsmprep.methods.lesions import find_lesions
from qsmprep.simulate.acquisition import SessionSpec, acquire, moved_head
from qsmprep.simulate.anatomy import INDEX
from qsmprep.simulate.cli import main, parser, plan
from qsmprep.simulate.dataset import ParticipantSpec, write_dataset
from qsmprep.simulate.head import make_head, template_points
from qsmprep.simulate.lesions import SOLID_AND_SHELL, Ball, LesionMask, flair, plant

DATA = Path(os.environ.get("QSMPREP_TEST_DATA", Path(__file__).parents[2] / "shared/data"))
FIRST = SessionSpec(
    label="01", voxel_size=(3.0, 3.0, 3.0), tilt=(12.0, -5.0, 3.0), echo_times=(0.005, 0.012)
)
AGAIN = SessionSpec(
    label="02",
    voxel_size=(3.0, 3.0, 3.0),
    echo_times=(0.005, 0.012),
    motion=(3.0, -2.0, 4.0, 2.5, -3.0, 1.5),
    t1w_motion=(-2.0, 3.0, 1.0, -3.0, 2.0, 4.0),
    flair_motion=(2.0, 1.0, -3.0, 3.0, 4.0, -2.0),
    changes={"lesions": 10.0},
)
COARSE = SessionSpec(label="01", voxel_size=(6.0, 6.0, 6.0), echo_times=(0.005,))
NEW = Ball(25.0, radius=4.0, hemisphere="R", sessions=("02",))


@pytest.fixture(scope="module")
def head():
    return make_head(seed=3, resolution=3.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("lesions") / "bids"
    ill = ParticipantSpec("01", 3, (FIRST, AGAIN), (*SOLID_AND_SHELL, NEW))
    write_dataset(out, [ill, ParticipantSpec("02", 3, (COARSE,))], resolution=3.0)
    return out


def _image(path):
    image = nb.load(path)
    return np.asanyarray(image.dataobj), image.affine


def test_a_solid_lesion_and_a_shell_lie_in_white_matter_of_either_side(head):
    ill, (solid, shell) = plant(head, SOLID_AND_SHELL, seed=3)
    white = [head.labels == INDEX["cerebral-white-matter", side] for side in "LR"]
    for lesion, tissue in zip((solid, shell), white, strict=True):
        assert tissue[ill.lesions == lesion.number].all()
        # A ball of 6 mm has 905 mm³; voxels of 27 mm³ at its border add or take a fifth.
        assert lesion.volume_mm3 == pytest.approx(905, rel=0.2)
    added = 1000 * (ill.chi - head.chi)
    np.testing.assert_allclose(added[ill.lesions == 1], 20, atol=1e-3)
    centre = np.linalg.inv(head.affine)[:3, :3] @ (shell.centre - head.affine[:3, 3])
    apart = 3 * np.linalg.norm(np.argwhere(ill.lesions == 2) - centre, axis=1)
    np.testing.assert_allclose(added[ill.lesions == 2], np.where(apart > 4.5, 30, 0), atol=1e-3)
    assert (solid.kind, shell.kind) == ("solid", "shell")


def test_a_head_is_as_before_outside_its_lesions(head):
    ill, _ = plant(head, SOLID_AND_SHELL, seed=3)
    outside = ill.lesions == 0
    for name in ("chi", "r2star", "t1", "m0", "t1w"):
        before, after = getattr(head, name), getattr(ill, name)
        np.testing.assert_array_equal(after[outside], before[outside])
        assert (after[ill.lesions == 1] != before[ill.lesions == 1]).all()
    np.testing.assert_array_equal(ill.labels, head.labels)
    assert head.lesions is None


def test_lesions_are_dark_on_t1w_and_bright_on_flair(head):
    ill, _ = plant(head, SOLID_AND_SHELL, seed=3)
    white = (head.labels == INDEX["cerebral-white-matter", "L"]) & (ill.lesions == 0)
    assert ill.t1w[ill.lesions > 0].mean() < 0.85 * ill.t1w[white].mean()
    image = flair(ill)
    assert image[ill.lesions > 0].min() > image[head.brain & (ill.lesions == 0)].max()
    assert image[head.labels == INDEX["csf", "M"]].max() < 0.2 * image[white].min()


def test_a_change_adds_to_all_of_a_lesion(head):
    one, _ = plant(head, SOLID_AND_SHELL, seed=3)
    other, planted = plant(head, SOLID_AND_SHELL, seed=3, change=10.0)
    inside = one.lesions > 0
    np.testing.assert_allclose(1000 * (other.chi - one.chi)[inside], 10, atol=1e-3)
    np.testing.assert_array_equal(other.lesions, one.lesions)
    assert [lesion.ppb for lesion in planted] == [30, 40]


def test_lesions_keep_apart_and_those_without_room_are_refused(head):
    three = (Ball(), Ball(), Ball(radius=4.0))
    ill, planted = plant(head, three, seed=3)
    assert ndimage.label(ill.lesions > 0, np.ones((3, 3, 3)))[1] == 3
    assert [lesion.number for lesion in planted] == [1, 2, 3]
    with pytest.raises(RequestError, match="plant fewer or smaller"):
        plant(head, (Ball(radius=30.0),), seed=3)
    with pytest.raises(RequestError, match="outside the brain"):
        plant(head, (Ball(centre=(0.0, 0.0, 110.0)),), seed=3)


@pytest.mark.skipif(not (DATA / "lesions").is_dir(), reason="needs the lesion masks")
def test_lesions_of_a_person_are_planted_as_they_are(head):
    (path,) = (DATA / "lesions").glob("*GOLD_STANDARD*")
    mask, affine = _image(path)
    ill, planted = plant(head, LesionMask(path), seed=3)
    # Each voxel of the head takes the voxel of the mask that its tissue comes from.
    world = template_points(head, 3)[(ill.lesions > 0).ravel()]
    at = np.rint((world - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(int)
    assert mask[tuple(at.T)].all()
    # One voxel of 27 mm³ speaks for 27, and a person's head is up to a tenth larger.
    assert sum(lesion.volume_mm3 for lesion in planted) == pytest.approx(mask.sum(), rel=0.25)
    found = find_lesions(ill.lesions > 0, Geometry((3.0, 3.0, 3.0)), minimum_mm3=0)
    assert found.volumes_mm3 == {lesion.number: lesion.volume_mm3 for lesion in planted}
    assert ndimage.label(ill.lesions > 0, np.ones((3, 3, 3)))[1] == len(planted)
    assert {lesion.kind for lesion in planted} == {"solid", "shell"}


def test_masks_that_hold_nothing_are_refused(head, tmp_path):
    path = tmp_path / "mask.nii.gz"
    nb.save(nb.Nifti1Image(np.zeros((5, 5, 5), "u1"), np.eye(4)), path)
    with pytest.raises(InputError, match="holds no lesion mask"):
        plant(head, LesionMask(path), seed=3)
    far = np.eye(4)
    far[:3, 3] = 500
    nb.save(nb.Nifti1Image(np.ones((5, 5, 5), "u1"), far), path)
    with pytest.raises(InputError, match="no lesion in the brain"):
        plant(head, LesionMask(path), seed=3)


def test_files_hold_what_was_planted(dataset):
    tables = {}
    # The second FLAIR image sees the head elsewhere, and the mask is drawn on it.
    for session, space in (("01", "T1w"), ("02", "FLAIR")):
        stem = f"sub-01/ses-{session}/anat/sub-01_ses-{session}"
        mask, affine = _image(
            dataset / f"derivatives/lesions/{stem}_space-{space}_label-lesion_mask.nii.gz"
        )
        truth = dataset / f"derivatives/truth/{stem}"
        table = pd.read_csv(f"{truth}_lesions.tsv", sep="\t").set_index("lesion_id")
        found = find_lesions(mask > 0, Geometry.from_affine(affine), minimum_mm3=0)
        # Where the grid turns against the ball, some of 34 voxels or more at its border differ.
        drawn = sorted(found.volumes_mm3.values())
        exact = {"T1w": 1e-9, "FLAIR": 0.15}[space]
        np.testing.assert_allclose(drawn, sorted(table["volume_mm3"]), rtol=exact)
        bright, same = _image(dataset / f"{stem}_FLAIR.nii.gz")
        np.testing.assert_array_equal(same, affine)
        assert bright[mask > 0].mean() > 1.3 * np.median(bright[bright > 300])
        lesions, gre = _image(f"{truth}_desc-lesions_dseg.nii.gz")
        chi, _ = _image(f"{truth}_Chimap.nii.gz")
        to_world = json.loads(Path(f"{truth}_truth.json").read_text())["t1w_to_gre_world"]
        for number, row in table.iterrows():
            inside = lesions == number
            assert row["mean_ppb"] == pytest.approx(1000 * chi[inside].mean(), abs=0.01)
            middle = gre[:3, :3] @ np.argwhere(inside).mean(axis=0) + gre[:3, 3]
            if session == "01":  # later the T1w is not where the head was simulated
                moved = np.array(to_world) @ [*row[["x", "y", "z"]], 1]
                # Voxels of 3 mm place a small ball to half of one.
                np.testing.assert_allclose(moved[:3], middle, atol=1.5)
        tables[session] = table
    assert tables["01"].index.tolist() == [1, 2]
    assert tables["02"].index.tolist() == [1, 2, 3]
    assert tables["02"]["planted_ppb"].tolist() == [30, 40, 35]
    change = (tables["02"]["mean_ppb"] - tables["01"]["mean_ppb"]).loc[[1, 2]]
    # Partial volume of 3 mm takes a part, and it is another one where the head has moved.
    assert change.between(6, 14).all()


def test_pictures_of_a_head_that_moved_show_it_where_it_is(head):
    ill, planted = plant(head, SOLID_AND_SHELL, seed=3)
    motion = (10.0, 0.0, 0.0, 4.0, 6.0, -5.0)
    seen = moved_head(ill, motion)
    middle = (head.affine[:3, :3] @ np.argwhere(head.brain).mean(axis=0)) + head.affine[:3, 3]
    turn = np.deg2rad(10)
    matrix = np.array(
        [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    )
    for lesion in planted:
        voxel = np.argwhere(seen.lesions == lesion.number).mean(axis=0)
        found = head.affine[:3, :3] @ voxel + head.affine[:3, 3]
        expected = matrix @ (np.array(lesion.centre) - middle) + middle + motion[3:]
        np.testing.assert_allclose(found, expected, atol=1.5)  # half a voxel
    assert moved_head(ill, (0.0,) * 6) is ill


def test_a_t1w_that_saw_the_head_where_the_echoes_did_needs_no_transform(head):
    motion = (3.0, -2.0, 4.0, 2.5, -3.0, 1.5)
    scan = acquire(head, replace(COARSE, motion=motion, t1w_motion=motion), seed=1)
    np.testing.assert_allclose(scan.t1w_to_gre_world, np.eye(4), atol=1e-9)


def test_lesions_may_stay_as_they_are():
    (still,) = plan(parser().parse_args(["out", "--preset", "lesions", "--change", "0"]))
    assert [session.changes for session in still.sessions] == [{}, {"lesions": 0.0}]
    with pytest.raises(RequestError, match="--change goes with --preset lesions"):
        plan(parser().parse_args(["out", "--preset", "demo", "--change", "0"]))


def test_those_without_lesions_have_no_files_of_them(dataset):
    names = [path.name for path in dataset.rglob("*") if path.is_file()]
    healthy = [name for name in names if name.startswith("sub-02")]
    assert healthy
    assert not [name for name in healthy if "lesion" in name or "FLAIR" in name]
    settings = json.loads(next(dataset.rglob("sub-02*_truth.json")).read_text())["args"]
    assert "lesions" not in settings


def test_the_command_plants_lesions_when_asked(tmp_path):
    (one,) = plan(parser().parse_args(["out", "--preset", "lesions"]))
    assert one.lesions == SOLID_AND_SHELL
    first, again = one.sessions
    assert again.motion != first.motion
    assert again.changes == {"lesions": 10.0}
    (two,) = plan(parser().parse_args(["out", "--lesions", "mask.nii.gz"]))
    assert two.lesions == LesionMask(Path("mask.nii.gz"))
    (three,) = plan(parser().parse_args(["out", "--lesions"]))
    assert three.lesions == SOLID_AND_SHELL
    (none,) = plan(parser().parse_args(["out"]))
    assert none.lesions == ()
    changed = ParticipantSpec("01", 3, (AGAIN,))
    with pytest.raises(RequestError, match="no region lesions"):
        write_dataset(tmp_path / "bids", [changed], resolution=6.0)


def test_a_mask_that_is_not_there_ends_in_a_sentence(tmp_path, capsys):
    arguments = [str(tmp_path / "bids"), "--lesions", str(tmp_path / "none.nii.gz")]
    assert main([*arguments, "--resolution", "6"]) == 2
    said = capsys.readouterr().err
    assert "none.nii.gz" in said
    assert "Traceback" not in said
