import json

from bids_skeleton import AFFINE, facts, write_dataset, write_gre, write_image
import nibabel as nb
import numpy as np
from phantoms import OBLIQUE, ball, make_head
import pytest
from runs import CHI, load

from qsmprep.bids.dataset import read_plan
from qsmprep.bids.needs import with_masks, with_t1w
from qsmprep.geometry import Geometry
from qsmprep.interfaces.masking import TrustPhase
from qsmprep.methods.inversion.two_pass import fill_first_pass
from qsmprep.methods.masking import BRAIN_MASKS
from qsmprep.methods.masking.phase_quality import reliable_parts, trusted_mask
from qsmprep.methods.unwrapping.romeo import voxel_quality

SHAPE = (48, 48, 28)
BRAIN = ball(SHAPE, OBLIQUE.voxel_size, 20)


def quality_of(head):
    return voxel_quality(head.phase, head.magnitude, head.te)


def test_clean_phase_is_trusted_throughout():
    head = make_head(SHAPE)
    trusted = trusted_mask(BRAIN, quality_of(head))
    # What is lost is a part of the outermost voxels, whose neighbours are noise.
    assert trusted.sum() > 0.9 * BRAIN.sum()
    assert not (trusted & ~BRAIN).any()


def test_incoherent_phase_at_the_surface_is_left_out_and_inside_is_kept():
    head = make_head(SHAPE)
    rng = np.random.default_rng(0)
    surface = ball(SHAPE, OBLIQUE.voxel_size, 6, (16, 0, 0)) & BRAIN
    inside = ball(SHAPE, OBLIQUE.voxel_size, 4, (-4, 0, 0))
    for region in (surface, inside):
        size = (len(head.te), int(region.sum()))
        head.phase[:, region] = rng.uniform(-np.pi, np.pi, size)
    trusted = trusted_mask(BRAIN, quality_of(head))
    assert trusted[surface].mean() < 0.35  # its own rim borders on good voxels
    assert trusted[inside].all()


def test_a_brain_of_noise_is_refused():
    rng = np.random.default_rng(0)
    quality = rng.uniform(0.2, 0.3, SHAPE)
    quality[:4] = 0.9
    with pytest.raises(ValueError, match="incoherent"):
        trusted_mask(BRAIN, quality)


def test_the_first_pass_has_holes_where_phase_is_incoherent():
    quality = np.where(BRAIN, 0.9, 0.3) + np.random.default_rng(0).normal(0, 0.02, SHAPE)
    hole, speck = ball(SHAPE, OBLIQUE.voxel_size, 4, (-4, 0, 0)), (30, 24, 14)
    quality[hole] = quality[speck] = 0.3
    trusted = trusted_mask(BRAIN, quality)
    reliable = reliable_parts(trusted, quality)
    core = ball(SHAPE, OBLIQUE.voxel_size, 2.5, (-4, 0, 0))
    assert not reliable[core].any()
    assert trusted[core].all()
    assert reliable[speck]  # a single voxel of noise is no hole
    # Elsewhere the two are one, but for some corners of the surface.
    assert (trusted & ~hole & ~reliable).sum() < 0.01 * trusted.sum()


def test_the_brain_need_not_be_joined_with_the_phase(tmp_path):
    quality = np.where(ball(SHAPE, OBLIQUE.voxel_size, 12), 0.9, 0.3)
    names = {"brain": BRAIN, "quality": quality}
    for name, array in names.items():
        image = nb.Nifti1Image(array.astype("f4"), np.diag([1, 1, 2, 1]))
        image.to_filename(tmp_path / f"{name}.nii")
        names[name] = str(tmp_path / f"{name}.nii")
    for join, known in ((True, quality > 0.5), (False, BRAIN)):
        masks = TrustPhase(**names, join=join).run(cwd=str(tmp_path)).outputs
        found = load(tmp_path, masks.mask) > 0
        # Voxels at the corners of a surface go with what is around them.
        assert np.count_nonzero(found != known) < 0.03 * known.sum()
        assert not (load(tmp_path, masks.strict) > 0)[~(quality > 0.5)].any()


# brains

CUBE = Geometry((2.0, 2.0, 2.0), (0.0, 0.0, 1.0))


