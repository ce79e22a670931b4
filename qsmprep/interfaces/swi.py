"""Susceptibility-weighted images as a Nipype interface."""

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
from qsmprep.methods.swi import minimum_intensity_projection, susceptibility_weighted_image


class _MakeSWIInputSpec(BaseInterfaceInputSpec):
    field = File(exists=True, mandatory=True, desc="total field, Hz, the right way round")
    magnitude = File(exists=True, mandatory=True, desc="magnitude of every echo")
    mask = File(exists=True, mandatory=True, desc="where the field is known")
    brain = File(exists=True, mandatory=True, desc="brain, where voxels are projected")
    echo = traits.Int(mandatory=True, desc="which echo to weight, from 0")
    echo_time = traits.Float(mandatory=True, desc="of the phase that weights it, s")
    width = traits.Float(mandatory=True, desc="of the high-pass, mm")
    power = traits.Int(mandatory=True, desc="how often the phase weights")
    thickness = traits.Float(mandatory=True, desc="of the projected slab, mm")


class _MakeSWIOutputSpec(TraitedSpec):
    swi = File(exists=True, desc="susceptibility-weighted image")
    minip = File(exists=True, desc="its minimum intensity projection")


class MakeSWI(SimpleInterface):
    """Weight a magnitude by the field, and project its darkest voxels."""

    input_spec = _MakeSWIInputSpec
    output_spec = _MakeSWIOutputSpec

    def _run_interface(self, runtime):
        field_hz, image = load(self.inputs.field)
        magnitude, _ = load_echoes(self.inputs.magnitude)
        geometry = Geometry.from_affine(image.affine)
        swi = susceptibility_weighted_image(
            field_hz,
            magnitude[self.inputs.echo],
            load_mask(self.inputs.mask),
            geometry,
            echo_time=self.inputs.echo_time,
            width=self.inputs.width,
            power=self.inputs.power,
        )
        minip = minimum_intensity_projection(
            swi, load_mask(self.inputs.brain), geometry, thickness=self.inputs.thickness
        )
        for name, array in (("swi", swi), ("minip", minip)):
            self._results[name] = save_like(array, image, Path(runtime.cwd) / f"{name}.nii")
        return runtime
