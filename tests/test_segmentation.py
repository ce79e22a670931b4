"""Labels from atlases, on heads made from the template."""

import json

import nibabel as nb
import numpy as np
import pytest
from scipy import ndimage

from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.template import MNI
from qsmprep.interfaces.registration import SyN, TemplateFiles
from qsmprep.interfaces.segmentation import AlignAtlas, FuseLabels
from qsmprep.methods.segmentation import FUSIONS, labelled_brain
from qsmprep.resources import Resources
from qsmprep.workflows.atlas import place_atlas
from qsmprep.workflows.execution import configure
from qsmprep.workflows.segmentation import (
    init_pairwise_segmentation_wf,
    init_template_segmentation_wf,
)


def fused(method, segmentations, image=None, images=None):
    shape = segmentations[0].shape
    image = np.zeros(shape) if image is None else image
    return FUSIONS[method](image, images or [image] * len(segmentations), segmentations)


def test_the_majority_decides_and_ties_go_to_the_lowest():
    votes = np.array([[1, 1, 5, 0, 7], [1, 2, 5, 0, 9], [1, 2, 3, 4, 0], [1, 0, 3, 4, 2]])
    fusion = fused("majority", list(votes[:, :, None, None]))
    assert fusion.labels.ravel().tolist() == [1, 2, 3, 0, 0]
    assert fusion.confidence().ravel().tolist() == [1, 0.5, 0.5, 0.5, 0.25]
    assert fusion.probability(9).ravel().tolist() == [0, 0, 0, 0, 0.25]


@pytest.mark.parametrize("method", FUSIONS)
def test_one_atlas_always_agrees_with_itself(method):
    fusion = fused(method, [np.arange(8).reshape(2, 2, 2)])
    np.testing.assert_array_equal(fusion.labels, np.arange(8).reshape(2, 2, 2))
    assert (fusion.confidence() == 1).all()


def ball(shape, centre, radius):
    return sum((i - c) ** 2 for i, c in zip(np.indices(shape), centre, strict=True)) < radius**2


@pytest.fixture(scope="module")
def shifted_balls():
    """Return an image of a ball, atlases that show and label it elsewhere, and the truth."""
    rng = np.random.default_rng(0)
    shape, noise = (30, 28, 26), 0.1
    truth = ball(shape, (15, 14, 13), 6)
    places = [(17, 14, 13)] * 3 + [(15, 14, 12), (15, 15, 13)]  # three are wrong the same way
    balls = [ball(shape, place, 6) for place in places]
    image, *images = (
        ndimage.gaussian_filter(body + rng.normal(0, noise, shape), 0.7)
        for body in (truth, *balls)
    )
    return image, images, [5 * body.astype(int) for body in balls], 5 * truth.astype(int)


def test_atlases_that_err_alike_do_not_outvote_the_image(shifted_balls):
    image, images, labels, truth = shifted_balls
    majority = overlap(fused("majority", labels).labels, truth, 5)
    joint = overlap(fused("joint", labels, image, images).labels, truth, 5)
    assert majority < 0.85  # the three that err agree with each other
    assert joint > 0.95


def test_joint_fusion_knows_neither_scale_nor_offset_of_an_image(shifted_balls):
    image, images, labels, _ = shifted_balls
    plain = fused("joint", labels, image, images)
    scaled = fused("joint", labels, 300 * image + 40, [7 * image - 2 for image in images])
    # rounding decides where two labels have equal parts of the votes
    assert np.mean(plain.labels != scaled.labels) < 1e-3


@pytest.mark.parametrize("method", FUSIONS)
def test_fusion_does_not_depend_on_how_arrays_lie_in_memory(shifted_balls, method):
    image, images, labels, _ = shifted_balls
    plain = fused(method, labels, image, images)
    other = fused(  # as ANTs hands them over
        method,
        [np.asfortranarray(part) for part in labels],
        np.asfortranarray(image),
        [np.asfortranarray(part) for part in images],
    )
    np.testing.assert_array_equal(other.labels, plain.labels)
    np.testing.assert_array_equal(other.confidence(), plain.confidence())
    np.testing.assert_array_equal(other.probability(5), plain.probability(5))


def test_parts_of_the_votes_are_probabilities(shifted_balls):
    image, images, labels, _ = shifted_balls
    for fusion in (fused("majority", labels), fused("joint", labels, image, images)):
        parts = np.stack([fusion.probability(label) for label in (0, 5)])
        np.testing.assert_allclose(parts.sum(0), 1, atol=1e-5)
        np.testing.assert_array_equal(np.array([0, 5])[parts.argmax(0)], fusion.labels)
        np.testing.assert_array_equal(parts.max(0), fusion.confidence())