def shells(shape=(96, 96, 80)):
    """Return a brain, and a scalp around it that is joined to it by eyes 12 mm wide."""
    size = CUBE.voxel_size
    brain = ball(shape, size, 64) & ~ball(shape, size, 10)
    scalp = ball(shape, size, 84) & ~ball(shape, size, 74)
    eye = ball(shape, size, 6, (0, 60, 0)) | ball(shape, size, 6, (0, 70, 0))
    return brain, scalp | (eye & ~brain)


def test_coherent_phase_shows_the_brain_and_scalp_is_cut_off():
    brain, scalp = shells()
    quality = np.where(brain | scalp, 0.8, 0.3) + np.random.default_rng(0).normal(
        0, 0.05, brain.shape
    )
    found = BRAIN_MASKS["phase_quality"](None, CUBE, quality=quality)
    filled = ball(brain.shape, CUBE.voxel_size, 64)
    assert not (filled & ~found).any()  # the ventricle in its middle is filled
    # What is left of the eyes is as deep as the brain was grown back, less than a percent of it.
    assert (found & ~filled).sum() < 0.01 * filled.sum()
    uncut = BRAIN_MASKS["phase_quality"](None, CUBE, quality=quality, bridges=2.0)
    assert (uncut & scalp).sum() > 0.9 * scalp.sum()


def test_phase_that_is_nowhere_coherent_shows_no_brain():
    quality = np.full((32, 32, 32), 0.3)
    quality[::8] = 0.8  # sheets
    with pytest.raises(ValueError, match="there is no brain"):
        BRAIN_MASKS["phase_quality"](None, CUBE, quality=quality)


def test_the_brain_of_the_t1w_is_where_it_takes_half_a_voxel():
    brain, _ = shells()
    share = brain * 0.6 + 0.3 * ball(brain.shape, CUBE.voxel_size, 70)
    share[0, 0, 0] = 1.0  # a crumb
    found = BRAIN_MASKS["t1w"](None, CUBE, t1w_brain=share)
    np.testing.assert_array_equal(found, ball(brain.shape, CUBE.voxel_size, 64))
    with pytest.raises(ValueError, match="outside the gradient echoes"):
        BRAIN_MASKS["t1w"](None, CUBE, t1w_brain=np.zeros_like(share))


def test_a_mask_that_is_given_is_taken_as_it_is():
    given = np.random.default_rng(0).integers(0, 2, (8, 8, 8)).astype("f4")
    np.testing.assert_array_equal(
        BRAIN_MASKS["precomputed"](None, CUBE, given=given), given.astype(bool)
    )
    with pytest.raises(ValueError, match="is empty"):
        BRAIN_MASKS["precomputed"](None, CUBE, given=0 * given)


# what a mask needs


@pytest.fixture
def bids(tmp_path):
    root = tmp_path / "bids"
    root.mkdir()
    write_dataset(root)
    write_gre(root, "sub-02_ses-1_acq-x")
    write_gre(root, "sub-02_ses-1_acq-y")
    return root


def test_masks_are_found_by_all_entities_and_checked_for_their_grid(bids, tmp_path):
    folder = tmp_path / "masks"
    write_image(folder / "sub-01/anat/sub-01_desc-brain_mask.nii")
    write_image(folder / "sub-02/ses-1/anat/sub-02_ses-1_desc-brain_mask.nii.gz")
    moved = AFFINE.copy()
    moved[0, 3] += 1
    write_image(
        folder / "sub-02/ses-1/anat/sub-02_ses-1_acq-y_desc-brain_mask.nii.gz", affine=moved
    )
    plan = with_masks(read_plan(bids), folder)
    assert [acquisition.key for acquisition in plan.acquisitions] == ["sub-01_MEGRE"]
    assert plan.acquisitions[0].brain_mask.name == "sub-01_desc-brain_mask.nii"
    assert plan.skipped == ("sub-02_ses-1_acq-x_MEGRE", "sub-02_ses-1_acq-y_MEGRE")
    told = [str(issue) for issue in plan.errors]
    assert "acq-x_desc-brain_mask.nii.gz: is missing, the brain mask of sub-02_ses-1" in told[0]
    assert "puts voxels up to 1 mm off those of" in told[1]


def test_the_brain_of_a_t1w_needs_one(bids):
    plan = with_t1w(read_plan(bids), "masking.method = t1w")
    assert [acquisition.key for acquisition in plan.acquisitions] == ["sub-01_MEGRE"]
    assert len(plan.errors) == 2
    assert "no T1w image, which masking.method = t1w needs" in facts(plan)
    assert "the maps are made" not in facts(plan)


