"""What the machine does to a run: full disks, killed workers, missing rights, a second run."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
import multiprocessing
import os
from pathlib import Path
import shutil
import signal
import subprocess
import time

from bids_skeleton import write_dataset, write_gre, write_image
from nipype import Function
from nipype.pipeline import engine as pe
import pytest
from runs import CHI, FAST, copy_participant, statuses

from qsmprep.resources import Resources
from qsmprep.workflows.execution import NO_SPACE, configure, execute
from qsmprep.workflows.locks import holding
from qsmprep.workflows.pool import KILLED, _start_worker, run_and_tidy

WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.fixture(scope="module")
def finished(simulated, qsmprep, tmp_path_factory):
    """Return a run whose work folder saves others the computation."""
    return qsmprep(simulated, tmp_path_factory.mktemp("finished") / "out", *FAST)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Give a folder on a disk of its own, which is soon full."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("small disks cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(("full", "size"), [("work", "9m"), ("out", "200k"), ("out", "28k")])
def test_a_full_disk_is_told_as_one(simulated, finished, qsmprep, tmp_path, full, size):
    with small_disk(tmp_path / "disk", size) as disk:
        out = disk / "out" if full == "out" else tmp_path / "out"
        work = finished.work if full == "out" else disk / "work"
        run = qsmprep(simulated, out, *FAST, work=work)
        assert run.status == 1, run.stderr
        assert "Traceback" not in run.stderr
        assert "Logging error" not in run.stderr
        assert f"sub-01_MEGRE: failed: {NO_SPACE}" in run.stderr
        assert "0 done, 1 failed" in run.stderr
        assert not list(out.rglob(".*.nii.gz"))  # nothing half-written
        if size != "28k":  # else there is no place for it
            assert statuses(out)["sub-01"].reason == NO_SPACE
    if full == "work":
        again = qsmprep(simulated, out, *FAST, work=finished.work)
        assert again.status == 0
        assert statuses(out)["sub-01"].status == "done"


# killed workers


def die():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def live(path):
    import time

    time.sleep(1)
    with open(path, "a") as file:
        file.write("x")
    return path


def test_who_kills_his_worker_fails_alone(tmp_path):
    configure(tmp_path / "logs")
    graph = pe.Workflow(name="all", base_dir=str(tmp_path / "work"))
    for number in range(3):
        part = pe.Workflow(name=f"sub_{number}")
        node = pe.Node(Function(["path"], ["path"], live), name="live")
        node.inputs.path = str(tmp_path / f"{number}.txt")
        part.add_nodes([node])
        graph.add_nodes([part])
    killer = pe.Workflow(name="sub_9")
    killer.add_nodes([pe.Node(Function([], [], die), name="die")])
    graph.add_nodes([killer])
    crashes = execute(
        graph,
        resources=Resources(tmp_path / "work", nprocs=3, mem_mb=4096),
        crash_dir=tmp_path / "logs",
        plugin={},
        names={"sub_9": "sub-9"},
    )
    assert crashes == {"sub_9": [KILLED]}
    assert all((tmp_path / f"{number}.txt").exists() for number in range(3))


def slumber(path):
    import time

    with open(path, "w"):
        time.sleep(600)


def slumber_in_a_callback(path):
    import threading
    import time
    import weakref

    def callback():
        with open(path, "w"):
            time.sleep(600)

    held = threading.Event()
    weakref.finalize(held, callback)
    del held
    time.sleep(600)


@pytest.mark.parametrize("work", [slumber, slumber_in_a_callback])
def test_a_worker_that_is_asked_to_end_does_so_in_the_midst_of_a_node(tmp_path, work):
    started = tmp_path / "started"
    node = pe.Node(Function(["path"], ["path"], work), name="slumber", base_dir=str(tmp_path))
    node.inputs.path = str(started)
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(
        1, initializer=_start_worker, initargs=(str(tmp_path),), mp_context=context
    ) as pool:
        future = pool.submit(run_and_tidy, node, False, 1)
        while not started.exists():
            time.sleep(0.1)
        (worker,) = pool._processes.values()
        worker.terminate()
        worker.join(30)
        ended = worker.exitcode
        worker.kill()
        assert ended == 1
        with pytest.raises(BrokenProcessPool):
            future.result(30)


def children(pid):
    """Return the processes that a process has started, and those that they have."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(child)]
    return found


