"""Lesions of one session measured, as Nipype interfaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from scipy import ndimage

from qsmprep.bids.lesion_columns import COLUMNS, PROFILE_COLUMNS
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, load_mask, save_like
from qsmprep.interfaces.regions import reference_means
from qsmprep.methods.lesions import (
    LesionMaps,
    LesionRow,
    LesionRules,
    find_lesions,
    measure_lesions,
)
from qsmprep.methods.regions import Rules
from qsmprep.units import PPB_PER_PPM

VEIN = 0.2
"""
Part of a voxel that a drawn vein fills, from which on the voxel is left out.

Of a line a voxel wide no voxel of another grid may hold more than a quarter.
"""

NO_VOXEL = "no voxel on the grid of the echoes"


class _NumberLesionsInputSpec(BaseInterfaceInputSpec):
    image = File(exists=True, mandatory=True, desc="mask, or numbers of lesions")
    numbered = traits.Bool(mandatory=True, desc="whether it has numbers")
    minimum_mm3 = traits.Float(mandatory=True, desc="least volume of a part of a mask")


class _NumberLesionsOutputSpec(TraitedSpec):
    labels = File(exists=True, desc="number of the lesion of each voxel, on the same grid")
    volumes = traits.Dict(desc="volume of each lesion by its number as text, mm³")
    dropped = traits.List(traits.Float, desc="volumes of what was too small, mm³")


class NumberLesions(SimpleInterface):
    """Number the connected parts of a mask, or keep the numbers of an image."""

    input_spec = _NumberLesionsInputSpec
    output_spec = _NumberLesionsOutputSpec

    def _run_interface(self, runtime):
        _, image = load(self.inputs.image)
        array = load_labels(self.inputs.image)
        array = array.reshape(array.shape[:3])
        lesions = find_lesions(
            array if self.inputs.numbered else array > 0,
            Geometry.from_affine(image.affine),
            minimum_mm3=self.inputs.minimum_mm3,
        )
        path = Path(runtime.cwd) / "lesions.nii.gz"
        self._results["labels"] = save_like(lesions.labels, image, path)
        self._results["volumes"] = {str(n): mm3 for n, mm3 in lesions.volumes_mm3.items()}
        self._results["dropped"] = list(lesions.dropped_mm3)
        return runtime


class _MeasureLesionsInputSpec(BaseInterfaceInputSpec):
    labels = File(exists=True, mandatory=True, desc="number of the lesion of each voxel")
    volumes = traits.Dict(usedefault=True, desc="volumes as drawn by number as text, mm³")
    dropped = traits.List(traits.Float, usedefault=True, desc="volumes that were too small, mm³")
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm")
    references = traits.Dict(desc="means to subtract by name, ppm; none: chi is referenced")
    referenced = traits.Dict(mandatory=True, desc="Reference: the name of what zero means")
    r2star = File(exists=True, desc="R2*, 1/s")
    brain_mask = File(exists=True, mandatory=True, desc="brain")
    trusted_mask = File(exists=True, mandatory=True, desc="where susceptibility is known")
    wm = File(exists=True, mandatory=True, desc="probability of white matter")
    dseg = File(exists=True, mandatory=True, desc="labels of the atlas")
    regions = traits.List(mandatory=True, desc="index, name and hemisphere of each of them")
    not_white = traits.List(traits.Int, usedefault=True, desc="labels that are no white matter")
    mean_chi = File(exists=True, desc="mean of several sessions: veins are sought in it")
    mean_r2star = File(exists=True, desc="mean of several sessions: veins are sought in it")
    veins = InputMultiObject(File(exists=True), desc="part of each voxel that known veins fill")
    enhancing = File(exists=True, desc="what takes up gadolinium")
    elsewhere = File(exists=True, desc="lesions of any session: no normal white matter")
    readings = traits.List(traits.Any, usedefault=True, desc="rows of a reader's table")
    rules = traits.Dict(mandatory=True, desc="settings of the table [lesions] of the protocol")
    vessels = traits.Dict(mandatory=True, desc="settings of the table [regions]: what a vein is")
    ids = traits.Dict(mandatory=True, desc="participant_id, session_id, acquisition, run")


class _MeasureLesionsOutputSpec(TraitedSpec):
    table = File(exists=True, desc="one row per lesion")
    profile = File(exists=True, desc="one row per lesion and depth")
    facts = traits.Dict(desc="Lesions: by which rules")


class MeasureLesions(SimpleInterface):
    """Write what each lesion says, with its rim, its profile and the white matter beside it."""

    input_spec = _MeasureLesionsInputSpec
    output_spec = _MeasureLesionsOutputSpec

    def _run_interface(self, runtime):
        labels, (_, image) = load_labels(self.inputs.labels), load(self.inputs.chi)
        rules, vessels = LesionRules(**self.inputs.rules), Rules(**self.inputs.vessels)
        found = measure_lesions(labels, self._maps(rules), rules, vessels)
        measured = {row.lesion: row for row in found}
        volumes = {int(number): mm3 for number, mm3 in self.inputs.volumes.items()}
        ids = dict(self.inputs.ids) | {"reference": self._reference()}
        gadolinium = self._gadolinium(labels)
        rows = [
            ids
            | (figures(measured[n], image.affine) if n in measured else {"flag": NO_VOXEL})
            | ({"volume_mm3": volumes[n]} if n in volumes else {})
            | {"lesion_id": n, "gd_fraction": gadolinium.get(n, np.nan)}
            | readings_of(self.inputs.readings, n)
            for n in sorted(volumes.keys() | measured.keys())
        ]
        profile = [ids | depth for row in measured.values() for depth in profile_of(row)]
        for name, content, columns in (
            ("table", rows, COLUMNS),
            ("profile", profile, PROFILE_COLUMNS),
        ):
            self._results[name] = write_table(
                pd.DataFrame(content, columns=list(columns)), Path(runtime.cwd) / f"{name}.tsv"
            )
        self._results["facts"] = {"Lesions": self._facts()}
        return runtime

    def _reference(self) -> str:
        """Return what was called zero, which stands for another where that has too few voxels."""
        return str(self.inputs.referenced["Reference"]["name"])

    def _maps(self, rules: LesionRules) -> LesionMaps:
        chi, image = load(self.inputs.chi)
        if isdefined(self.inputs.references):
            chi = chi - np.float32(reference_means(self.inputs.references)[self._reference()])
        brain = load_mask(self.inputs.brain_mask)
        measured = brain & load_mask(self.inputs.trusted_mask) & np.isfinite(chi)
        r2star = load(self.inputs.r2star)[0] if isdefined(self.inputs.r2star) else None
        if r2star is not None:
            measured &= np.isfinite(r2star)
        dseg = load_labels(self.inputs.dseg)
        white = load(self.inputs.wm)[0] >= rules.white_probability
        white &= ~np.isin(dseg, self.inputs.not_white)
        if isdefined(self.inputs.elsewhere):
            white &= ~load_mask(self.inputs.elsewhere)
        veins = None
        if isdefined(self.inputs.veins):
            veins = np.any([load(path)[0] >= VEIN for path in self.inputs.veins], axis=0)
        mean_chi, mean_r2star = (
            load(path)[0] if isdefined(path) else None
            for path in (self.inputs.mean_chi, self.inputs.mean_r2star)
        )
        return LesionMaps(
            chi,
            brain,
            measured,
            white,
            Geometry.from_affine(image.affine),
            r2star,
            sides(dseg, self.inputs.regions, brain),
            veins,
            mean_chi,
            mean_r2star,
        )

    def _gadolinium(self, labels) -> dict[int, float]:
        """Return the part of each lesion that takes up gadolinium, nothing without a mask."""
        if not isdefined(self.inputs.enhancing) or not labels.any():
            return {}
        numbers = np.unique(labels[labels > 0])
        shares = ndimage.mean(load_mask(self.inputs.enhancing), labels, numbers)
        return dict(zip(numbers.tolist(), np.atleast_1d(shares).tolist(), strict=True))

    def _facts(self) -> dict[str, object]:
        return {
            "Purpose": "Rim figures are a research aid, no diagnosis: a human reading is required",
            "TooSmallVolumes_mm3": [round(mm3, 3) for mm3 in self.inputs.dropped],
        }


def sides(dseg, regions: Sequence[Sequence], brain):
    """
    Return the hemisphere of every voxel of the brain, by the nearest label that has one.

    Parameters
    ----------
    dseg : (X, Y, Z) integer array
        Labels of an atlas.
    regions
        Index, name and hemisphere of each of its regions.
    brain : (X, Y, Z) boolean array
        Brain.

    Returns
    -------
    hemispheres : (X, Y, Z) integer array, or None
        1 on the left, 2 on the right, 0 outside the brain; None where no label has a side.
    """
    known = np.zeros(dseg.shape, dtype=np.int8)
    for number, side in enumerate("LR", start=1):
        known[np.isin(dseg, [index for index, _, where in regions if where == side])] = number
    if not known.any():
        return None
    nearest = ndimage.distance_transform_edt(
        known == 0, return_distances=False, return_indices=True
    )
    return np.where(brain, known[tuple(nearest)], 0)


def figures(row: LesionRow, affine) -> dict[str, object]:
    """Return what the table says of a measured lesion; susceptibility in ppb."""
    x, y, z = affine[:3, :3] @ row.centre + affine[:3, 3]
    chi, white, rim = row.chi, row.white, row.rim
    central = {True: "yes", False: "no"}
    statistics = {
        f"chi_{name}": getattr(chi, name) for name in ("mean", "std", "median", "p05", "p95")
    }
    ppm = statistics | {
        "nawm_mean": white.mean,
        "nawm_std": white.std,
        "difference": row.difference,
        "difference_sem": row.difference_sem,
        "rim_mean": rim.rim,
        "core_mean": rim.core,
        "rim_minus_core": rim.difference,
        "rim_ci_low": rim.ci_low,
        "rim_ci_high": rim.ci_high,
    }
    counts = {name: getattr(chi, name) for name in ("n_label", "n_vessel", "n_voxels", "coverage")}
    return {name: PPB_PER_PPM * value for name, value in ppm.items()} | counts | {
        "hemisphere": row.hemisphere or None,
        "x": x, "y": y, "z": z,
        "volume_mm3": chi.volume_mm3,
        "nawm_n_voxels": white.n_voxels,
        "nawm_side": row.white_side or None,
        "r2star": row.r2star,
        "nawm_r2star": row.white_r2star,
        "vein_fraction": row.vein_fraction,
        "central_vein": None if row.central_vein is None else central[row.central_vein],
        "depth_mm": row.depth_mm,
        "n_rim": rim.n_rim,
        "n_core": rim.n_core,
        "completeness": rim.completeness,
        "shell_score": rim.shell_score,
        "appearance": rim.appearance or None,
        "flag": row.flag or None,
    }  # fmt: skip


def profile_of(row: LesionRow) -> Iterable[dict[str, object]]:
    """Return a row per depth of a lesion; susceptibility in ppb."""
    for part in row.profile:
        yield {
            "lesion_id": row.lesion,
            "depth_from": part.low,
            "depth_to": part.high,
            "n_voxels": part.n_voxels,
            "mean": PPB_PER_PPM * part.mean,
            "std": PPB_PER_PPM * part.std,
        }


def readings_of(readings: Sequence[Mapping[str, str]], lesion: int) -> dict[str, str | None]:
    """Return what readers say of a lesion; where they differ, one after the other."""
    own = [row for row in readings if int(row["lesion_id"]) == lesion]
    said = {}
    for column in ("rim", "enhancement", "reader"):
        values = [row[column] for row in own]
        same = len(set(values)) <= 1
        text = "|".join(values[:1] if same else values)
        said[column] = text if text not in ("", "n/a") else None
    return said


def write_table(table: pd.DataFrame, path: Path) -> str:
    """Write a table as all of this package, and return its path."""
    table.to_csv(
        path, sep="\t", na_rep="n/a", index=False, lineterminator="\n", float_format="%.8g"
    )
    return str(path)
