"""Labels that somebody else has made, as a Nipype interface."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
)

from qsmprep.interfaces._nifti import load, load_labels, save_like


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
