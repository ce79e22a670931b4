"""Labels that somebody else has made, as a Nipype interface."""

from __future__ import annotations

from pathlib import Path

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

from qsmprep.interfaces._nifti import load, load_labels, save_like
from qsmprep.interfaces.longitudinal import to_matrix
from qsmprep.interfaces.registration import LPS, seeded_ants
from qsmprep.methods.segmentation import fuse_sessions


class _TakeLabelsInputSpec(BaseInterfaceInputSpec):
    labels = File(exists=True, mandatory=True, desc="label image in any format nibabel reads")


class _TakeLabelsOutputSpec(TraitedSpec):
    dseg = File(exists=True, desc="the same labels as NIfTI, whole numbers on their own grid")


class TakeLabels(SimpleInterface):
    """Take labels as they are, into a file that every other step can read."""

    input_spec = _TakeLabelsInputSpec
    output_spec = _TakeLabelsOutputSpec

    def _run_interface(self, runtime):
        _, image = load(self.inputs.labels)
        labels = load_labels(self.inputs.labels)
        path = Path(runtime.cwd) / "dseg.nii.gz"
        self._results["dseg"] = save_like(labels.reshape(labels.shape[:3]), image, path)
        return runtime


class _FuseSessionsInputSpec(BaseInterfaceInputSpec):
    labels = InputMultiObject(File(exists=True), mandatory=True, desc="labels of each session")
    t1w_to_participant = InputMultiObject(
        File(exists=True), mandatory=True, desc="carries images of the T1w of each to the template"
    )
    on_echoes = traits.List(
        traits.Bool, mandatory=True, desc="whether labels are of the echoes, not of the T1w"
    )
    gre_to_t1w = InputMultiObject(
        File(exists=True), desc="carries images of the echoes to the T1w, for each that is of them"
    )
    template = File(exists=True, mandatory=True, desc="mean T1w of all sessions")


class _FuseSessionsOutputSpec(TraitedSpec):
    dseg = File(exists=True, desc="labels on the grid of the template")


class FuseSessions(SimpleInterface):
    """Make one segmentation of those of all sessions, in one interpolation."""

    input_spec = _FuseSessionsInputSpec
    output_spec = _FuseSessionsOutputSpec

    def _run_interface(self, runtime):
        _, template = load(self.inputs.template)
        of_echoes = self.inputs.gre_to_t1w if isdefined(self.inputs.gre_to_t1w) else []
        to_echoes = iter([_points(path) for path in of_echoes])
        labels, matrices = [], []
        for path, carry, on_echoes in zip(
            self.inputs.labels,
            self.inputs.t1w_to_participant,
            self.inputs.on_echoes,
            strict=True,
        ):
            array, affine = load_labels(path), load(path)[1].affine
            way = _points(carry)
            if on_echoes:
                way = next(to_echoes) @ way
            labels.append(array.reshape(array.shape[:3]))
            matrices.append(np.linalg.inv(affine) @ way @ template.affine)
        fused = fuse_sessions(labels, matrices, template.shape[:3])
        self._results["dseg"] = save_like(fused, template, Path(runtime.cwd) / "dseg.nii.gz")
        return runtime


def _points(path: str) -> np.ndarray:
    """Return where a rigid ITK transform takes points in the world of NIfTI, mm."""
    flip = np.diag([*np.diag(LPS), 1.0])
    return flip @ to_matrix(seeded_ants(0).read_transform(path)) @ flip
