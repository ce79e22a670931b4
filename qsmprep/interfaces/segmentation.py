"""From atlases to labels, as Nipype interfaces."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path

import nibabel as nb
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, save_like, save_shares, to_bytes
from qsmprep.interfaces.registration import (
    masked,
    resample,
    seeded_ants,
    syn,
    to_ants,
    working_image,
)
from qsmprep.methods.box import slices_around
from qsmprep.methods.segmentation import FUSIONS, Fusion, brain_of_labelled

MARGIN = 8
"""Voxels around a brain that may be labelled, too: it may have been cut close."""


class _AlignAtlasInputSpec(BaseInterfaceInputSpec):
    t1w_brain = File(exists=True, mandatory=True, desc="T1w to align to, inside the brain")
    brain_mask = File(exists=True, mandatory=True, desc="its brain")
    atlas_t1w = File(exists=True, mandatory=True, desc="T1w of the labelled head")
    atlas_dseg = File(exists=True, mandatory=True, desc="its labels")
    spacing = traits.Float(2.0, usedefault=True, desc="edge of a voxel during registration, mm")
    seed = traits.Int(mandatory=True, desc="seed of the registration's sampling")


class _AlignAtlasOutputSpec(TraitedSpec):
    transform = File(exists=True, desc="ITK composite transform that carries the head's images")


class AlignAtlas(SimpleInterface):
    """Align a labelled head to a participant or a template."""

    input_spec = _AlignAtlasInputSpec
    output_spec = _AlignAtlasOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(self.inputs.seed)
        t1w, image = load(self.inputs.atlas_t1w)
        brain = brain_of_labelled(
            t1w,
            load_labels(self.inputs.atlas_dseg),
            Geometry.from_affine(image.affine).voxel_size,
        )
        transform, inverse = syn(
            ants,
            masked(ants, self.inputs.t1w_brain, self.inputs.brain_mask, self.inputs.spacing),
            working_image(
                ants,
                to_ants(ants, t1w, image.affine),
                to_ants(ants, brain, image.affine),
                self.inputs.spacing,
            ),
            str(Path(runtime.cwd) / "syn_"),
        )
        os.remove(inverse)  # as large as the transform, and nobody asks for it
        self._results["transform"] = transform
        return runtime


class _FuseLabelsInputSpec(BaseInterfaceInputSpec):
    t1w_brain = File(exists=True, mandatory=True, desc="participant's T1w inside the brain")
    atlas_t1ws = InputMultiObject(File(exists=True), mandatory=True, desc="T1w of each head")
    atlas_dsegs = InputMultiObject(File(exists=True), mandatory=True, desc="labels of each")
    transforms = InputMultiObject(
        File(exists=True), mandatory=True, desc="carries images of each head to the T1w, or part"
    )
    onward = File(exists=True, desc="carries them the rest of the way, the same for all")
    method = traits.Enum(*FUSIONS, usedefault=True, desc="how the heads agree")
    indices = traits.List(traits.Int, mandatory=True, desc="labels to give probabilities of")


class _FuseLabelsOutputSpec(TraitedSpec):
    dseg = File(exists=True, desc="labels on the grid of the participant's T1w")
    confidence = File(exists=True, desc="part of the votes that the label has")
    probseg = File(exists=True, desc="part of the votes of each label, in their order")


class FuseLabels(SimpleInterface):
    """Bring the labels of all heads to a participant, in one interpolation, and fuse them."""

    input_spec = _FuseLabelsInputSpec
    output_spec = _FuseLabelsOutputSpec

    def _run_interface(self, runtime):
        t1w, image = load(self.inputs.t1w_brain)
        # A head of 256³ voxels would take four times the memory.
        box = slices_around(t1w != 0, (MARGIN,) * 3)
        heads = list(self._carried(image.slicer[box]))
        fusion: Fusion = FUSIONS[self.inputs.method](
            t1w[box], [head for head, _ in heads], [labels for _, labels in heads]
        )

        def whole(part, elsewhere):
            array = np.full(t1w.shape, elsewhere, dtype=part.dtype)
            array[box] = part
            return array

        cwd = Path(runtime.cwd)
        for name, array in (
            ("dseg", whole(fusion.labels, 0)),
            ("confidence", whole(fusion.confidence(), 1)),
        ):
            self._results[name] = save_like(array, image, cwd / f"{name}.nii.gz")
        shares = (whole(to_bytes(fusion.probability(i)), 0) for i in self.inputs.indices)
        self._results["probseg"] = save_shares(
            shares, len(self.inputs.indices), image, cwd / "probseg.nii.gz"
        )
        return runtime

    def _carried(self, reference: nb.Nifti1Image) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield T1w and labels of each head on the participant's grid."""
        ants = seeded_ants(0)
        onward = [self.inputs.onward] if isdefined(self.inputs.onward) else []
        heads = (self.inputs.atlas_t1ws, self.inputs.atlas_dsegs, self.inputs.transforms)
        for t1w, dseg, transform in zip(*heads, strict=True):
            carried = []
            for path, interpolation in ((t1w, "linear"), (dseg, "nearestNeighbor")):
                array, image = load(path)
                moving = to_ants(ants, array, image.affine)
                carried.append(
                    resample(ants, moving, reference, [transform, *onward], interpolation)
                )
            yield carried[0], carried[1]
