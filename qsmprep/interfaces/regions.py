"""The table of regions as a Nipype interface."""

from __future__ import annotations

from functools import partial
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

from qsmprep.bids.region_columns import COLUMNS, LEGACY
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, load_mask
from qsmprep.methods.regions import (
    Head,
    Region,
    RegionStatistics,
    Rules,
    errors_of_means,
    regional_statistics,
    select_voxels,
    with_positive_means,
)
from qsmprep.units import PPB_PER_PPM

Row = tuple[str, str | None, str, RegionStatistics]
"""Map, reference, unit and statistics."""


class _RegionTableInputSpec(BaseInterfaceInputSpec):
    chi = File(exists=True, mandatory=True, desc="susceptibility, ppm, not referenced")
    noise = File(exists=True, mandatory=True, desc="standard deviation of the field, ppm")
    r2star = File(exists=True, desc="R2*, 1/s")
    mean_chi = File(exists=True, desc="mean of several sessions: vessels are sought in it")
    mean_r2star = File(exists=True, desc="mean of several sessions: vessels are sought in it")
    gm = File(exists=True, mandatory=True, desc="probability of grey matter in GRE space")
    dseg = File(exists=True, mandatory=True, desc="labels in GRE space")
    dseg_t1w = File(exists=True, desc="labels in T1w space: tells what the field of view cuts")
    dseg_carried = File(exists=True, desc="labels in GRE space as carried there, if then refined")
    brain_mask = File(exists=True, mandatory=True, desc="brain in GRE space")
    trusted_mask = File(exists=True, mandatory=True, desc="where the maps are measured")
    references = traits.Dict(mandatory=True, desc="name of each reference: its mean_ppm or None")
    atlas = traits.Str(mandatory=True, desc="name of the atlas")
    regions = traits.List(mandatory=True, desc="index, name and hemisphere of each region")
    rules = traits.Dict(mandatory=True, desc="settings of the table [regions] of the protocol")
    labels = traits.Dict(mandatory=True, desc="participant_id, session_id, acquisition, run")


class _RegionTableOutputSpec(TraitedSpec):
    table = File(exists=True, desc="one row per region, map and reference")


class RegionTable(SimpleInterface):
    """Write what each region says, χ under every reference at once."""

    input_spec = _RegionTableInputSpec
    output_spec = _RegionTableOutputSpec

    def _run_interface(self, runtime):
        rules = Rules(**self.inputs.rules)
        head = self._head()
        regions = [Region(*region) for region in self.inputs.regions]
        samples = select_voxels(head, regions, rules)
        describe = partial(
            regional_statistics,
            samples=samples,
            voxel_volume=head.geometry.voxel_volume,
            expected_mm3=self.whole_volumes(),
        )
        noise, _ = load(self.inputs.noise)
        errors = errors_of_means(samples, noise, head.measured, head.geometry)
        chi = describe(head.chi, errors=errors)
        rows: list[Row] = []
        for reference, mean in reference_means(self.inputs.references).items():
            referenced = [row.shifted(-mean) for row in chi]
            if rules.legacy:
                referenced = with_positive_means(referenced, head.chi, samples, zero=mean)
            rows += [("Chimap", reference, "ppb", row.scaled(PPB_PER_PPM)) for row in referenced]
        if head.r2star is not None:
            r2star = describe(head.r2star)
            if rules.legacy:
                r2star = with_positive_means(r2star, head.r2star, samples)
            rows += [("R2starmap", None, "1/s", row) for row in r2star]
        path = Path(runtime.cwd) / "regions.tsv"
        table = tabulate(rows, self.inputs.atlas, self.inputs.labels, legacy=rules.legacy)
        table.to_csv(
            path, sep="\t", na_rep="n/a", index=False, lineterminator="\n", float_format="%.8g"
        )
        self._results["table"] = str(path)
        return runtime

    def _head(self) -> Head:
        chi, image = load(self.inputs.chi)
        r2star, mean_chi, mean_r2star = (
            load(path)[0] if isdefined(path) else None
            for path in (self.inputs.r2star, self.inputs.mean_chi, self.inputs.mean_r2star)
        )
        brain = load_mask(self.inputs.brain_mask)
        # All maps are measured in the same voxels.
        measured = brain & load_mask(self.inputs.trusted_mask) & np.isfinite(chi)
        if r2star is not None:
            measured &= np.isfinite(r2star)
        return Head(
            load_labels(self.inputs.dseg),
            brain,
            measured,
            Geometry.from_affine(image.affine),
            chi,
            r2star,
            load(self.inputs.gm)[0],
            mean_chi,
            mean_r2star,
        )

    def whole_volumes(self) -> dict[int, float] | None:
        """Return the volume that each label would have in an endless field of view, mm³."""
        if not isdefined(self.inputs.dseg_t1w):
            return None
        whole = volumes(self.inputs.dseg_t1w)
        if not isdefined(self.inputs.dseg_carried):
            return whole
        # What a refinement made larger or smaller, no field of view has cut.
        carried, refined = volumes(self.inputs.dseg_carried), volumes(self.inputs.dseg)
        return {
            index: volume * (refined.get(index, 0.0) / carried[index] if index in carried else 1)
            for index, volume in whole.items()
        }


def volumes(dseg: str) -> dict[int, float]:
    """Return the volume of each label of a segmentation, mm³."""
    _, image = load(dseg)
    indices, counts = np.unique(load_labels(dseg), return_counts=True)
    voxel = Geometry.from_affine(image.affine).voxel_volume
    return dict(zip(indices.tolist(), (counts * voxel).tolist(), strict=True))


def columns(*, legacy: bool) -> dict[str, str]:
    """Return what stands in each column of a table, with that of old series or without."""
    return {name: text for name, text in COLUMNS.items() if legacy or name != LEGACY}


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


def tabulate(
    rows: list[Row], atlas: str, labels: dict[str, str], *, legacy: bool = False
) -> pd.DataFrame:
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
    legacy
        Whether there is the column that continues old series.
    """
    common = {**labels, "atlas": atlas}
    table = pd.DataFrame(
        [
            common | vars(row) | {"map": kind, "reference": reference, "units": units}
            for kind, reference, units, row in rows
        ],
        columns=list(columns(legacy=legacy)),
    )
    table["index"] = table["index"].astype("Int64")
    table["flag"] = table["flag"].replace("", None)
    return table
