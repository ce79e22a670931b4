"""Labels that were given for each session: one segmentation of all, whatever their order."""

from bids_skeleton import AFFINE, SHAPE, write_gre, write_image
import nibabel as nb
import numpy as np
import pytest

from qsmprep import cli
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.left_out import not_compared, plan_longitudinal
from qsmprep.bids.segmentations import read_segmentations, with_segmentations
from qsmprep.interfaces.labels import FuseSessions
from qsmprep.interfaces.longitudinal import write_matrix
from qsmprep.interfaces.registration import LPS, seeded_ants
from qsmprep.methods.segmentation import fuse_sessions
from qsmprep.protocol import Protocol
from qsmprep.workflows import cost
from qsmprep.workflows.base import build
from qsmprep.workflows.steps import (
    steps_of_anatomy,
    steps_of_maps,
    steps_of_regions,
    steps_through_time,
)
from qsmprep.workflows.study import Study

EYE = np.eye(4)


def shifted(*mm):
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return matrix


@pytest.fixture
def blocks():
    """Return labels of a head: blocks of 4 voxels, some of them background."""
    coarse = np.random.default_rng(0).choice([0, 0, 2, 11, 12, 51], size=(5, 6, 4))
    return np.kron(coarse, np.ones((4, 4, 4), dtype=int))


# the method


def test_where_sessions_agree_their_labels_are_kept(blocks):
    same = fuse_sessions([blocks] * 3, [EYE] * 3, blocks.shape)
    np.testing.assert_array_equal(same, blocks)
    other = blocks.copy()
    other[:4] = 7
    two = fuse_sessions([blocks, other], [EYE] * 2, blocks.shape)
    np.testing.assert_array_equal(two[4:], blocks[4:])


def test_most_sessions_decide_and_the_lowest_label_where_they_cannot(blocks):
    others = np.where(blocks == 11, 12, blocks)
    most = fuse_sessions([others, blocks, others], [EYE] * 3, blocks.shape)
    np.testing.assert_array_equal(most, others)
    tied = fuse_sessions([others, blocks], [EYE] * 2, blocks.shape)
    np.testing.assert_array_equal(tied, blocks)
    assert (
        fuse_sessions([others, blocks, 0 * blocks], [EYE] * 3, blocks.shape)[blocks == 11].max()
        == 0
    )


def test_the_order_of_sessions_does_not_count_to_the_last_voxel(blocks):
    rng = np.random.default_rng(1)
    images = [np.roll(blocks, shift, axis=axis) for shift, axis in ((0, 0), (1, 1), (-1, 2))]
    ways = [shifted(*rng.uniform(-2, 2, 3)) for _ in images]
    forward = fuse_sessions(images, ways, blocks.shape)
    backward = fuse_sessions(images[::-1], ways[::-1], blocks.shape)
    np.testing.assert_array_equal(forward, backward)
    assert not np.array_equal(forward, images[0])


@pytest.mark.parametrize(("borders", "last"), [((9.2, 10.4), 9), ((9.8, 10.4), 10)])
def test_two_sessions_put_a_border_half_way_between_theirs(borders, last):
    planes = np.zeros((20, 5, 5), dtype=int)
    planes[:10] = 50
    ways = [shifted(9.5 - border, 0, 0) for border in borders]
    # Plane 10 lies between the borders; it must not matter which of the labels is lower.
    for labels in (planes, 50 - planes):
        fused = fuse_sessions([labels] * 2, ways, planes.shape)[1:-3, 2, 2]
        assert list(np.flatnonzero(np.diff(fused)) + 1) == [last]


def test_an_image_has_no_vote_where_it_ends(blocks):
    part = blocks[:10]
    fused = fuse_sessions([part, blocks], [EYE] * 2, blocks.shape)
    np.testing.assert_array_equal(fused, blocks)
    beyond = fuse_sessions([blocks], [shifted(100, 0, 0)], blocks.shape)
    assert not beyond.any()


# the interface


def test_labels_of_t1w_and_of_echoes_meet_on_the_mean_in_one_step(blocks, tmp_path):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    ants = seeded_ants(0)
    flip = np.diag([*np.diag(LPS), 1.0])
    # Where points of the mean lie in the T1w, and those of the T1w in the echoes.
    to_t1w, to_echoes = shifted(3, -4, 5), shifted(-1, 2, 6)
    paths = {}
    for name, matrix in (("t1w", to_t1w), ("echoes", to_echoes)):
        paths[name] = write_matrix(ants, flip @ matrix @ flip, tmp_path / f"{name}.txt")
    for name, way in (("own", to_t1w), ("gre", to_echoes @ to_t1w), ("mean", EYE)):
        paths[name] = str(tmp_path / f"{name}.nii.gz")
        nb.Nifti1Image(blocks.astype(np.int16), way @ affine).to_filename(paths[name])
    result = FuseSessions(
        labels=[paths["gre"], paths["own"]], on_echoes=[True, False],
        t1w_to_participant=[paths["t1w"]] * 2, gre_to_t1w=[paths["echoes"]],
        template=paths["mean"],
    ).run(cwd=str(tmp_path))  # fmt: skip
    dseg = nb.load(result.outputs.dseg)
    assert dseg.get_data_dtype() == np.int32
    np.testing.assert_array_equal(np.asarray(dseg.dataobj), blocks)


