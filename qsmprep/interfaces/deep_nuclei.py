"""Deep grey matter by T1w and susceptibility, as a Nipype interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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

from qsmprep.errors import InputError
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, load_mask, save_like
from qsmprep.interfaces.registration import resample, seeded_ants, to_ants
from qsmprep.methods.box import slices_around
from qsmprep.methods.segmentation import (
    FUSIONS,
    brain_of_labelled,
    hybrid_image,
    replace_labels,
)

MARGIN = 10.0
"""What is seen around the nuclei, mm."""

FINEST = 2.0
"""Least edge of a voxel in the registrations, mm."""


class _RefineDeepNucleiInputSpec(BaseInterfaceInputSpec):
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm")
    trusted_mask = File(exists=True, mandatory=True, desc="where it is known")
    t1w_brain = File(exists=True, mandatory=True, desc="T1w inside the brain, on the same grid")
    dseg = File(exists=True, mandatory=True, desc="labels on the same grid, from the T1w alone")
    atlas_t1ws = InputMultiObject(File(exists=True), mandatory=True, desc="T1w of each head")
    atlas_chis = InputMultiObject(File(exists=True), mandatory=True, desc="its susceptibility")
    atlas_dsegs = InputMultiObject(File(exists=True), mandatory=True, desc="its labels")
    transforms = InputMultiObject(
        File(exists=True), mandatory=True, desc="carries images of each head, part of the way"
    )
    onward = InputMultiObject(
        File(exists=True),
        mandatory=True,
        desc="carry them the rest of the way, in order of travel",
    )
    indices = traits.List(traits.Int, mandatory=True, desc="labels to refine")
    weight = traits.Float(mandatory=True, desc="of susceptibility against T1w, 1/ppm")
    method = traits.Enum(*FUSIONS, usedefault=True, desc="how the heads agree")
    seed = traits.Int(mandatory=True, desc="seed of the registrations")


class _RefineDeepNucleiOutputSpec(TraitedSpec):
    dseg = File(exists=True, desc="labels, those of the nuclei refined")


class RefineDeepNuclei(SimpleInterface):
    """
    Align all heads once more around the deep nuclei, where susceptibility shows them, and fuse.

    What a head brings is interpolated once, through all transforms together.
    """

    input_spec = _RefineDeepNucleiInputSpec
    output_spec = _RefineDeepNucleiOutputSpec

    def _run_interface(self, runtime):
        labels = load_labels(self.inputs.dseg)
        t1w, image = load(self.inputs.t1w_brain)
        nuclei = np.isin(labels, self.inputs.indices)
        if nuclei.any():
            edges = np.array(Geometry.from_affine(image.affine).voxel_size)
            box = slices_around(nuclei, np.ceil(MARGIN / edges).tolist())
            hybrid = hybrid_image(
                t1w,
                load(self.inputs.chi)[0],
                t1w != 0,
                load_mask(self.inputs.trusted_mask),
                weight=self.inputs.weight,
            )[box]
            heads = list(self._carried(hybrid, image.slicer[box], runtime.cwd))
            fusion = FUSIONS[self.inputs.method](
                hybrid, [head for head, _ in heads], [carried for _, carried in heads]
            )
            labels[box] = replace_labels(labels[box], fusion.labels, self.inputs.indices)
        self._results["dseg"] = save_like(labels, image, Path(runtime.cwd) / "dseg.nii.gz")
        return runtime

    def _carried(
        self, hybrid: np.ndarray, reference: nb.Nifti1Image, cwd: str
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield hybrid image and labels of each head, aligned in the box."""
        ants = seeded_ants(self.inputs.seed)
        fixed = to_ants(ants, hybrid, reference.affine)
        onward = self.inputs.onward
        heads = zip(
            self.inputs.atlas_t1ws,
            self.inputs.atlas_chis,
            self.inputs.atlas_dsegs,
            self.inputs.transforms,
            strict=True,
        )
        for number, (t1w, chi, dseg, transform) in enumerate(heads):
            moving, labels = _read_head(ants, t1w, chi, dseg, self.inputs.weight)
            route = [transform, *onward]
            near = resample(ants, moving, reference, route, "linear")
            near = to_ants(ants, near, reference.affine)
            route.append(_refine(ants, fixed, near, str(Path(cwd) / f"head{number}_")))
            yield (
                resample(ants, moving, reference, route, "linear"),
                resample(ants, labels, reference, route, "nearestNeighbor"),
            )


def _read_head(ants, t1w: str, chi: str, dseg: str, weight: float):
    """Return hybrid image and labels of a head of the atlas."""
    shown, image = load(t1w)
    susceptibility, labels = np.nan_to_num(load(chi)[0]), load_labels(dseg)
    brain = brain_of_labelled(shown, labels, Geometry.from_affine(image.affine).voxel_size)
    known = brain & (susceptibility != 0)
    _check_units(chi, susceptibility[known])
    hybrid = hybrid_image(shown, susceptibility, brain, known, weight=weight)
    return to_ants(ants, hybrid, image.affine), to_ants(ants, labels, image.affine)


def _check_units(path: str, values: np.ndarray) -> None:
    """Refuse what cannot be susceptibility in ppm, which varies by less than 0.1 in a brain."""
    if values.size == 0:
        raise InputError(path, "is zero all over the brain", "give susceptibility in ppm")
    if (spread := values.std()) > 1:
        raise InputError(
            path, f"varies by {spread:.3g} over the brain, too much for ppm", "scale it to ppm"
        )


def _refine(ants, fixed, moving, prefix: str) -> str:
    """
    Return the warp between two images that are aligned but for a few millimetres.

    Correlation in small cubes (Avants et al., 2008, doi:10.1016/j.media.2007.06.004) knows neither
    a drift of the susceptibility nor the shading of a coil, and takes no random samples.
    """
    size = [max(FINEST, edge) for edge in fixed.spacing]
    found = ants.registration(
        *(
            ants.resample_image(image, size, use_voxels=False, interp_type=0)
            for image in (fixed, moving)
        ),
        "SyNOnly",
        initial_transform="Identity",
        syn_metric="CC",
        syn_sampling=2,
        reg_iterations=(20, 10),
        outprefix=prefix,
    )
    return found["fwdtransforms"][0]
