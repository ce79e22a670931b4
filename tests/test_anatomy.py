"""Brain, tissues and registrations, on heads made from the template."""

import os
from pathlib import Path

import nibabel as nb
from nilearn import datasets
import numpy as np
import pytest
from scipy import ndimage

from qsmprep.interfaces.anatomy import N4, BrainMask
from qsmprep.interfaces.registration import (
    ApplyTransforms,
    RigidToMagnitude,
    TemplateFiles,
    seeded_ants,
    to_ants,
)
from qsmprep.methods.segmentation import stripped_brain
from qsmprep.workflows.anatomy import init_anatomy_wf, init_coregistration_wf

DATA = Path(os.environ.get("QSMPREP_TEST_DATA", Path(__file__).parents[2] / "shared/data"))
MOTION = nb.affines.from_matvec(
    nb.eulerangles.euler2mat(*np.deg2rad([1.5, -1.0, 2.4])), [2.0, -3.0, 1.7]
)
"""From T1w world to GRE world: 3 degrees and 4 mm."""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Return the template's files at 4 mm."""
    folder = tmp_path_factory.mktemp("template")
    return TemplateFiles(resolution=4).run(cwd=str(folder)).outputs


def write(array, affine, path):
    nb.Nifti1Image(np.asarray(array, dtype=np.float32), affine).to_filename(path)
    return str(path)


def sampled(array, affine, shape, grid, order=1):
    """Return the image `array` at the voxels of another grid."""
    index = np.linalg.inv(affine) @ grid
    return ndimage.affine_transform(array, index, output_shape=shape, order=order)


def oblique(size, shape, centre):
    """Return the affine of a tilted grid around a point."""
    turn = nb.eulerangles.euler2mat(0.1, 0.15, -0.2) @ np.diag([size] * 3)
    return nb.affines.from_matvec(turn, centre - turn @ (np.array(shape) - 1) / 2)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def head_around(brain, mask):
    """Return the brain in a dark skull and a bright scalp, 4 mm voxels."""
    skull = ndimage.binary_dilation(mask, iterations=2)
    scalp = ndimage.binary_dilation(skull, iterations=2) & ~skull
    return np.where(scalp, 0.9, brain * mask)


def test_a_head_is_told_from_a_brain(template):
    brain, mask = (nb.load(path).get_fdata() for path in (template.t1w, template.mask))
    brain, mask = (np.pad(array, 6) for array in (brain, mask > 0))
    size = (4.0, 4.0, 4.0)
    found = stripped_brain(brain * mask, size)
    assert dice(found, mask) > 0.999
    assert stripped_brain(head_around(brain, mask), size) is None
    noise = np.random.default_rng(0).rayleigh(0.01, brain.shape)
    assert stripped_brain(brain * mask + noise, size) is None  # air was never removed
    assert stripped_brain(np.zeros_like(brain), size) is None


def test_crumbs_and_holes_do_not_mislead(template):
    image = nb.load(template.t1w)
    brain = image.get_fdata() * (nb.load(template.mask).get_fdata() > 0)
    whole = stripped_brain(brain, (4.0, 4.0, 4.0))
    brain[25, 30, 25] = 0  # a ventricle of exact zeros
    brain[1, 1, 1] = 1
    np.testing.assert_array_equal(stripped_brain(brain, (4.0, 4.0, 4.0)), whole)


@pytest.mark.skipif(not (DATA / "bids").is_dir(), reason="no QSMPREP_TEST_DATA")
@pytest.mark.parametrize(("sub", "stripped"), [("1000", True), ("0002", False)])
def test_real_heads_are_told_from_real_brains(sub, stripped):
    image = nb.load(DATA / f"bids/sub-{sub}/anat/sub-{sub}_T1w.nii.gz")
    every = (slice(None, None, 2),) * 3
    t1w = image.get_fdata(dtype=np.float32)[every]
    assert (stripped_brain(t1w, (2.0, 2.0, 2.0)) is not None) == stripped


def test_shading_is_divided_out_and_air_stays_zero(template, tmp_path):
    image = nb.load(template.t1w)
    mask = nb.load(template.mask).get_fdata() > 0
    flat = image.get_fdata() * mask
    shading = np.exp(np.linspace(-0.5, 0.5, image.shape[1]))[:, None]
    path = write(flat * shading, image.affine, tmp_path / "t1w.nii.gz")
    corrected = nb.load(N4(t1w=path).run(cwd=str(tmp_path)).outputs.corrected).get_fdata()
    assert (corrected[~mask] == 0).all()
    white = nb.load(template.wm).get_fdata() > 0.9
    spread = [
        np.std(array[white]) / np.mean(array[white]) for array in (flat * shading, corrected)
    ]
    assert spread[1] < 0.5 * spread[0]


