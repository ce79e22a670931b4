"""The work folder: where intermediate results lie, and what makes them go."""

from __future__ import annotations

from collections.abc import Iterable
import os
from pathlib import Path
import shutil

from qsmprep.errors import RequestError
from qsmprep.resources import Resources

GRAPH = "qsmprep_wf"
"""Name of the graph, and of the folder of what it computes."""


def open_scratch(folder: Path) -> Path:
    """
    Return a folder for intermediate results, made if missing.

    Raises
    ------
    RequestError
        If it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"{folder.parent}: cannot be written to ({error.strerror}); "
            "give another work folder by -w"
        ) from error
    return folder


def forget(folder: Path, names: Iterable[str]) -> None:
    """
    Remove the intermediate results of some parts of the graph.

    Jobs that work for others in the same folder do not notice.

    Parameters
    ----------
    folder
        As `open_scratch` returned it.
    names
        Of acquisitions and anatomies in the graph.
    """
    for name in names:
        shutil.rmtree(folder / GRAPH / name, ignore_errors=True)


def set_environment(resources: Resources) -> None:
    """
    Keep libraries from writing outside of the work folder, and from taking more threads.

    They read this when they are imported, here or in the workers, which inherit it; there may
    be no home to write to.
    """
    for name, folder in (
        ("NUMBA_CACHE_DIR", "numba"),
        ("MPLCONFIGDIR", "matplotlib"),
        ("NIPYPE_CONFIG_DIR", "nipype"),
    ):
        os.environ.setdefault(name, str(resources.work_dir / folder))
    os.environ["OMP_NUM_THREADS"] = str(resources.omp_nthreads)
