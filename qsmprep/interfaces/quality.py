"""Quality figures as Nipype interfaces."""

from __future__ import annotations

from collections.abc import Mapping
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
import numpy as np
import pandas as pd

from qsmprep.bids.derivatives import write_json
from qsmprep.bids.lookups import tissue_of
from qsmprep.bids.windows import read_windows
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_echoes, load_mask
from qsmprep.methods.quality import (
    field_residual,
    measure_facts,
    measure_quality,
    signal_to_noise,
)
from qsmprep.methods.quality_alignment import dice, offset_mm, similarity
from qsmprep.methods.quality_phase import clipped_percent, cut_percent, smooth_field_ratio
from qsmprep.methods.quality_regions import measure_regions
from qsmprep.methods.verdicts import conclude, judge_all

ONE_ECHO = "there is one echo"
NO_SOLVER = "the method does not iterate"


class _QualityOutputSpec(TraitedSpec):
    quality = File(exists=True, desc="JSON: verdict, reasons and figures")


class _CheckAcquisitionInputSpec(BaseInterfaceInputSpec):
    checked = traits.Dict(mandatory=True, desc="figures from sidecars and headers")
    phase = File(exists=True, mandatory=True, desc="phase of every echo as read, rad, wrapped")
    magnitude = File(exists=True, mandatory=True, desc="magnitude of every echo")
    brain_mask = File(exists=True, mandatory=True, desc="brain")
    trusted_mask = File(exists=True, mandatory=True, desc="where the phase can be trusted")
    field_hz = File(exists=True, mandatory=True, desc="total field, Hz")
    facts = InputMultiObject(traits.Dict, desc="facts found on the way")


class CheckAcquisition(SimpleInterface):
    """Add to what sidecars and headers say of an acquisition what its voxels say."""

    input_spec = _CheckAcquisitionInputSpec
    output_spec = _QualityOutputSpec

    def _run_interface(self, runtime):
        phase, image = load_echoes(self.inputs.phase)
        geometry = Geometry.from_affine(image.affine)
        brain = load_mask(self.inputs.brain_mask)
        facts = _joined(self.inputs.facts)
        coding = str(facts.get("PhaseCoding", ""))
        values: dict[str, object] = {
            "phase_coding": coding,
            "phase_scaling": "ignored" if "slope ignored" in coding else "used",
            "clipped_percent": clipped_percent(phase, brain),
            "brain_cut_percent": cut_percent(brain),
            "snr": signal_to_noise(load_echoes(self.inputs.magnitude)[0][0], brain, geometry),
            "smooth_field_ratio": smooth_field_ratio(
                load(self.inputs.field_hz)[0], load_mask(self.inputs.trusted_mask), geometry
            ),
        }
        if isinstance(readout := facts.get("BipolarReadout"), Mapping):
            values["readout"] = "alternating" if readout["bipolar"] else "monopolar"
        if isinstance(fringes := facts.get("OpenFringes"), Mapping):
            values["open_fringes"] = fringes["lines"]
        missing = {"readout": "fewer than three echoes do not show it", "open_fringes": ONE_ECHO}
        found = judge_all(values, read_windows("acquisition"), missing)["figures"]
        content = conclude({**self.inputs.checked, **found})
        self._results["quality"] = str(write_json(Path(runtime.cwd) / "quality.json", content))
        return runtime


class _MeasureQualityInputSpec(BaseInterfaceInputSpec):
    phase = File(exists=True, mandatory=True, desc="phase without receive offset, rad, wrapped")
    magnitude = File(exists=True, mandatory=True, desc="magnitude of every echo")
    te = traits.List(traits.Float, mandatory=True, desc="echo times, s")
    field_hz = File(exists=True, mandatory=True, desc="total field, Hz")
    brain_mask = File(exists=True, mandatory=True, desc="brain")
    trusted_mask = File(exists=True, mandatory=True, desc="where susceptibility is known")
    noise = File(exists=True, mandatory=True, desc="noise of the field, Hz")
    local = File(exists=True, mandatory=True, desc="local field, ppm")
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm")
    facts = InputMultiObject(traits.Dict, desc="facts found on the way")


