"""Thin masks and small labels on another grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec
import numpy as np
from scipy import ndimage

from qsmprep.interfaces._nifti import load, load_labels, save_like
from qsmprep.interfaces.registration import CarryInputSpec, resample, seeded_ants, to_ants

FINEST = 3
"""Samples along each edge of a voxel, at most."""


class _CarryShareOutputSpec(TraitedSpec):
    resampled = File(exists=True, desc="part of each voxel of the reference that the mask fills")


class CarryShare(SimpleInterface):
    """
    Tell which part of each voxel on another grid a mask fills, with one interpolation.

    Interpolation of labels loses what is a voxel wide, such as a vein. A voxel that is larger than
    those of the mask is sampled several times.
    """

    input_spec = CarryInputSpec
    output_spec = _CarryShareOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(0)
        reference = nb.Nifti1Image.from_filename(self.inputs.reference)
        array, image = load(self.inputs.image)
        share = carried_share(ants, array > 0, image, reference, self.inputs.transforms)
        path = Path(runtime.cwd) / "resampled.nii.gz"
        self._results["resampled"] = save_like(share, reference, path)
        return runtime


class _CarryLabelsOutputSpec(TraitedSpec):
    resampled = File(exists=True, desc="labels on the grid of the reference")


class CarryLabels(SimpleInterface):
    """
    Carry labels with one interpolation, and lose none that lies within the reference.

    A label that is left without a voxel, as a lesion smaller than those of the reference, gets
    the one that it fills most of those that belong to no other.
    """

    input_spec = CarryInputSpec
    output_spec = _CarryLabelsOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(0)
        reference = nb.Nifti1Image.from_filename(self.inputs.reference)
        image = nb.Nifti1Image.from_filename(self.inputs.image)
        labels = load_labels(self.inputs.image)
        moving, route = to_ants(ants, labels, image.affine), self.inputs.transforms
        result = resample(ants, moving, reference, route, "genericLabel")
        for label in np.setdiff1d(labels, result):
            share = carried_share(ants, labels == label, image, reference, route)
            share[result != 0] = 0
            if share.any():
                result.flat[np.argmax(share)] = label
        path = Path(runtime.cwd) / "resampled.nii.gz"
        self._results["resampled"] = save_like(result, reference, path)
        return runtime


def carried_share(
    ants, mask, image: nb.Nifti1Image, reference: nb.Nifti1Image, transforms: list[str]
):
    """Return which part of each voxel of `reference` a mask on the grid of `image` fills."""
    part, own = cropped(mask, image)
    moving = to_ants(ants, part, own.affine)
    grids = samples(reference, own)
    share = np.zeros(reference.shape[:3], np.float32)
    for grid in grids:  # one after the other, or they would need the memory of a finer image
        share += resample(ants, moving, grid, transforms, "linear") / len(grids)
    return share


def cropped(mask, image: nb.Nifti1Image) -> tuple[np.ndarray, nb.Nifti1Image]:
    """Return the part of a mask that is not empty, with a margin of zeros, and its grid."""
    inside = np.pad(mask.reshape(mask.shape[:3]), 1)
    found = ndimage.find_objects(inside.astype(np.uint8)) or [(slice(1, 2),) * 3]
    box = tuple(slice(side.start - 1, side.stop + 1) for side in found[0])
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start - 1 for side in box]
    part = inside[box]
    return part, nb.Nifti1Image(part.astype(np.uint8), affine)


def samples(reference: nb.Nifti1Image, image: nb.Nifti1Image) -> list[nb.Nifti1Image]:
    """Return grids with one sample in each voxel, which together are about as fine as an image."""
    size, wanted = (np.linalg.norm(one.affine[:3, :3], axis=0) for one in (reference, image))
    times = np.clip(np.ceil(size / wanted.min() - 0.1), 1, FINEST).astype(int)
    empty = np.broadcast_to(np.float32(0), reference.shape[:3])
    grids = []
    for place in np.ndindex(*times):
        affine = reference.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ ((np.array(place) + 0.5) / times - 0.5)
        grids.append(nb.Nifti1Image(empty, affine))
    return grids
