"""Relaxation as a Nipype interface."""

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from qsmprep.interfaces._nifti import load_echoes, load_mask, save_like
from qsmprep.methods.relaxometry import RELAXOMETRY
from qsmprep.methods.relaxometry.invert import r2star_to_t2star


class _FitR2starInputSpec(BaseInterfaceInputSpec):
    magnitude = File(exists=True, mandatory=True, desc="magnitude of every echo")
    mask = File(exists=True, mandatory=True, desc="brain")
    te = traits.List(traits.Float, mandatory=True, desc="echo times, s")
    method = traits.Enum(*RELAXOMETRY, mandatory=True, desc="algorithm")
    params = traits.Dict(usedefault=True, desc="its parameters")


class _FitR2starOutputSpec(TraitedSpec):
    r2star = File(exists=True, desc="R2*, 1/s")
    t2star = File(exists=True, desc="T2*, s")


class FitR2star(SimpleInterface):
    """Fit the decay of the magnitude with any of the registered algorithms."""

    input_spec = _FitR2starInputSpec
    output_spec = _FitR2starOutputSpec

    def _run_interface(self, runtime):
        magnitude, image = load_echoes(self.inputs.magnitude)
        r2star = RELAXOMETRY[self.inputs.method](
            magnitude, load_mask(self.inputs.mask), self.inputs.te, **self.inputs.params
        )
        for name, array in (("r2star", r2star), ("t2star", r2star_to_t2star(r2star))):
            self._results[name] = save_like(array, image, Path(runtime.cwd) / f"{name}.nii")
        return runtime