class MeasureQuality(SimpleInterface):
    """Measure how well a reconstruction went, and add what the stages said of themselves."""

    input_spec = _MeasureQualityInputSpec
    output_spec = _QualityOutputSpec

    def _run_interface(self, runtime):
        local, image = load(self.inputs.local)
        trusted = load_mask(self.inputs.trusted_mask)
        facts = _joined(self.inputs.facts)
        values: dict[str, object] = {
            **measure_quality(
                brain=load_mask(self.inputs.brain_mask),
                trusted=trusted,
                noise_hz=load(self.inputs.noise)[0],
                local=local,
                chi=load(self.inputs.chi)[0],
                geometry=Geometry.from_affine(image.affine),
            ),
            **measure_facts(facts),
        }
        if len(self.inputs.te) > 1:
            values["field_residual_rad"] = self._residual(facts, trusted)
        missing = {
            f"{stage}_{what}": NO_SOLVER
            for stage in ("background", "inversion")
            for what in ("iterations", "residual", "solver")
        }
        missing |= {"field_residual_rad": ONE_ECHO}
        content = {**judge_all(values, read_windows("maps"), missing), "facts": facts}
        self._results["quality"] = str(write_json(Path(runtime.cwd) / "quality.json", content))
        return runtime

    def _residual(self, facts: Mapping[str, object], trusted) -> float:
        sign = facts.get("PhaseSign")
        inverted = isinstance(sign, Mapping) and bool(sign["inverted"])
        field_hz = load(self.inputs.field_hz)[0]
        return field_residual(
            load_echoes(self.inputs.phase)[0],
            load_echoes(self.inputs.magnitude)[0],
            -field_hz if inverted else field_hz,  # as the phase turns
            trusted,
            self.inputs.te,
        )


class _MeasureRegionsInputSpec(BaseInterfaceInputSpec):
    table = File(exists=True, mandatory=True, desc="table of regions")
    magnitude = File(exists=True, mandatory=True, desc="combined magnitude of the echoes")
    brain_mask = File(exists=True, mandatory=True, desc="brain in the echoes")
    t1w_on_gre = File(exists=True, mandatory=True, desc="T1w in GRE space, its brain alone")
    t1w_mask_on_gre = File(exists=True, mandatory=True, desc="share of its brain in each voxel")
    t1w_brain_on_template = File(exists=True, mandatory=True, desc="T1w on the template")
    t1w_mask_on_template = File(exists=True, mandatory=True, desc="its brain on the template")
    template = File(exists=True, mandatory=True, desc="T1w of the template, its brain alone")


class MeasureRegions(SimpleInterface):
    """Measure whether regions are in order and images lie on one another."""

    input_spec = _MeasureRegionsInputSpec
    output_spec = _QualityOutputSpec

    def _run_interface(self, runtime):
        values, missing = _of_table(self.inputs.table)
        for name, pair in (
            ("t1w", (self.inputs.magnitude, self.inputs.t1w_on_gre)),
            ("template", (self.inputs.template, self.inputs.t1w_brain_on_template)),
        ):
            fixed, image = load(pair[0])
            moving, _ = load(pair[1])
            one, other = self._brains(name, fixed)
            both = one & other
            values[f"{name}_brain_dice"] = dice(one, other)
            if both.any():
                geometry = Geometry.from_affine(image.affine)
                values[f"{name}_offset_mm"] = offset_mm(fixed, moving, both, geometry)
                values[f"{name}_similarity"] = similarity(fixed, moving, both)
            else:
                apart = "the brains do not overlap"
                missing |= {f"{name}_offset_mm": apart, f"{name}_similarity": apart}
        content = judge_all(values, read_windows("regions"), missing)
        self._results["quality"] = str(write_json(Path(runtime.cwd) / "quality.json", content))
        return runtime

    def _brains(self, name: str, fixed):
        if name == "template":
            return fixed > 0, load(self.inputs.t1w_mask_on_template)[0] >= 0.5
        return load_mask(self.inputs.brain_mask), load(self.inputs.t1w_mask_on_gre)[0] >= 0.5


def _joined(facts) -> dict[str, object]:
    joined: dict[str, object] = {}
    for found in facts if isdefined(facts) else []:
        joined |= found
    return joined


def _of_table(path: str) -> tuple[dict[str, object], dict[str, str]]:
    """Return the figures of a table of regions, and why others are not there."""
    table = pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False)
    table = table[table["map"] == "Chimap"]
    against = table[table["reference"] == "none"]
    key = list(zip(against["name"], against["hemisphere"], strict=True))
    means = {k: m for k, m in zip(key, against["mean"], strict=True) if np.isfinite(m)}
    coverage = {
        k: float(np.nan_to_num(part))
        for k, part in zip(key, against["coverage"], strict=True)
        if k[1] != "B"
    }
    tissues = {name: tissue_of(name) for name, _ in key}
    values, missing = measure_regions(means, coverage, tissues)
    brain = means.get(("whole-brain", "M"), means.get(("whole-brain", "B")))
    fluid = table[(table["reference"] == "csf") & table["name"].eq("whole-brain")]["mean"]
    if brain is not None and len(fluid) and np.isfinite(fluid.iloc[0]):
        values["csf_mean_ppb"] = -float(fluid.iloc[0])
    else:
        missing["csf_mean_ppb"] = "too little of it was found"
    return values, missing
