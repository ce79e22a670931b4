"""Bad input, crashes and interruptions: what they leave alone, and what is told of them."""

import gzip
import json
import os
from pathlib import Path
import signal
import time

from bids_skeleton import change, write_dataset, write_gre, write_image
import nibabel as nb
import numpy as np
import pytest
from runs import CHI, FAST, copy_participant, cut, statuses

from qsmprep.bids.dataset import read_plan
from qsmprep.bids.status import StatusRow, read_status, skipped_rows, update_status
from qsmprep.errors import RequestError
from qsmprep.protocol import Protocol
from qsmprep.reports.participant import write_participant_page
from qsmprep.resources import Resources
import qsmprep.run as run_module
from qsmprep.run import Request, run_participants


def rewrite(path, change):
    image = nb.load(path)
    array = change(image.get_fdata(dtype=np.float32))
    nb.Nifti1Image(array, image.affine).to_filename(path)


def with_nan(array):
    array[3, 4, 5] = np.nan
    return array


# bad input


@pytest.fixture(scope="module")
def faults(simulated, qsmprep, tmp_path_factory):
    """Return a run on a sound participant and one for each fault."""
    bids = tmp_path_factory.mktemp("faults") / "bids"
    for number in range(1, 10):
        copy_participant(simulated, bids, f"{number:02d}")

    def images(number, pattern):
        return sorted((bids / f"sub-{number:02d}/anat").glob(f"*{pattern}*"))

    for path in images(2, "part-phase"):
        path.unlink()
    for path in images(3, "echo-2_part-phase"):
        path.unlink()
    for path in images(4, "echo-3_*json"):
        path.unlink()
    for path in images(5, "MEGRE.json"):
        change(path, EchoTime=1e3 * json.loads(path.read_text())["EchoTime"])
    rewrite(images(6, "echo-1_part-phase_MEGRE.nii.gz")[0], lambda array: array[:-1])
    path = images(7, "echo-1_part-mag_MEGRE.nii.gz")[0]
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    cut(path.with_suffix(""))
    cut(images(8, "echo-2_part-phase_MEGRE.nii.gz")[0])
    rewrite(images(9, "echo-4_part-phase_MEGRE.nii.gz")[0], with_nan)
    return qsmprep(bids, bids.with_name("out"), *FAST)


FAULTS = {
    "02": ("skipped", "MEGRE.nii.gz: no phase; add the part-phase images"),
    "03": ("skipped", "echo 2 of part-phase is missing beside this file; add it"),
    "04": ("skipped", "echo-3_part-phase_MEGRE.nii.gz: no EchoTime in its sidecar; add it there"),
    "05": ("skipped", "looks like milliseconds, BIDS wants seconds; divide by 1000"),
    "06": ("skipped", "echo-1_part-phase_MEGRE.nii.gz: its matrix"),
    "07": ("skipped", "echo-1_part-mag_MEGRE.nii: is cut off"),
    "08": ("failed", "echo-2_part-phase_MEGRE.nii.gz: cannot be read to its end"),
    "09": (
        "failed",
        "echo-4_part-phase_MEGRE.nii.gz: 1 of its voxels are NaN or infinite; export",
    ),
}


@pytest.mark.parametrize("label", FAULTS)
def test_faults_are_told_in_a_sentence_everywhere(faults, label):
    status, sentence = FAULTS[label]
    row = statuses(faults.out)[f"sub-{label}"]
    assert (row.status, sentence in row.reason) == (status, True), row.reason
    assert " | " not in row.reason
    assert row.reason in faults.stderr
    page = (faults.out / f"sub-{label}.html").read_text()
    assert sentence.split(": ")[-1].split(";")[0] in page
    assert not (faults.out / f"sub-{label}/anat/sub-{label}_Chimap.nii.gz").exists()


def test_the_sound_are_unharmed_by_the_faulty(faults):
    assert faults.status == 1
    assert statuses(faults.out)["sub-01"].status == "done"
    assert (faults.out / CHI).exists()
    assert "Traceback" not in faults.stderr
    assert "1 done, 6 skipped, 2 failed" in faults.stderr


def test_a_participant_without_echoes_is_told_of_until_there_are_some(tmp_path):
    bids, out = tmp_path / "bids", tmp_path / "out"
    write_image(bids / "sub-02/anat/sub-02_T1w.nii.gz")
    write_dataset(bids)
    plan = read_plan(bids)
    update_status(out, skipped_rows(plan))
    row = statuses(out)["sub-02"]
    assert (row.status, row.suffix) == ("skipped", "n/a")
    assert "no MEGRE, T2starw or GRE image; nothing is done for it" in row.reason
    page = write_participant_page(out, "02", status=[vars(row)], command="qsmprep")
    assert "no MEGRE, T2starw or GRE image" in page.read_text()
    write_gre(bids, "sub-02")
    (acquisition,) = read_plan(bids, participants=["02"]).acquisitions
    update_status(out, [StatusRow.of(acquisition, "done")])
    assert [row.status for row in read_status(out)] == ["done"]


