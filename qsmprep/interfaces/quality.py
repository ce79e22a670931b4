"""Quality figures as a Nipype interface."""

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

from qsmprep.bids.derivatives import write_json
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_mask
from qsmprep.methods.quality import measure_quality


class _MeasureQualityInputSpec(BaseInterfaceInputSpec):
    brain_mask = File(exists=True, mandatory=True, desc="brain")
    trusted_mask = File(exists=True, mandatory=True, desc="where susceptibility is known")
    noise = File(exists=True, mandatory=True, desc="noise of the field, Hz")
    local = File(exists=True, mandatory=True, desc="local field, ppm")
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm")
    facts = InputMultiObject(traits.Dict, desc="facts found on the way")


class _MeasureQualityOutputSpec(TraitedSpec):
    quality = File(exists=True, desc="JSON")


class MeasureQuality(SimpleInterface):
    """Measure how well a reconstruction went, and add what the stages said of themselves."""

    input_spec = _MeasureQualityInputSpec
    output_spec = _MeasureQualityOutputSpec

    def _run_interface(self, runtime):
        local, image = load(self.inputs.local)
        content: dict[str, object] = {}
        content |= measure_quality(
            brain=load_mask(self.inputs.brain_mask),
            trusted=load_mask(self.inputs.trusted_mask),
            noise_hz=load(self.inputs.noise)[0],
            local=local,
            chi=load(self.inputs.chi)[0],
            geometry=Geometry.from_affine(image.affine),
        )
        for found in self.inputs.facts if isdefined(self.inputs.facts) else []:
            content |= found
        self._results["quality"] = str(write_json(Path(runtime.cwd) / "quality.json", content))
        return runtime
