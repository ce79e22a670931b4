"""Deep nuclei by T1w and susceptibility, on toy heads whose nuclei the T1w does not show."""

import json
from pathlib import Path
import shutil

import nibabel as nb
from nipype.interfaces.base import Undefined
import numpy as np
import pytest
from scipy import ndimage

from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.outputs import output_metadata
from qsmprep.errors import InputError, RequestError
from qsmprep.interfaces.deep_nuclei import RefineDeepNuclei
from qsmprep.interfaces.regions import RegionTable
from qsmprep.methods.segmentation import hybrid_image, replace_labels
from qsmprep.protocol import Protocol
from qsmprep.request import Request, resolve
from qsmprep.resources import Resources
from qsmprep.workflows.deep_nuclei import init_deep_nuclei_wf

SHAPE = (44, 44, 40)
"""Voxels of 2 mm."""

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
CENTRE = np.array([22.0, 22.0, 20.0])
BRAIN, RED, THALAMUS = 3, 91, 83


def ball(centre, radius):
    return sum((i - c) ** 2 for i, c in zip(np.indices(SHAPE), centre, strict=True)) < radius**2


def head(shift, seed, offset=0.0):
    """
    Return T1w, susceptibility, labels and brain of a head.

    The red nucleus lies where `shift` puts it and the T1w looks the same everywhere; the thalamus
    is seen in both, and in its place.
    """
    rng = np.random.default_rng(seed)
    brain = ball(CENTRE, 18)
    red, thalamus = ball(CENTRE + shift, 4) & brain, ball(CENTRE + np.array([0, 0, 11]), 4)
    t1w = np.where(brain, 900 - 300 * thalamus + rng.normal(0, 20, SHAPE), 0)
    t1w[brain] += 40 * ndimage.gaussian_filter(rng.normal(0, 3, SHAPE), 2)[brain]
    chi = 0.1 * red + 0.02 * thalamus + offset
    chi = ndimage.gaussian_filter(chi, 0.5) + rng.normal(0, 0.01, SHAPE)
    labels = np.where(red, RED, np.where(thalamus, THALAMUS, BRAIN * brain))
    return t1w, np.where(brain, chi, 0), labels, brain


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = np.int16 if array.dtype.kind == "i" else np.float32
    nb.Nifti1Image(array.astype(kind), AFFINE).to_filename(path)
    return str(path)


@pytest.fixture(scope="module")
def atlas_folder(tmp_path_factory):
    """Return an atlas of three heads, whose red nuclei do not lie in one place."""
    folder = tmp_path_factory.mktemp("atlas")
    (folder / "dataset_description.json").write_text(json.dumps({"License": "CC0"}))
    (folder / "atlas-Toy_dseg.tsv").write_text(
        f"index\tname\themisphere\n{BRAIN}\tcerebral-white-matter\tL\n{RED}\tred-nucleus\tL\n"
        f"{THALAMUS}\tthalamus\tL\n"
    )
    for number, shift in enumerate([(1, 0, 0), (0, 1, -1), (1, 1, 0)], 1):
        t1w, chi, labels, _ = head(shift, number, offset=0.03)
        stem = folder / f"sub-{number}/anat/sub-{number}"
        for kind, array in (("T1w", t1w), ("Chimap", chi), ("dseg", labels)):
            save(array, stem.with_name(f"{stem.name}_{kind}.nii.gz"))
    return folder


def overlap(a, b, label):
    return 2 * ((a == label) & (b == label)).sum() / ((a == label).sum() + (b == label).sum())


