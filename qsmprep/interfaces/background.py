"""Background field removal as a Nipype interface."""

from dataclasses import asdict
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.interfaces._device import DEVICES, to_device, to_host
from qsmprep.interfaces._nifti import load, load_labels, load_mask, save_like
from qsmprep.methods.background import BACKGROUND_REMOVALS
from qsmprep.protocol import needed_arrays


class _RemoveBackgroundInputSpec(BaseInterfaceInputSpec):
    field = File(exists=True, mandatory=True, desc="total field, ppm")
    mask = File(exists=True, mandatory=True, desc="where the field can be trusted")
    noise = File(exists=True, mandatory=True, desc="standard deviation of the field, ppm")
    white_matter = File(exists=True, desc="probability of white matter, for methods that need it")
    labels = File(exists=True, desc="regions, for methods that need tissues")
    not_white = traits.List(traits.Int, usedefault=True, desc="labels that are no white matter")
    deep = traits.List(traits.Int, usedefault=True, desc="labels of deep grey matter")
    method = traits.Enum(*BACKGROUND_REMOVALS, mandatory=True, desc="algorithm")
    params = traits.Dict(usedefault=True, desc="its parameters")
    device = traits.Enum(*DEVICES, usedefault=True, nohash=True, desc="what computes")


class _RemoveBackgroundOutputSpec(TraitedSpec):
    local = File(exists=True, desc="local field, ppm")
    mask = File(exists=True, desc="where the local field is known")
    facts = traits.Dict(desc="how it went: BackgroundConvergence, for methods that iterate")


class RemoveBackground(SimpleInterface):
    """Remove the field of outside sources with any of the registered algorithms."""

    input_spec = _RemoveBackgroundInputSpec
    output_spec = _RemoveBackgroundOutputSpec

    def _run_interface(self, runtime):
        field, image = load(self.inputs.field)
        remove = BACKGROUND_REMOVALS[self.inputs.method]
        needed = {name: self._array(name) for name in needed_arrays(remove)}
        local, valid, *convergence = remove(
            to_device(field, self.inputs.device),
            to_device(load_mask(self.inputs.mask), self.inputs.device),
            Geometry.from_affine(image.affine),
            **{name: to_device(array, self.inputs.device) for name, array in needed.items()},
            **self.inputs.params,
        )
        for name, array in (("local", local), ("mask", valid)):
            path = Path(runtime.cwd) / f"{name}.nii.gz"
            self._results[name] = save_like(to_host(array), image, path)
        self._results["facts"] = (
            {"BackgroundConvergence": asdict(convergence[0])} if convergence else {}
        )
        return runtime

    def _array(self, name):
        if name == "deep_grey":
            return np.isin(load_labels(self.inputs.labels), self.inputs.deep)
        array = load(getattr(self.inputs, name))[0]
        if name == "white_matter":
            # A T1w alone takes much of the thalamus, the pallidum and of thin cortex for it.
            array[np.isin(load_labels(self.inputs.labels), self.inputs.not_white)] = 0
        return array
