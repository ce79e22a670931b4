"""Figures of the report as Nipype interfaces."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import nibabel as nb
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
import numpy as np

from qsmprep.bids.derivatives import figure_path
from qsmprep.files import atomic_copy
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, load_mask
from qsmprep.reports import figures
from qsmprep.reports.iron import iron_by_age
from qsmprep.reports.overlays import label_overlay
from qsmprep.reports.regions import read_regions, reference_of, region_dots

Grid = tuple[tuple[float, float, float], tuple[str, str, str]]


class _DrawMapsInputSpec(BaseInterfaceInputSpec):
    magnitude = File(exists=True, mandatory=True, desc="magnitude of all echoes together")
    brain_mask = File(exists=True, mandatory=True, desc="brain")
    trusted_mask = File(exists=True, mandatory=True, desc="where susceptibility is known")
    field_hz = File(exists=True, mandatory=True, desc="total field, Hz")
    local = File(exists=True, mandatory=True, desc="local field, ppm")
    noise = File(exists=True, mandatory=True, desc="noise of the field, Hz")
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm")
    phase = File(exists=True, mandatory=True, desc="phase of every echo as read, rad")
    te = traits.List(traits.Float, mandatory=True, desc="echo times, s")
    r2star = File(exists=True, desc="R2*, 1/s")


class _DrawRegionsInputSpec(BaseInterfaceInputSpec):
    magnitude = File(exists=True, mandatory=True, desc="magnitude of all echoes together")
    brain_mask = File(exists=True, mandatory=True, desc="brain")
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm")
    t1w_brain = File(exists=True, mandatory=True, desc="T1w in GRE space")
    dseg = File(exists=True, mandatory=True, desc="labels in GRE space")
    table = File(exists=True, mandatory=True, desc="regional table")
    regions = traits.List(traits.Any, desc="index, name and hemisphere of the labels")
    facts = traits.Dict(desc="what was found of the reference")
    age = traits.Float(desc="age, years, if it is known")


class _DrawOutputSpec(TraitedSpec):
    figures = OutputMultiObject(File(exists=True), desc="one file per figure, named for it")


class _Draw(SimpleInterface):
    output_spec = _DrawOutputSpec

    def _run_interface(self, runtime):
        self._results["figures"] = [
            str(figures.save_figure(figure, Path(runtime.cwd) / f"{name}{extension}"))
            for name, figure, extension in self._draw()
        ]
        return runtime

    def _draw(self):
        """Yield name, figure and kind of file of each figure."""
        raise NotImplementedError

    def _load(self, *names):
        return tuple(load(getattr(self.inputs, name))[0] for name in names)

    def _grid(self) -> Grid:
        """Return the voxel size, mm, and where the axes of the voxels point."""
        affine = load(self.inputs.magnitude)[1].affine
        return Geometry.from_affine(affine).voxel_size, nb.aff2axcodes(affine)


class DrawMaps(_Draw):
    """Draw masks, fields and maps."""

    input_spec = _DrawMapsInputSpec

    def _draw(self):
        grid, (magnitude, chi) = self._grid(), self._load("magnitude", "chi")
        brain, trusted = load_mask(self.inputs.brain_mask), load_mask(self.inputs.trusted_mask)
        yield "mask", figures.mask_contour(magnitude, brain, trusted, *grid), ".png"
        ends = sorted({0, len(self.inputs.te) - 1})
        te = [self.inputs.te[echo] for echo in ends]
        phase = [self._echo(echo) for echo in ends]
        yield "phase", figures.phase_echoes(phase, te, brain, *grid), ".png"
        del phase  # or it would add to the peak of memory
        total, local, noise = self._load("field_hz", "local", "noise")
        yield "field", figures.field_maps(total, noise, brain, *grid), ".png"
        yield "localField", figures.local_field_planes(local, trusted, *grid), ".png"
        yield "chi", figures.chi_planes(chi, trusted, *grid), ".png"
        if isdefined(self.inputs.r2star):
            (r2star,) = self._load("r2star")
            yield "r2star", figures.r2star_planes(r2star, brain, *grid), ".png"

    def _echo(self, index: int) -> np.ndarray:
        """Return the phase of one echo; the others stay in the file."""
        image = cast(nb.Nifti1Image, nb.load(self.inputs.phase))
        return np.asarray(image.dataobj[..., index], dtype=np.float32)


class DrawRegions(_Draw):
    """Draw how the T1w fits, where its labels lie and what the table says of them."""

    input_spec = _DrawRegionsInputSpec

    def _draw(self):
        grid, (magnitude, t1w, chi) = self._grid(), self._load("magnitude", "t1w_brain", "chi")
        pair = (t1w, magnitude, load_mask(self.inputs.brain_mask), *grid)
        yield "registration", figures.registration_check(*pair), ".png"
        t1w_frame, magnitude_frame = figures.registration_frames(*pair)
        yield "registrationT1w", t1w_frame, ".png"
        yield "registrationMagnitude", magnitude_frame, ".png"
        labels = load_labels(self.inputs.dseg)
        names = {index: name for index, name, _ in self.inputs.regions}
        for name, background, kind in (
            ("labels", magnitude, "magnitude"),
            ("labelsChi", chi, "chi"),
        ):
            overlay = label_overlay(background, labels, names, *grid, background_kind=kind)
            yield name, overlay, ".png"
        table = read_regions(Path(self.inputs.table))
        facts = self.inputs.facts if isdefined(self.inputs.facts) else {}
        reference = reference_of(table, facts.get("Reference", {}).get("name"))
        yield "regions", region_dots(table, reference), ".svg"
        if isdefined(self.inputs.age):
            iron = iron_by_age(table, reference, self.inputs.age)
            if iron is not None:
                yield "iron", iron, ".svg"


class _SaveFiguresInputSpec(BaseInterfaceInputSpec):
    figures = InputMultiObject(File(exists=True), mandatory=True, desc="figures")
    out_dir = traits.Str(mandatory=True, desc="output folder")
    stem = traits.Str(mandatory=True, desc="name of the outputs without suffix")


class _SaveFiguresOutputSpec(TraitedSpec):
    saved = OutputMultiObject(File(exists=True), desc="figures in the output folder")


class SaveFigures(SimpleInterface):
    """Put figures where the report looks for them."""

    input_spec = _SaveFiguresInputSpec
    output_spec = _SaveFiguresOutputSpec
    _always_run = True  # or a deleted figure would not come back from a full work folder

    def _run_interface(self, runtime):
        self._results["saved"] = [
            str(atomic_copy(figure, Path(self.inputs.out_dir) / self._name(Path(figure))))
            for figure in self.inputs.figures
        ]
        return runtime

    def _name(self, figure: Path) -> Path:
        return figure_path(
            self.inputs.stem, suffix="figure", extension=figure.suffix, desc=figure.stem
        )
