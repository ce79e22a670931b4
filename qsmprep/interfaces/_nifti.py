"""Volumes in and out of files, with their precision, units and errors."""

from __future__ import annotations

from collections.abc import Iterable
import gzip
from pathlib import Path
from typing import cast

import nibabel as nb
import numpy as np

from qsmprep.bids.headers import said
from qsmprep.errors import InputError


def read_image(path: str | Path) -> nb.Nifti1Image:
    """
    Return a NIfTI image with all of its voxels read.

    Raises
    ------
    InputError
        If the file cannot be read to its end.
    """
    try:
        image = cast(nb.Nifti1Image, nb.load(path))
        image.get_fdata(dtype=np.float32)  # fills the cache, so that a cut-off file is found here
        _check_sum(path)
    except Exception as error:
        fact = f"cannot be read to its end ({said(error, path)})"
        raise InputError(path, fact, "copy or convert it again") from error
    return image


def _check_sum(path: str | Path) -> None:
    """Read a compressed file to its checksum, behind the voxels, where nibabel does not look."""
    if str(path).endswith(".gz"):
        with gzip.open(path) as file:
            while file.read(1 << 24):
                pass


def load(path: str | Path) -> tuple[np.ndarray, nb.Nifti1Image]:
    """Return a volume in single precision, and the image it came from."""
    image = read_image(path)
    return image.get_fdata(dtype=np.float32), image


def load_mask(path: str | Path) -> np.ndarray:
    """Return a mask as booleans."""
    return load(path)[0] > 0


def load_labels(path: str | Path) -> np.ndarray:
    """Return a label volume as integers."""
    return np.rint(load(path)[0]).astype(np.int32)


def save_like(array: np.ndarray, image: nb.Nifti1Image, path: str | Path) -> str:
    """
    Write `array` on the grid of `image`, in its own precision, and return the path.

    Booleans become bytes and double precision becomes single.
    """
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float64:
        array = array.astype(np.float32)
    elif array.dtype == np.int64:
        array = array.astype(np.int32)
    # A new header, or the data type and the scaling of the input would be kept.
    result = nb.Nifti1Image(array, image.affine)
    result.header.set_xyzt_units("mm", "sec")
    for form in ("qform", "sform"):
        # Images in other formats have an affine, too, but no codes for it.
        code = int(image.header.get(f"{form}_code", 0)) or 1
        getattr(result, f"set_{form}")(image.affine, code=code)
    result.to_filename(path)
    return str(path)


def to_bytes(shares: np.ndarray) -> np.ndarray:
    """Return parts of one in steps of 1/255."""
    return np.rint(255 * shares).astype(np.uint8)


def save_shares(
    shares: Iterable[np.ndarray], count: int, image: nb.Nifti1Image, path: str | Path
) -> str:
    """
    Write volumes of parts of one, as `to_bytes` gives them, in one compressed file; return it.

    Volume by volume, because all labels of a fine image do not fit into memory.
    """
    header = nb.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((*image.shape[:3], count))
    header.set_slope_inter(1 / 255, 0)
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][1:5] = [*image.header.get_zooms()[:3], 1]
    for form in ("qform", "sform"):
        code = int(image.header[f"{form}_code"]) or 1
        getattr(header, f"set_{form}")(image.affine, code=code)
    header["magic"], header["vox_offset"] = b"n+1", 352
    with Path(path).open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as file:
        file.write(header.binaryblock + bytes(4))
        for share in shares:
            file.write(share.tobytes(order="F"))
    return str(path)


def load_echoes(path: str | Path) -> tuple[np.ndarray, nb.Nifti1Image]:
    """Return a 4D file as (E, X, Y, Z) array, and the image it came from."""
    array, image = load(path)
    return np.ascontiguousarray(np.moveaxis(array, -1, 0)), image
