"""Labels that somebody else has made, instead of our own."""

import json
from pathlib import Path

from bids_skeleton import AFFINE, facts, write_dataset, write_gre, write_image
import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from qsmprep import cli
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.lookups import shipped_lookup
from qsmprep.bids.outcome import expected_of
from qsmprep.bids.segmentations import CORE, read_segmentations, with_segmentations
from qsmprep.errors import RequestError
from qsmprep.interfaces.labels import TakeLabels
from qsmprep.interfaces.regions import RegionTable
from qsmprep.interfaces.registration import ApplyTransforms
from qsmprep.methods.regions import Region
from qsmprep.protocol import Protocol
from qsmprep.workflows.base import build
from qsmprep.workflows.study import Study

FINE = np.diag([0.5, 0.5, 1.0, 1.0])
"""A grid twice as fine as that of the echoes, in the same place."""

ELSEWHERE = FINE.copy()
ELSEWHERE[0, 3] = 99

OURS = [
    Region(116, "entorhinal", "R"), Region(57, "putamen", "R"), Region(58, "putamen", "L"),
    Region(36, "caudate", "R"), Region(59, "thalamus", "R"),
]  # fmt: skip
THEIRS = {116: 2006, 57: 51, 58: 12, 36: 50, 59: 49}


def write_labels(path, values=(1,), shape=(16, 16, 16), affine=FINE, dtype=np.int16):
    """Write labels in blocks, one after the other along the first axis."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(shape, dtype=dtype)
    for place, value in enumerate(values):
        array[place % shape[0], 2:-2, 2 + 2 * (place // shape[0]) :] = value
    kind = nb.MGHImage if path.suffix == ".mgz" else nb.Nifti1Image
    kind(array, affine).to_filename(path)
    return path


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of two participants whose T1w images are finer than their echoes."""
    root = tmp_path / "bids"
    root.mkdir()
    write_dataset(root)
    write_gre(root, "sub-02")
    for label in ("01", "02"):
        write_image(root / f"sub-{label}/anat/sub-{label}_T1w.nii.gz", (16, 16, 16), FINE)
    return root


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "labels"


def at(folder, name, label="01", **options):
    return write_labels(folder / f"sub-{label}/anat/sub-{label}{name}", **options)


# whose, and where


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".mgz"])
def test_labels_of_the_t1w_and_of_the_echoes_are_told_apart(bids, folder, extension):
    at(folder, f"_desc-x_dseg{extension}", "01")
    at(folder, f"_desc-x_dseg{extension}", "02", shape=(8, 8, 8), affine=AFFINE)
    plan = with_segmentations(read_plan(bids), folder)
    given = {a.participant: a.labels_given for a in plan.acquisitions}
    assert (given["01"].space, given["02"].space) == ("T1w", "GRE")
    assert given["01"].path.name == f"sub-01_desc-x_dseg{extension}"


def test_labels_of_the_echoes_go_before_those_of_the_t1w(bids, folder):
    at(folder, "_space-T1w_seg-x_dseg.nii.gz")
    at(folder, "_space-MEGRE_seg-x_dseg.nii.gz", shape=(8, 8, 8), affine=AFFINE)
    at(folder, "_space-MNI152NLin6Asym_seg-x_dseg.nii.gz")
    (acquisition,) = with_segmentations(read_plan(bids), folder).acquisitions
    assert acquisition.labels_given.path.name == "sub-01_space-MEGRE_seg-x_dseg.nii.gz"