def test_a_killed_worker_costs_nobody_a_map(simulated, program, tmp_path):
    bids = tmp_path / "bids"
    for label in ("01", "02"):
        copy_participant(simulated, bids, label)
    arguments = ["-v", "-w", tmp_path / "work", "--nprocs", "2", *FAST]
    process = program(bids, tmp_path / "out", "participant", *arguments)
    for line in process.stderr:
        if "brain: started" in line:
            break
    os.kill(max(children(process.pid)), signal.SIGKILL)  # the youngest is a worker
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert "2 done" in told
    assert "Traceback" not in told


# two runs at once


def test_two_runs_in_one_folder_share_the_work(simulated, program, tmp_path):
    arguments = ["-v", "-w", tmp_path / "work", "--nprocs", "1", *FAST]
    runs = [program(simulated, tmp_path / "out", "participant", *arguments) for _ in range(2)]
    told = [run.communicate(timeout=300)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert statuses(tmp_path / "out")["sub-01"].status == "done"
    assert sum("waiting for its end" in text for text in told) == 1
    # The second one takes what the first has computed, and only saves it again.
    assert sorted("inversion: invert: started" in text for text in told) == [False, True]


def test_a_run_that_is_gone_holds_nobody_up(tmp_path):
    with holding(tmp_path, ["sub-01_MEGRE"]):
        pass
    start = time.monotonic()
    with holding(tmp_path, ["sub-01_MEGRE", "sub-02_MEGRE"] * 2):
        assert time.monotonic() - start < 60


# rights


@pytest.fixture
def ordinary():
    """Return what to put before a command so that file modes count, as for ordinary users."""
    if os.getuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not there, and the modes of files mean nothing to root")
    return WITHOUT_RIGHTS


@pytest.fixture
def ordinary_run(ordinary, caches):
    def run(*arguments):
        import sys

        return subprocess.run(
            [*ordinary, sys.executable, "-m", "qsmprep.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | caches,
        )

    return run


@contextmanager
def mode(path, bits):
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


def test_a_folder_that_may_not_be_written_to_is_told_at_once(ordinary_run, simulated, tmp_path):
    (tmp_path / "shelf").mkdir()
    with mode(tmp_path / "shelf", 0o555):
        for out, work in (("shelf/out", "work"), ("out", "shelf/work")):
            call = [simulated, tmp_path / out, "participant", "-w", tmp_path / work, *FAST]
            run = ordinary_run(*call)
            assert run.returncode == 2
            assert run.stderr.count("\n") == 1
            assert "shelf" in run.stderr
            assert "cannot be written to" in run.stderr
            assert "; give another" in run.stderr


def test_outputs_of_somebody_else_are_left_alone(ordinary_run, simulated, finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    (out / CHI).unlink()
    with mode(out / "sub-01/anat", 0o555):
        run = ordinary_run(simulated, out, "participant", "-w", finished.work, *FAST)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    row = statuses(out)["sub-01"]
    assert row.status == "failed"
    assert f"{out}/sub-01/anat: may not be written to; " in row.reason


def test_what_may_not_be_read_is_named(ordinary_run, tmp_path):
    bids = tmp_path / "bids"
    bids.mkdir()
    write_dataset(bids)
    for label in ("02", "03", "04"):
        write_gre(bids, f"sub-{label}")
        write_image(bids / f"sub-{label}/anat/sub-{label}_T1w.nii.gz")
    image = bids / "sub-02/anat/sub-02_echo-2_part-phase_MEGRE.nii"
    sidecar = bids / "sub-03/anat/sub-03_echo-2_part-phase_MEGRE.json"
    with mode(image, 0), mode(sidecar, 0), mode(bids / "sub-04/anat", 0):
        run = ordinary_run(bids, tmp_path / "out", "participant", "--dry-run", "--atlas", "none")
    assert run.returncode == 1, run.stderr
    assert f"{image}: may not be read; allow it by chmod" in run.stdout
    assert f"{sidecar}: cannot be read (Permission denied); " in run.stdout
    assert f"{bids}/sub-04/anat: may not be read; allow it by chmod" in run.stdout
    assert "1 acquisition to do" in run.stdout
