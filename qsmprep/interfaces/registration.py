"""Registration and resampling with ANTs, the same voxels every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import tempfile

import nibabel as nb
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)
import numpy as np

from qsmprep.bids.template import SUFFIXES
from qsmprep.interfaces._hdf5 import forget_times
from qsmprep.interfaces._nifti import load, load_mask, save_like

LPS = np.diag([-1.0, -1.0, 1.0])
"""From the axes of NIfTI (to the right, front, top) to those of ITK, and back."""

LABELS = ("nearestNeighbor", "genericLabel")
"""Interpolations that keep integers."""


def seeded_ants(seed: int):
    """
    Return the module ``ants``, made to give the same voxels for the same input.

    ``ants.registration(random_seed=...)`` is ignored, and two threads never sum in one order.
    """
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    import ants

    # on=True would add nothing but a seed for NumPy, and a check that refuses plain SyN.
    ants.config.set_ants_deterministic(on=False, seed_value=seed)
    return ants


@contextmanager
def temporaries_in(folder: str | Path) -> Iterator[None]:
    """
    Make Python's temporary files go to a folder, and remove them at the end.

    ANTs hands images over as files in the system's temporary folder and leaves them there: 100 MB
    for the tissues of one head.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(dir=folder) as place:
        tempfile.tempdir = place
        try:
            yield
        finally:
            tempfile.tempdir = before


def to_ants(ants, array, affine):
    """
    Return `array` as an ANTs image in the world of its NIfTI affine.

    ITK's own reader may prefer another of the two affines in a header than nibabel does.
    """
    axes = LPS @ affine[:3, :3]
    size = np.linalg.norm(axes, axis=0)
    return ants.from_numpy(
        np.asarray(array, dtype=np.float32),
        origin=(LPS @ affine[:3, 3]).tolist(),
        spacing=size.tolist(),
        direction=axes / size,
    )


def working_image(ants, image, mask, spacing: float):
    """Return an ANTs image masked, scaled to 0..1, and at `spacing` mm or coarser."""
    array = image.numpy()
    inside = mask.numpy() > 0.5
    low, high = np.percentile(array[inside], (1, 99))
    scaled = np.where(inside, np.clip((array - low) / (high - low), 0, 1), 0)
    size = [max(spacing, edge) for edge in image.spacing]
    return ants.resample_image(
        image.new_image_like(scaled.astype(np.float32)), size, use_voxels=False, interp_type=0
    )


def masked(ants, image: str, mask: str, spacing: float):
    """Return the masked working image of two files on one grid."""
    array, header = load(image)
    return working_image(
        ants,
        to_ants(ants, array, header.affine),
        to_ants(ants, load_mask(mask), header.affine),
        spacing,
    )


def syn(ants, fixed, moving, prefix: str) -> tuple[str, str]:
    """
    Return the composite transforms from `moving` to `fixed` and back.

    Affine, then symmetric diffeomorphic by mutual information (Avants et al., 2008,
    doi:10.1016/j.media.2007.06.004). ANTs' own schedule ends before the finest level: ten steps
    there at 2 mm raise the Dice of deep nuclei carried from another head by 0.02 to 0.03.
    """
    found = ants.registration(
        fixed,
        moving,
        "SyN",
        reg_iterations=(60, 40, 10),
        write_composite_transform=True,
        outprefix=prefix,
    )
    transforms = found["fwdtransforms"], found["invtransforms"]
    for path in transforms:
        forget_times(path)
    return transforms


def align_rigidly(ants, fixed, moving, folder: Path):
    """
    Return the rigid transform from points of `fixed` to those of `moving`, by mutual information.

    Parameters
    ----------
    ants
        The module, seeded.
    fixed, moving
        An image and its mask each.
    folder
        For what ANTs writes.
    """
    brains = fixed, moving
    # Scanners keep one frame for a session, but a T1w of another day lies anywhere.
    fixed, moving = (working_image(ants, image, mask, 4.0) for image, mask in brains)
    tries: list[tuple[float, int, list[str]]] = []
    for start in ("Identity", None):  # None: centres of mass
        found = ants.registration(
            fixed,
            moving,
            "Rigid",
            initial_transform=start,
            aff_iterations=(500, 200),
            aff_shrink_factors=(2, 1),
            aff_smoothing_sigmas=(1, 0),
            aff_random_sampling_rate=0.5,
            outprefix=str(folder / f"start{len(tries)}_"),
        )
        # ANTs gives the mutual information's negative, so that the smaller is the better.
        metric = ants.image_mutual_information(fixed, found["warpedmovout"])
        tries.append((metric, len(tries), found["fwdtransforms"]))
    fixed, moving = (working_image(ants, image, mask, 0.0) for image, mask in brains)
    found = ants.registration(
        fixed,
        moving,
        "Rigid",
        initial_transform=min(tries)[-1],
        aff_iterations=(50, 30),
        aff_shrink_factors=(2, 1),
        aff_smoothing_sigmas=(1, 0),
        outprefix=str(folder / "fine_"),
    )
    return ants.read_transform(found["fwdtransforms"][0])


