"""The program as a BIDS App: what it makes, what it tells, and how it ends."""

import gzip
import json
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import time

from bids_skeleton import change
from conftest import copy_participant
import nibabel as nb
import numpy as np
import pytest

from qsmprep import cli
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.outcome import expected_of
from qsmprep.bids.status import read_status
from qsmprep.protocol import Protocol

VALIDATOR = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)
CHI = "sub-01/anat/sub-01_Chimap.nii.gz"
FAST = ("--protocol", "fast", "--atlas", "none")


def statuses(out):
    return {row.participant_id: row for row in read_status(out)}


def chi_of(out, name=CHI):
    return nb.load(out / name).get_fdata(dtype=np.float32)


def cut(path, part=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])


def rewrite(path, change):
    image = nb.load(path)
    array = change(image.get_fdata(dtype=np.float32))
    nb.Nifti1Image(array, image.affine).to_filename(path)


def with_nan(array):
    array[3, 4, 5] = np.nan
    return array


def files_below(*folders):
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


# a complete run without an atlas


def test_a_run_without_an_atlas_makes_every_map(maps, simulated):
    assert maps.status == 0, maps.stderr
    (acquisition,) = read_plan(simulated, need_t1w=False).acquisitions
    assert [p for p in expected_of(acquisition, "") if not (maps.out / p).exists()] == []
    assert statuses(maps.out)["sub-01"].status == "done"


def test_progress_is_told_once_in_plain_words_and_kept(maps):
    lines = maps.stderr.splitlines()
    steps = [line for line in lines if "sub-01_MEGRE  " in line]
    assert len(steps) == len({line.split("  ", 1)[1] for line in steps})  # nothing twice
    assert all(
        re.fullmatch(r"\d\d:\d\d:\d\d  sub-01_MEGRE  [\w *:]+: (started|done after .+)", line)
        for line in steps
    )
    assert any("inversion: invert: done after" in line for line in steps)
    assert len(lines) - len(steps) <= 4  # head, plan, number of steps, outcome
    (log,) = (maps.out / "logs").glob("qsmprep_*.log")
    assert log.read_text() == maps.stderr
    assert maps.stdout == ""


def test_a_second_run_recomputes_nothing_and_brings_back_what_was_deleted(
    maps, simulated, qsmprep
):
    names = [CHI, "sub-01/figures/sub-01_desc-chi_figure.png", "sub-01.html"]
    before = {name: (maps.out / name).read_bytes() for name in names}
    for name in names:
        (maps.out / name).unlink()
    results = {path: path.stat().st_mtime_ns for path in maps.work.rglob("result_*.pklz")}
    again = qsmprep(simulated, maps.out, "--atlas", "none", work=maps.work)
    assert again.status == 0
    # Saving costs nothing and is done each time; all else lies in the work folder.
    assert set(again.steps) == {"save", "save chi", "save quality"}
    recomputed = {p for p, mtime in results.items() if p.stat().st_mtime_ns != mtime}
    assert {path.parent.name for path in recomputed} <= {
        "save", "save_chi", "save_quality", "keep", "facts",
    }  # fmt: skip
    for name in names[:2]:
        assert (maps.out / name).read_bytes() == before[name]
    assert (maps.out / "sub-01.html").exists()


def test_equal_maps_are_equal_files(maps, simulated, qsmprep, tmp_path):
    other = qsmprep(simulated, tmp_path / "out", "--atlas", "none", "--nprocs", "1")
    assert other.status == 0
    for name in (CHI, "sub-01/anat/sub-01_R2starmap.nii.gz"):
        assert (other.out / name).read_bytes() == (maps.out / name).read_bytes()


def test_results_of_another_protocol_are_not_mixed(maps, simulated, capsys):
    call = [str(simulated), str(maps.out), "participant", *FAST]
    before = files_below(maps.out)
    for extra in ([], ["--dry-run"]):
        assert cli.main([*call, *extra]) == 2
        sentence = capsys.readouterr().err
        assert "one folder holds one protocol, so give another folder" in sentence
        assert Protocol.read("fast", ["segmentation.atlas=none"]).digest() in sentence
    assert files_below(maps.out) == before


def test_pages_are_written_anew_from_what_is_there(maps, capsys):
    page = maps.out / "sub-01.html"
    before = page.read_bytes()
    page.unlink()
    call = ["nowhere", str(maps.out), "participant", "--reports-only"]
    assert cli.main(call) == 0
    assert page.stat().st_size > 0.9 * len(before)
    assert cli.main([*call, "--participant-label", "07"]) == 2
    assert "holds no results of sub-07" in capsys.readouterr().err


# without a home


def test_nothing_is_written_but_the_work_and_the_output_folder(simulated, tmp_path):
    cwd, temporary = tmp_path / "cwd", tmp_path / "tmp"
    cwd.mkdir()
    temporary.mkdir()
    run = subprocess.run(
        [sys.executable, "-m", "qsmprep.cli", simulated, cwd / "out", "participant", *FAST],
        cwd=cwd,
        # No home, no user name, no locale; the path of this project instead of an installation.
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(Path(cli.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert not Path("/nonexistent").exists()
    assert {path.name for path in cwd.iterdir()} == {"out", "work"}
    assert list(temporary.iterdir()) == []


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
    process = program(simulated, tmp_path / "out", "participant", "-w", work, *FAST)
    told = wait_for(process, "brain: done")
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGKILL)
    process.communicate()
    # Where nobody ends them, the workers notice that their program is gone.
    assert ends_within(10, process.pid)
    done = {line.split("  ", 2)[2].split(": done")[0] for line in told if ": done" in line}
    assert {"echoes: read", "echoes: brain"} <= done
    kept = {path: path.stat().st_mtime_ns for path in work.rglob("echoes_wf/*/result_*.pklz")}
    again = qsmprep(simulated, tmp_path / "out", *FAST, work=work)
    assert again.status == 0
    assert done.isdisjoint(again.steps)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert statuses(again.out)["sub-01"].status == "done"


@pytest.mark.parametrize(
    ("number", "to_all", "status"),
    # A terminal tells all processes of Ctrl-C, a batch system may tell the first one only.
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)],
)
def test_an_interrupted_run_ends_cleanly(simulated, program, tmp_path, number, to_all, status):
    work = tmp_path / "work"
    process = program(simulated, tmp_path / "out", "participant", "-w", work, *FAST)
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
