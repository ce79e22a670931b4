"""What a power cut has left half-written in a work folder is forgotten, and so made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
import gzip
import json
import math
from pathlib import Path
import shutil
import struct
import zlib

import nibabel as nb

ENDINGS = {
    ".svg": b"</svg>",
    ".png": b"IEND\xaeB`\x82",
    ".nbi": b".",  # the last instruction of a pickle
    ".nbc": b".",
}
"""On what files of a kind end."""

HDF5_END = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where each version of an HDF5 superblock says how long the file is (specification 3.0, II.A)."""

UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    zlib.error,
    struct.error,
    nb.spatialimages.HeaderDataError,
    nb.wrapstruct.WrapStructError,
)
"""What comes of reading a file that is cut off, or a file of something else."""


def forget_broken_steps(folders: Iterable[Path]) -> int:
    """
    Remove the folder of every step with a file that is not whole; return how many there were.

    Nipype takes a step that has once ended as done, and files that were not on the disk yet when
    the power went are empty or cut off. Ends of files alone are looked at, and all of the small
    ones: that takes a fraction of a second.

    Parameters
    ----------
    folders
        Of the graphs of acquisitions and anatomies, in a work folder. Nobody may be using them.
    """
    broken = {
        step.parent
        for folder in folders
        for step in folder.rglob("_node.pklz")
        if not all(map(is_whole, step.parent.glob("*.*")))
    }
    for step in broken:
        shutil.rmtree(step, ignore_errors=True)
    return len(broken)


def forget_broken_loops(folder: Path) -> None:
    """Remove compiled loops that are not whole, on which numba stops, from where it keeps them."""
    for path in folder.rglob("*.nb[ci]"):
        if not is_whole(path):
            path.unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Tell whether a file goes on to its end, as far as its format tells where that is."""
    kind = ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix
    try:
        return path.is_dir() or (path.stat().st_size > 0 and CHECKS.get(kind, _any)(path))
    except (
        OSError,
        EOFError,
        ValueError,
        zlib.error,
        struct.error,
        nb.wrapstruct.WrapStructError,
    ):
        return False


def _any(path: Path) -> bool:
    if path.suffix not in ENDINGS:
        return True
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 64, 0))
        return file.read().rstrip().endswith(ENDINGS[path.suffix])


def _nifti_size(header: bytes) -> int:
    """Return how many bytes there are in a NIfTI-1 file that begins like this."""
    parsed = nb.Nifti1Header(header[:348], check=False)
    voxels = math.prod(parsed.get_data_shape())
    return int(parsed["vox_offset"]) + voxels * parsed.get_data_dtype().itemsize


def _nifti(path: Path) -> bool:
    with path.open("rb") as file:
        return path.stat().st_size >= _nifti_size(file.read(348))


def _packed_nifti(path: Path) -> bool:
    with gzip.open(path) as file:
        expected = _nifti_size(file.read(348))
    # gzip ends on the length of what it holds, modulo 2^32 (RFC 1952).
    with path.open("rb") as file:
        file.seek(-4, 2)
        (length,) = struct.unpack("<I", file.read(4))
    return length == expected % 2**32


def _packed(path: Path) -> bool:
    with gzip.open(path) as file:
        file.read()  # to the checksum at its end
    return True


def _json(path: Path) -> bool:
    json.loads(path.read_bytes())
    return True


def _hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(64)
    (end,) = struct.unpack_from("<Q", head, HDF5_END[head[8]])
    return head.startswith(b"\x89HDF\r\n\x1a\n") and path.stat().st_size >= end


CHECKS: dict[str, Callable[[Path], bool]] = {
    ".nii": _nifti,
    ".nii.gz": _packed_nifti,
    ".pklz": _packed,
    ".json": _json,
    ".h5": _hdf5,
}
