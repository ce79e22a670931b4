"""Referencing as a Nipype interface."""

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, load_mask, save_like
from qsmprep.methods.referencing import reference_regions, take_references


class _ReferenceInputSpec(BaseInterfaceInputSpec):
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm, not referenced")
    mask = File(exists=True, mandatory=True, desc="where it is known")
    r2star = File(exists=True, desc="R2*, 1/s")
    fluid = File(exists=True, desc="probability of cerebrospinal fluid in GRE space")
    white_matter = File(exists=True, desc="probability of white matter in GRE space")
    labels = File(exists=True, desc="regions in GRE space")
    not_white = traits.List(traits.Int, usedefault=True, desc="labels that are no white matter")
    region = traits.List(traits.Int, usedefault=True, desc="labels of the protocol's region")
    name = traits.Str(mandatory=True, desc="the reference to call zero")


class _ReferenceOutputSpec(TraitedSpec):
    chi = File(exists=True, desc="susceptibility, ppm, referenced")
    references = traits.Dict(desc="mean_ppm, sd_ppm and n_voxels of every reference, or None")
    facts = traits.Dict(desc="what was subtracted: Reference")


class Reference(SimpleInterface):
    """Measure every reference, and subtract the one the protocol names."""

    input_spec = _ReferenceInputSpec
    output_spec = _ReferenceOutputSpec

    def _run_interface(self, runtime):
        chi, image = load(self.inputs.chi)
        mask = load_mask(self.inputs.mask)
        optional = {
            name: load(getattr(self.inputs, name))[0]
            for name in ("r2star", "fluid", "white_matter")
            if isdefined(getattr(self.inputs, name))
        }
        labels = load_labels(self.inputs.labels) if isdefined(self.inputs.labels) else None
        if labels is not None and "white_matter" in optional:
            optional["elsewhere"] = np.isin(labels, self.inputs.not_white)
        regions = reference_regions(mask, Geometry.from_affine(image.affine), **optional)
        if labels is not None and self.inputs.region:
            regions[self.inputs.name] = np.isin(labels, self.inputs.region) & mask
        referenced, references, facts = take_references(chi, mask, regions, self.inputs.name)
        if facts["name"] == "csf":
            shown = (("fluid", "T1w"), ("r2star", "R2*"))
            facts["found_by"] = " and ".join(by for name, by in shown if name in optional)
        path = Path(runtime.cwd) / "referenced.nii.gz"
        self._results["chi"] = save_like(referenced, image, path)
        self._results["references"] = references
        self._results["facts"] = {"Reference": facts}
        return runtime
