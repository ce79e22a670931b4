"""Files that others read or write at the same time, and what a power cut leaves of them."""

import errno
import fcntl
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest
from runs import CHI, FAST, copy_participant, cut, load, statuses

from qsmprep import files
from qsmprep.bids.status import read_status
from qsmprep.files import atomic_copy, atomic_write_text, locked, put_on_disk, replacing

ENDLESS = """
import sys
from qsmprep.files import atomic_write_text
print("ready", flush=True)
while True:
    for letter in "ab":
        atomic_write_text(sys.argv[1], 300_000 * letter)
"""

HOLD = """
import sys, time
from qsmprep.files import locked
with locked(sys.argv[1]):
    print("ready", flush=True)
    time.sleep(60)
"""


def start(script, *arguments):
    """Return a process that has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def calls(monkeypatch):
    """Return the calls that decide what a power cut leaves, in their order."""
    told = []

    def watch(name):
        real = getattr(os, name)

        def call(first, *others):
            # What is synchronised is known by a number only.
            path = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else first
            told.append((name, Path(path).name.rpartition(".")[2]))
            return real(first, *others)

        monkeypatch.setattr(os, name, call)

    watch("fsync")
    watch("replace")
    return told


@pytest.mark.parametrize("write", [atomic_write_text, atomic_copy])
def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_at_the_end(
    write, calls, tmp_path
):
    source = tmp_path / "source"
    source.write_text("content")
    write(tmp_path / "folder/name.new", "content") if write is atomic_write_text else write(
        source, tmp_path / "folder/name.new"
    )
    assert calls == [("fsync", "new"), ("replace", "new"), ("fsync", "folder")]


def test_a_file_system_that_cannot_say_what_is_on_the_disk_is_taken_as_it_is(
    tmp_path, monkeypatch
):
    def refuse(_):
        raise OSError(errno.EINVAL, "not for this kind")

    monkeypatch.setattr(os, "fsync", refuse)
    assert atomic_write_text(tmp_path / "a", "text").read_text() == "text"


def test_a_disk_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "broken")

    atomic_write_text(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="broken"):
        atomic_write_text(tmp_path / "a", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_writer_that_is_killed_leaves_a_whole_file_under_its_name(tmp_path):
    path = tmp_path / "a"
    for _ in range(3):
        process = start(ENDLESS, path)
        time.sleep(0.05)  # in the middle of one of hundreds of writes
        end(process)
        assert process.returncode == -signal.SIGKILL
        if path.exists():
            assert len(path.read_text()) == 300_000
            assert len(set(path.read_text())) == 1


def test_outputs_are_written_in_no_other_way():
    root = Path(files.__file__).parent
    writers = [*root.glob("*.py"), *root.glob("bids/*.py"), *root.glob("reports/*.py")]
    writers += root.glob("group/*.py")
    for path in writers:
        text = path.read_text()
        if path != Path(files.__file__):
            assert ".write_text(" not in text.replace("temporary.write_text(", ""), path
            assert "os.replace(" not in text, path


def test_others_wait_for_the_first_and_are_told_so(tmp_path):
    holder = start(HOLD, tmp_path / "lock")
    told = []

    def tell():
        told.append("waiting")
        end(holder)  # a killed process holds no lock any more

    with locked(tmp_path / "lock", tell):
        assert told == ["waiting"]
    with locked(tmp_path / "lock", tell):
        assert told == ["waiting"]  # nobody to wait for


def test_where_there_are_no_locks_everybody_goes_on(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with locked(tmp_path / "lock"), replacing(tmp_path / "made") as temporary:
        temporary.write_text("made")
    assert (tmp_path / "made").exists()


def test_a_folder_can_be_put_on_the_disk(tmp_path):
    put_on_disk(tmp_path)
    with pytest.raises(FileNotFoundError):
        put_on_disk(tmp_path / "none")


def test_jobs_that_start_together_share_one_output_folder(simulated, program, tmp_path):
    labels = ["01", "02", "03"]
    for label in labels:
        copy_participant(simulated, tmp_path / "bids", label)
    # The last one fails early, and tells so while the others write.
    cut(next((tmp_path / "bids/sub-03/anat").glob("*echo-2*part-phase*.nii.gz")))
    out = tmp_path / "out"
    jobs = [
        program(
            tmp_path / "bids", out, "participant", *FAST, "--set", "inversion.method=tkd",
            "--participant-label", label, "-w", tmp_path / "work", "--nprocs", "1",
        )
        for label in labels
    ]  # fmt: skip
    ended = [(job.communicate(timeout=300), job.returncode) for job in jobs]
    assert [status for _, status in ended] == [0, 0, 1], ended
    rows = statuses(out)
    assert {name: row.status for name, row in rows.items()} == {
        "sub-01": "done", "sub-02": "done", "sub-03": "failed",
    }  # fmt: skip
    assert len(read_status(out)) == 3
    assert "sub-03_echo-2" in rows["sub-03"].reason
    for path in out.rglob("*.json"):
        json.loads(path.read_text())
    assert sorted(path.name for path in out.glob("*.html")) == [f"sub-{n}.html" for n in labels]
    assert len(list((out / "logs").glob("qsmprep_*.log"))) == 3
    left = [
        path.name for path in out.rglob(".*") if path.name not in (".bidsignore", ".status.lock")
    ]
    assert left == []
    # Equal input, whoever else was running.
    assert (load(out) == load(out, CHI.replace("sub-01", "sub-02"))).all()