def test_labels_of_a_t1w_may_lie_on_any_grid_of_its_world(bids, folder):
    # As FreeSurfer conforms images: larger, with other axes, labels in the middle.
    affine = np.array([[-1, 0, 0, 7], [0, 0, 1, 1], [0, -1, 0, 12], [0, 0, 0, 1.0]])
    at(folder, "_dseg.mgz", shape=(6, 10, 6), affine=affine, dtype=np.float32)
    (acquisition,) = with_segmentations(read_plan(bids), folder).acquisitions
    assert acquisition.labels_given.space == "T1w"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "sub-02_space-T1w_dseg.nii.gz: is missing, the segmentation of sub-02_MEGRE"),
        ({"_space-MNI152NLin6Asym_dseg.nii.gz": {}}, "is missing, the segmentation of sub-02"),
        ({"_acq-x_dseg.nii.gz": {}}, "is missing, the segmentation of sub-02"),
        (
            {"_dseg.nii.gz": {"affine": ELSEWHERE}},
            "its labels reach 92 mm beyond the T1w sub-02_T1w.nii.gz",
        ),
        (
            {"_space-MEGRE_dseg.nii.gz": {}},
            "its matrix is 16×16×16, that of sub-02_echo-1_part-mag_MEGRE.nii is 8×8×8",
        ),
        (
            {"_seg-a_dseg.nii.gz": {}, "_seg-b_dseg.nii.gz": {}},
            "is one of several segmentations of sub-02_MEGRE, with sub-02_seg-b_dseg.nii.gz",
        ),
        ({"_dseg.nii.gz": {"values": (0.5,), "dtype": np.float32}}, "other than whole numbers"),
        ({"_dseg.nii.gz": {"values": (-1,)}}, "other than whole numbers"),
        ({"_dseg.nii.gz": {"values": (np.nan,), "dtype": np.float32}}, "other than whole"),
        ({"_dseg.nii.gz": {"values": ()}}, "holds no label"),
    ],
)
def test_an_acquisition_without_usable_labels_is_skipped_and_the_others_go_on(
    bids, folder, files, told
):
    at(folder, "_dseg.nii.gz")
    for name, options in files.items():
        at(folder, name, "02", **options)
    plan = with_segmentations(read_plan(bids), folder)
    assert [acquisition.participant for acquisition in plan.acquisitions] == ["01"]
    assert plan.skipped == ("sub-02_MEGRE",)
    assert told in facts(plan)


def test_a_file_that_is_cut_off_is_told(bids, folder):
    path = at(folder, "_dseg.nii.gz", values=range(1, 16))
    at(folder, "_dseg.nii.gz", "02")
    path.write_bytes(path.read_bytes()[:60])
    plan = with_segmentations(read_plan(bids), folder)
    assert [acquisition.participant for acquisition in plan.acquisitions] == ["02"]
    assert "cannot be read to its end" in facts(plan)


def test_what_lies_on_both_grids_has_to_say_whose_it_is(bids, folder):
    write_image(bids / "sub-01/anat/sub-01_T1w.nii.gz")
    at(folder, "_dseg.nii.gz", shape=(8, 8, 8), affine=AFFINE)
    assert "name it with space-T1w or space-MEGRE" in facts(
        with_segmentations(read_plan(bids), folder)
    )


def test_of_fmriprep_that_of_cortex_and_nuclei_is_taken(bids, folder):
    for desc in ("_desc-aseg", "_desc-aparcaseg", ""):
        at(folder, f"{desc}_dseg.nii.gz", values=[*CORE, 1006])
    (acquisition,) = with_segmentations(read_plan(bids), folder).acquisitions
    assert acquisition.labels_given.path.name == "sub-01_desc-aparcaseg_dseg.nii.gz"
    assert read_segmentations(folder, "").name == "aparcaseg"


# what they mean


def rows(atlas):
    return [(region.index, region.name, region.hemisphere) for region in atlas.regions]


def test_a_table_beside_them_says_what_labels_mean(folder):
    at(folder, "_seg-Mine_dseg.nii.gz", values=(12, 51, 77, 5))
    text = "index\tname\n0\tUnknown\n12\tLeft-Putamen\n51\tRight-Putamen\n5\tmy part\n9\tunused\n"
    (folder / "sub-01/anat/sub-01_seg-Mine_dseg.tsv").write_text(text)
    atlas = read_segmentations(folder, "")
    assert atlas.name == "Mine"
    assert rows(atlas) == [
        (12, "putamen", "L"),
        (51, "putamen", "R"),
        (5, "my-part", "M"),
        (77, "label-77", "M"),  # told by nobody, and kept
    ]


def test_every_table_has_the_labels_of_the_whole_cohort(folder):
    at(folder, "_dseg.nii.gz", "01", values=(12,))
    at(folder, "_dseg.nii.gz", "02", values=(51, 9999))
    atlas = read_segmentations(folder, "freesurfer")
    assert rows(atlas) == [(12, "putamen", "L"), (51, "putamen", "R"), (9999, "label-9999", "M")]


def test_tables_that_contradict_each_other_are_refused(folder):
    for label, name in (("01", "putamen"), ("02", "caudate")):
        at(folder, "_dseg.nii.gz", label, values=(7,))
        table = folder / f"sub-{label}/anat/sub-{label}_dseg.tsv"
        table.write_text(f"index\tname\themisphere\n7\t{name}\tL\n")
    with pytest.raises(RequestError, match="label 7 is caudate L, but putamen L in"):
        read_segmentations(folder, "")


def test_the_numbering_of_freesurfer_is_recognised(folder):
    at(folder, "_dseg.nii.gz", values=[*CORE, 2, 41, 1006, 2006])
    atlas = read_segmentations(folder, "")
    assert (2006, "entorhinal", "R") in rows(atlas)
    assert len(atlas.regions) == len(CORE) + 4


