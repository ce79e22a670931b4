"""The work folder: intermediate results, and what libraries insist on writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import tempfile

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


def ensure_temporary_folder(work_dir: Path) -> None:
    """Let temporary files go to the work folder if there is no place for them elsewhere."""
    if _temporary_folder() is None:
        folder = work_dir / "tmp"
        folder.mkdir(exist_ok=True)
        os.environ["TMPDIR"] = str(folder)


@contextmanager
def room_to_write(folder: Path) -> Iterator[None]:
    """
    Let figures be drawn without a home and without a work folder.

    Parameters
    ----------
    folder
        Where to make a folder for the time being if there is no place for temporary files.

    Raises
    ------
    RequestError
        If that cannot be written to either.
    """
    # Matplotlib cannot be imported where it finds no place for its settings.
    if os.environ.get("MPLCONFIGDIR") or os.access(os.path.expanduser("~"), os.W_OK):
        yield
        return
    try:
        made = tempfile.mkdtemp(prefix="qsmprep-", dir=_temporary_folder() or folder)
    except OSError as error:
        raise RequestError(
            f"{folder}: cannot be written to ({error.strerror}), nor are there a home or a /tmp "
            "that can; give one"
        ) from error
    os.environ["MPLCONFIGDIR"] = made
    try:
        yield
    finally:
        os.environ.pop("MPLCONFIGDIR", None)
        shutil.rmtree(made, ignore_errors=True)


def _temporary_folder() -> str | None:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # `docker run --read-only` leaves nothing to write to but mounts
        return None