def test_the_brain_is_found_in_a_head(template, tmp_path):
    image = nb.load(template.t1w)
    mask = nb.load(template.mask).get_fdata() > 0
    # A head of other size and place than the template's, tilted.
    shape = (60, 66, 60)
    grid = oblique(4.0, shape, np.array([3.0, -15.0, 12.0]))
    grow = np.diag([1.06, 0.95, 1.04, 1])
    there = grow @ image.affine
    head = sampled(np.pad(head_around(image.get_fdata(), mask), 4), shifted(there, 4), shape, grid)
    truth = sampled(mask.astype(float), there, shape, grid) > 0.5
    found = BrainMask(
        t1w=write(head, grid, tmp_path / "t1w.nii.gz"),
        template_t1w=template.t1w,
        template_mask=template.mask,
        spacing=4.0,
        seed=1,
    ).run(cwd=str(tmp_path))
    assert found.outputs.source == "template"
    # A surface wrong by a third of a 4 mm voxel everywhere costs 0.03.
    assert dice(nb.load(found.outputs.mask).get_fdata() > 0, truth) > 0.97


def shifted(affine, voxels):
    """Return the affine of an array padded by so many voxels."""
    return affine @ nb.affines.from_matvec(np.eye(3), [-voxels] * 3)


def magnitude_of(template, folder):
    """Return an oblique 3 mm GRE of the moved template, shaded, and its brain mask."""
    image = nb.load(template.t1w)
    mask = nb.load(template.mask).get_fdata() > 0
    brain = image.get_fdata() * mask
    shape = (56, 66, 50)
    grid = oblique(3.0, shape, np.array([0.0, -15.0, 10.0]))
    moved = MOTION @ image.affine
    inside = sampled(mask.astype(float), moved, shape, grid) > 0.5
    # Proton density: fluid brightest, white matter darkest.
    contrast = sampled(np.where(mask, 1.3 - brain, 0), moved, shape, grid) * inside
    shading = np.exp(np.linspace(-0.3, 0.3, shape[0]))[:, None, None]
    noise = np.random.default_rng(1).normal(0, 0.01, shape)
    return (
        write(np.abs(contrast * shading + noise), grid, folder / "magnitude.nii.gz"),
        write(inside, grid, folder / "mask.nii.gz"),
        write(brain, image.affine, folder / "brain.nii.gz"),
    )


def test_a_motion_is_recovered_across_contrasts(template, tmp_path):
    magnitude, mask, brain = magnitude_of(template, tmp_path)
    found = RigidToMagnitude(magnitude=magnitude, brain_mask=mask, t1w_brain=brain, seed=1).run(
        cwd=str(tmp_path)
    )
    image = nb.load(mask)
    inside = image.get_fdata() > 0
    surface = np.argwhere(inside & ~ndimage.binary_erosion(inside))[::29]
    gre = nb.affines.apply_affine(image.affine, surface)
    t1w = nb.affines.apply_affine(np.linalg.inv(MOTION), gre)
    ants = seeded_ants(1)
    lps = np.array([-1.0, -1.0, 1.0])
    for path, here, there in (
        (found.outputs.t1w_to_gre, gre, t1w),  # ITK pulls: from GRE points to T1w points
        (found.outputs.gre_to_t1w, t1w, gre),
    ):
        transform = ants.read_transform(path)
        mapped = lps * [transform.apply_to_point((lps * point).tolist()) for point in here]
        assert np.linalg.norm(mapped - there, axis=1).mean() < 0.3  # mm, a tenth of a voxel


def test_images_follow_the_motion(template, tmp_path):
    magnitude, mask, brain = magnitude_of(template, tmp_path)
    wf = init_coregistration_wf(seed=1)
    wf.base_dir = tmp_path
    inputs = wf.inputs.inputnode
    inputs.magnitude, inputs.gre_brain_mask, inputs.t1w_brain = magnitude, mask, brain
    inputs.csf, inputs.gm, inputs.wm = template.csf, template.gm, template.wm
    inputs.dseg = inputs.brain_mask = template.mask
    wf.run()
    labels = nb.load(tmp_path / "coregistration_wf/carry_dseg/resampled.nii.gz").get_fdata()
    assert set(np.unique(labels)) == {0, 1}  # labels are never mixed
    carried = nb.load(tmp_path / "coregistration_wf/carry_wm/resampled.nii.gz")
    wm = nb.load(template.wm)
    grid = nb.load(magnitude)
    expected = sampled(wm.get_fdata(), MOTION @ wm.affine, grid.shape, grid.affine)
    np.testing.assert_allclose(carried.affine, grid.affine, atol=1e-5)
    # 0.3 mm of a boundary that rises over 4 mm.
    assert np.abs(carried.get_fdata() - expected).mean() < 0.3 / 4


