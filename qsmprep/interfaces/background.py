"""Background field removal as a Nipype interface."""

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
from qsmprep.methods.background import BACKGROUND_REMOVALS


class _RemoveBackgroundInputSpec(BaseInterfaceInputSpec):
    field = File(exists=True, mandatory=True, desc="total field, ppm")
    mask = File(exists=True, mandatory=True, desc="where the field can be trusted")
    method = traits.Enum(*BACKGROUND_REMOVALS, mandatory=True, desc="algorithm")
    params = traits.Dict(usedefault=True, desc="its parameters")


class _RemoveBackgroundOutputSpec(TraitedSpec):
    local = File(exists=True, desc="local field, ppm")
    mask = File(exists=True, desc="where the local field is known")


class RemoveBackground(SimpleInterface):
    """Remove the field of outside sources with any of the registered algorithms."""

    input_spec = _RemoveBackgroundInputSpec
    output_spec = _RemoveBackgroundOutputSpec

    def _run_interface(self, runtime):
        field, image = load(self.inputs.field)
        local, valid = BACKGROUND_REMOVALS[self.inputs.method](
            field,
            load_mask(self.inputs.mask),
            Geometry.from_affine(image.affine),
            **self.inputs.params,
        )
        for name, array in (("local", local), ("mask", valid)):
            path = Path(runtime.cwd) / f"{name}.nii.gz"
            self._results[name] = save_like(array, image, path)
        return runtime