# two passes


def test_the_second_pass_fills_the_first_and_the_zero_is_one():
    rng = np.random.default_rng(0)
    mask = BRAIN
    hole = ball(SHAPE, OBLIQUE.voxel_size, 4)
    second = np.where(mask, rng.standard_normal(SHAPE), 0).astype("f4")
    first = np.where(mask & ~hole, second + 0.3, 0).astype("f4")
    joined = fill_first_pass(first, mask & ~hole, second, mask)
    # The same map but for its constant is the same map.
    np.testing.assert_allclose(joined, second, atol=1e-5)
    assert joined.dtype == np.float32
    first[mask & ~hole] = rng.standard_normal((mask & ~hole).sum())
    joined = fill_first_pass(first, mask & ~hole, second, mask)
    np.testing.assert_array_equal(joined[hole], second[hole])
    shift = (joined - first)[mask & ~hole]
    assert np.ptp(shift) < 1e-5
    assert joined[mask].mean() == pytest.approx(second[mask].mean(), abs=1e-5)
    with pytest.raises(ValueError, match="known nowhere"):
        fill_first_pass(first, hole, second, mask & ~hole)


# runs


def test_a_run_with_the_masks_of_another_gives_its_map(simulated, maps, qsmprep, tmp_path):
    run = qsmprep(simulated, tmp_path / "out", "--atlas", "none", "-d", f"masks={maps.out}")
    assert run.status == 0, run.stderr
    np.testing.assert_array_equal(load(run.out), load(maps.out))
    sidecar = json.loads((run.out / CHI.replace(".nii.gz", ".json")).read_text())
    assert sidecar["BrainMask"] == "bids:masks:sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    description = json.loads((run.out / "dataset_description.json").read_text())
    assert description["DatasetLinks"]["masks"] == maps.out.as_uri()


def test_a_run_takes_brain_and_zero_from_the_t1w_in_two_passes(
    simulated, atlas, template_folder, qsmprep, tmp_path
):
    changes = {
        "masking.method": "t1w",
        "background.method": "joint_tissues",
        "trust.two_pass": "true",
        "referencing.method": "label",
        "referencing.region": "thalamus",
        "segmentation.spacing": "4",
        "normalisation.spacing": "4",
        "normalisation.template": template_folder,
    }
    given = [word for name, value in changes.items() for word in ("--set", f"{name}={value}")]
    run = qsmprep(simulated, tmp_path / "out", "--protocol", "fast", "--atlas", atlas, *given)
    assert run.status == 0, run.stderr
    truth = load(simulated / "derivatives/truth", "sub-01/anat/sub-01_desc-brain_mask.nii.gz") > 0
    found = load(run.out, "sub-01/anat/sub-01_desc-brain_mask.nii.gz") > 0
    # The simulated T1w comes without skull: only interpolation and alignment move the edge.
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.98
    sidecar = json.loads((run.out / CHI.replace(".nii.gz", ".json")).read_text())
    assert sidecar["Reference"]["name"] == "label-thalamus"
    assert sidecar["TwoPass"]["first_pass"] > 0.99  # no phase is incoherent inside this head
    table = (run.out / "sub-01/anat/sub-01_seg-simulated_regions.tsv").read_text().splitlines()
    columns = table[0].split("\t")
    rows = [dict(zip(columns, line.split("\t"), strict=True)) for line in table[1:]]
    wanted = {"name": "thalamus", "hemisphere": "B", "reference": "label-thalamus"}
    (thalamus,) = (row for row in rows if wanted.items() <= row.items())
    assert float(thalamus["mean"]) == pytest.approx(0, abs=1e-3)
    # The map is also on the template that was asked for, and says which image that is.
    carried = run.out / CHI.replace("Chimap", "space-Toy_Chimap")
    grid = nb.load(template_folder / "tpl-Toy_T1w.nii.gz")
    np.testing.assert_allclose(nb.load(carried).affine, grid.affine)
    reference = json.loads(carried.with_suffix("").with_suffix(".json").read_text())
    assert reference["SpatialReference"] == "bids:templates:tpl-Toy/tpl-Toy_T1w.nii.gz"
    description = json.loads((run.out / "dataset_description.json").read_text())
    assert description["DatasetLinks"]["templates"] == template_folder.parent.as_uri()
