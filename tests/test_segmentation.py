"""Labels from atlases, on heads made from the template."""

import json

import nibabel as nb
import numpy as np
import pytest
from scipy import ndimage

from qsmprep.bids.atlas import read_atlas
from qsmprep.interfaces.registration import TemplateFiles
from qsmprep.interfaces.segmentation import CarryLabels
from qsmprep.methods.segmentation import labelled_brain, majority_vote
from qsmprep.workflows.segmentation import init_segmentation_wf


def test_the_majority_decides_and_ties_go_to_the_lowest():
    votes = np.array([[1, 1, 5, 0, 7], [1, 2, 5, 0, 9], [1, 2, 3, 4, 0], [1, 0, 3, 4, 2]])
    labels, agreement = majority_vote(list(votes[:, :, None, None]))
    assert labels.ravel().tolist() == [1, 2, 3, 0, 0]
    assert agreement.ravel().tolist() == [1, 0.5, 0.5, 0.5, 0.25]


def test_one_atlas_always_agrees_with_itself():
    labels, agreement = majority_vote([np.arange(8).reshape(2, 2, 2)])
    np.testing.assert_array_equal(labels, np.arange(8).reshape(2, 2, 2))
    assert (agreement == 1).all()


def test_the_brain_around_labels_is_closed_and_filled():
    x, y, z = np.indices((60, 60, 60)) - 29.5
    radius = np.sqrt(x**2 + y**2 + z**2)
    shell = (radius < 24) & (radius > 18) & ~((np.abs(x) < 2) & (z > 0))  # cortex with a fissure
    brain = labelled_brain(shell.astype(int), (1.0, 1.0, 1.0))
    assert brain[radius < 24].all()
    volume = brain.sum() / (4 / 3 * np.pi)
    assert 24 < volume ** (1 / 3) < 27  # 2 mm wider, within a voxel


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template")
    return TemplateFiles(resolution=4).run(cwd=str(folder)).outputs


def labels_of(template, points):
    """Return white (41, 2), grey matter (42, 3) and a deep ball (37) at world points."""
    x, y, z = points
    affine = np.linalg.inv(nb.load(template.t1w).affine)
    index = nb.affines.apply_affine(affine, np.moveaxis(points, 0, -1))
    index = np.moveaxis(index, -1, 0)
    white, grey = (
        ndimage.map_coordinates(nb.load(path).get_fdata(), index, order=1)
        for path in (template.wm, template.gm)
    )
    labels = np.where(white > 0.5, np.where(x > 0, 41, 2), 0)
    labels = np.where(grey > 0.5, np.where(x > 0, 42, 3), labels)
    labels = np.where((x + 25) ** 2 + y**2 + (z - 5) ** 2 < 14**2, 37, labels)
    brain = ndimage.map_coordinates(
        nb.load(template.t1w).get_fdata() * nb.load(template.mask).get_fdata(), index, order=1
    )
    return np.where(brain > 0.1, brain, 0), np.where(brain > 0.1, labels, 0)


def head(template, seed, folder, name):
    """Write a head deformed by 4 mm on a tilted 4 mm grid; return T1w and labels."""
    shape = (52, 60, 52)
    rng = np.random.default_rng(seed)
    turn = nb.eulerangles.euler2mat(*rng.normal(0, 0.08, 3)) * 4
    affine = nb.affines.from_matvec(turn, [0, -17, 10] - turn @ (np.array(shape) - 1) / 2)
    points = np.moveaxis(
        nb.affines.apply_affine(affine, np.indices(shape).T.swapaxes(0, 2)), -1, 0
    )
    smooth = [ndimage.gaussian_filter(rng.normal(size=shape), 6) for _ in range(3)]
    points += [4 * field / field.std() for field in smooth]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, array in zip(("T1w", "dseg"), labels_of(template, points), strict=True):
        paths.append(folder / f"{name}_{kind}.nii.gz")
        kinds = {"T1w": np.float32, "dseg": np.int16}
        nb.Nifti1Image(array.astype(kinds[kind]), affine).to_filename(paths[-1])
    return [str(path) for path in paths]


def overlap(a, b, label):
    return 2 * ((a == label) & (b == label)).sum() / ((a == label).sum() + (b == label).sum())


@pytest.fixture(scope="module")
def participant(template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("participant")
    t1w, dseg = head(template, 0, folder, "sub-01")
    image = nb.load(t1w)
    mask = ndimage.binary_fill_holes(image.get_fdata() > 0)
    nb.Nifti1Image(mask.astype(np.uint8), image.affine).to_filename(folder / "mask.nii.gz")
    return t1w, str(folder / "mask.nii.gz"), nb.load(dseg).get_fdata()


def test_labels_are_carried_the_same_way_every_time(template, participant, tmp_path):
    t1w, mask, truth = participant
    atlas_t1w, atlas_dseg = head(template, 1, tmp_path, "atlas")
    results = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        carried = CarryLabels(
            t1w_brain=t1w,
            brain_mask=mask,
            atlas_t1w=atlas_t1w,
            atlas_dseg=atlas_dseg,
            spacing=4.0,
            seed=7,
        ).run(cwd=str(tmp_path / run))
        results.append(nb.load(carried.outputs.dseg))
    np.testing.assert_array_equal(results[0].get_fdata(), results[1].get_fdata())
    assert results[0].get_data_dtype().kind == "i"
    np.testing.assert_allclose(results[0].affine, nb.load(t1w).affine, atol=1e-5)
    assert set(np.unique(results[0].get_fdata())) <= {0, 2, 3, 37, 41, 42}
    assert overlap(results[0].get_fdata(), truth, 37) > 0.8


def test_several_heads_vote(template, participant, tmp_path):
    t1w, mask, truth = participant
    for number in (1, 2):
        head(template, number, tmp_path / f"atlas/sub-{number}/anat", f"sub-{number}")
    (tmp_path / "atlas/dataset_description.json").write_text(json.dumps({"License": "CC0"}))
    (tmp_path / "atlas/atlas-Toy_dseg.tsv").write_text(
        "index\tname\themisphere\n2\twhite\tL\n41\twhite\tR\n3\tgrey\tL\n42\tgrey\tR\n37\tball\tL\n"
    )
    wf = init_segmentation_wf(atlas=read_atlas(tmp_path / "atlas"), seed=7, spacing=4.0)
    wf.base_dir = tmp_path
    wf.inputs.inputnode.t1w_brain, wf.inputs.inputnode.brain_mask = t1w, mask
    wf.run()
    folder = tmp_path / "segmentation_wf/fuse"
    dseg = nb.load(folder / "dseg.nii.gz").get_fdata()
    agreement = nb.load(folder / "agreement.nii.gz").get_fdata()
    assert {label for label in (2, 41, 37) if overlap(dseg, truth, label) < 0.8} == set()
    assert set(np.unique(agreement)) == {0.5, 1}
    assert agreement[dseg == truth].mean() > agreement[dseg != truth].mean()
