"""Masks from the gradient echoes as Nipype interfaces."""

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_echoes, save_like
from qsmprep.interfaces._plausible import check_mask
from qsmprep.methods.masking import BRAIN_MASKS
from qsmprep.methods.masking.phase_quality import reliable_parts, trusted_mask
from qsmprep.methods.unwrapping.romeo import voxel_quality
from qsmprep.protocol import needed_arrays


class _PhaseQualityInputSpec(BaseInterfaceInputSpec):
    phase = File(exists=True, mandatory=True, desc="phase of every echo, rad, wrapped")
    magnitude = File(exists=True, mandatory=True, desc="magnitude of every echo")
    te = traits.List(traits.Float, mandatory=True, desc="echo times, s")


class _PhaseQualityOutputSpec(TraitedSpec):
    quality = File(exists=True, desc="coherence of the phase, 0 to 1")


class PhaseQuality(SimpleInterface):
    """Measure how coherent the phase of every voxel is with that of its neighbours."""

    input_spec = _PhaseQualityInputSpec
    output_spec = _PhaseQualityOutputSpec

    def _run_interface(self, runtime):
        phase, image = load_echoes(self.inputs.phase)
        magnitude, _ = load_echoes(self.inputs.magnitude)
        quality = voxel_quality(phase, magnitude, self.inputs.te)
        self._results["quality"] = save_like(quality, image, Path(runtime.cwd) / "quality.nii")
        return runtime


class _FindBrainInputSpec(BaseInterfaceInputSpec):
    magnitude = File(exists=True, mandatory=True, desc="magnitude of all echoes together")
    quality = File(exists=True, desc="coherence of the phase, 0 to 1")
    t1w_brain = File(exists=True, desc="share of each voxel that is brain in the T1w")
    given = File(exists=True, desc="brain mask on the grid of the magnitude")
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
        if isdefined(self.inputs.given):
            check_mask(self.inputs.given)
        find = BRAIN_MASKS[self.inputs.method]
        mask = find(
            magnitude,
            Geometry.from_affine(image.affine),
            **{name: load(getattr(self.inputs, name))[0] for name in needed_arrays(find)},
            **self.inputs.params,
        )
        self._results["mask"] = save_like(mask, image, Path(runtime.cwd) / "brain.nii.gz")
        return runtime


class _TrustPhaseInputSpec(BaseInterfaceInputSpec):
    quality = File(exists=True, mandatory=True, desc="coherence of the phase, 0 to 1")
    brain = File(exists=True, mandatory=True, desc="brain")
    join = traits.Bool(True, usedefault=True, desc="whether incoherent voxels at the rim leave")


class _TrustPhaseOutputSpec(TraitedSpec):
    mask = File(exists=True, desc="where the phase can be trusted, interior holes filled")
    strict = File(exists=True, desc="the same with its holes")


class TrustPhase(SimpleInterface):
    """Join the brain mask with the quality of the phase."""

    input_spec = _TrustPhaseInputSpec
    output_spec = _TrustPhaseOutputSpec

    def _run_interface(self, runtime):
        brain, image = load(self.inputs.brain)
        quality, _ = load(self.inputs.quality)
        mask = trusted_mask(brain > 0, quality) if self.inputs.join else brain > 0
        for name, array in (("mask", mask), ("strict", reliable_parts(mask, quality))):
            path = Path(runtime.cwd) / f"{name}.nii.gz"
            self._results[name] = save_like(array, image, path)
        return runtime