def refined(folder, atlas, participant, weight=400.0):
    """Return the labels before and after the refinement."""
    t1w, chi, _, brain = participant
    first = nb.load(atlas.members[0].dseg).get_fdata().astype(int)  # as if T1ws were aligned
    still = folder / "still.txt"
    still.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        "Parameters: 1 0 0 0 1 0 0 0 1 0 0 0\nFixedParameters: 0 0 0\n"
    )
    wf = init_deep_nuclei_wf(atlas=atlas, weight=weight, seed=1)
    images = {"t1w_brain": t1w, "chi": chi, "trusted_mask": brain.astype(int), "dseg": first}
    for port, array in images.items():
        setattr(wf.inputs.inputnode, port, save(array, folder / f"{port}.nii.gz"))
    wf.inputs.inputnode.transforms = [str(still)] * len(atlas.members)
    wf.inputs.inputnode.onward = [str(still)]
    wf.base_dir = folder
    wf.run()
    dseg = nb.load(folder / "deep_nuclei_wf/refine/dseg.nii.gz")
    np.testing.assert_allclose(dseg.affine, AFFINE)
    return first, np.asarray(dseg.dataobj)


def wanted(atlas, **changes):
    settings = [f"segmentation.{name}={value}" for name, value in changes.items()]
    protocol = Protocol.read(changes=[f"segmentation.atlas={atlas}", *settings])
    return Request(Path("bids"), Path("out"), protocol, Resources(1, 1, 8000, Path("work")))


def test_susceptibility_belongs_to_an_atlas(atlas_folder):
    atlas = read_atlas(atlas_folder)
    assert atlas.members[0].chi == atlas_folder / "sub-1/anat/sub-1_Chimap.nii.gz"
    assert resolve(wanted(atlas_folder, contrast="hybrid"))[1] == atlas


@pytest.fixture
def spoilt(atlas_folder, tmp_path):
    return shutil.copytree(atlas_folder, tmp_path / "atlas")


def test_another_susceptibility_is_another_atlas(atlas_folder, spoilt):
    assert read_atlas(spoilt).digest == read_atlas(atlas_folder).digest
    save(np.ones(SHAPE), spoilt / "sub-2/anat/sub-2_Chimap.nii.gz")
    assert read_atlas(spoilt).digest != read_atlas(atlas_folder).digest


def test_a_head_without_susceptibility_is_told_before_anything_runs(spoilt):
    (spoilt / "sub-2/anat/sub-2_Chimap.nii.gz").unlink()
    resolve(wanted(spoilt))  # the T1w will do by itself
    with pytest.raises(RequestError, match=r"sub-2_Chimap\.nii\.gz; add susceptibility"):
        resolve(wanted(spoilt, contrast="hybrid"))


def test_susceptibility_without_an_atlas_is_refused():
    with pytest.raises(RequestError, match="contrast = hybrid needs an atlas"):
        resolve(wanted("none", contrast="hybrid"))


def test_susceptibility_on_another_grid_is_refused(spoilt):
    save(np.ones((4, 4, 4)), spoilt / "sub-2/anat/sub-2_Chimap.nii.gz")
    with pytest.raises(
        RequestError, match=r"sub-2_Chimap\.nii\.gz: its matrix .* resample the susc"
    ):
        read_atlas(spoilt)


def test_an_atlas_without_deep_nuclei_has_nothing_to_refine(spoilt):
    (spoilt / "atlas-Toy_dseg.tsv").write_text("index\tname\themisphere\n3\tcuneus\tL\n")
    with pytest.raises(RequestError, match="has none of accumbens"):
        resolve(wanted(spoilt, contrast="hybrid"))


def test_the_hybrid_image_knows_neither_reference_nor_units_of_the_t1w():
    t1w, chi, _, brain = head((0, 0, 0), 0)
    known = ndimage.binary_erosion(brain)
    image = hybrid_image(t1w, chi, brain, known, weight=400.0)
    other = hybrid_image(7 * t1w + 5, chi + 3, brain, known, weight=400.0)
    np.testing.assert_allclose(image, other, atol=0.01)  # single precision of some hundreds
    assert (image[~brain] == 0).all()
    plain = hybrid_image(t1w, chi, brain, known, weight=0.0)
    np.testing.assert_array_equal(image[~known], plain[~known])
    darker = (plain - image)[ball(CENTRE, 2)].mean()
    assert darker == pytest.approx(40, abs=3)  # 0.1 ppm against the median; noise of 33 voxels


