"""Maps on the template, read voxel by voxel of a mask, and written again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
import json
from pathlib import Path
import re
from typing import Any, cast
import zlib

import nibabel as nb
import numpy as np
from scipy import ndimage

from qsmprep.bids.headers import Header, grid_difference, read_header, said
from qsmprep.errors import InputError
from qsmprep.files import atomic_write_text, replacing
from qsmprep.units import PPB_PER_PPM

_SIGMA_PER_FWHM = 1 / np.sqrt(8 * np.log(2))


def same_grid(paths: Sequence[Path]) -> tuple[Header, str]:
    """
    Return the grid of maps, and the space that their names tell.

    Raises
    ------
    InputError
        If one cannot be read, or lies on another grid or in another space than most.
    """
    headers = []
    for path in paths:
        header, faults = read_header(path)
        if header is None:
            raise InputError(*faults[0])
        headers.append(header)
    spaces = [_space(path) for path in paths]
    common, _ = Counter(spaces).most_common(1)[0]
    for path, space in zip(paths, spaces, strict=True):
        if space != common:
            raise InputError(
                path, f"is in space {space}, most maps are in {common}", "use one template for all"
            )
    grids = [(header.shape, tuple(np.round(header.corners, 1).ravel())) for header in headers]
    usual, _ = Counter(grids).most_common(1)[0]
    model = headers[grids.index(usual)]
    for header in headers:
        if difference := grid_difference(model, header):
            raise InputError(
                header.path,
                difference,
                "run its participant again, with the template of the others",
            )
    return model, common


def _space(path: Path) -> str:
    found = re.search(r"_space-([a-zA-Z0-9+]+)_", path.name)
    if not found:
        raise InputError(path, "has no space- in its name", "give maps on the template")
    return found[1]


def references_of(paths: Sequence[Path]) -> str:
    """
    Return the region that is zero in all maps, as their sidecars tell; empty if none does.

    Raises
    ------
    InputError
        If they differ: susceptibility means nothing without its reference.
    """
    told = {path: name for path in paths if (name := _reference(path))}
    if not told:
        return ""
    common, _ = Counter(told.values()).most_common(1)[0]
    for path, name in told.items():
        if name != common:
            raise InputError(
                path,
                f"has {name} as reference, most maps have {common}",
                "use one protocol for all",
            )
    return common


def _reference(path: Path) -> str:
    sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
    try:
        content = json.loads(sidecar.read_text("utf-8"))
        return str(content["Reference"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def read_masked(paths: Sequence[Path], mask, header: Header, fwhm: float = 0.0, nprocs: int = 1):
    """
    Return the voxels of a mask from all maps.

    Nothing but these is kept, so that 500 maps of a whole brain at 1 mm take 3.6 GB, and of deep
    grey matter 0.1 GB.

    Parameters
    ----------
    paths
        Maps in ppm; zero and NaN stand for what is not known.
    mask : (X, Y, Z) boolean array
        Where they are read.
    header
        Their grid.
    fwhm
        Width of a Gaussian, mm.
    nprocs
        Maps read at a time.

    Returns
    -------
    images : (n, V) float32 array
        Susceptibility, ppb; NaN where it is not known.
    """
    mask = np.asarray(mask, dtype=bool)
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    sigma = fwhm * _SIGMA_PER_FWHM / header.voxel_size
    images = np.empty((len(paths), np.count_nonzero(mask)), dtype=np.float32)

    def read(row: int) -> None:
        volume = _volume(paths[row])[box]
        known = mask[box] & np.isfinite(volume) & (volume != 0)
        if fwhm:
            volume = smooth(volume, known, sigma)
        images[row] = np.where(known, volume * PPB_PER_PPM, np.nan)[mask[box]]

    with ThreadPoolExecutor(nprocs) as pool:
        list(pool.map(read, range(len(paths))))
    return images


def smooth(volume, known, sigma: Sequence[float]):
    """
    Return a volume smoothed over what is known, which what lies outside does not dilute.

    Parameters
    ----------
    volume : (X, Y, Z) real array
        Any unit.
    known : (X, Y, Z) boolean array
        Which voxels count.
    sigma
        Standard deviation of the Gaussian along each axis, voxels.

    References
    ----------
    Knutsson and Westin (1993), CVPR, doi:10.1109/CVPR.1993.341081
    """
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma, mode="constant")
    total = ndimage.gaussian_filter(
        np.where(known, volume, 0).astype(np.float32), sigma, mode="constant"
    )
    return np.divide(total, weight, out=np.zeros_like(total), where=known & (weight > 0))


def _volume(path: Path):
    try:
        image = cast(nb.Nifti1Image, nb.load(path))
        return np.asanyarray(image.dataobj, dtype=np.float32)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        fact = f"cannot be read to its end ({said(error, path)})"
        raise InputError(path, fact, "copy it again, or run its participant again") from error


def write_map(path: Path, values, mask, affine, about: Mapping[str, Any]) -> None:
    """
    Write a map with its sidecar.

    Parameters
    ----------
    path
        Ends with ``.nii.gz``.
    values : (V,) array
        At the voxels of the mask; other voxels become zero.
    mask : (X, Y, Z) boolean array
        The V voxels.
    affine : (4, 4) array
        From voxels to mm.
    about
        Content of the sidecar.
    """
    values = np.asarray(values)
    volume = np.zeros(mask.shape, dtype=np.float32 if values.dtype.kind == "f" else np.int16)
    volume[mask] = np.nan_to_num(values)
    image = nb.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm", "sec")
    for form in ("qform", "sform"):
        getattr(image, f"set_{form}")(affine, code="mni")
    with replacing(path) as temporary:
        image.to_filename(temporary)
    text = json.dumps(about, indent=2, ensure_ascii=False)
    atomic_write_text(path.with_name(path.name.replace(".nii.gz", ".json")), text + "\n")
