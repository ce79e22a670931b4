"""The topics of published numbers: a module each, run in a process each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
import time
import traceback

from benchmarks.literature.table import row

_OTHERS = ("__init__", "__main__", "table", "topics")


def topics() -> list[str]:
    """Return the names of all topics: every other module beside this one."""
    names = (path.stem for path in Path(__file__).parent.glob("*.py"))
    return sorted(name for name in names if name not in _OTHERS)


def run(name: str) -> tuple[list[dict], float]:
    """Return the rows of a topic and the seconds it took; an error becomes a row that fails."""
    began = time.perf_counter()
    try:
        rows = import_module(f"benchmarks.literature.{name}").rows()
    except Exception as error:  # noqa: BLE001 - the other topics are to be seen all the same
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
        rows = [row(name, "all of it", "", "", said, "", False)]
    return rows, time.perf_counter() - began


def run_all(names: Iterable[str], processes: int) -> Iterator[tuple[str, list[dict], float]]:
    """
    Return name, rows and seconds of every topic, the first to be ready first.

    Parameters
    ----------
    names
        Topics.
    processes
        How many at a time; every topic has a process of its own.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, max_tasks_per_child=1) as pool:
        waiting = {pool.submit(run, name): name for name in names}
        for done in as_completed(waiting):
            yield waiting[done], *done.result()
