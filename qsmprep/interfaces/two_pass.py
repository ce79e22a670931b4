"""Joining two susceptibility maps as a Nipype interface."""

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from qsmprep.interfaces._nifti import load, load_mask, save_like
from qsmprep.methods.inversion.two_pass import fill_first_pass


class _JoinPassesInputSpec(BaseInterfaceInputSpec):
    first = File(exists=True, mandatory=True, desc="susceptibility in the mask with holes, ppm")
    reliable = File(exists=True, mandatory=True, desc="where it is known")
    second = File(exists=True, mandatory=True, desc="susceptibility in the filled mask, ppm")
    mask = File(exists=True, mandatory=True, desc="where it is known")


class _JoinPassesOutputSpec(TraitedSpec):
    chi = File(exists=True, desc="susceptibility, ppm, not yet referenced")
    facts = traits.Dict(desc="TwoPass: part of the voxels that come from the first pass")


class JoinPasses(SimpleInterface):
    """Fill what the first pass lacks by the second."""

    input_spec = _JoinPassesInputSpec
    output_spec = _JoinPassesOutputSpec

    def _run_interface(self, runtime):
        first, image = load(self.inputs.first)
        second, _ = load(self.inputs.second)
        reliable, mask = load_mask(self.inputs.reliable), load_mask(self.inputs.mask)
        chi = fill_first_pass(first, reliable, second, mask)
        self._results["chi"] = save_like(chi, image, Path(runtime.cwd) / "chi.nii.gz")
        part = float((reliable & mask).sum() / mask.sum())
        self._results["facts"] = {"TwoPass": {"first_pass": part, "second_pass": 1 - part}}
        return runtime
