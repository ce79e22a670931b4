"""Grids of images, read from headers alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
import math
from pathlib import Path
import zlib

import nibabel as nb
import numpy as np

from qsmprep.bids.models import Fault

GRID_TOLERANCE_MM = 1e-2
"""By how much the corners of two volumes on one grid may differ: headers round, heads do not."""

VOXEL_SIZE_LIMIT_MM = 20.0
"""No voxel of a brain image is larger; headers in µm or without units are."""

VOXEL_SIZE_LEAST_MM = 0.02
"""Nor smaller; headers in m are."""

RIGHT_ANGLE_TOLERANCE = 1e-2
"""Largest cosine between voxel axes that counts as a right angle."""


@dataclass(frozen=True)
class Header:
    """
    Grid of an image.

    Parameters
    ----------
    path
        The image.
    shape
        Matrix, three or four numbers.
    affine : (4, 4) array
        From voxels to scanner coordinates, mm, RAS+.
    """

    path: Path
    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def voxel_size(self) -> np.ndarray:
        """Edge lengths of a voxel, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def corners(self) -> np.ndarray:
        """Centres of the eight corner voxels, mm, one per row."""
        index = np.array(list(product(*((0, n - 1) for n in self.shape[:3]))))
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]


def read_header(path: Path, n_volumes: int | None = 1) -> tuple[Header | None, list[Fault]]:
    """
    Return the grid of an image, or None and what is wrong with its header.

    Parameters
    ----------
    path
        The image.
    n_volumes
        How many volumes it should hold; any number if None.
    """
    try:
        image = nb.load(path)
    except FileNotFoundError:
        remedy = "fetch it, with `datalad get` for instance"
        return None, [Fault(path, "its content is not there", remedy)]
    except (
        EOFError,
        OSError,
        ValueError,
        zlib.error,
        nb.filebasedimages.ImageFileError,
        nb.spatialimages.HeaderDataError,
        nb.wrapstruct.WrapStructError,
    ) as error:
        fact = f"is empty, cut off or no NIfTI file ({error})"
        return None, [Fault(path, fact, "copy or convert it again")]
    if not isinstance(image, nb.Nifti1Image):
        return None, [Fault(path, f"is not NIfTI but {type(image).__name__}", "convert it")]
    fault = _content_fault(image, path) or _grid_fault(image, n_volumes)
    if fault:
        return None, [Fault(path, *fault)]
    return Header(path, image.shape, np.asarray(image.affine, dtype=float)), []


def _content_fault(image: nb.Nifti1Image, path: Path) -> tuple[str, str] | None:
    dtype = image.header.get_data_dtype()
    if dtype.kind not in "iuf":
        return f"its voxels are {dtype}, not real numbers", "store the parts as separate images"
    # How long a compressed file should be shows when its voxels are read.
    if path.suffix == ".nii" and isinstance(image.dataobj, nb.arrayproxy.ArrayProxy):
        size = path.stat().st_size
        expected = image.dataobj.offset + math.prod(image.shape) * dtype.itemsize
        if size < expected:
            return f"is cut off: {size} of {expected} bytes are there", "copy or convert it again"
    return None


def _grid_fault(image: nb.Nifti1Image, n_volumes: int | None) -> tuple[str, str] | None:
    again = "convert it again"
    shape = image.shape
    volumes = math.prod(shape[3:])
    if len(shape) < 3 or min(shape) < 1:
        return f"its matrix is {_times(shape)}, not a volume", again
    if len(shape) > 4 or n_volumes not in (None, volumes):
        remedy = "keep one volume, or list one EchoTime per volume in its sidecar"
        return f"holds {volumes} volumes where {n_volumes or 'a series'} is expected", remedy
    if min(shape[:3]) == 1:
        return f"its matrix is {_times(shape)}: one slice only", "a dipole field needs a volume"
    if not int(image.header["sform_code"]) and not int(image.header["qform_code"]):
        return (
            "has no orientation (sform and qform codes are 0): the direction of B0 is unknown",
            again,
        )
    affine = image.affine[:3, :3]
    size = np.linalg.norm(affine, axis=0)
    if not np.all((size >= VOXEL_SIZE_LEAST_MM) & (size <= VOXEL_SIZE_LIMIT_MM)):
        # Readers take affines for mm, whatever unit the header gives.
        unit = image.header.get_xyzt_units()[0]
        said = f", and its header is in {unit}" if unit in ("meter", "micron") else ""
        return f"its voxels measure {_times(size)} mm{said}", f"{again}, in mm"
    cosines = (affine / size).T @ (affine / size) - np.eye(3)
    if np.abs(cosines).max() > RIGHT_ANGLE_TOLERANCE:
        return "its voxel axes are not at right angles", f"{again}, without gantry-tilt correction"
    return None


def grid_difference(first: Header, second: Header) -> str:
    """Say in what the grid of `second` differs from that of `first`; empty if they agree."""
    if first.shape != second.shape:
        mine, other = _times(second.shape), _times(first.shape)
        return f"its matrix is {mine}, that of {first.path.name} is {other}"
    distance = float(np.abs(first.corners - second.corners).max())
    if distance > GRID_TOLERANCE_MM:
        return f"its affine puts voxels up to {distance:.3g} mm off those of {first.path.name}"
    return ""


def _times(numbers) -> str:
    return "×".join(f"{number:.4g}" for number in numbers)
