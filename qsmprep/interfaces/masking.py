"""Masks from the gradient echoes as Nipype interfaces."""

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_echoes, load_mask, save_like
from qsmprep.methods.masking import BRAIN_MASKS
from qsmprep.methods.masking.phase_quality import trusted_mask
from qsmprep.methods.unwrapping.romeo import voxel_quality


class _FindBrainInputSpec(BaseInterfaceInputSpec):
    magnitude = File(exists=True, mandatory=True, desc="magnitude of all echoes together")
    method = traits.Enum(*BRAIN_MASKS, mandatory=True, desc="algorithm")
    params = traits.Dict(usedefault=True, desc="its parameters")


class _FindBrainOutputSpec(TraitedSpec):
    mask = File(exists=True, desc="brain")


class FindBrain(SimpleInterface):
    """Find the brain with any of the registered algorithms."""

    input_spec = _FindBrainInputSpec
    output_spec = _FindBrainOutputSpec

    def _run_interface(self, runtime):
        magnitude, image = load(self.inputs.magnitude)
        mask = BRAIN_MASKS[self.inputs.method](
            magnitude, Geometry.from_affine(image.affine), **self.inputs.params
        )
        self._results["mask"] = save_like(mask, image, Path(runtime.cwd) / "brain.nii.gz")
        return runtime


class _TrustPhaseInputSpec(BaseInterfaceInputSpec):
    phase = File(exists=True, mandatory=True, desc="phase of every echo, rad, wrapped")
    magnitude = File(exists=True, mandatory=True, desc="magnitude of every echo")
    te = traits.List(traits.Float, mandatory=True, desc="echo times, s")
    brain = File(exists=True, mandatory=True, desc="brain")


class _TrustPhaseOutputSpec(TraitedSpec):
    mask = File(exists=True, desc="where the phase can be trusted")


class TrustPhase(SimpleInterface):
    """Join the brain mask with the quality of the phase."""

    input_spec = _TrustPhaseInputSpec
    output_spec = _TrustPhaseOutputSpec

    def _run_interface(self, runtime):
        phase, image = load_echoes(self.inputs.phase)
        magnitude, _ = load_echoes(self.inputs.magnitude)
        quality = voxel_quality(phase, magnitude, self.inputs.te)
        mask = trusted_mask(load_mask(self.inputs.brain), quality)
        self._results["mask"] = save_like(mask, image, Path(runtime.cwd) / "trusted.nii.gz")
        return runtime
