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

from qsmprep.interfaces._nifti import load, load_mask, save_like
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
        mask, image = load_mask(self.inputs.image), load(self.inputs.image)[1]
        reference = nb.Nifti1Image.from_filename(self.inputs.reference)
        fine, times = finer(reference, image)
        moving = to_ants(ants, mask.reshape(mask.shape[:3]).astype(np.float32), image.affine)
        sampled = resample(ants, moving, fine, self.inputs.transforms, "linear")
        x, y, z = reference.shape[:3]
        parts = sampled.reshape(x, times[0], y, times[1], z, times[2])
        path = Path(runtime.cwd) / "resampled.nii.gz"
        self._results["resampled"] = save_like(parts.mean(axis=(1, 3, 5)), reference, path)
        return runtime


def finer(reference: nb.Nifti1Image, image: nb.Nifti1Image) -> tuple[nb.Nifti1Image, np.ndarray]:
    """Return a grid that parts voxels to about the size of an image's, and into how many."""
    size, wanted = (np.linalg.norm(one.affine[:3, :3], axis=0) for one in (reference, image))
    times = np.clip(np.ceil(size / wanted.min() - 0.1), 1, FINEST).astype(int)
    affine = reference.affine @ np.diag([*(1 / times), 1])
    # The first sample lies in the middle of the first part, not of the voxel.
    affine[:3, 3] += reference.affine[:3, :3] @ ((1 / times - 1) / 2)
    shape = tuple(np.array(reference.shape[:3]) * times)
    return nb.Nifti1Image(np.broadcast_to(np.float32(0), shape), affine), times
