"""Figures of the report as Nipype interfaces."""

from __future__ import annotations

from pathlib import Path

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

from qsmprep.bids.derivatives import atomic_copy, figure_path
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, load_mask
from qsmprep.reports import figures
from qsmprep.reports.regions import read_regions, region_dots


class _DrawFiguresInputSpec(BaseInterfaceInputSpec):
    magnitude = File(exists=True, mandatory=True, desc="magnitude of all echoes together")
    brain_mask = File(exists=True, mandatory=True, desc="brain")
    trusted_mask = File(exists=True, mandatory=True, desc="where susceptibility is known")
    field_hz = File(exists=True, mandatory=True, desc="total field, Hz")
    local = File(exists=True, mandatory=True, desc="local field, ppm")
    noise = File(exists=True, mandatory=True, desc="noise of the field, Hz")
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm")
    r2star = File(exists=True, desc="R2*, 1/s")
    t1w_brain = File(exists=True, desc="T1w in GRE space")
    dseg = File(exists=True, desc="labels in GRE space")
    table = File(exists=True, desc="regional table")
    regions = traits.List(traits.Any, desc="index, name and hemisphere of the labels")
    reference = traits.Str("whole-brain", usedefault=True, desc="reference the dots show")


class _DrawFiguresOutputSpec(TraitedSpec):
    figures = OutputMultiObject(File(exists=True), desc="one file per figure, named for it")


class DrawFigures(SimpleInterface):
    """Draw all figures that there is something to show in."""

    input_spec = _DrawFiguresInputSpec
    output_spec = _DrawFiguresOutputSpec

    def _run_interface(self, runtime):
        self._results["figures"] = [
            str(figures.save_figure(figure, Path(runtime.cwd) / f"{name}{extension}"))
            for name, figure, extension in self._draw()
        ]
        return runtime

    def _draw(self):
        """Yield name, figure and kind of file of each figure."""
        magnitude, image = load(self.inputs.magnitude)
        brain, trusted = load_mask(self.inputs.brain_mask), load_mask(self.inputs.trusted_mask)
        chi, total, local, noise = (
            load(getattr(self.inputs, name))[0] for name in ("chi", "field_hz", "local", "noise")
        )
        grid = Geometry.from_affine(image.affine).voxel_size, nb.aff2axcodes(image.affine)
        yield "mask", figures.mask_contour(magnitude, brain, trusted, *grid), ".png"
        yield (
            "field",
            figures.field_maps(total, local, noise, brain, *grid),
            ".png",
        )
        yield "chi", figures.chi_planes(chi, trusted, *grid), ".png"
        if isdefined(self.inputs.r2star):
            yield "r2star", figures.r2star_planes(load(self.inputs.r2star)[0], brain, *grid), ".png"
        if isdefined(self.inputs.t1w_brain):
            pair = (load(self.inputs.t1w_brain)[0], magnitude, brain, *grid)
            yield "registration", figures.registration_check(*pair), ".png"
            t1w_frame, magnitude_frame = figures.registration_frames(*pair)
            yield "registrationT1w", t1w_frame, ".png"
            yield "registrationMagnitude", magnitude_frame, ".png"
        if isdefined(self.inputs.dseg):
            labels = load_labels(self.inputs.dseg)
            names = {index: name for index, name, _ in self.inputs.regions}
            for name, background, kind in (
                ("labels", magnitude, "magnitude"),
                ("labelsChi", chi, "chi"),
            ):
                overlay = figures.label_overlay(
                    background, labels, names, *grid, background_kind=kind
                )
                yield name, overlay, ".png"
            table = read_regions(Path(self.inputs.table))
            yield "regions", region_dots(table, self.inputs.reference), ".svg"


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
