"""Room for what libraries insist on writing, where the system has none: in containers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import tempfile

from qsmprep.errors import RequestError


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