@pytest.mark.parametrize("values", [[12, 51], [*CORE, 1, 6], range(1, 203)])
def test_any_other_numbering_has_to_be_named(folder, values):
    at(folder, "_dseg.nii.gz", values=values)
    with pytest.raises(RequestError, match=r"--set segmentation\.lookup=FILE, or freesurfer or"):
        read_segmentations(folder, "")


def test_a_table_can_be_named(folder, tmp_path):
    at(folder, "_dseg.nii.gz", values=(33, 47, 200))
    assert rows(read_segmentations(folder, "mricloud")) == [
        (33, "precuneus", "L"),
        (47, "entorhinal", "L"),
        (200, "label-200", "M"),
    ]
    table = tmp_path / "mine.tsv"
    table.write_text("index\tname\themisphere\n33\tFirst\tR\n47\tsecond\tn/a\n200\tthird\tL\n")
    assert rows(read_segmentations(folder, str(table))) == [
        (33, "first", "R"),
        (47, "second", "M"),
        (200, "third", "L"),
    ]
    with pytest.raises(RequestError, match="freesurfr: neither a table nor one of freesurfer"):
        read_segmentations(folder, "freesurfr")


# what becomes of them


def table_of(tmp_path, dseg, regions, chi, brain):
    node = RegionTable(
        chi=chi, dseg=dseg, brain_mask=brain, trusted_mask=brain, gm=brain, noise=brain, atlas="x",
        rules=vars(Protocol.read().regions),
        references={"csf": {"mean_ppm": 0.01}}, labels={"participant_id": "sub-01"},
        regions=[(region.index, region.name, region.hemisphere) for region in regions],
    )  # fmt: skip
    path = node.run(cwd=str(tmp_path)).outputs.table
    keys = ["map", "reference", "name", "hemisphere"]
    return pd.read_csv(path, sep="\t").set_index(keys).drop(columns="index").sort_index()


def test_rows_are_those_of_our_own_labels_where_the_labels_are_equal(folder, tmp_path):
    """R16 of the studies: entorhinal cortex, putamen, caudate and thalamus."""
    own = at(tmp_path / "own", "_dseg.nii.gz", values=[region.index for region in OURS])
    image = nb.load(own)
    array = np.asarray(image.dataobj)
    theirs = np.zeros_like(array)
    for index, other in THEIRS.items():
        theirs[array == index] = other
    path = folder / "sub-01/anat/sub-01_dseg.mgz"
    path.parent.mkdir(parents=True)
    nb.MGHImage(theirs.astype(np.int32), image.affine).to_filename(path)
    rng = np.random.default_rng(0)
    names = {"chi": rng.normal(0, 0.05, array.shape), "brain": np.ones(array.shape)}
    for name, values in names.items():
        names[name] = str(tmp_path / f"{name}.nii.gz")
        nb.Nifti1Image(values.astype(np.float32), image.affine).to_filename(names[name])
    atlas = read_segmentations(folder, "freesurfer")
    taken = TakeLabels(labels=str(path)).run(cwd=str(tmp_path)).outputs.dseg
    assert nb.load(taken).get_data_dtype().kind == "i"
    mine = table_of(tmp_path, str(own), OURS, **names)
    other = table_of(tmp_path, taken, atlas.regions, **names)
    assert {"entorhinal", "putamen", "caudate", "thalamus"} <= set(
        mine.index.get_level_values("name")
    )
    pd.testing.assert_frame_equal(mine, other)


def test_a_region_that_one_participant_lacks_is_a_row_of_no_voxels(folder, tmp_path):
    at(folder, "_dseg.nii.gz", "02", values=(12, 51))
    path = at(folder, "_dseg.nii.gz", "01", values=(12,))
    image = nb.load(path)
    names = {"chi": np.ones(image.shape), "brain": np.ones(image.shape)}
    for name, values in names.items():
        names[name] = str(tmp_path / f"{name}.nii.gz")
        nb.Nifti1Image(values.astype(np.float32), image.affine).to_filename(names[name])
    atlas = read_segmentations(folder, "freesurfer")
    row = table_of(tmp_path, str(path), atlas.regions, **names).loc[
        "Chimap", "csf", "putamen", "R"
    ]
    assert (row["n_voxels"], row["flag"]) == (0, "no voxels")
    assert np.isnan(row["mean"])


