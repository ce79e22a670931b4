"""Reading an atlas folder."""

import json
import os
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from qsmprep.bids.atlas import read_atlas
from qsmprep.errors import RequestError

DATA = Path(os.environ.get("QSMPREP_TEST_DATA", Path(__file__).parents[2] / "shared/data"))
TABLE = "index\tname\themisphere\n36\tcaudate\tR\n37\tcaudate\tL\n35\tbrainstem\tM\n"


def write_image(path, shape=(4, 5, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nb.Nifti1Image(np.full(shape, 35, dtype=np.uint8), np.eye(4)).to_filename(path)


@pytest.fixture
def folder(tmp_path):
    """Return an atlas of two heads."""
    text = json.dumps({"Name": "Toy", "License": "CC0", "ReferencesAndLinks": ["a", "b"]})
    (tmp_path / "dataset_description.json").write_text(text)
    (tmp_path / "atlas-Toy_dseg.tsv").write_text(TABLE)
    for sub in ("sub-02", "sub-01"):
        for kind in ("T1w", "dseg"):
            write_image(tmp_path / sub / "anat" / f"{sub}_{kind}.nii.gz")
    return tmp_path


def test_heads_and_regions_are_found(folder):
    atlas = read_atlas(folder)
    assert (atlas.name, atlas.license, atlas.reference) == ("Toy", "CC0", "a; b")
    assert [member.label for member in atlas.members] == ["sub-01", "sub-02"]
    assert atlas.members[0].dseg == folder / "sub-01/anat/sub-01_dseg.nii.gz"
    assert [(r.index, r.name, r.hemisphere) for r in atlas.regions] == [
        (36, "caudate", "R"),
        (37, "caudate", "L"),
        (35, "brainstem", "M"),
    ]


@pytest.mark.parametrize("place", [".", "tpl-MNI", "tpl-MNI/anat"])
def test_a_template_is_one_member(tmp_path, place):
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / "atlas-Toy_dseg.tsv").write_text(TABLE)
    for kind in ("T1w", "dseg"):
        write_image(tmp_path / place / f"tpl-MNI_res-1_{kind}.nii.gz")
    assert [member.label for member in read_atlas(tmp_path).members] == ["tpl-MNI_res-1"]


def test_the_digest_follows_the_content(folder):
    before = read_atlas(folder).digest
    assert len(before) == 12
    assert read_atlas(folder).digest == before
    (folder / "atlas-Toy_dseg.tsv").write_text(TABLE.replace("brainstem", "pons"))
    table = read_atlas(folder).digest
    write_image(folder / "sub-01/anat/sub-01_T1w.nii.gz", (4, 5, 7))
    write_image(folder / "sub-01/anat/sub-01_dseg.nii.gz", (4, 5, 7))
    assert len({before, table, read_atlas(folder).digest}) == 3


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("index\tname\n1\tcaudate\n", "lacks the column hemisphere"),
        ("index\tname\themisphere\n", "lists no region"),
        (TABLE + "36\tputamen\tR\n", "index 36 stands there twice"),
        (TABLE + "38\tcaudate\tR\n", "caudate R stands there twice"),
        (TABLE + "38\tputamen\tleft\n", "line 5: hemisphere 'left' is none of L, R and M"),
        (TABLE + "-1\tputamen\tL\n", "index '-1' is not a whole number above 0"),
        (TABLE + "38\t\tL\n", "the region has no name"),
    ],
)
def test_mistakes_in_the_table_are_named(folder, table, sentence):
    (folder / "atlas-Toy_dseg.tsv").write_text(table)
    with pytest.raises(RequestError, match=sentence):
        read_atlas(folder)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("atlas-Toy_dseg.tsv", r"one table atlas-X_dseg.tsv, here are 0"),
        ("dataset_description.json", "dataset_description.json: missing"),
        ("sub-01/anat/sub-01_T1w.nii.gz", "dseg.nii.gz: has no sub-01_T1w.nii.gz beside it"),
        ("sub-02/anat/sub-02_dseg.nii.gz", "T1w.nii.gz: has no sub-02_dseg.nii.gz beside it"),
    ],
)
def test_missing_files_are_named(folder, name, sentence):
    (folder / name).unlink()
    with pytest.raises(RequestError, match=sentence):
        read_atlas(folder)


def test_an_atlas_without_heads_or_folder_is_refused(folder, tmp_path):
    for path in folder.glob("sub-*/anat/*"):
        path.unlink()
    with pytest.raises(RequestError, match="no labelled head"):
        read_atlas(folder)
    with pytest.raises(RequestError, match="there is no such atlas folder"):
        read_atlas(tmp_path / "elsewhere")


def test_labels_on_another_grid_are_refused(folder):
    write_image(folder / "sub-01/anat/sub-01_dseg.nii.gz", (4, 5, 7))
    with pytest.raises(RequestError, match="resample the labels to the T1w"):
        read_atlas(folder)


@pytest.mark.skipif(not (DATA / "atlas-OASIS").is_dir(), reason="no QSMPREP_TEST_DATA")
def test_the_shared_atlas_is_read():
    atlas = read_atlas(DATA / "atlas-OASIS")
    assert (atlas.name, len(atlas.members)) == ("OASIS", 8)
    assert "CC BY-NC" in atlas.license
    names = {region.name for region in atlas.regions}
    assert {"entorhinal", "putamen", "caudate", "thalamus", "pallidum", "hippocampus"} <= names
