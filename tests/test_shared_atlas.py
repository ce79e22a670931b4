"""Jobs that share a work folder: the atlas is prepared once, whoever comes first."""

from pathlib import Path
import subprocess
import sys

import pytest

JOB = """
from pathlib import Path
import logging, sys, time
from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.template import MNI
from qsmprep.interfaces.atlas import prepare_atlas
from qsmprep.resources import Resources
from qsmprep.workflows import atlas as module
import qsmprep.interfaces.atlas

root, folder, locks = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "locks"
logging.basicConfig(level=logging.INFO, format="%(message)s")
if not locks:
    import errno, fcntl
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks here")
    fcntl.lockf = refuse

def execute(graph, **_):
    print("aligned", flush=True)
    time.sleep(1.0)  # long enough for all to come
    for name in graph.list_node_names():
        _, node = name.split(".")
        if node.startswith("align"):
            home = Path(graph.base_dir) / graph.name / "place" / node
            home.mkdir(parents=True)
            (home / "_0x1.json").write_text("{}")
            (home / "syn_Composite.h5").write_text(node)
    return {}

module.execute = execute
print("ready", flush=True)
sys.stdin.readline()
placed = module.place_atlas(
    read_atlas(root), MNI, seed=1, spacing=4.0, folder=folder,
    resources=Resources(work_dir=folder), crash_dir=folder, plugin={},
)
print(*(path.read_text() for path in placed.values()))
"""


@pytest.mark.parametrize("locks", ["locks", "no locks"])
def test_heads_are_placed_once_where_there_are_locks_and_never_wrongly(locks, heads, tmp_path):
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", JOB, heads, tmp_path, locks],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for job in jobs:
        assert job.stdout.readline() == "ready\n"
    for job in jobs:  # now all at once
        job.stdin.write("go\n")
        job.stdin.flush()
    told = [job.communicate(timeout=60) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], told
    for out, _ in told:
        assert out.splitlines()[-1] == "align_sub_a align_sub_b"
    waited = sum("waiting for another job" in err for _, err in told)
    aligned = sum("aligned" in out for out, _ in told)
    assert (aligned, waited) == ((1, 2) if locks == "locks" else (3, 0)), told
    assert len(list(Path(tmp_path).glob("*/[!.]*"))) == 2  # no scratch folder is left
