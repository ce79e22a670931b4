"""One work folder for several runs, each part of the work for one of them at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
import fcntl
import logging
from pathlib import Path
from typing import IO
import zlib

log = logging.getLogger("qsmprep")


@contextmanager
def holding(work_dir: Path, parts: Iterable[str]) -> Iterator[None]:
    """
    Wait until no other run works on any of some parts of the graph, and keep others waiting.

    Two runs at the same node would write into each other's files. The kernel gives the locks of
    a run back when it ends, however that comes.

    Parameters
    ----------
    work_dir
        Where intermediate results lie.
    parts
        Names of sub-graphs.
    """
    with (work_dir / ".lock").open("a") as file:
        # In one order, or two runs could wait for each other.
        for part in sorted(set(parts)):
            _lock(file, part)
        yield


def _lock(file: IO[str], part: str) -> None:
    """Lock one byte of the file, as a file for each of a thousand parts is too many."""
    place = zlib.crc32(part.encode())
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except (BlockingIOError, PermissionError):
        log.warning("%s: another run works on it in this work folder; waiting for its end", part)
        fcntl.lockf(file, fcntl.LOCK_EX, 1, place)
    except OSError:  # some network file systems know no locks
        return
