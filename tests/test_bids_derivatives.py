"""Names of outputs, and an output folder that the BIDS validator accepts."""

from concurrent.futures import ProcessPoolExecutor
import json
from pathlib import Path
import shutil
import stat
import subprocess
import sys

from bids_skeleton import write_dataset, write_gre
import nibabel as nb
import numpy as np
import pytest

from qsmprep.bids.dataset import read_plan
from qsmprep.bids.derivatives import (
    bids_uri,
    derivative_path,
    figure_path,
    sidecar_path,
    write_json,
)
from qsmprep.bids.output import check_output_dir, write_output_files
from qsmprep.bids.status import StatusRow, read_status, skipped_rows, update_status
from qsmprep.errors import RequestError
from qsmprep.files import atomic_copy, atomic_write_text, replacing

DIGEST = "0123456789ab"
STEM = "sub-01_ses-1_acq-x_run-1"
OUTPUTS = {
    f"{STEM}_Chimap.nii.gz": {"suffix": "Chimap"},
    f"{STEM}_Chimap.json": {"suffix": "Chimap", "extension": ".json"},
    f"{STEM}_space-MNI152NLin2009aSym_Chimap.nii.gz": {
        "suffix": "Chimap",
        "space": "MNI152NLin2009aSym",
    },
    f"{STEM}_desc-total_fieldmap.nii.gz": {"suffix": "fieldmap", "desc": "total"},
    f"{STEM}_desc-local_fieldmap.nii.gz": {"suffix": "fieldmap", "desc": "local"},
    f"{STEM}_desc-noise_fieldmap.nii.gz": {"suffix": "fieldmap", "desc": "noise"},
    f"{STEM}_R2starmap.nii.gz": {"suffix": "R2starmap"},
    f"{STEM}_T2starmap.nii.gz": {"suffix": "T2starmap"},
    f"{STEM}_swi.nii.gz": {"suffix": "swi"},
    f"{STEM}_minIP.nii.gz": {"suffix": "minIP"},
    f"{STEM}_desc-brain_mask.nii.gz": {"suffix": "mask", "desc": "brain"},
    f"{STEM}_desc-trusted_mask.nii.gz": {"suffix": "mask", "desc": "trusted"},
    f"{STEM}_desc-preproc_T1w.nii.gz": {"suffix": "T1w", "desc": "preproc"},
    f"{STEM}_label-GM_probseg.nii.gz": {"suffix": "probseg", "label": "GM"},
    f"{STEM}_seg-OASIS_dseg.nii.gz": {"suffix": "dseg", "seg": "OASIS"},
    f"{STEM}_seg-OASIS_dseg.tsv": {"suffix": "dseg", "seg": "OASIS", "extension": ".tsv"},
    f"{STEM}_seg-OASIS_regions.tsv": {"suffix": "regions", "seg": "OASIS", "extension": ".tsv"},
    f"{STEM}_desc-qc.json": None,
    f"{STEM}_desc-regions_qc.json": {"suffix": "qc", "desc": "regions", "extension": ".json"},
    f"{STEM}_from-T1w_to-MEGRE_mode-image_xfm.h5": {
        "suffix": "xfm",
        "from_": "T1w",
        "to": "MEGRE",
        "extension": ".h5",
    },
}


@pytest.mark.parametrize("name", [name for name, given in OUTPUTS.items() if given])
def test_outputs_are_named_as_promised(name):
    assert derivative_path(STEM, **OUTPUTS[name]) == Path("sub-01/ses-1/anat", name)


def test_names_follow_the_order_of_bids():
    path = derivative_path("sub-01_chunk-2", suffix="Chimap", desc="a", space="T1w", seg=None)
    assert str(path) == "sub-01/anat/sub-01_space-T1w_chunk-2_desc-a_Chimap.nii.gz"
    assert sidecar_path(path).name == "sub-01_space-T1w_chunk-2_desc-a_Chimap.json"
    assert figure_path(STEM, suffix="MEGRE", desc="mask") == Path(
        f"sub-01/figures/{STEM}_desc-mask_MEGRE.svg"
    )
    with pytest.raises(ValueError, match="no BIDS entity: dsc"):
        derivative_path(STEM, suffix="mask", dsc="brain")


def test_sources_are_named_by_uri(tmp_path):
    content = tmp_path / ".git/annex/object"
    atomic_write_text(content, "voxels")
    path = tmp_path / "sub-01/anat/sub-01_T1w.nii"
    path.parent.mkdir(parents=True)
    path.symlink_to(content)  # as DataLad stores files
    assert bids_uri(path, tmp_path) == "bids:raw:sub-01/anat/sub-01_T1w.nii"


