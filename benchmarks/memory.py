"""
What a run takes: memory of each step, and of all processes together, and files.

``python benchmarks/memory.py steps ROWS.tsv BIDS OUT participant -w WORK ...`` runs the program
with each step in a process of its own, whose peak the kernel tells, and appends a row for each;
with ``pooled`` for ``steps`` the processes are used again, as they usually are.
``python benchmarks/memory.py fit ROWS.tsv ...`` turns rows into the table of
`qsmprep.workflows.cost`.
``python benchmarks/memory.py watch BIDS OUT participant -w WORK --mem-mb MB ...`` runs the program
as it is, adds up the memory of all of its processes twenty times a second, and counts files.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
import csv
import multiprocessing
import os
from pathlib import Path
import resource
import subprocess
import sys
import time

import numpy as np

COLUMNS = ("kind", "part", "voxels", "stack", "before", "peak", "after", "seconds")
ROWS = "QSMPREP_BENCHMARK_ROWS"

FRESH_MB = 150.0
"""What a worker holds before its first step; it is part of what an idle one is counted with."""


def tell(name: str, path: str = "/proc/self/status") -> float:
    """Return a line of the kernel's account of a process, MiB."""
    with open(path) as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name))


def run_measured(node, updatehash, taskid):
    """Run a node as the program does, and write down what it took."""
    from qsmprep.workflows.pool import run_and_tidy

    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, used = tell("VmRSS"), resource.getrusage(resource.RUSAGE_SELF)
    result = run_and_tidy(node, updatehash, taskid)
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    numbers = [f"{x:.1f}" for x in (before, tell("VmHWM"), tell("VmRSS"), seconds)]
    with open(os.environ[ROWS], "a") as file:
        file.write("\t".join([*node.measured_as, *numbers]) + "\n")
    return result


def measure_steps(rows: Path, arguments: list[str], *, fresh: bool) -> int:
    """Run the program with every step measured."""
    from qsmprep import cli
    from qsmprep.workflows import atlas, base, cost, pool

    os.environ[ROWS] = str(rows.absolute())

    def declare(graph, size):
        cost.declare(graph, size)
        for node in cost.nodes_of(graph):
            kind, part = cost.kind_of(node), cost.part_of(node)
            node.measured_as = (kind, part or "-", str(size.voxels(part)), str(size.stack(kind)))

    def open_pool(self):
        return ProcessPoolExecutor(
            max_workers=self.processors,
            initializer=pool._start_worker,
            initargs=(os.getcwd(),),
            mp_context=multiprocessing.get_context("forkserver"),
            max_tasks_per_child=1 if fresh else None,
        )

    atlas.declare = base.declare = declare
    pool.run_and_tidy = run_measured
    pool.Pool._open = open_pool
    return cli.main(arguments)


def fit(paths: list[Path]) -> None:
    """Print the table of costs that no row exceeds."""
    rows: dict[str, list[list[float]]] = {}
    for path in paths:
        for row in csv.DictReader(path.open(), COLUMNS, delimiter="\t"):
            numbers = [float(row[name]) for name in ("voxels", "stack", "peak", "seconds")]
            rows.setdefault(row["kind"], []).append(numbers)
    for kind, numbers in sorted(rows.items()):
        voxels, stack, peak, seconds = np.array(numbers).T
        needed = np.maximum(peak - FRESH_MB, 0) * 2**20
        ratio = stack / voxels  # only where it differs can the two be told apart
        columns = [voxels] + [stack] * bool(ratio.max() > 1.1 * ratio.min())
        per = _at_least(np.stack(columns, 1), needed)
        large = voxels > voxels.max() / 2
        pace = (seconds[large] / voxels[large]).max() * 1e6
        words = ", ".join(f"{number:.0f}" for number in (*per, 0.0)[:2])
        print(f'    "{kind}": Cost({words}, {pace:.2g}),')


def _at_least(terms: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Return factors of terms, none negative, with the least sum that reaches all needs."""
    from scipy.optimize import linprog

    scale = terms.max()
    found = linprog(terms.sum(0) / scale, -terms / scale, -needed / scale, bounds=(0, None))
    return found.x


def processes(group: int) -> list[str]:
    """Return the processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[2]) == group:
                found.append(stat.parent.name)
        except OSError:  # it has ended
            continue
    return found


def watch(arguments: list[str]) -> int:
    """Run the program, and print the most that all of its processes held together."""
    start = time.monotonic()
    command = [sys.executable, "-m", "qsmprep.cli", *arguments]
    program = subprocess.Popen(command, start_new_session=True)
    peak, program_peak, most = 0.0, 0.0, 0
    while program.poll() is None:
        shares = []
        for process in processes(program.pid):
            try:
                shares.append(tell("Pss:", f"/proc/{process}/smaps_rollup"))
            except (OSError, StopIteration):  # it has ended
                continue
            if process == str(program.pid):
                program_peak = max(program_peak, shares[-1])
        peak, most = max(peak, sum(shares)), max(most, len(shares))
        time.sleep(0.05)
    print(f"peak {peak:.0f} MiB of {most} processes, {program_peak:.0f} of the program itself;")
    print(f"{time.monotonic() - start:.0f} s, exit status {program.returncode}")
    for name, folder in (("work", arguments[arguments.index("-w") + 1]), ("output", arguments[1])):
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 2**20
        print(f"{name}: {len(files)} files, {size:.0f} MiB")
    return program.returncode


if __name__ == "__main__":
    what, *rest = sys.argv[1:] or ["help"]
    if what in ("steps", "pooled"):
        sys.exit(measure_steps(Path(rest[0]), rest[1:], fresh=what == "steps"))
    if what == "watch":
        sys.exit(watch(rest))
    if what != "fit":
        sys.exit(__doc__)
    fit(list(map(Path, rest)))