def test_a_structure_at_the_edge_of_the_volume_is_fused_too(shifted_balls):
    image, images, labels, truth = (
        [a[9:, 8:, 7:] for a in part] if isinstance(part, list) else part[9:, 8:, 7:]
        for part in shifted_balls
    )
    assert overlap(fused("joint", labels, image, images).labels, truth, 5) > 0.93


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
        aligned = AlignAtlas(
            t1w_brain=t1w,
            brain_mask=mask,
            atlas_t1w=atlas_t1w,
            atlas_dseg=atlas_dseg,
            spacing=4.0,
            seed=7,
        ).run(cwd=str(tmp_path / run))
        carried = FuseLabels(
            t1w_brain=t1w,
            atlas_t1ws=[atlas_t1w],
            atlas_dsegs=[atlas_dseg],
            transforms=[aligned.outputs.transform],
            indices=[37, 41],
        ).run(cwd=str(tmp_path / run))
        results.append(nb.load(carried.outputs.dseg))
    dseg = results[0].get_fdata()
    np.testing.assert_array_equal(dseg, results[1].get_fdata())
    assert results[0].get_data_dtype().kind == "i"
    np.testing.assert_allclose(results[0].affine, nb.load(t1w).affine, atol=1e-5)
    assert set(np.unique(dseg)) <= {0, 2, 3, 37, 41, 42}
    assert overlap(dseg, truth, 37) > 0.8
    probseg = nb.load(carried.outputs.probseg)
    np.testing.assert_allclose(probseg.affine, nb.load(t1w).affine, atol=1e-5)
    np.testing.assert_array_equal(probseg.get_fdata()[..., 0] > 0.5, dseg == 37)
    np.testing.assert_array_equal(probseg.get_fdata()[..., 1] > 0.5, dseg == 41)


@pytest.fixture(scope="module")
def toy_atlas(template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    for number in (1, 2):
        head(template, number, folder / f"sub-{number}/anat", f"sub-{number}")
    (folder / "dataset_description.json").write_text(json.dumps({"License": "CC0"}))
    (folder / "atlas-Toy_dseg.tsv").write_text(
        "index\tname\themisphere\n2\twhite\tL\n41\twhite\tR\n3\tgrey\tL\n42\tgrey\tR\n37\tball\tL\n"
    )
    return read_atlas(folder)


def run_and_check(wf, folder, truth):
    wf.base_dir = folder
    wf.run()
    made = folder / "segmentation_wf/fuse"
    dseg, confidence = (
        nb.load(made / f"{name}.nii.gz").get_fdata() for name in ("dseg", "confidence")
    )
    assert {label for label in (2, 41, 37) if overlap(dseg, truth, label) < 0.8} == set()
    assert confidence[dseg == truth].mean() > confidence[dseg != truth].mean()


def test_several_heads_are_aligned_to_the_participant(toy_atlas, participant, tmp_path):
    t1w, mask, truth = participant
    wf = init_pairwise_segmentation_wf(atlas=toy_atlas, seed=7, spacing=4.0)
    wf.inputs.inputnode.t1w_brain, wf.inputs.inputnode.brain_mask = t1w, mask
    run_and_check(wf, tmp_path, truth)


def test_several_heads_meet_the_participant_on_the_template(
    toy_atlas, template, participant, tmp_path
):
    t1w, mask, truth = participant
    configure(tmp_path / "logs")

    def place():
        return place_atlas(
            toy_atlas,
            MNI,
            seed=7,
            spacing=4.0,
            folder=tmp_path / "atlases",
            resources=Resources(nprocs=1, omp_nthreads=1, mem_mb=8000, work_dir=tmp_path),
            crash_dir=tmp_path / "logs",
            plugin={"plugin": "Linear"},
        )

    placed = place()
    times = {path: path.stat().st_mtime_ns for path in placed.values()}
    assert sorted(placed) == ["sub-1", "sub-2"]
    assert {path: path.stat().st_mtime_ns for path in place().values()} == times  # once is enough
    assert {path.parent for path in placed.values()} == set((tmp_path / "atlases").iterdir())
    assert len(list(placed["sub-1"].parent.glob("[!.]*"))) == 2  # and nothing is left behind
    aligned = SyN(
        fixed=template.t1w,
        fixed_mask=template.mask,
        moving=t1w,
        moving_mask=mask,
        spacing=4.0,
        seed=7,
    ).run(cwd=str(tmp_path))
    wf = init_template_segmentation_wf(atlas=toy_atlas, placed=placed)
    wf.inputs.inputnode.t1w_brain = t1w
    wf.inputs.inputnode.template_to_t1w = aligned.outputs.fixed_to_moving
    run_and_check(wf, tmp_path, truth)
