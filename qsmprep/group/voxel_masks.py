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
from qsmprep.bids.lookups import harmonise, read_lookup
from qsmprep.bids.template import BUNDLED, read_template
from qsmprep.errors import InputError, RequestError

DEEP_GREY = (
    "accumbens", "caudate", "dentate", "globus-pallidus-external", "globus-pallidus-internal",
    "pallidum", "pulvinar", "putamen", "red-nucleus", "substantia-nigra", "subthalamic-nucleus",
    "thalamus",
)  # fmt: skip
"""Regions of the mask ``deep-grey``."""

MOST_MAPS = 30
"""Participants whose tissues and labels are taken, evenly spread over all: more change little."""

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


def find_labels(space: str, header: Header, maps: Sequence[Path] = ()) -> Labels | None:
    """
    Return labels on the grid of the maps: the participants', else an atlas of the template.

    Parameters
    ----------
    space
        Template of the maps.
    header
        Their grid.
    maps
        Their paths, beside which labels on the T1w and the way to the template may lie.

    Returns
    -------
    labels
        None where there are neither.
    """
    if own := _own_labels(space, header, maps):
        return own
    if space != BUNDLED:
        return None
    try:
        atlas = find_atlas(DESIKAN, Path())
    except RequestError:
        return None
    volume = np.rint(_on_grid(nb.load(atlas.members[0].dseg), header, "nearest")).astype(np.int32)
    names = {region.index: (region.name, region.hemisphere) for region in atlas.regions}
    return Labels(volume, names, f"atlas {atlas.name}, {atlas.source}")


def _own_labels(space: str, header: Header, maps: Sequence[Path]) -> Labels | None:
    """Return what most participants call each voxel; None unless all chosen have the labels."""
    folders = [path.parent for path in _spread(maps)]
    found = [
        (
            sorted(folder.glob("*_space-T1w_seg-*_dseg.nii.gz")),
            sorted(folder.glob(f"*_from-T1w_to-{space}_mode-image_xfm.h5")),
        )
        for folder in folders
    ]
    if not found or not all(labels and ways for labels, ways in found):
        return None
    tables = [
        labels[0].with_name(labels[0].name.replace(".nii.gz", ".tsv")) for labels, _ in found
    ]
    regions = {harmonise(read_lookup(table)) for table in tables if table.is_file()}
    if len(regions) != 1 or not all(table.is_file() for table in tables):
        return None
    import ants

    # Labels in a working space have an origin of their own, which ANTs reads as we wrote it.
    grid = ants.image_read(str(header.path))
    votes = np.stack([
        ants.apply_transforms(
            grid, ants.image_read(str(labels[0])), [str(ways[0])], interpolator="nearestNeighbor"
        ).numpy().astype(np.uint16)
        for labels, ways in found
    ])  # fmt: skip
    names = {region.index: (region.name, region.hemisphere) for region in regions.pop()}
    return Labels(most_voted(votes), names, f"labels of {len(found)} participants")


def most_voted(votes) -> np.ndarray:
    """Return the most frequent label of each voxel, the lowest of several, from (k, X, Y, Z)."""
    winner = np.zeros(votes.shape[1:], dtype=np.int32)
    for x, slab in enumerate(np.moveaxis(votes, 1, 0)):
        best = np.zeros(slab.shape[1:], dtype=np.int16)
        for label in np.unique(slab):
            count = (slab == label).sum(axis=0, dtype=np.int16)
            winner[x][count > best] = label
            best = np.maximum(best, count)
    return winner


def _spread(maps: Sequence[Path]) -> list[Path]:
    """Return up to `MOST_MAPS` of the maps, evenly spread."""
    if not maps:
        return []
    places = np.unique(np.linspace(0, len(maps) - 1, MOST_MAPS).astype(int))
    return [maps[place] for place in places]


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
    pattern = f"*_space-{space}_label-GM_probseg.nii.gz"
    found = [sorted(path.parent.glob(pattern)) for path in _spread(maps)]
    if not found or not all(found):
        return _template_volume("gm", space, header), f"probability of grey matter of {space}"
    total = np.zeros(header.shape[:3])
    for paths in found:
        total += _on_grid(_load(paths[0]), header, "linear")
    return total / len(found), f"mean probability of grey matter of {len(found)} participants"


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
