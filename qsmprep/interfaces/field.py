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
from qsmprep.methods.echoes.sign import judge_sign
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.field import FIELD_FITS
from qsmprep.methods.unwrapping import UNWRAPPERS
from qsmprep.units import hz_to_ppm


class _EchoesInputSpec(BaseInterfaceInputSpec):
    magnitude = File(exists=True, mandatory=True, desc="magnitude of every echo")
    mask = File(exists=True, mandatory=True, desc="where the phase can be trusted")
    te = traits.List(traits.Float, mandatory=True, desc="echo times, s")
    params = traits.Dict(usedefault=True, desc="parameters of the algorithm")


class _RemoveOffsetInputSpec(_EchoesInputSpec):
    phase = File(exists=True, mandatory=True, desc="phase of every echo, rad, wrapped")
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
