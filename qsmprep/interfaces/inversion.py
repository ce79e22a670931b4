"""Dipole inversion as a Nipype interface."""

from dataclasses import asdict
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_mask, save_like
from qsmprep.methods.inversion import INVERSIONS
from qsmprep.protocol import needed_arrays


class _InvertInputSpec(BaseInterfaceInputSpec):
    field = File(exists=True, mandatory=True, desc="local field, ppm")
    mask = File(exists=True, mandatory=True, desc="where the local field is known")
    noise = File(exists=True, mandatory=True, desc="standard deviation of the field")
    magnitude = File(exists=True, mandatory=True, desc="magnitude of all echoes together")
    method = traits.Enum(*INVERSIONS, mandatory=True, desc="algorithm")
    params = traits.Dict(usedefault=True, desc="its parameters")


class _InvertOutputSpec(TraitedSpec):
    chi = File(exists=True, desc="susceptibility, ppm, not yet referenced")
    facts = traits.Dict(desc="how it went: Convergence, for methods that iterate")


class Invert(SimpleInterface):
    """Invert the dipole convolution with any of the registered algorithms."""

    input_spec = _InvertInputSpec
    output_spec = _InvertOutputSpec

    def _run_interface(self, runtime):
        field, image = load(self.inputs.field)
        invert = INVERSIONS[self.inputs.method]
        arrays = {name: load(getattr(self.inputs, name))[0] for name in needed_arrays(invert)}
        result = invert(
            field,
            load_mask(self.inputs.mask),
            Geometry.from_affine(image.affine),
            **arrays,
            **self.inputs.params,
        )
        chi, convergence = result if isinstance(result, tuple) else (result, None)
        self._results["chi"] = save_like(chi, image, Path(runtime.cwd) / "chi.nii.gz")
        self._results["facts"] = {"Convergence": asdict(convergence)} if convergence else {}
        return runtime