# Writing


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = atomic_write_text(tmp_path / "new/a.txt", "old")
    with pytest.raises(FileNotFoundError), replacing(path) as temporary:
        atomic_copy(tmp_path / "nothing", temporary)
    with pytest.raises(UnicodeEncodeError):
        atomic_write_text(path, "half\ud800")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_written_can_be_read_by_all_whom_the_umask_allows(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    private = tmp_path / "private"
    private.touch(mode=0o600)
    copy = atomic_copy(private, tmp_path / "copy")
    assert stat.S_IMODE(copy.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_sidecar_is_strict_json(tmp_path):
    path = write_json(tmp_path / "a.json", {"Units": "ppm", "Reference": "σ"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"Units": "ppm", "Reference": "σ"}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", {"Mean": float("nan")})
    assert not (tmp_path / "b.json").exists()


# status.tsv


def write_rows(out_dir, job):
    for n in range(5):
        update_status(out_dir, [StatusRow(f"sub-{job}{n}", "n/a", "n/a", "n/a", "MEGRE", "done")])


def test_concurrent_jobs_lose_no_rows(tmp_path):
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(write_rows, [tmp_path] * 4, "abcd"))
    assert [row.participant_id for row in read_status(tmp_path)] == [
        f"sub-{job}{n}" for job in "abcd" for n in range(5)
    ]


def test_a_row_is_replaced_by_the_next_of_the_same_acquisition(tmp_path):
    write_dataset(tmp_path)
    write_gre(tmp_path, "sub-02_ses-1_acq-a_rec-b_run-1", parts=("mag",))
    plan = read_plan(tmp_path)
    (acquisition,) = plan.acquisitions
    out = tmp_path / "out"
    update_status(
        out, [StatusRow.of(acquisition, "failed", "out of\tmemory\n"), *skipped_rows(plan)]
    )
    assert read_status(out)[0].reason == "out of memory"
    path = update_status(out, [StatusRow.of(acquisition, "done")])
    lines = path.read_text().splitlines()
    assert lines[:2] == [
        "participant_id\tsession_id\tacquisition\trun\tsuffix\tstatus\treason",
        "sub-01\tn/a\tn/a\tn/a\tMEGRE\tdone\tn/a",
    ]
    assert lines[2].startswith("sub-02\tses-1\ta_rec-b\t1\tMEGRE\tskipped\t")
    assert "no phase" in lines[2]
    assert len(lines) == 3


# The output folder


def describe_output(out, bids_dir, digest=DIGEST):
    write_output_files(
        out, bids_dir=bids_dir, derivatives={}, protocol_name="consensus", protocol_digest=digest
    )


def test_an_output_folder_says_where_it_comes_from(tmp_path, monkeypatch):
    write_dataset(tmp_path)
    monkeypatch.setenv("QSMPREP_IMAGE", "qsmprep:1.0")
    monkeypatch.delenv("APPTAINER_CONTAINER", raising=False)
    monkeypatch.delenv("SINGULARITY_CONTAINER", raising=False)
    out = tmp_path / "derivatives/qsmprep"
    describe_output(out, tmp_path)
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["DatasetLinks"] == {"raw": "../.."}
    (made_by,) = description["GeneratedBy"]
    assert made_by["Protocol"] == {"Name": "consensus", "Digest": DIGEST}
    assert made_by["Container"] == {"Type": "docker", "Tag": "qsmprep:1.0"}
    assert DIGEST in (out / "README.md").read_text()
    check_output_dir(out, tmp_path, DIGEST)


def test_an_output_folder_elsewhere_links_by_address(tmp_path):
    bids_dir, out = tmp_path / "raw data", tmp_path / "out"
    bids_dir.mkdir()
    write_json(bids_dir / "dataset_description.json", {"DatasetDOI": "doi:10.1/x"})
    describe_output(out, bids_dir)
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetLinks"]["raw"] == f"file://{tmp_path}/raw%20data"
    assert description["SourceDatasets"][0]["DOI"] == "doi:10.1/x"


def test_results_are_not_mixed(tmp_path):
    bids_dir = tmp_path / "bids"
    bids_dir.mkdir()
    write_dataset(bids_dir)
    mine, other, file = tmp_path / "mine", tmp_path / "other", tmp_path / "file"
    describe_output(mine, bids_dir)
    write_json(other / "dataset_description.json", {"GeneratedBy": [{"Name": "fMRIPrep"}]})
    file.touch()
    for out, message in (
        (bids_dir, "is the dataset itself"),
        (bids_dir / "sub-01/out", "lies in a participant"),
        (file, "is a file"),
        (file / "below", "is a file"),
        (other, "holds another dataset"),
        (mine, f"of the protocol {DIGEST}, this one is ba9876543210"),
    ):
        with pytest.raises(RequestError, match=message):
            check_output_dir(out, bids_dir, "ba9876543210")
    check_output_dir(tmp_path / "new/folder", bids_dir, DIGEST)


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(RequestError, match="cannot be written to"):
        check_output_dir(tmp_path / "out", tmp_path / "bids", DIGEST)


VALIDATOR = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)


def write_map(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nb.Nifti1Image(np.ones((8, 8, 8), np.float32), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(path)


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed")
def test_the_validator_accepts_the_output_folder(tmp_path):
    bids_dir, out = tmp_path / "bids", tmp_path / "out"
    bids_dir.mkdir()
    write_dataset(bids_dir)
    describe_output(out, bids_dir)
    for name in OUTPUTS:
        path = out / "sub-01/ses-1/anat" / name
        if name.endswith(".nii.gz"):
            write_map(path)
            # The validator requires to be told of the skull of all maps and anatomies.
            write_json(sidecar_path(path), {"Units": "ppm", "SkullStripped": False})
        elif not path.exists():
            text = {".tsv": "index\tname\n1\tputamen\n", ".json": "{}\n"}.get(path.suffix, "")
            atomic_write_text(path, text)
    for name in (
        "sub-01.html",
        "CITATION.md",
        "logs/sub-01.log",
        "group/regions.tsv",
        "group/index.html",
        f"sub-01/figures/{STEM}_desc-mask_MEGRE.svg",
    ):
        atomic_write_text(out / name, "x")
    plan = read_plan(bids_dir)
    update_status(out, [StatusRow.of(plan.acquisitions[0], "done")])
    run = subprocess.run(
        [VALIDATOR, "--format", "json", str(out)], capture_output=True, text=True, check=False
    )
    problems = json.loads(run.stdout)["issues"]["issues"]
    assert [problem for problem in problems if problem.get("severity") == "error"] == []
    assert run.returncode == 0
