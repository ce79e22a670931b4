"""Files that others read or write at the same time: whole or not there, and one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import errno
import fcntl
import os
from pathlib import Path
import shutil
from uuid import uuid4

REFUSALS = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EBADF}
"""How a file system says that it cannot be told to write; a disk that fails says otherwise."""

WAIT = {errno.EAGAIN, errno.EACCES}
"""How a system says that somebody else has the lock; all else means that it knows none."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """
    Give a temporary name beside `path`; what is written there gets its final name at the end.

    Folders are made as needed. Where several jobs write one file, the last one wins. The name is
    given after the content is on the disk, so that it never stands for less than the whole file,
    whether the program or the power goes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not ``tempfile``: its files can be read by nobody else, and outputs are shared.
    temporary = path.with_name(f".{uuid4().hex}.{path.name}")
    try:
        yield temporary
        put_on_disk(temporary)
        os.replace(temporary, path)
        put_on_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def put_on_disk(path: str | Path) -> None:
    """Wait until a file, or what a folder lists, is on the disk, where the system can tell."""
    try:
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise


def atomic_write_text(path: str | Path, text: str) -> Path:
    """Write a text file in one step, and return its path."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def atomic_copy(source: str | Path, path: str | Path) -> Path:
    """Copy a file in one step, and return its new path."""
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)
    return Path(path)


@contextmanager
def locked(path: str | Path, tell: Callable[[], object] = lambda: None) -> Iterator[None]:
    """
    Let one process at a time into the block; a process that ends, however, leaves it.

    Some network file systems know no locks. Everybody is let in there, so that the block has to
    be right, if wasteful, without one.

    Parameters
    ----------
    path
        A file that all share; made if missing, and left where it is.
    tell
        Called once if there is somebody to wait for.
    """
    with Path(path).open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in WAIT:
                tell()
                _wait(file)
        yield  # closing the file gives the lock back


def _wait(file) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno == errno.EDEADLK:
            raise  # our own fault
