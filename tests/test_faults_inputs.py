"""Broken atlases, protocols, masks and T1w images: told before anything is computed."""

import shutil

from bids_skeleton import facts, write_dataset, write_gre, write_image
import faults
import nibabel as nb
import numpy as np
import pytest
from runs import FAST, copy_participant, cut, statuses

from qsmprep import cli
from qsmprep.bids.dataset import read_plan
from qsmprep.errors import InputError
from qsmprep.interfaces.anatomy import N4


def refused(capsys, *arguments):
    """Return the sentence by which a command line is refused."""
    assert cli.main([*map(str, arguments), "--dry-run"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("qsmprep: error: ")
    assert told.count("\n") == 1
    return told


# atlases


def labels(alter, dtype=np.int16, move=0.0):
    def harm(folder):
        path = folder / "tpl-simulated/anat/tpl-simulated_dseg.nii.gz"
        image = nb.load(path)
        affine = image.affine.copy()
        affine[0, 3] += move
        array = alter(np.asarray(image.dataobj).astype(np.float32))
        nb.Nifti1Image(array.astype(dtype), affine).to_filename(path)

    return harm


def table(content):
    return lambda folder: (folder / "atlas-simulated_dseg.tsv").write_bytes(content)


def twice(folder):
    path = folder / "atlas-simulated_dseg.tsv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")


def described(content):
    return lambda folder: (folder / "dataset_description.json").write_bytes(content)


ATLASES = {
    "moved": (labels(lambda a: a, move=5.0), "puts voxels up to 5 mm off those of"),
    "matrix": (labels(lambda a: a[:-1]), "its matrix is"),
    "probabilities": (labels(lambda a: a / 7, np.float32), "give labels, not probabilities"),
    "NaN": (labels(lambda a: a * np.nan, np.float32), "holds other than whole numbers"),
    "unknown label": (labels(lambda a: np.where(a > 0, 999, 0)), "none of the labels that atlas-"),
    "cut off": (
        lambda f: cut(f / "tpl-simulated/anat/tpl-simulated_dseg.nii.gz"),
        "tpl-simulated_dseg.nii.gz: cannot be read to its end",
    ),
    "no T1w": (
        lambda f: (f / "tpl-simulated/anat/tpl-simulated_T1w.nii.gz").write_bytes(b""),
        "tpl-simulated_T1w.nii.gz: is empty",
    ),
    "no table": (lambda f: (f / "atlas-simulated_dseg.tsv").unlink(), "here are 0; add it"),
    "Latin-1": (table(b"index\tname\themisphere\n1\tcort\xe9x\tL\n"), "cannot be read as a table"),
    "commas": (table(b"index,name,hemisphere\n1,cortex,L\n"), "lacks the column index"),
    "twice": (twice, "stands there twice; keep one"),
    "description": (described(b"{"), "dataset_description.json: is not valid JSON"),
    "references": (described(b'{"ReferencesAndLinks": 3}'), "ReferencesAndLinks is no list"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATLASES)
def test_a_broken_atlas_is_refused_in_a_sentence(simulated, atlas, tmp_path, capsys, name):
    harm, sentence = ATLASES[name]
    folder = shutil.copytree(atlas, tmp_path / "atlas")
    harm(folder)
    told = refused(capsys, simulated, tmp_path / "out", "participant", "--atlas", folder)
    assert sentence in told
    assert str(folder) in told


# protocols

PROTOCOLS = {
    "no TOML": (b"[inversion\n", "not readable as TOML"),
    "no text": (b"\xff\xfe", "neither a protocol file nor one of"),
    "list": (b"inversion = [1]\n", "[inversion]: no such stage"),
    "method": (b'[inversion]\nmethod = ["tkd"]\n', "choose"),
    "date": (b"[swi]\nwidth = 2026-01-01\n", "a number is needed"),
    "NaN": (b"[swi]\nwidth = nan\n", "a number is needed"),
    "decimal comma": (b'[swi]\nwidth = "4,0"\n', "a number is needed"),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_broken_protocol_is_refused_in_a_sentence(simulated, tmp_path, capsys, name):
    content, sentence = PROTOCOLS[name]
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    assert sentence in refused(
        capsys, simulated, tmp_path / "out", "participant", "--protocol", path, "--atlas", "none"
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"megre": 3}', '{"megre": {"suffix": 1}}'])
def test_a_broken_filter_is_refused_in_a_sentence(simulated, tmp_path, capsys, content):
    path = tmp_path / "filter.json"
    path.write_text(content)
    call = [simulated, tmp_path / "out", "participant", *FAST, "--bids-filter-file", path]
    assert "filter" in refused(capsys, *call)


# work and output folders


def test_a_file_in_the_place_of_a_folder_is_refused(simulated, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    call = [str(simulated), str(tmp_path / "out"), "participant", *FAST, "-w"]
    assert cli.main([*call, str(tmp_path / "file/work")]) == 2
    assert "cannot be written to (Not a directory); give another" in capsys.readouterr().err
    assert "is a file" in refused(capsys, simulated, tmp_path / "file", "participant", *FAST)


# masks


def test_masks_that_are_of_no_use_are_named_and_the_others_used(simulated, qsmprep, tmp_path):
    bids, masks = tmp_path / "bids", tmp_path / "masks"
    image = nb.load(simulated / "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz")
    for label, mask in {
        "01": np.zeros(image.shape), "02": np.ones(image.shape)[:-1],
        "03": np.full(image.shape, np.nan), "04": None,
    }.items():  # fmt: skip
        copy_participant(simulated, bids, label)
        if mask is not None:
            path = masks / f"sub-{label}/anat/sub-{label}_desc-brain_mask.nii.gz"
            path.parent.mkdir(parents=True)
            nb.Nifti1Image(mask.astype(np.float32), image.affine).to_filename(path)
    run = qsmprep(bids, tmp_path / "out", *FAST, "-d", f"masks={masks}")
    rows = statuses(run.out)
    assert run.status == 1
    assert "Traceback" not in run.stderr
    told = {
        "01": ("failed", "sub-01_desc-brain_mask.nii.gz: holds no voxel; draw it again"),
        "02": ("skipped", "sub-02_desc-brain_mask.nii.gz: its matrix is"),
        "03": ("failed", "sub-03_desc-brain_mask.nii.gz: holds NaN; set them to 0"),
        "04": ("skipped", "sub-04_desc-brain_mask.nii.gz: is missing"),
    }
    for label, (status, sentence) in told.items():
        row = rows[f"sub-{label}"]
        assert (row.status, sentence in row.reason) == (status, True), row.reason


# T1w


@pytest.mark.parametrize("name", ["no dimensions", "sform not a number", "web page", "loop"])
def test_a_t1w_with_a_broken_header_is_left_out_by_name(tmp_path, name):
    write_dataset(tmp_path)
    path = tmp_path / "sub-02/anat/sub-02_T1w.nii.gz"
    write_gre(tmp_path, "sub-02")
    write_image(path)

    class T1w:
        def image(self):
            return path

    harm = faults.loop if name == "loop" else faults.HEADERS[name][0]
    harm(T1w())
    plan = read_plan(tmp_path, participants=["02"])
    (acquisition,) = plan.acquisitions
    assert acquisition.t1w is None
    assert f"{path}: " in facts(plan)
    assert {issue.severity for issue in plan.issues} == {"warning"}


@pytest.mark.parametrize(("value", "sentence"), [(0, "no voxel above 0"), (-1, "no voxel above")])
def test_a_t1w_without_signal_is_refused_by_name(tmp_path, value, sentence):
    path = tmp_path / "sub-01_T1w.nii.gz"
    nb.Nifti1Image(np.full((8, 8, 8), value, np.float32), np.eye(4)).to_filename(path)
    with pytest.raises(InputError, match=rf"sub-01_T1w\.nii\.gz: has {sentence}"):
        N4(t1w=str(path)).run(cwd=str(tmp_path))
