"""From wrapped echoes to the total field, as Nipype interfaces."""

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
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_echoes, load_mask, save_like
from qsmprep.methods.echoes import OFFSETS
from qsmprep.methods.echoes.bipolar import correct_bipolar
from qsmprep.methods.echoes.fringes import open_fringes
from qsmprep.methods.echoes.sign import judge_sign
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.field import FIELD_FITS
from qsmprep.methods.field.noise import of_unknown_phase
from qsmprep.methods.unwrapping import UNWRAPPERS
from qsmprep.units import hz_to_ppm


class _EchoesInputSpec(BaseInterfaceInputSpec):
    magnitude = File(exists=True, mandatory=True, desc="magnitude of every echo")
    mask = File(exists=True, mandatory=True, desc="where the phase can be trusted")
    te = traits.List(traits.Float, mandatory=True, desc="echo times, s")
    params = traits.Dict(usedefault=True, desc="parameters of the algorithm")


class _PhaseInputSpec(_EchoesInputSpec):
    phase = File(exists=True, mandatory=True, desc="phase of every echo, rad, wrapped")


class _CorrectBipolarOutputSpec(TraitedSpec):
    phase = File(exists=True, desc="phase as if all echoes were read out in one direction")
    facts = traits.Dict(desc="what was found: BipolarReadout")


class CorrectBipolar(SimpleInterface):
    """Recognise echoes read out in alternating directions, and make them alike."""

    input_spec = _PhaseInputSpec
    output_spec = _CorrectBipolarOutputSpec

    def _run_interface(self, runtime):
        phase, image = load_echoes(self.inputs.phase)
        magnitude, _ = load_echoes(self.inputs.magnitude)
        corrected, readout = correct_bipolar(
            phase, magnitude, load_mask(self.inputs.mask), self.inputs.te
        )
        self._results["facts"] = {"BipolarReadout": asdict(readout)} if readout else {}
        self._results["phase"] = self.inputs.phase
        if corrected is not phase:
            self._results["phase"] = save_like(
                np.moveaxis(corrected, 0, -1), image, Path(runtime.cwd) / "phase.nii"
            )
        return runtime


class _FindFringesOutputSpec(TraitedSpec):
    fringes = File(exists=True, desc="voxels beside open fringes")
    facts = traits.Dict(desc="what was found: OpenFringes")


class FindFringes(SimpleInterface):
    """Find the lines at which fringes end, and no unwrapping is right."""

    input_spec = _PhaseInputSpec
    output_spec = _FindFringesOutputSpec

    def _run_interface(self, runtime):
        phase, image = load_echoes(self.inputs.phase)
        magnitude, _ = load_echoes(self.inputs.magnitude)
        near, count = open_fringes(
            phase,
            magnitude,
            load_mask(self.inputs.mask),
            self.inputs.te,
            Geometry.from_affine(image.affine),
        )
        self._results["fringes"] = save_like(near, image, Path(runtime.cwd) / "fringes.nii")
        self._results["facts"] = {"OpenFringes": {"lines": count, "voxels": int(near.sum())}}
        return runtime


class _RemoveOffsetInputSpec(_PhaseInputSpec):
    method = traits.Enum(*OFFSETS, mandatory=True, desc="algorithm")


class _RemoveOffsetOutputSpec(TraitedSpec):
    phase = File(exists=True, desc="phase without receive offset, rad, wrapped")


class RemoveOffset(SimpleInterface):
    """Take the receive phase off with any of the registered algorithms."""

    input_spec = _RemoveOffsetInputSpec
    output_spec = _RemoveOffsetOutputSpec

    def _run_interface(self, runtime):
        phase, image = load_echoes(self.inputs.phase)
        magnitude, _ = load_echoes(self.inputs.magnitude)
        offset = OFFSETS[self.inputs.method](
            phase,
            magnitude,
            load_mask(self.inputs.mask),
            self.inputs.te,
            Geometry.from_affine(image.affine),
            **self.inputs.params,
        )
        rest = np.moveaxis(wrap(phase - offset), 0, -1)
        self._results["phase"] = save_like(rest, image, Path(runtime.cwd) / "phase.nii")
        return runtime


class _UnwrapInputSpec(_EchoesInputSpec):
    phase = File(exists=True, mandatory=True, desc="phase without receive offset, rad, wrapped")
    method = traits.Enum(*UNWRAPPERS, mandatory=True, desc="algorithm")


