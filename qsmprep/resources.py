"""What a computation may use: the settings that never change a result."""

from __future__ import annotations

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
        """Return all cores this process may use, and nine tenths of the memory."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(work_dir, len(os.sched_getaffinity(0)), 1, int(0.9 * memory / 2**20))