def test_transforms_apply_in_the_order_of_travel(tmp_path):
    ants = seeded_ants(0)
    array = np.zeros((20, 20, 20))
    array[5, 6, 7] = 3
    image = write(array, np.eye(4), tmp_path / "image.nii.gz")
    quarter = [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]  # about z: LPS and RAS agree
    paths = []
    for name, matrix, offset in (("turn", quarter, [0, 0, 0]), ("shift", np.eye(3), [-4, 0, 0])):
        transform = ants.create_ants_transform(
            "AffineTransform", matrix=np.array(matrix, dtype=float), offset=offset
        )
        paths.append(str(tmp_path / f"{name}.txt"))
        ants.write_transform(transform, paths[-1])
    reference = write(
        array, nb.affines.from_matvec(np.eye(3), [-15, -15, 0]), tmp_path / "r.nii.gz"
    )
    result = ApplyTransforms(
        image=image, reference=reference, transforms=paths, interpolation="nearestNeighbor"
    ).run(cwd=str(tmp_path))
    carried = nb.load(result.outputs.resampled)
    assert carried.get_data_dtype().kind == "i"
    (voxel,) = np.argwhere(carried.get_fdata() == 3)
    # ITK's matrix maps to where the value comes from: its inverse takes (5, 6) to (6, -5); the
    # offset of -4 in LPS is +4 to the right, and its inverse moves 4 to the left.
    np.testing.assert_allclose(nb.affines.apply_affine(carried.affine, voxel), [2, -5, 7])


def test_the_affine_is_nibabels():
    ants = seeded_ants(0)
    affine = oblique(2.0, (4, 5, 6), np.array([7.0, -8.0, 9.0]))
    image = to_ants(ants, np.zeros((4, 5, 6)), affine)
    point = ants.transform_index_to_physical_point(image, [1, 2, 3])
    here = nb.affines.apply_affine(affine, [1, 2, 3])
    np.testing.assert_allclose(point, here * [-1, -1, 1], atol=1e-5)


def test_anatomy_runs_end_to_end(template, tmp_path):
    image = nb.load(template.t1w)
    mask = nb.load(template.mask).get_fdata() > 0
    shape = (60, 66, 60)
    grid = oblique(4.0, shape, np.array([0.0, -15.0, 10.0]))
    grow = np.diag([1.05, 0.96, 1.03, 1]) @ image.affine
    brain = sampled(image.get_fdata() * mask, grow, shape, grid)
    wf = init_anatomy_wf(seed=1, spacing=4.0)
    wf.base_dir = tmp_path
    wf.inputs.inputnode.t1w = write(np.where(brain > 0.1, brain, 0), grid, tmp_path / "t1w.nii.gz")
    wf.run()
    folder = tmp_path / "anatomy_wf"
    found = {
        name: nb.load(folder / f"tissues/{name}.nii.gz").get_fdata()
        for name in ("csf", "gm", "wm")
    }
    inside = nb.load(folder / "brain/mask.nii.gz").get_fdata() > 0
    np.testing.assert_allclose(sum(found.values())[inside], 1, atol=1e-3)  # probabilities
    white = sampled(nb.load(template.wm).get_fdata(), grow, shape, grid)
    assert found["wm"][white > 0.9].mean() > 0.9
    assert found["wm"][white < 0.1].mean() < 0.1
    t1w = nb.load(folder / "n4/corrected.nii.gz").get_fdata()
    means = [np.average(t1w, weights=found[name]) for name in ("csf", "gm", "wm")]
    assert means == sorted(means)
    back = ApplyTransforms(
        image=str(folder / "tissues/wm.nii.gz"),
        reference=template.t1w,
        transforms=[str(folder / "normalise/syn_Composite.h5")],
    ).run(cwd=str(tmp_path))
    there = nb.load(back.outputs.resampled).get_fdata() > 0.5
    assert dice(there, nb.load(template.wm).get_fdata() > 0.5) > 0.8


def test_the_template_is_nilearns(template):
    expected = datasets.load_mni152_template(resolution=4)
    image = nb.load(template.t1w)
    np.testing.assert_array_equal(image.affine, expected.affine)
    fluid = nb.load(template.csf).get_fdata()
    assert 0 <= fluid.min() <= fluid.max() <= 1