class _UnwrapOutputSpec(TraitedSpec):
    unwrapped = File(exists=True, desc="unwrapped phase of every echo, rad")


class Unwrap(SimpleInterface):
    """Unwrap the phase with any of the registered algorithms."""

    input_spec = _UnwrapInputSpec
    output_spec = _UnwrapOutputSpec

    def _run_interface(self, runtime):
        phase, image = load_echoes(self.inputs.phase)
        magnitude, _ = load_echoes(self.inputs.magnitude)
        unwrapped = UNWRAPPERS[self.inputs.method](
            phase, magnitude, load_mask(self.inputs.mask), self.inputs.te, **self.inputs.params
        )
        self._results["unwrapped"] = save_like(
            np.moveaxis(unwrapped, 0, -1), image, Path(runtime.cwd) / "unwrapped.nii"
        )
        return runtime


class _FitFieldInputSpec(_EchoesInputSpec):
    unwrapped = File(exists=True, mandatory=True, desc="unwrapped phase of every echo, rad")
    fringes = File(exists=True, desc="voxels whose phase might be anything")
    method = traits.Enum(*FIELD_FITS, mandatory=True, desc="algorithm")


class _FitFieldOutputSpec(TraitedSpec):
    field = File(exists=True, desc="total field, Hz")
    noise = File(exists=True, desc="its standard deviation, Hz")


class FitField(SimpleInterface):
    """Fit one field to all echoes with any of the registered algorithms."""

    input_spec = _FitFieldInputSpec
    output_spec = _FitFieldOutputSpec

    def _run_interface(self, runtime):
        unwrapped, image = load_echoes(self.inputs.unwrapped)
        magnitude, _ = load_echoes(self.inputs.magnitude)
        field_hz, noise_hz = FIELD_FITS[self.inputs.method](
            unwrapped, magnitude, load_mask(self.inputs.mask), self.inputs.te, **self.inputs.params
        )
        if isdefined(self.inputs.fringes):
            noise_hz = of_unknown_phase(noise_hz, load_mask(self.inputs.fringes), self.inputs.te)
        for name, array in (("field", field_hz), ("noise", noise_hz)):
            self._results[name] = save_like(array, image, Path(runtime.cwd) / f"{name}.nii")
        return runtime


class _JudgeSignInputSpec(BaseInterfaceInputSpec):
    field = File(exists=True, mandatory=True, desc="total field, Hz")
    noise = File(exists=True, mandatory=True, desc="its standard deviation, Hz")
    mask = File(exists=True, mandatory=True, desc="where the phase can be trusted")
    r2star = File(exists=True, desc="R2*, 1/s")
    b0 = traits.Float(mandatory=True, desc="field strength, T")
    sign = traits.Enum("auto", "as-is", "inverted", mandatory=True, desc="who decides")


class _JudgeSignOutputSpec(TraitedSpec):
    field = File(exists=True, desc="total field, ppm, positive where tissue is paramagnetic")
    field_hz = File(exists=True, desc="the same, Hz")
    noise = File(exists=True, desc="standard deviation of the field, ppm")
    facts = traits.Dict(desc="what was decided: PhaseSign")


class JudgeSign(SimpleInterface):
    """Turn the field the right way round, and say why."""

    input_spec = _JudgeSignInputSpec
    output_spec = _JudgeSignOutputSpec

    def _run_interface(self, runtime):
        field_hz, image = load(self.inputs.field)
        r2star = load(self.inputs.r2star)[0] if isdefined(self.inputs.r2star) else None
        field = hz_to_ppm(field_hz, self.inputs.b0)
        evidence = judge_sign(
            field,
            load_mask(self.inputs.mask),
            Geometry.from_affine(image.affine),
            r2star=r2star,
        )
        sign = {"auto": evidence.sign, "as-is": 1, "inverted": -1}[self.inputs.sign]
        noise = hz_to_ppm(load(self.inputs.noise)[0], self.inputs.b0)
        for name, array in (
            ("field", sign * field),
            ("field_hz", sign * field_hz),
            ("noise", noise),
        ):
            self._results[name] = save_like(array, image, Path(runtime.cwd) / f"{name}.nii")
        self._results["facts"] = {
            "PhaseSign": {"inverted": sign < 0, "decided by": self.inputs.sign, **asdict(evidence)}
        }
        return runtime