class _TemplateFilesInputSpec(BaseInterfaceInputSpec):
    files = traits.Dict(usedefault=True, desc="images of another template; none: nilearn's")
    resolution = traits.Int(1, usedefault=True, desc="edge of a voxel of nilearn's, mm")


class _TemplateFilesOutputSpec(TraitedSpec):
    t1w = File(exists=True, desc="T1w of the template, without skull")
    mask = File(exists=True, desc="its brain mask")
    csf = File(exists=True, desc="its probability of cerebrospinal fluid")
    gm = File(exists=True, desc="its probability of grey matter")
    wm = File(exists=True, desc="its probability of white matter")


class TemplateFiles(SimpleInterface):
    """Write the template: given files, or the MNI152NLin2009aSym that nilearn carries."""

    input_spec = _TemplateFilesInputSpec
    output_spec = _TemplateFilesOutputSpec

    def _run_interface(self, runtime):
        arrays, image = self._given() if self.inputs.files else self._bundled()
        arrays["mask"] = arrays["mask"] > 0
        # Templates come with skull or without.
        arrays["t1w"] = np.where(arrays["mask"], arrays["t1w"], 0)
        for name, array in arrays.items():
            path = Path(runtime.cwd) / f"{name}.nii.gz"
            self._results[name] = save_like(array, image, path)
        return runtime

    def _given(self) -> tuple[dict[str, np.ndarray], nb.Nifti1Image]:
        read = {name: load(self.inputs.files[name]) for name in SUFFIXES}
        return {name: array for name, (array, _) in read.items()}, read["t1w"][1]

    def _bundled(self) -> tuple[dict[str, np.ndarray], nb.Nifti1Image]:
        from nilearn import datasets

        resolution = self.inputs.resolution
        images = {
            "t1w": datasets.load_mni152_template(resolution=resolution),
            "mask": datasets.load_mni152_brain_mask(resolution=resolution),
            "gm": datasets.load_mni152_gm_template(resolution=resolution),
            "wm": datasets.load_mni152_wm_template(resolution=resolution),
        }
        arrays = {name: image.get_fdata(dtype=np.float32) for name, image in images.items()}
        # nilearn has no such map: what is neither grey nor white inside the brain.
        rest = np.clip(1 - arrays["gm"] - arrays["wm"], 0, 1)
        arrays["csf"] = np.where(arrays["mask"] > 0, rest, 0)
        return arrays, images["t1w"]


class _RigidToMagnitudeInputSpec(BaseInterfaceInputSpec):
    magnitude = File(exists=True, mandatory=True, desc="GRE magnitude")
    brain_mask = File(exists=True, mandatory=True, desc="brain in GRE space")
    t1w_brain = File(exists=True, mandatory=True, desc="T1w without skull")
    seed = traits.Int(mandatory=True, desc="seed of the sampling")


class _RigidToMagnitudeOutputSpec(TraitedSpec):
    t1w_to_gre = File(exists=True, desc="ITK transform that carries T1w images to the GRE")
    gre_to_t1w = File(exists=True, desc="its inverse")


class RigidToMagnitude(SimpleInterface):
    """Align the T1w to the GRE magnitude by mutual information, six degrees of freedom."""

    input_spec = _RigidToMagnitudeInputSpec
    output_spec = _RigidToMagnitudeOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(self.inputs.seed)
        cwd = Path(runtime.cwd)
        fixed, moving = self._brains(ants)
        forward = align_rigidly(ants, fixed, moving, cwd)
        for name, transform in (("t1w_to_gre", forward), ("gre_to_t1w", forward.invert())):
            path = str(cwd / f"{name}.txt")
            ants.write_transform(transform, path)
            self._results[name] = path
        return runtime

    def _brains(self, ants):
        """Return magnitude and T1w, each with its mask."""
        array, image = load(self.inputs.magnitude)
        mask = to_ants(ants, load_mask(self.inputs.brain_mask), image.affine)
        # A surface coil's shading pulls the alignment: without this its error was twice as large.
        magnitude = ants.n4_bias_field_correction(
            to_ants(ants, array, image.affine), mask=mask, shrink_factor=4
        )
        array, image = load(self.inputs.t1w_brain)
        t1w = to_ants(ants, array, image.affine)
        return (magnitude, mask), (t1w, to_ants(ants, array != 0, image.affine))


class _SyNInputSpec(BaseInterfaceInputSpec):
    fixed = File(exists=True, mandatory=True, desc="image to align to")
    fixed_mask = File(exists=True, mandatory=True, desc="its brain")
    moving = File(exists=True, mandatory=True, desc="image to align")
    moving_mask = File(exists=True, mandatory=True, desc="its brain")
    spacing = traits.Float(2.0, usedefault=True, desc="edge of a voxel during registration, mm")
    seed = traits.Int(mandatory=True, desc="seed of the sampling")


