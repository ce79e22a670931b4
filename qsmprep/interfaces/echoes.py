"""Echoes into memory: magnitude and phase in rad, whatever the files hold."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
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

from qsmprep.errors import InputError
from qsmprep.interfaces._nifti import read_image, save_like
from qsmprep.interfaces._plausible import check_parts, check_volumes
from qsmprep.methods.echoes.coding import recognise_coding, to_radians
from qsmprep.methods.echoes.magnitude import combine_magnitudes

PARTS = ("magnitude", "phase")


class _ReadEchoesInputSpec(BaseInterfaceInputSpec):
    first = InputMultiObject(File(exists=True), mandatory=True, desc="magnitudes or real parts")
    second = InputMultiObject(File(exists=True), mandatory=True, desc="phases, or imaginary parts")
    cartesian = traits.Bool(mandatory=True, desc="whether the parts are real and imaginary")
    units = traits.Str(desc="BIDS Units of the phase")


class _ReadEchoesOutputSpec(TraitedSpec):
    phase = File(exists=True, desc="phase of every echo, rad, wrapped; 4D")
    magnitude = File(exists=True, desc="magnitude of every echo; 4D")
    combined = File(exists=True, desc="root sum of squares of the magnitudes")
    facts = traits.Dict(desc="what was found: PhaseCoding")


class ReadEchoes(SimpleInterface):
    """Bring all echoes into one form, and refuse what cannot be phase."""

    input_spec = _ReadEchoesInputSpec
    output_spec = _ReadEchoesOutputSpec

    def _run_interface(self, runtime):
        first, second = (
            [_read(p) for p in paths] for paths in (self.inputs.first, self.inputs.second)
        )
        one, other = _stack(first), _stack(second)
        names = ("real part", "imaginary part") if self.inputs.cartesian else PARTS
        check_volumes(self.inputs.first, one, names[0])
        check_volumes(self.inputs.second, other, names[1])
        if self.inputs.cartesian:
            signal = one + 1j * other
            magnitude, phase, coding = np.abs(signal), np.angle(signal), "real and imaginary"
        else:
            check_parts(self.inputs.first[0], one[0], other[0])
            magnitude, coding = one, self._coding(second, other)
            if coding.unscaled:
                other = np.stack([volume for image in second for volume in _volumes(image, False)])
            phase, coding = to_radians(other, coding), coding.name
        for name, array in (
            ("phase", np.moveaxis(phase, 0, -1)),
            ("magnitude", np.moveaxis(magnitude, 0, -1)),
            ("combined", combine_magnitudes(magnitude)),
        ):
            path = Path(runtime.cwd) / f"{name}.nii"
            self._results[name] = save_like(array.astype(np.float32), first[0], path)
        self._results["facts"] = {"PhaseCoding": coding}
        return runtime

    def _coding(self, images, values):
        slope, intercept = images[0].dataobj.slope, images[0].dataobj.inter
        ends = float(values.min()), float(values.max())
        try:
            return recognise_coding(
                *ends,
                integers=bool(np.all(values == np.rint(values))),
                units=self.inputs.units if isdefined(self.inputs.units) else None,
                stored=tuple((end - intercept) / slope for end in ends),
            )
        except ValueError as error:
            raise InputError(
                self.inputs.second[0],
                f"its phase cannot be read ({error})",
                "correct Units in the sidecar, or export the phase without rescaling",
            ) from error


def _read(path) -> nb.Nifti1Image:
    image = read_image(path)
    bad = int(np.count_nonzero(~np.isfinite(image.get_fdata(dtype=np.float32))))
    if bad:
        raise InputError(
            path,
            f"{bad} of its voxels are NaN or infinite",
            "export it again, or set them to 0 if they lie outside the head",
        )
    return image


def _stack(images) -> np.ndarray:
    """Return the echoes of one 4D image or several 3D ones, echo first."""
    return np.stack([volume for image in images for volume in _volumes(image, True)])


def _volumes(image, scaled: bool):
    data = image.get_fdata(dtype=np.float32) if scaled else image.dataobj.get_unscaled()
    return np.moveaxis(data, -1, 0) if data.ndim == 4 else data[None]
