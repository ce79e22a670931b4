"""The table of regions as a Nipype interface."""

from __future__ import annotations

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
import pandas as pd

from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, load_mask
from qsmprep.methods.regions import Region, RegionStatistics, regional_statistics
from qsmprep.units import PPB_PER_PPM

COLUMNS = {
    "participant_id": "participant",
    "session_id": "session",
    "acquisition": "BIDS entity acq",
    "run": "BIDS entity run",
    "atlas": "atlas the labels come from",
    "index": "value of the region's voxels in the segmentation; n/a where several are pooled",
    "name": "region",
    "hemisphere": "L, R, M (midline) or B (left and right pooled)",
    "map": "Chimap or R2starmap",
    "reference": "what zero means for susceptibility; n/a for other maps",
    "units": "unit of mean, std, median, mad, p05, p95 and sem",
    "n_voxels": "voxels measured, which the statistics rest on",
    "volume_mm3": "volume of the region in the GRE, before any mask",
    "coverage": "part of the region's voxels that were measured",
    "mean": "mean",
    "std": "standard deviation, n - 1 degrees of freedom",
    "median": "median",
    "mad": "median distance from the median, not scaled to a standard deviation",
    "p05": "5th percentile",
    "p95": "95th percentile",
    "sem": "std / sqrt(n_voxels): a lower bound, because neighbouring voxels are not independent",
    "flag": "what to beware of; n/a for nothing",
}
"""What stands in each column, in their order."""

Row = tuple[str, str | None, str, RegionStatistics]
"""Map, reference, unit and statistics."""


class _RegionTableInputSpec(BaseInterfaceInputSpec):
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm, not referenced")
    r2star = File(exists=True, desc="R2*, 1/s")
    dseg = File(exists=True, mandatory=True, desc="labels in GRE space")
    dseg_t1w = File(exists=True, desc="labels in T1w space: tells what the field of view cuts")
    brain_mask = File(exists=True, mandatory=True, desc="brain in GRE space")
    trusted_mask = File(exists=True, mandatory=True, desc="where the maps are measured")
    references = traits.Dict(mandatory=True, desc="name of each reference: its mean_ppm or None")
    atlas = traits.Str(mandatory=True, desc="name of the atlas")
    regions = traits.List(mandatory=True, desc="index, name and hemisphere of each region")
    labels = traits.Dict(mandatory=True, desc="participant_id, session_id, acquisition, run")


class _RegionTableOutputSpec(TraitedSpec):
    table = File(exists=True, desc="one row per region, map and reference")


class RegionTable(SimpleInterface):
    """Write what each region says, χ under every reference at once."""

    input_spec = _RegionTableInputSpec
    output_spec = _RegionTableOutputSpec

    def _run_interface(self, runtime):
        rows: list[Row] = []
        chi = [row.scaled(PPB_PER_PPM) for row in self._statistics(self.inputs.chi)]
        for reference, mean in reference_means(self.inputs.references).items():
            shifted = [row.shifted(-PPB_PER_PPM * mean) for row in chi]
            rows += [("Chimap", reference, "ppb", row) for row in shifted]
        if isdefined(self.inputs.r2star):
            r2star = self._statistics(self.inputs.r2star)
            rows += [("R2starmap", None, "1/s", row) for row in r2star]
        path = Path(runtime.cwd) / "regions.tsv"
        table = tabulate(rows, self.inputs.atlas, self.inputs.labels)
        table.to_csv(
            path, sep="\t", na_rep="n/a", index=False, lineterminator="\n", float_format="%.8g"
        )
        self._results["table"] = str(path)
        return runtime

    def _statistics(self, path: str) -> list[RegionStatistics]:
        values, image = load(path)
        return regional_statistics(
            values,
            load_labels(self.inputs.dseg),
            [Region(*region) for region in self.inputs.regions],
            brain=load_mask(self.inputs.brain_mask),
            trusted=load_mask(self.inputs.trusted_mask),
            voxel_volume=Geometry.from_affine(image.affine).voxel_volume,
            expected_mm3=self._volumes(),
        )

    def _volumes(self) -> dict[int, float] | None:
        """Return the volume of each label in the T1w, mm³."""
        if not isdefined(self.inputs.dseg_t1w):
            return None
        _, image = load(self.inputs.dseg_t1w)
        indices, counts = np.unique(load_labels(self.inputs.dseg_t1w), return_counts=True)
        voxel = Geometry.from_affine(image.affine).voxel_volume
        return dict(zip(indices.tolist(), (counts * voxel).tolist(), strict=True))


def reference_means(references: dict) -> dict[str, float]:
    """
    Return the mean of each reference, ppm; NaN where it could not be taken, 0 for ``none``.

    Parameters
    ----------
    references
        For each name a dict with ``mean_ppm``, or None.
    """
    means = {}
    for name, reference in references.items():
        mean = (reference or {}).get("mean_ppm")
        means[name] = np.nan if mean is None else float(mean)
    return {**means, "none": 0.0}


def tabulate(rows: list[Row], atlas: str, labels: dict[str, str]) -> pd.DataFrame:
    """
    Return the table of map, reference, unit and statistics.

    Parameters
    ----------
    rows
        Map, reference, unit and statistics of each row.
    atlas
        Name of the atlas.
    labels
        Identifying columns, the same in every row.
    """
    common = {**labels, "atlas": atlas}
    table = pd.DataFrame(
        [
            common | vars(row) | {"map": kind, "reference": reference, "units": units}
            for kind, reference, units, row in rows
        ],
        columns=list(COLUMNS),
    )
    table["index"] = table["index"].astype("Int64")
    table["flag"] = table["flag"].replace("", None)
    return table
