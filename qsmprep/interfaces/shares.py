"""Thin masks on another grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
)
import numpy as np
from scipy import ndimage

from qsmprep.interfaces._nifti import load, save_like
from qsmprep.interfaces.registration import resample, seeded_ants, to_ants

FINEST = 3
"""Samples along each edge of a voxel, at most."""


class _CarryShareInputSpec(BaseInterfaceInputSpec):
    image = File(exists=True, mandatory=True, desc="mask to carry")
    reference = File(exists=True, mandatory=True, desc="image on the grid to carry it to")
    transforms = InputMultiObject(
        File(exists=True), mandatory=True, desc="transforms in the order of travel"
    )


class _CarryShareOutputSpec(TraitedSpec):
    resampled = File(exists=True, desc="part of each voxel of the reference that the mask fills")


class CarryShare(SimpleInterface):
    """
    Tell which part of each voxel on another grid a mask fills, with one interpolation.

    Interpolation of labels loses what is a voxel wide, such as a vein. A voxel that is larger than
    those of the mask is sampled several times.
    """

    input_spec = _CarryShareInputSpec
    output_spec = _CarryShareOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(0)
        reference = nb.Nifti1Image.from_filename(self.inputs.reference)
        mask, image = cropped(self.inputs.image)
        moving = to_ants(ants, mask, image.affine)
        grids = samples(reference, image)
        share = np.zeros(reference.shape[:3], np.float32)
        for grid in grids:  # one after the other, or they would need the memory of a finer image
            share += resample(ants, moving, grid, self.inputs.transforms, "linear") / len(grids)
        path = Path(runtime.cwd) / "resampled.nii.gz"
        self._results["resampled"] = save_like(share, reference, path)
        return runtime


def cropped(path: str) -> tuple[np.ndarray, nb.Nifti1Image]:
    """Return the part of a mask that is not empty, with a margin of zeros, and its grid."""
    array, image = load(path)
    inside = np.pad(array.reshape(array.shape[:3]) > 0, 1)
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
