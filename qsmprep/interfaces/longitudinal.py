"""Sessions of one participant brought together, as Nipype interfaces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nb
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)
import numpy as np

from qsmprep.errors import InputError
from qsmprep.interfaces._nifti import load, load_mask, save_like
from qsmprep.interfaces.registration import (
    LPS,
    align_rigidly,
    seeded_ants,
    to_ants,
    working_image,
)
from qsmprep.methods.rigid import centre, distance, orthonormal

MARGIN_MM = 10.0
"""Around the brain on the grid of the template."""

AGREE_MM = 2.0
"""Between two ways to align a session: beyond it, one of them has failed."""


class _ParticipantTemplateInputSpec(BaseInterfaceInputSpec):
    t1w = InputMultiObject(File(exists=True), mandatory=True, desc="T1w of each session")
    brain_mask = InputMultiObject(File(exists=True), mandatory=True, desc="their brains")
    seed = traits.Int(mandatory=True, desc="seed of the sampling")


class _ParticipantTemplateOutputSpec(TraitedSpec):
    template = File(exists=True, desc="mean of the sessions, zero outside the brain")
    transforms = OutputMultiObject(
        File(exists=True), desc="ITK transforms that carry each T1w to the template"
    )
    inverses = OutputMultiObject(File(exists=True), desc="and back")
    moved = OutputMultiObject(File(exists=True), desc="each T1w on the grid of the template")


class ParticipantTemplate(SimpleInterface):
    """
    Average the T1w of several sessions half-way between them.

    Every session is aligned rigidly to the first, all are moved to their middle, averaged, and
    aligned once more to the average, so that each of them, the first included, is interpolated
    alike and none is favoured (Reuter et al., 2012, doi:10.1016/j.neuroimage.2012.02.084).
    """

    input_spec = _ParticipantTemplateInputSpec
    output_spec = _ParticipantTemplateOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(self.inputs.seed)
        cwd = Path(runtime.cwd)
        everybody = range(len(self.inputs.t1w))
        # Brains are read again each time: ten sessions need no more memory than two.
        first = centre([self._align(ants, number, cwd) for number in everybody])
        grid = common_grid([(self._brain(ants, number)[1], first[number]) for number in everybody])
        matrices = first
        if len(everybody) > 1:
            target = self._mean(ants, first, grid, cwd)
            matrices = centre([self._refine(ants, target, n, first[n], cwd) for n in everybody])
        self._check(first, matrices)
        mean, mask = self._mean(ants, matrices, grid, cwd)
        inside = mask.numpy() > 0.5
        template = np.where(inside, mean.numpy(), 0)
        self._results["template"] = save_like(template, grid, cwd / "template.nii.gz")
        for port in ("transforms", "inverses", "moved"):
            self._results[port] = []
        for number, matrix in enumerate(matrices):
            path = write_matrix(ants, matrix, cwd / f"transform_{number}.txt")
            self._results["transforms"].append(path)
            back = write_matrix(ants, np.linalg.inv(matrix), cwd / f"inverse_{number}.txt")
            self._results["inverses"].append(back)
            image = np.where(inside, self._moved(ants, number, matrix, mean, cwd)[0].numpy(), 0)
            self._results["moved"].append(save_like(image, grid, cwd / f"t1w_{number}.nii.gz"))
        return runtime

    def _brain(self, ants, number: int):
        """Return a T1w scaled to a median of 1 in its brain, with its mask."""
        array, image = load(self.inputs.t1w[number])
        mask = load_mask(self.inputs.brain_mask[number])
        scaled = array / np.median(array[mask])
        return to_ants(ants, scaled, image.affine), to_ants(ants, mask, image.affine)

    def _align(self, ants, number: int, folder: Path) -> np.ndarray:
        """Return the way from the first brain to another."""
        if number == 0:
            return np.eye(4)
        fixed, moving = self._brain(ants, 0), self._brain(ants, number)
        return to_matrix(align_rigidly(ants, fixed, moving, folder))

    def _refine(self, ants, target, number: int, matrix: np.ndarray, folder: Path) -> np.ndarray:
        """Return the way from the mean to a brain, with the small movement that was left."""
        moved = self._moved(ants, number, matrix, target[0], folder)
        images = [working_image(ants, image, mask, 0.0) for image, mask in (target, moved)]
        found = ants.registration(
            *images,
            "Rigid",
            initial_transform="Identity",
            aff_iterations=(50, 30),
            aff_shrink_factors=(2, 1),
            aff_smoothing_sigmas=(1, 0),
            outprefix=str(folder / "again_"),
        )
        return matrix @ to_matrix(ants.read_transform(found["fwdtransforms"][0]))

    def _moved(self, ants, number: int, matrix: np.ndarray, grid, folder: Path):
        """Return a brain and its mask on the common grid."""
        path = write_matrix(ants, matrix, folder / "moved.txt")
        return tuple(
            ants.apply_transforms(grid, image, [path], interpolator="linear")
            for image in self._brain(ants, number)
        )

    def _mean(self, ants, matrices: list[np.ndarray], grid: nb.Nifti1Image, folder: Path):
        """Return mean and mask of all brains on the common grid."""
        empty = to_ants(ants, np.zeros(grid.shape), grid.affine)
        mean, mask = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
        for number, matrix in enumerate(matrices):
            image, inside = self._moved(ants, number, matrix, empty, folder)
            mean += image.numpy() / len(matrices)
            mask += inside.numpy() / len(matrices)
        return to_ants(ants, mean, grid.affine), to_ants(ants, mask > 0.5, grid.affine)

    def _check(self, before: list[np.ndarray], after: list[np.ndarray]) -> None:
        for path, one, other in zip(self.inputs.t1w, before, after, strict=True):
            if (apart := distance(one, other)) > AGREE_MM:
                raise InputError(
                    path,
                    "cannot be aligned with the other sessions of its participant: two ways to do "
                    f"so differ by {apart:.1f} mm",
                    "look at it, and leave its session out with --session-label if it is faulty",
                )


class _CommonMaskInputSpec(BaseInterfaceInputSpec):
    masks = InputMultiObject(File(exists=True), mandatory=True, desc="masks on one grid")


class _CommonMaskOutputSpec(TraitedSpec):
    mask = File(exists=True, desc="what is inside all of them")


class CommonMask(SimpleInterface):
    """Keep what every session knows, so that all are measured in the same voxels."""

    input_spec = _CommonMaskInputSpec
    output_spec = _CommonMaskOutputSpec

    def _run_interface(self, runtime):
        common, image = load(self.inputs.masks[0])
        for path in self.inputs.masks[1:]:
            common = np.minimum(common, load(path)[0])
        if not (common > 0).any():
            raise InputError(
                self.inputs.masks[0],
                "has no voxel in common with those of the other sessions",
                "leave out sessions that cover something else, with --session-label",
            )
        path = Path(runtime.cwd) / "mask.nii.gz"
        self._results["mask"] = save_like(common > 0, image, path)
        return runtime


class _MeanMapInputSpec(BaseInterfaceInputSpec):
    images = InputMultiObject(File(exists=True), mandatory=True, desc="maps on one grid")


class _MeanMapOutputSpec(TraitedSpec):
    mean = File(exists=True, desc="their mean")


class MeanMap(SimpleInterface):
    """Average a map over sessions, for what has to be decided for all of them alike."""

    input_spec = _MeanMapInputSpec
    output_spec = _MeanMapOutputSpec

    def _run_interface(self, runtime):
        paths = self.inputs.images
        total, image = load(paths[0])
        for path in paths[1:]:
            total = total + load(path)[0]
        self._results["mean"] = save_like(
            total / len(paths), image, Path(runtime.cwd) / "mean.nii.gz"
        )
        return runtime


def common_grid(masks: Sequence[tuple]) -> nb.Nifti1Image:
    """
    Return an empty image around all brains in their common space, in the world of NIfTI.

    Parameters
    ----------
    masks
        For each brain its mask as an ANTs image, and the matrix from the common space to its
        own, in the world of ITK.
    """
    edge = min(min(mask.spacing) for mask, _ in masks)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for mask, matrix in masks:
        inside = np.argwhere(mask.numpy() > 0.5)
        ends = np.array([inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5])
        corners = np.array(np.meshgrid(*ends.T)).reshape(3, -1)
        world = np.asarray(mask.direction) @ (np.diag(mask.spacing) @ corners)
        world += np.asarray(mask.origin)[:, None]
        common = LPS @ (np.linalg.inv(matrix) @ np.vstack([world, np.ones(8)]))[:3]
        low, high = np.minimum(low, common.min(axis=1)), np.maximum(high, common.max(axis=1))
    shape = np.ceil((high - low + 2 * MARGIN_MM) / edge).astype(int)
    affine = np.diag([edge, edge, edge, 1.0])
    affine[:3, 3] = (low + high) / 2 - edge * (shape - 1) / 2
    return nb.Nifti1Image(np.zeros(shape, np.uint8), affine)


def to_matrix(transform) -> np.ndarray:
    """Return the 4 x 4 matrix of an ANTs transform, in the world of ITK, mm."""
    points = np.vstack([np.zeros(3), np.eye(3)])
    moved = np.array([transform.apply_to_point(point.tolist()) for point in points])
    matrix = np.eye(4)
    matrix[:3, :3] = (moved[1:] - moved[0]).T
    matrix[:3, 3] = moved[0]
    return orthonormal(matrix)


def write_matrix(ants, matrix: np.ndarray, path: Path) -> str:
    """Write a 4 x 4 matrix in the world of ITK as a transform, and return its path."""
    transform = ants.create_ants_transform(
        transform_type="AffineTransform",
        dimension=3,
        matrix=matrix[:3, :3],
        translation=matrix[:3, 3].tolist(),
    )
    ants.write_transform(transform, str(path))
    return str(path)