class _SyNOutputSpec(TraitedSpec):
    moving_to_fixed = File(exists=True, desc="ITK composite transform (.h5)")
    fixed_to_moving = File(exists=True, desc="its inverse")


class SyN(SimpleInterface):
    """Align two brains nonlinearly: affine, then symmetric diffeomorphic."""

    input_spec = _SyNInputSpec
    output_spec = _SyNOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(self.inputs.seed)
        spacing = self.inputs.spacing
        self._results["moving_to_fixed"], self._results["fixed_to_moving"] = syn(
            ants,
            masked(ants, self.inputs.fixed, self.inputs.fixed_mask, spacing),
            masked(ants, self.inputs.moving, self.inputs.moving_mask, spacing),
            str(Path(runtime.cwd) / "syn_"),
        )
        return runtime


class CarryInputSpec(BaseInterfaceInputSpec):
    """What whoever carries an image needs."""

    image = File(exists=True, mandatory=True, desc="image to carry")
    reference = File(exists=True, mandatory=True, desc="image on the grid to carry it to")
    transforms = InputMultiObject(
        File(exists=True), mandatory=True, desc="transforms in the order of travel"
    )


class _ApplyTransformsInputSpec(CarryInputSpec):
    interpolation = traits.Enum(
        "linear", "lanczosWindowedSinc", *LABELS, usedefault=True, desc="how values are mixed"
    )


class _ApplyTransformsOutputSpec(TraitedSpec):
    resampled = File(exists=True, desc="image on the grid of the reference")


class ApplyTransforms(SimpleInterface):
    """Carry an image through several transforms with one interpolation."""

    input_spec = _ApplyTransformsInputSpec
    output_spec = _ApplyTransformsOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(0)
        array, image = load(self.inputs.image)
        reference = nb.Nifti1Image.from_filename(self.inputs.reference)
        result = resample(
            ants,
            to_ants(ants, array, image.affine),
            reference,
            self.inputs.transforms,
            self.inputs.interpolation,
        )
        path = Path(runtime.cwd) / "resampled.nii.gz"
        self._results["resampled"] = save_like(result, reference, path)
        return runtime


class _CarryMapInputSpec(CarryInputSpec):
    mask = File(exists=True, mandatory=True, desc="where it is known")
    interpolation = traits.Enum("linear", "bSpline", usedefault=True, desc="how values are mixed")
    noise = traits.Bool(desc="whether it is the standard deviation of noise of each voxel alone")


class _CarryMapOutputSpec(TraitedSpec):
    resampled = File(exists=True, desc="map on the grid of the reference, zero where not known")
    mask = File(exists=True, desc="where it is known there")


class CarryMap(SimpleInterface):
    """
    Carry a map that is known inside a mask only, with one interpolation.

    Values are mixed among voxels of the mask alone, so that the zeros outside do not pull its rim
    towards zero; a voxel is known where at least half of what it is mixed from is. Cubic splines
    keep the contrast, which linear mixing lowers by a tenth half-way between voxels; but they
    overshoot beside peaks. Noise grows where voxels shrink: those made of one know no more than
    it does.
    """

    input_spec = _CarryMapInputSpec
    output_spec = _CarryMapOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(0)
        array, image = load(self.inputs.image)
        inside = load_mask(self.inputs.mask)
        reference = nb.Nifti1Image.from_filename(self.inputs.reference)
        route = self.inputs.transforms, self.inputs.interpolation
        share, total = (
            resample(ants, to_ants(ants, values, image.affine), reference, *route)
            for values in (inside, np.where(inside, array, 0))
        )
        known = share >= 0.5
        carried = np.divide(total, share, out=np.zeros_like(total), where=known)
        if self.inputs.noise is True:
            finer = np.linalg.det(image.affine[:3, :3]) / np.linalg.det(reference.affine[:3, :3])
            carried *= np.sqrt(max(abs(finer), 1.0))
        for name, values in (("resampled", carried), ("mask", known)):
            path = Path(runtime.cwd) / f"{name}.nii.gz"
            self._results[name] = save_like(values, reference, path)
        return runtime


def resample(ants, moving, reference: nb.Nifti1Image, transforms: list[str], interpolation: str):
    """Return `moving` on the grid of `reference`, through transforms in the order of travel."""
    grid = to_ants(ants, np.zeros(reference.shape[:3]), reference.affine)
    # ANTs wants the transform nearest to the reference first.
    result = ants.apply_transforms(
        grid, moving, list(reversed(transforms)), interpolator=interpolation
    ).numpy()
    if interpolation in LABELS:
        return np.rint(result).astype(np.int32)
    return result.astype(np.float32)
