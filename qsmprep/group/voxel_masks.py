"""Where voxelwise models look, and what lies there: masks, tissues and labels on the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nibabel as nb
import numpy as np

from qsmprep.bids.atlas_sources import DESIKAN, find_atlas
from qsmprep.bids.headers import Header, grid_difference, read_header, said
from qsmprep.bids.template import BUNDLED, read_template
from qsmprep.errors import InputError, RequestError

DEEP_GREY = (
    "accumbens", "caudate", "dentate", "globus-pallidus-external", "globus-pallidus-internal",
    "pallidum", "pulvinar", "putamen", "red-nucleus", "substantia-nigra", "subthalamic-nucleus",
    "thalamus",
)  # fmt: skip
"""Regions of the mask ``deep-grey``."""

MOST_MAPS = 30
"""Participants whose tissue maps are averaged, evenly spread over all: more change nothing."""

LEAST_TISSUE = 0.5
"""Probability of grey matter inside the mask ``grey-matter``."""


@dataclass(frozen=True)
class Labels:
    """
    Regions on the grid of the maps.

    Parameters
    ----------
    volume : (X, Y, Z) integer array
        Index of the region, zero for none.
    names
        Name and hemisphere (``L``, ``R`` or ``B``) by index.
    source
        Whose they are.
    """

    volume: np.ndarray
    names: Mapping[int, tuple[str, str]]
    source: str


def find_labels(space: str, header: Header) -> Labels | None:
    """Return labels on the template, where the atlas of one comes with it; None without."""
    if space != BUNDLED:
        return None
    try:
        atlas = find_atlas(DESIKAN, Path())
    except RequestError:
        return None
    volume = np.rint(_on_grid(nb.load(atlas.members[0].dseg), header, "nearest")).astype(np.int32)
    names = {region.index: (region.name, region.hemisphere) for region in atlas.regions}
    return Labels(volume, names, f"atlas {atlas.name}, {atlas.source}")


def find_mask(
    wanted: str, space: str, header: Header, labels: Labels | None, maps: Sequence[Path]
) -> tuple[np.ndarray, str]:
    """
    Return the mask of a voxelwise model, and where it is from.

    Parameters
    ----------
    wanted
        ``deep-grey``, ``grey-matter``, ``brain`` or a file.
    space
        Template of the maps.
    header
        Their grid.
    labels
        As `find_labels` returns.
    maps
        Paths of the maps, beside which tissues of their participants lie.

    Raises
    ------
    RequestError
        If there is nothing to make it from.
    InputError
        If a file cannot be read, lies on another grid, or is empty.
    """
    if wanted == "deep-grey":
        return _deep_grey(space, labels)
    if wanted == "grey-matter":
        volume, source = _grey_matter(space, header, maps)
        return volume >= LEAST_TISSUE, f"{source}, at least {LEAST_TISSUE}"
    if wanted == "brain":
        return _template_volume("mask", space, header) > 0.5, f"brain of {space}"
    return _of_file(Path(wanted).expanduser(), header), Path(wanted).name


def template_t1w(space: str, header: Header) -> np.ndarray | None:
    """Return the template's T1w without skull on the grid of the maps; None if it is not here."""
    try:
        t1w, brain = (_template_volume(name, space, header) for name in ("t1w", "mask"))
    except RequestError:
        return None
    return np.where(brain > 0.5, t1w, 0)


def region_at(labels: Labels | None, affine, place) -> str:
    """Return the region at a place, (3,) in mm, with its side; empty if there is none."""
    if labels is None:
        return ""
    voxel = np.rint(np.linalg.solve(affine, [*place, 1])[:3]).astype(int)
    name, side = labels.names.get(int(labels.volume[tuple(voxel)]), ("", "B"))
    return f"{name}_{side}" if name and side in "LR" else name


def _deep_grey(space: str, labels: Labels | None) -> tuple[np.ndarray, str]:
    if labels is None:
        raise RequestError(
            f'mask = "deep-grey": there are no labels in space {space}; install those of '
            f"{BUNDLED} with pip install 'qsmprep[atlas]', or give a mask file"
        )
    chosen = [index for index, (name, _) in labels.names.items() if name in DEEP_GREY]
    names = sorted({labels.names[index][0] for index in chosen})
    return np.isin(labels.volume, chosen), f"{', '.join(names)} of {labels.source}"


def _grey_matter(space: str, header: Header, maps: Sequence[Path]) -> tuple[np.ndarray, str]:
    """Return the participants' mean probability of grey matter, or else the template's."""
    found = [sorted(path.parent.glob(f"*_space-{space}_label-GM_probseg.nii.gz")) for path in maps]
    if not found or not all(found):
        return _template_volume("gm", space, header), f"probability of grey matter of {space}"
    chosen = np.unique(np.linspace(0, len(found) - 1, MOST_MAPS).astype(int))
    total = np.zeros(header.shape[:3])
    for index in chosen:
        total += _on_grid(_load(found[index][0]), header, "linear")
    source = f"mean probability of grey matter of {len(chosen)} participants"
    return total / len(chosen), source


def _template_volume(name: str, space: str, header: Header) -> np.ndarray:
    """Return an image of the template on the grid of the maps."""
    if space != BUNDLED:
        return _on_grid(_load(dict(read_template(space).files)[name]), header, "linear")
    from nilearn import datasets

    load = {
        "t1w": datasets.load_mni152_template,
        "mask": datasets.load_mni152_brain_mask,
        "gm": datasets.load_mni152_gm_template,
    }[name]
    return _on_grid(load(resolution=1), header, "nearest" if name == "mask" else "linear")


def _of_file(path: Path, header: Header) -> np.ndarray:
    other, faults = read_header(path) if path.is_file() else (None, [])
    if other is None:
        fact, remedy = (faults[0].fact, faults[0].remedy) if faults else (
            "there is no such file", 'give "deep-grey", "grey-matter", "brain" or a NIfTI file'
        )  # fmt: skip
        raise InputError(path, fact, remedy)
    if difference := grid_difference(header, other):
        raise InputError(path, difference, "resample the mask to the maps")
    mask = np.asanyarray(_load(path).dataobj) > 0
    if not mask.any():
        raise InputError(path, "is zero everywhere", "give a mask with voxels")
    return mask


def _load(path: Path) -> nb.Nifti1Image:
    try:
        return cast(nb.Nifti1Image, nb.load(path))
    except Exception as error:
        fact = f"cannot be read ({said(error, path)})"
        raise InputError(path, fact, "copy it again") from error


def _on_grid(image, header: Header, interpolation: str) -> np.ndarray:
    """Return an image on the grid of the maps."""
    shape = tuple(header.shape[:3])
    if image.shape[:3] == shape and np.allclose(image.affine, header.affine, atol=1e-3):
        return np.asanyarray(image.dataobj, dtype=np.float32)
    from nilearn.image import resample_img

    moved = resample_img(
        image, header.affine, shape, interpolation=interpolation, force_resample=True,
        copy_header=True,
    )  # fmt: skip
    return np.asanyarray(moved.dataobj, dtype=np.float32)