def test_a_t1w_that_cannot_be_used_does_not_take_the_map_with_it(
    simulated, atlas, qsmprep, tmp_path
):
    bids = tmp_path / "bids"
    for label in ("01", "02", "03"):
        copy_participant(simulated, bids, label)
    cut(bids / "sub-01/anat/sub-01_T1w.nii.gz")
    (bids / "sub-02/anat/sub-02_T1w.nii.gz").unlink()
    (bids / "sub-03/anat/sub-03_T1w.nii.gz").write_bytes(b"")
    run = qsmprep(bids, tmp_path / "out", "--protocol", "fast", "--atlas", atlas)
    assert run.status == 1
    told = {
        "01": "sub-01_T1w.nii.gz: cannot be read to its end",
        "02": "no T1w image; the maps are made, the regional table is not",
        "03": "sub-03_T1w.nii.gz: is empty, cut off or no NIfTI file",
    }
    for label, sentence in told.items():
        row = statuses(run.out)[f"sub-{label}"]
        assert row.status == "partial"
        assert sentence in row.reason
        assert (run.out / CHI.replace("sub-01", f"sub-{label}")).exists()
        assert (run.out / f"sub-{label}/anat/sub-{label}_desc-qc.json").exists()
        assert (run.out / f"sub-{label}/figures/sub-{label}_desc-chi_figure.png").exists()
        assert "the maps are made" in row.reason or label == "01"
    assert "3 partial" in run.stderr
    assert "Traceback" not in run.stderr


# interruptions


def wait_for(process, words):
    """Read what the program tells until some words, and return it."""
    told = []
    for line in process.stderr:
        told.append(line)
        if words in line:
            return told
    raise AssertionError("".join(told))


def processes_of(group):
    """Return the living processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended meanwhile
            continue
        if int(its_group) == group and state != "Z":
            found.append(stat.parent.name)
    return found


def ends_within(seconds, group):
    patience = time.monotonic() + seconds
    while processes_of(group) and time.monotonic() < patience:
        time.sleep(0.1)
    return not processes_of(group)


@pytest.mark.parametrize("to_all", [True, False])
def test_a_killed_run_goes_on_where_it_was(simulated, program, qsmprep, tmp_path, to_all):
    work = tmp_path / "out-work"
    process = program(simulated, tmp_path / "out", "participant", "-v", "-w", work, *FAST)
    told = wait_for(process, "brain: done")
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGKILL)
    # Where nobody ends them, the workers notice that their program is gone.
    assert ends_within(10, process.pid)
    process.communicate()
    done = {line.split("  ", 2)[2].split(": done")[0] for line in told if ": done" in line}
    assert {"echoes: read", "masking: brain"} <= done
    found = [
        p for stage in ("echoes", "masking") for p in work.rglob(f"{stage}_wf*/*/result_*.pklz")
    ]
    kept = {path: path.stat().st_mtime_ns for path in found}
    again = qsmprep(simulated, tmp_path / "out", *FAST, work=work)
    assert again.status == 0
    assert done.isdisjoint(again.steps)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert statuses(again.out)["sub-01"].status == "done"


@pytest.mark.parametrize(
    ("number", "to_all", "status"),
    # A terminal tells all processes of Ctrl-C; batch systems tell all, or the first one only.
    [(signal.SIGINT, True, 130), (signal.SIGTERM, True, 143), (signal.SIGTERM, False, 143)],
)
def test_an_interrupted_run_ends_cleanly(simulated, program, tmp_path, number, to_all, status):
    work = tmp_path / "work"
    process = program(simulated, tmp_path / "out", "participant", "-v", "-w", work, *FAST)
    wait_for(process, "brain: started")
    time.sleep(0.5)
    (os.killpg if to_all else os.kill)(process.pid, number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == status
    assert ends_within(5, process.pid)
    assert "Traceback" not in told
    assert "interrupted; the same command goes on from here" in told
    row = statuses(tmp_path / "out")["sub-01"]
    assert (row.status, row.reason.split(";")[0]) == ("failed", "interrupted")
    assert (tmp_path / "out/sub-01.html").exists()
    assert not list((tmp_path / "out").rglob(".*.nii.gz"))


# crashes


def test_the_first_crash_ends_all_if_asked_to(simulated, qsmprep, tmp_path):
    bids = tmp_path / "bids"
    for label in ("01", "02"):
        copy_participant(simulated, bids, label)
    cut(bids / "sub-01/anat/sub-01_echo-1_part-phase_MEGRE.nii.gz")
    run = qsmprep(bids, tmp_path / "out", *FAST, "--stop-on-first-crash")
    assert run.status == 1
    rows = statuses(run.out)
    assert "cannot be read to its end" in rows["sub-01"].reason
    assert rows["sub-02"].reason == "not run, because of --stop-on-first-crash"
    assert not (run.out / CHI.replace("sub-01", "sub-02")).exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("oops"), "a bug ended the run (ZeroDivisionError: oops)"),
        (RequestError("atlas: head 2 is empty; remove it"), "atlas: head 2 is empty; remove it"),
    ],
)
def test_a_lost_report_does_not_lose_the_status(simulated, tmp_path, monkeypatch, error, reason):
    def fail(*_, **__):
        raise error

    request = Request(
        simulated, tmp_path / "out", Protocol.read("fast", ["segmentation.atlas=none"]),
        Resources(tmp_path / "work", mem_mb=4000),
    )  # fmt: skip
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "NIPYPE_CONFIG_DIR", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(run_module, "compute", fail)
    with pytest.raises(type(error)):
        run_participants(request)
    row = statuses(tmp_path / "out")["sub-01"]
    assert (row.status, row.reason) == ("failed", reason)
    assert row.reason in (tmp_path / "out/sub-01.html").read_text()
