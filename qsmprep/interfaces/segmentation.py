"""From atlases to labels, as Nipype interfaces."""

from __future__ import annotations

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

from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, save_like
from qsmprep.interfaces.registration import (
    masked,
    resample,
    seeded_ants,
    syn,
    to_ants,
    working_image,
)
from qsmprep.methods.segmentation import labelled_brain, majority_vote, stripped_brain


class _CarryLabelsInputSpec(BaseInterfaceInputSpec):
    t1w_brain = File(exists=True, mandatory=True, desc="participant's T1w inside the brain")
    brain_mask = File(exists=True, mandatory=True, desc="participant's brain")
    atlas_t1w = File(exists=True, mandatory=True, desc="T1w of the labelled head")
    atlas_dseg = File(exists=True, mandatory=True, desc="its labels")
    spacing = traits.Float(2.0, usedefault=True, desc="edge of a voxel during registration, mm")
    seed = traits.Int(mandatory=True, desc="seed of the registration's sampling")


class _CarryLabelsOutputSpec(TraitedSpec):
    dseg = File(exists=True, desc="labels on the grid of the participant's T1w")


class CarryLabels(SimpleInterface):
    """Align a labelled head to a participant and bring its labels, in one interpolation."""

    input_spec = _CarryLabelsInputSpec
    output_spec = _CarryLabelsOutputSpec

    def _run_interface(self, runtime):
        ants = seeded_ants(self.inputs.seed)
        t1w, image = load(self.inputs.atlas_t1w)
        dseg = load_labels(self.inputs.atlas_dseg)
        voxel_size = Geometry.from_affine(image.affine).voxel_size
        brain = stripped_brain(t1w, voxel_size)
        if brain is None:
            brain = labelled_brain(dseg, voxel_size)
        to_participant, _ = syn(
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
        reference = nb.Nifti1Image.from_filename(self.inputs.t1w_brain)
        labels = resample(
            ants,
            to_ants(ants, dseg, image.affine),
            reference,
            [to_participant],
            "nearestNeighbor",
        )
        path = Path(runtime.cwd) / "dseg.nii.gz"
        self._results["dseg"] = save_like(labels, reference, path)
        return runtime


class _FuseLabelsInputSpec(BaseInterfaceInputSpec):
    dsegs = InputMultiObject(File(exists=True), mandatory=True, desc="labels from each atlas")


class _FuseLabelsOutputSpec(TraitedSpec):
    dseg = File(exists=True, desc="labels of the majority")
    agreement = File(exists=True, desc="part of the atlases that gave that label")


class FuseLabels(SimpleInterface):
    """Let the atlases vote."""

    input_spec = _FuseLabelsInputSpec
    output_spec = _FuseLabelsOutputSpec

    def _run_interface(self, runtime):
        labels, agreement = majority_vote([load_labels(path) for path in self.inputs.dsegs])
        image = nb.Nifti1Image.from_filename(self.inputs.dsegs[0])
        for name, array in (("dseg", labels), ("agreement", agreement)):
            path = Path(runtime.cwd) / f"{name}.nii.gz"
            self._results[name] = save_like(array, image, path)
        return runtime
