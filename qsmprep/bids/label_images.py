"""What an image of labels holds, whoever has made it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import cast

import nibabel as nb
import numpy as np

from qsmprep.bids.headers import Header, said
from qsmprep.bids.models import Fault


@dataclass(frozen=True)
class LabelImage:
    """
    What a label image holds.

    Parameters
    ----------
    header
        Its grid.
    labels
        Labels with at least one voxel.
    corners : (8, 3) array
        Of the box around all labelled voxels, mm; no rows where there are none.
    """

    header: Header
    labels: frozenset[int]
    corners: np.ndarray


@cache
def read_labels(path: Path, *, may_be_empty: bool = False) -> LabelImage | Fault:
    """Return what a label image holds, or what is wrong with it."""
    try:
        image = cast(nb.spatialimages.SpatialImage, nb.load(path))
        values = np.asarray(image.dataobj)
    except Exception as error:  # noqa: BLE001 - damaged headers raise all there is
        fact = f"cannot be read to its end ({said(error, path)})"
        return Fault(path, fact, "copy or convert it again")
    values = values[..., 0] if values.ndim == 4 and values.shape[-1] == 1 else values
    if values.ndim != 3 or values.dtype.kind not in "iuf":
        return Fault(path, "is no volume of labels", "keep one volume of whole numbers")
    if not _are_labels(values):
        return Fault(
            path, "holds other than whole numbers from 0", "give labels, not probabilities"
        )
    # Counting takes a tenth of the time of sorting, which a cohort of whole heads notices.
    counts = np.bincount(values.ravel().astype(np.int64))
    labels = frozenset(np.flatnonzero(counts).tolist()) - {0}
    affine = np.asarray(image.affine, dtype=np.float64)
    header = Header(path, tuple(map(int, values.shape)), affine)
    if not labels and may_be_empty:
        return LabelImage(header, labels, np.zeros((0, 3)))
    if not labels:
        return Fault(path, "holds no label", "make it again")
    inside = values != 0
    ends = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        (places,) = np.nonzero(inside.any(axis=others))
        ends.append((places[0], places[-1]))
    corners = nb.affines.apply_affine(affine, np.array(list(product(*ends))))
    return LabelImage(header, labels, corners)


def reach_beyond(image: LabelImage, other: Header) -> float:
    """Return by how much labelled voxels lie outside of an image, mm; 0 if within a voxel."""
    if not image.labels:
        return 0.0
    index = nb.affines.apply_affine(np.linalg.inv(other.affine), image.corners)
    outside = np.maximum(-index, index - (np.array(other.shape[:3]) - 1)) * other.voxel_size
    furthest = float(outside.max())
    coarsest = max(*other.voxel_size, *image.header.voxel_size)
    return furthest if furthest > coarsest else 0.0


def _are_labels(values: np.ndarray) -> bool:
    """Tell whole numbers from 0, below a million, from anything else."""
    low, high = values.min(), values.max()
    if not (low >= 0 and high < 1e6):  # not a number is neither
        return False
    return values.dtype.kind != "f" or bool(np.all(values == np.rint(values)))