def test_the_better_labels_decide_wherever_either_sees_a_nucleus():
    labels = np.array([1, 1, 7, 7, 8, 0]).reshape(1, 2, 3)
    better = np.array([1, 7, 7, 2, 7, 2]).reshape(1, 2, 3)
    assert replace_labels(labels, better, [7]).ravel().tolist() == [1, 7, 7, 2, 7, 0]


def test_a_nucleus_without_contrast_in_the_t1w_is_found_by_its_iron(atlas_folder, tmp_path):
    participant = head((-1.5, -1, 1), 9)
    truth, brain = participant[2:]
    first, dseg = refined(tmp_path, read_atlas(atlas_folder), participant)
    assert overlap(first, truth, RED) < 0.6  # 3.5 voxels away of a radius of 4
    # A shell of a third of a voxel around a radius of four is a Dice of 0.9.
    assert overlap(dseg, truth, RED) > 0.85
    assert overlap(dseg, truth, THALAMUS) > 0.85
    np.testing.assert_array_equal(dseg > 0, brain)  # every voxel has kept a label
    elsewhere = ~np.isin(first, [RED, THALAMUS]) & ~np.isin(dseg, [RED, THALAMUS])
    np.testing.assert_array_equal(dseg[elsewhere], first[elsewhere])


@pytest.mark.parametrize(("factor", "fact"), [(0, "is zero all over"), (1000, "too much for ppm")])
def test_what_is_no_susceptibility_in_ppm_is_refused(tmp_path, factor, fact):
    t1w, chi, labels, brain = head((0, 0, 0), 0)
    images = {"t1w": t1w, "chi": factor * chi, "labels": labels, "brain": brain.astype(int)}
    paths = {name: save(array, tmp_path / f"{name}.nii.gz") for name, array in images.items()}
    still = tmp_path / "still.txt"
    still.touch()
    node = RefineDeepNuclei(
        t1w_brain=paths["t1w"], chi=paths["chi"], trusted_mask=paths["brain"],
        dseg=paths["labels"], atlas_t1ws=[paths["t1w"]], atlas_chis=[paths["chi"]],
        atlas_dsegs=[paths["labels"]], transforms=[str(still)], onward=[str(still)],
        indices=[RED], weight=400.0, seed=1,
    )  # fmt: skip
    with pytest.raises(InputError, match=fact):
        node.run(cwd=str(tmp_path))


def test_what_the_refinement_made_smaller_no_field_of_view_has_cut(tmp_path):
    paths = {}
    for name, voxels in {"dseg_t1w": 80, "dseg_carried": 78, "dseg": 39, "rest": 0}.items():
        labels = np.zeros(SHAPE, dtype=int)
        labels.ravel()[:voxels] = RED
        paths[name] = save(labels, tmp_path / f"{name}.nii.gz")
    rest = paths.pop("rest")
    inputs = dict.fromkeys(("chi", "noise", "gm", "brain_mask", "trusted_mask"), rest)
    table = RegionTable(
        **inputs, **paths, references={}, atlas="x", rules={}, labels={},
        regions=[(RED, "red-nucleus", "L")],
    )  # fmt: skip
    assert table.whole_volumes()[RED] == pytest.approx(80 * 8 * 39 / 78)  # mm³, of 8 mm³ each
    table.inputs.dseg_carried = Undefined
    assert table.whole_volumes()[RED] == 80 * 8


def test_the_sidecar_of_refined_labels_tells_how_and_by_which_susceptibility():
    protocol = Protocol.read().stages

    def told(facts, kind="acquisition"):
        return output_metadata(
            kind, "dseg", protocol=protocol, digest="x", sources=["bids:raw:a"], facts=facts
        )

    plain, refined = told({}), told({"DeepNuclei": {"Weight": 400.0}})
    assert "DeepNuclei" not in plain
    assert "inversion" not in plain["GeneratedBy"]["Parameters"]
    assert refined["DeepNuclei"] == {"Weight": 400.0}
    assert refined["GeneratedBy"]["Parameters"]["inversion"] == protocol["inversion"]
    assert "segmentation" in refined["GeneratedBy"]["Parameters"]
