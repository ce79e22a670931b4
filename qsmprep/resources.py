"""What a computation may use: the settings that never change a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import os
from pathlib import Path


@dataclass(frozen=True)
class Resources:
    """
    Cores, memory and scratch space.

    Parameters
    ----------
    work_dir
        Folder of intermediate results; a second run finds them there.
    nprocs
        Steps that may run at once.
    omp_nthreads
        Threads of each.
    mem_mb
        Memory of all together, MB.
    device
        What background removal and inversion compute on, ``cpu`` or ``cuda``; results differ by
        rounding alone.
    """

    work_dir: Path
    nprocs: int = 1
    omp_nthreads: int = 1
    mem_mb: int = 0
    device: str = "cpu"

    @classmethod
    def of_machine(cls, work_dir: Path) -> Resources:
        """
        Return all cores this process may use, and nine tenths of the memory.

        Of a machine, a container or a job, whichever is the narrowest.
        """
        return cls(work_dir, usable_cores(), 1, int(0.9 * usable_memory() / 2**20))


def usable_memory(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """
    Return the bytes that this process may fill before something ends it.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` lie.
    environment
        In which SLURM tells of its job.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits += _numbers(folder / name)[:1]
    node, core = (_number(environment, f"SLURM_MEM_PER_{unit}") for unit in ("NODE", "CPU"))
    limits += [node * 2**20, core * 2**20 * (_number(environment, "SLURM_CPUS_ON_NODE") or 1)]
    return min(limit for limit in limits if limit > 0)


def usable_cores(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """
    Return how many cores this process may keep busy.

    Parameters
    ----------
    root, environment
        As in `usable_memory`.
    """
    limits = [float(len(os.sched_getaffinity(0)))]
    for folder in _groups(root, "cpu"):
        # Time within a period: a container with 1.5 cores still sees all of them.
        time = _numbers(folder / "cpu.max") or [
            number
            for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            for number in _numbers(folder / name)
        ]
        if len(time) == 2 and min(time) > 0:
            limits.append(time[0] / time[1])
    limits.append(
        _number(environment, "SLURM_CPUS_PER_TASK") or _number(environment, "SLURM_CPUS_ON_NODE")
    )
    return max(1, int(min(limit for limit in limits if limit > 0)))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Return the control groups that a process is in, whichever version, innermost first."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux, or none that tells
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = mount / controllers if controllers else mount
        if not base.is_dir():  # systemd calls it by one of its controllers
            base = mount / controller
        # A container may see its own group as the root, and be told a path from outside.
        inner = base / path.strip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(base))


def _numbers(path: Path) -> list[int]:
    """Return the numbers in a file of the kernel; none where it is not there or says ``max``."""
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return [int(word) for word in words] if all(w.lstrip("-").isdecimal() for w in words) else []


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdecimal() else 0