def test_labels_come_to_the_echoes_in_one_step_on_any_grid(folder, tmp_path):
    path = at(folder, "_dseg.mgz", values=(2035,) * 16, dtype=np.int32)
    taken = TakeLabels(labels=str(path)).run(cwd=str(tmp_path)).outputs.dseg
    write_image(tmp_path / "echo.nii.gz")
    identity = tmp_path / "identity.txt"
    identity.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: Euler3DTransform_double_3_3\n"
        "Parameters: 0 0 0 0 0 0\nFixedParameters: 0 0 0\n"
    )
    carried = ApplyTransforms(
        image=taken, reference=str(tmp_path / "echo.nii.gz"), transforms=[str(identity)],
        interpolation="genericLabel",
    ).run(cwd=str(tmp_path))  # fmt: skip
    found = np.asarray(nb.load(carried.outputs.resampled).dataobj)
    assert found.shape == (8, 8, 8)
    assert set(np.unique(found)) == {0, 2035}
    # Rows 2 to 13 of 16 that are half as large; the edge may go either way.
    assert (found[:, 2:6, 2:] == 2035).all()
    assert (found[:, [0, 7]] == 0).all()


@pytest.mark.parametrize("space", ["T1w", "GRE"])
def test_no_atlas_is_registered_for_labels_that_are_given(bids, folder, tmp_path, space):
    grid = {} if space == "T1w" else {"shape": (8, 8, 8), "affine": AFFINE}
    at(folder, "_dseg.nii.gz", values=(51,), **grid)
    (acquisition,) = with_segmentations(read_plan(bids), folder).acquisitions
    atlas = read_segmentations(folder, "freesurfer")
    protocol = Protocol.read("consensus", ["segmentation.atlas=precomputed"])
    study = Study(bids, tmp_path / "out", protocol, atlas)
    graph = build(study, (acquisition,), tmp_path / "work")
    steps = graph.list_node_names()
    assert not any("carry_tpl" in step or "fuse" in step for step in steps)
    assert any("save_labels" in step for step in steps) is False
    assert any(step.endswith("take_labels") for step in steps)
    assert any(step.endswith("carry_dseg") for step in steps) is (space == "T1w")
    # References and template need the T1w all the same.
    assert any("tissues" in step for step in steps)
    expected = [path.name for path in expected_of(acquisition, atlas.name)]
    assert "sub-01_space-T1w_seg-freesurfer_dseg.nii.gz" not in expected
    assert "sub-01_seg-freesurfer_dseg.nii.gz" in expected


def test_sidecars_name_what_was_given(bids, folder, tmp_path):
    path = at(folder, "_dseg.nii.gz", values=(51,))
    (acquisition,) = with_segmentations(read_plan(bids), folder).acquisitions
    atlas = read_segmentations(folder, "freesurfer")
    protocol = Protocol.read("consensus", ["segmentation.atlas=precomputed"])
    graph = build(Study(bids, tmp_path / "out", protocol, atlas), (acquisition,), tmp_path)
    known = next(
        graph.get_node(name).inputs.known
        for name in graph.list_node_names()
        if "save_regions" in name
    )
    assert known["Segmentation"] == f"bids:segmentation:sub-01/anat/{path.name}"
    assert known["Atlas"]["Source"] == atlas.source
    json.dumps(known)


def test_known_labels_of_white_matter_may_be_white_and_others_not(folder, tmp_path):
    at(folder, "_dseg.nii.gz", values=(2, 12, 77, 251, 9999))
    atlas = read_segmentations(folder, "freesurfer")
    study = Study(folder, tmp_path, Protocol.read(), atlas)
    assert study.not_white == [12, 77]  # hypointensities are no normal white matter


def test_the_plan_is_told_and_the_digest_knows_the_table(bids, folder, capsys, tmp_path):
    at(folder, "_dseg.nii.gz", values=(12, 51))
    call = [str(bids), str(tmp_path / "out"), "participant", "--dry-run"]
    call += ["-d", f"segmentation={folder}"]
    assert cli.main(call) == 2  # nobody says what 12 and 51 mean
    assert "segmentation.lookup" in capsys.readouterr().err
    digests = []
    for lookup in ("freesurfer", "synthseg"):
        status = cli.main([*call, "--set", f"segmentation.lookup={lookup}"])
        told = capsys.readouterr().out
        assert status == 1, told  # sub-02 has none
        assert f"2 regions, from segmentations in {folder}, labels by {lookup}" in told
        digests.append(told.split("digest ")[1][:12])
    assert digests[0] != digests[1]
    assert not Path(tmp_path / "out").exists()


def test_all_that_freesurfer_calls_a_nucleus_is_the_core():
    assert {shipped.index for shipped in shipped_lookup("freesurfer")} > CORE
