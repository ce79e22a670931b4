"""Files and folders that options name: where a job finds them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
import os
from pathlib import Path

from qsmprep.errors import RequestError
from qsmprep.protocol import presets
from qsmprep.request import Request


def absolute(
    arguments: Sequence[str], options: argparse.Namespace, requests: Sequence[Request]
) -> list[str]:
    """
    Return arguments of qsmprep that mean the same wherever they are read.

    Parameters
    ----------
    arguments
        As they were typed.
    options
        The same, parsed.
    requests
        What they ask for.
    """
    known = {typed: str(Path(typed).absolute()) for typed in _typed(options, requests)}
    return [_absolute(argument, known) for argument in arguments]


def _absolute(argument: str, known: dict[str, str]) -> str:
    """Return an argument with the path it is, or ends on after ``=``, in full."""
    if argument in known:
        return known[argument]
    head, equals, tail = argument.rpartition("=")
    bare = tail.strip("'\"")
    return f"{head}{equals}{tail.replace(bare, known[bare])}" if bare in known else argument


def binds(
    options: argparse.Namespace, requests: Sequence[Request], others: Sequence[Path] = ()
) -> list[tuple[Path, bool]]:
    """
    Return the folders that a container needs to see, the outer first, and where it writes.

    Parameters
    ----------
    options
        Of qsmprep.
    requests
        What they ask for.
    others
        Folders beside those that the options name.

    Raises
    ------
    RequestError
        If Apptainer cannot be told of a folder.
    """
    writable = {options.output_dir.absolute(), options.work_dir.absolute()}
    if options.bids_database_dir:
        writable.add(options.bids_database_dir.absolute())
    named = [Path(typed).absolute() for typed in _typed(options, requests)]
    read = {options.bids_dir.absolute(), *named, *others} - writable
    for folder in sorted(writable | read):
        if set(str(folder)) & set(":,"):
            raise RequestError(
                f"{folder}: Apptainer takes no folder with : or , in its name; rename it"
            )
    return [
        (folder, folder in writable)
        for folder in sorted(writable | read)
        if not any(_covers(other, folder, writable) for other in writable | read)
    ]


def _covers(outer: Path, inner: Path, writable: set[Path]) -> bool:
    """Tell whether a folder comes along with another one, with the same rights."""
    return outer in inner.parents and (outer in writable) == (inner in writable)


def _typed(options: argparse.Namespace, requests: Sequence[Request]) -> Iterator[str]:
    """Yield the paths among the options, as they were typed."""
    for path in (options.bids_filter_file, options.bids_database_dir, options.use_plugin):
        if path is not None:
            yield str(path)
    yield from (name for name in options.protocol if name not in presets())
    yield from (text.partition("=")[2] for text in options.derivatives)
    if options.atlas and _is_folder(options.atlas):
        yield options.atlas
    for request in requests:
        for table in request.protocol.stages.values():
            for value in table.values():
                if isinstance(value, str) and os.sep in value and Path(value).exists():
                    yield value


def _is_folder(name: str) -> bool:
    # As `bids.atlas_sources.find_atlas` tells a folder from a name.
    return Path(name).is_dir() or os.sep in name or name.startswith(".")