# in a run


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of one participant with two sessions."""
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    for session in ("1", "2"):
        start = f"sub-01_ses-{session}"
        folder = write_gre(root, start)
        write_image(folder / f"{start}_T1w.nii.gz", (16, 16, 16), np.diag([0.5, 0.5, 1, 1]))
    return root


def give(folder, session, end="_dseg.nii.gz", affine=None):
    path = folder / f"sub-01/ses-{session}/anat/sub-01_ses-{session}{end}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if affine is None:
        affine = np.diag([0.5, 0.5, 1, 1])
    labels = np.zeros((16, 16, 16) if affine[0, 0] < 1 else SHAPE, dtype=np.int16)
    labels[2:6, 2:6, 2:6] = 51
    nb.Nifti1Image(labels, affine).to_filename(path)
    return path


def planned(bids, folder):
    plan = with_segmentations(read_plan(bids), folder)
    return plan, plan_longitudinal(plan, bids)


@pytest.mark.parametrize("echoes", [False, True])
def test_the_mean_gets_the_labels_that_were_given(bids, tmp_path, echoes):
    folder = tmp_path / "labels"
    paths = [give(folder, "1"), give(folder, "2", affine=AFFINE if echoes else None)]
    plan, (found,) = planned(bids, folder)
    heads = read_segmentations(folder, "freesurfer")
    protocol = Protocol.read("fast", ["segmentation.atlas=precomputed"])
    study = Study(bids, tmp_path / "out", protocol, heads, longitudinal=(found,))
    graph = build(study, plan.acquisitions, tmp_path / "work")
    fuse = graph.get_node("sub_01_longitudinal.segmentation_wf.fuse")
    assert fuse.inputs.labels == [str(path) for path in paths]
    assert fuse.inputs.on_echoes == [False, echoes]
    gathered = graph.get_node("sub_01_longitudinal.all_gre_to_t1w")
    assert (gathered is not None) is echoes
    known = graph.get_node("sub_01_longitudinal.save").inputs.known
    assert known["Segmentations"] == [
        f"bids:segmentation:{path.relative_to(folder).as_posix()}" for path in paths
    ]
    made = [cost.kind_of(node) for node in cost.nodes_of(graph)]
    told = [kind for kind, _ in steps_through_time(found, protocol, 0)]
    assert made.count("FuseSessions") == told.count("FuseSessions") == 1
    for _ in plan.acquisitions:
        told += [k for k, _ in (*steps_of_maps(protocol, 3), *steps_of_regions(protocol),
                                *steps_of_anatomy(protocol, 0))]  # fmt: skip
    assert cost.cost_of("FuseSessions") is not cost.UNKNOWN
    assert "FuseLabels" not in "".join(made)


def test_every_session_has_one_vote(bids, tmp_path):
    folder = tmp_path / "labels"
    for session in ("1", "2"):
        start = f"sub-01_ses-{session}"
        write_gre(bids, f"{start}_acq-fine")
        give(folder, session)
    give(folder, "2", "_acq-fine_dseg.nii.gz", affine=AFFINE)
    _, (found,) = planned(bids, folder)
    assert [one.labels_given.space for one in found.labelled] == ["T1w", "T1w"]
    # The T1w of the other session serves both, and so do its labels.
    (bids / "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz").unlink()
    _, (found,) = planned(bids, folder)
    assert [one.labels_given.space for one in found.labelled] == ["T1w", "GRE"]


def test_segmentations_of_two_kinds_are_no_one_segmentation(bids, tmp_path, capsys):
    folder = tmp_path / "labels"
    paths = [give(folder, "1", "_desc-aseg_dseg.nii.gz"), give(folder, "2", "_seg-x_dseg.nii.gz")]
    plan, found = planned(bids, folder)
    assert found == ()
    (row,) = not_compared(plan, bids)
    assert (row.suffix, row.status) == ("longitudinal", "skipped")
    assert all(str(path) in row.reason for path in paths)
    call = [str(bids), str(tmp_path / "out"), "participant", "--dry-run", "--longitudinal",
            "-d", f"segmentation={folder}", "--set", "segmentation.lookup=freesurfer"]  # fmt: skip
    assert cli.main(call) == 1
    assert "another segmentation by its name" in capsys.readouterr().out
