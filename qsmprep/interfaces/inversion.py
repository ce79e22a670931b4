"""Dipole inversion as a Nipype interface."""

from dataclasses import asdict
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from qsmprep.errors import InputError
from qsmprep.geometry import Geometry
from qsmprep.interfaces._device import DEVICES, to_device, to_host
from qsmprep.interfaces._nifti import load, load_mask, save_like
from qsmprep.methods.inversion import INVERSIONS
from qsmprep.methods.referencing import central_csf
from qsmprep.protocol import needed_arrays


class _InvertInputSpec(BaseInterfaceInputSpec):
    field = File(exists=True, mandatory=True, desc="local field, ppm")
    mask = File(exists=True, mandatory=True, desc="where the local field is known")
    noise = File(exists=True, mandatory=True, desc="standard deviation of the field, ppm")
    magnitude = File(exists=True, mandatory=True, desc="magnitude of all echoes together")
    r2star = File(exists=True, desc="R2*, 1/s; shows the fluid some algorithms call zero")
    method = traits.Enum(*INVERSIONS, mandatory=True, desc="algorithm")
    params = traits.Dict(usedefault=True, desc="its parameters")
    device = traits.Enum(*DEVICES, usedefault=True, nohash=True, desc="what computes")


class _InvertOutputSpec(TraitedSpec):
    chi = File(exists=True, desc="susceptibility, ppm, not yet referenced")
    facts = traits.Dict(desc="how it went: InversionConvergence, for methods that iterate")


class Invert(SimpleInterface):
    """Invert the dipole convolution with any of the registered algorithms."""

    input_spec = _InvertInputSpec
    output_spec = _InvertOutputSpec

    def _run_interface(self, runtime):
        field, image = load(self.inputs.field)
        invert = INVERSIONS[self.inputs.method]
        mask, geometry = load_mask(self.inputs.mask), Geometry.from_affine(image.affine)
        needed = {name: self._array(name, mask, geometry) for name in needed_arrays(invert)}
        result = invert(
            to_device(field, self.inputs.device),
            to_device(mask, self.inputs.device),
            geometry,
            **{name: to_device(array, self.inputs.device) for name, array in needed.items()},
            **self.inputs.params,
        )
        chi, convergence = result if isinstance(result, tuple) else (result, None)
        self._results["chi"] = save_like(to_host(chi), image, Path(runtime.cwd) / "chi.nii.gz")
        self._results["facts"] = (
            {"InversionConvergence": asdict(convergence)} if convergence else {}
        )
        return runtime

    def _array(self, name, mask, geometry):
        if name != "csf":
            return load(getattr(self.inputs, name))[0]
        if not isdefined(self.inputs.r2star):
            raise InputError(
                self.inputs.magnitude,
                f"{self.inputs.method} finds fluid by R2*, which a single echo does not show",
                "choose an inversion without CSF, or acquire two echoes or more",
            )
        return central_csf(load(self.inputs.r2star)[0], mask, geometry)
