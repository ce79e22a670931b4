"""Voxelwise models of a cohort: from its maps on the template to maps of effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
import json
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure
import nibabel as nb
import numpy as np
import pandas as pd

from qsmprep import __version__
from qsmprep.bids.headers import Header
from qsmprep.errors import RequestError, shown
from qsmprep.files import atomic_write_text
from qsmprep.group.voxel_maps import read_masked, references_of, same_grid, write_map
from qsmprep.group.voxel_masks import Labels, find_labels, find_mask, region_at, template_t1w
from qsmprep.reports.figures import save_figure
from qsmprep.reports.plots_voxelwise import mean_montage, result_montage
from qsmprep.statistics.results import Fitted
from qsmprep.statistics.voxel_keys import VoxelwiseKeys
from qsmprep.statistics.voxel_tables import PLACE
from qsmprep.statistics.voxel_terms import rows_for, tested_term
from qsmprep.statistics.voxelwise import Voxelwise, voxelwise

PACKAGES = ("numpy", "scipy", "numba", "nibabel", "nilearn", "formulaic")

_WORDS = {
    "voxel": "family-wise by the largest t",
    "cluster-size": "family-wise by size of clusters",
    "cluster-mass": "family-wise by mass of clusters",
    "tfce": "family-wise by TFCE",
    "fdr": "false discovery rate",
}
"""What each inference controls, for titles."""


class Cohort(Protocol):
    """What a voxelwise model needs of the cohort table."""

    @property
    def reference(self) -> str:
        """Region that is zero in the maps."""


@dataclass(frozen=True)
class _Ground:
    """
    What results lie on.

    Parameters
    ----------
    header
        Grid of the maps.
    space
        Their template.
    mask
        Where is looked, before coverage, and where that is from.
    labels
        Regions, where there are some.
    reference
        Region that is zero in the maps.
    """

    header: Header
    space: str
    mask: np.ndarray
    mask_source: str
    labels: Labels | None
    reference: str


def run_voxelwise(
    cohort_table: Cohort,
    frame: pd.DataFrame,
    keys: Mapping[str, Any],
    out_dir_of_model: Path,
    *,
    maps: Mapping[str, Path],
    nprocs: int = 1,
) -> Fitted:
    """
    Fit a voxelwise model, write its maps and figures, and return the rest.

    Figures are drawn from volumes, so that they are written here, in ``figures``, and not left to
    who writes the page.

    Parameters
    ----------
    cohort_table
        Tells the reference of the maps where their sidecars do not.
    frame
        A row per acquisition, by its name.
    keys
        Keys of the model, see `VoxelwiseKeys`.
    out_dir_of_model
        Folder of the model; maps and figures are written there.
    maps
        Maps on the template by the names of their acquisitions.
    nprocs
        Threads.

    Raises
    ------
    RequestError
        If keys, formula and rows do not fit each other.
    InputError
        If a map or mask cannot be used.
    """
    chosen = _read_keys(keys)
    used, excluded = _rows(frame, chosen, maps)
    tested_term(chosen.formula, chosen.test, used)  # before reading hundreds of maps
    paths = [Path(maps[name]) for name in used.index]
    ground = _ground(chosen, paths, cohort_table)
    images = read_masked(paths, ground.mask, ground.header, chosen.smoothing, nprocs)
    result = voxelwise(
        used, images, ground.mask, ground.header.affine,
        formula=chosen.formula, test=chosen.test, settings=chosen.settings(nprocs),
        exchangeability=chosen.exchangeability, coverage=chosen.coverage, alpha=chosen.alpha,
    )  # fmt: skip
    result = replace(result, fitted=_with_words(result, ground, chosen))
    _write_maps(out_dir_of_model, result, ground, _about(chosen, result, ground))
    _draw(out_dir_of_model / "figures", result, ground, chosen)
    return replace(result.fitted, excluded=pd.concat([excluded, result.fitted.excluded]))


def _read_keys(keys: Mapping[str, Any]) -> VoxelwiseKeys:
    known = VoxelwiseKeys.__dataclass_fields__
    if unknown := [key for key in keys if key not in known]:
        raise RequestError(f"there is no key {unknown[0]}; there are {', '.join(known)}")
    if "formula" not in keys:
        raise RequestError('lacks the key formula; give one, such as "group + age + sex"')
    return VoxelwiseKeys(**keys)


def _rows(
    frame: pd.DataFrame, keys: VoxelwiseKeys, maps: Mapping[str, Path]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows with covariates and a map, and the others with the reason."""
    there = frame.index.isin(list(maps))
    without = pd.DataFrame({"reason": "no map on the template"}, index=frame.index[~there])
    if not there.any():
        raise RequestError(
            "no acquisition has a map on the template (*_space-*_Chimap.nii.gz); run the "
            "participants with a T1w and an atlas"
        )
    used, gaps = rows_for(frame[there], keys.formula, keys.exchangeability)
    if "participant_id" in used and keys.exchangeability != "participant_id":
        twice = used["participant_id"][used["participant_id"].duplicated()]
        if len(twice):
            raise RequestError(
                f"{twice.iloc[0]} has several maps, which are not independent; keep one by "
                'where, or exchange within people by exchangeability = "participant_id"'
            )
    return used, pd.concat([without, gaps])


def _ground(keys: VoxelwiseKeys, paths: list[Path], cohort: Cohort) -> _Ground:
    header, space = same_grid(paths)
    reference = references_of(paths) or cohort.reference
    labels = find_labels(space, header, paths)
    mask, source = find_mask(keys.mask, space, header, labels, paths)
    if not mask.any():
        raise RequestError(f"mask = {shown(keys.mask)} holds no voxel of the maps; give another")
    return _Ground(header, space, mask, source, labels, reference)


def _about(keys: VoxelwiseKeys, result: Voxelwise, ground: _Ground) -> dict[str, Any]:
    """Return what the sidecars of all maps say."""
    return {
        "Formula": keys.formula,
        "Test": result.fitted.estimates["term"].iloc[0],
        "Maps": result.fitted.facts["n"],
        "Space": ground.space,
        "Reference": ground.reference or "n/a",
        "Harmonisation": "none: it concerns tables",
        "Mask": ground.mask_source,
        "Voxels": result.fitted.facts["voxels"],
        "SmoothingFWHM": keys.smoothing,
        "Coverage": keys.coverage,
        "Permutations": keys.permutations,
        "Seed": keys.seed,
        "TwoSided": keys.two_sided,
        "Exchangeability": keys.exchangeability or "all",
        "Connectivity": keys.connectivity,
        "ClusterThreshold": keys.cluster_threshold,
        "GeneratedBy": [{"Name": "qsmprep", "Version": __version__}],
        "Software": {name: version(name) for name in PACKAGES},
    }


def _write_maps(
    folder: Path, result: Voxelwise, ground: _Ground, about: Mapping[str, Any]
) -> None:
    affine = ground.header.affine
    for name, one in result.maps.items():
        told = {"Units": one.units, "Description": f"{one.description}; zero where not tested"}
        write_map(folder / f"{name}.nii.gz", one.values, result.mask, affine, {**told, **about})
    tested = np.ones(np.count_nonzero(result.mask), dtype=np.int16)
    told = {"Units": "1", "Description": "Voxels that were tested"}
    write_map(folder / "mask.nii.gz", tested, result.mask, affine, {**told, **about})


def _draw(folder: Path, result: Voxelwise, ground: _Ground, keys: VoxelwiseKeys) -> None:
    """Draw a montage per inference and one of the means, each with its table."""
    affine = ground.header.affine
    grid = nb.affines.voxel_sizes(affine), nb.aff2axcodes(affine)
    volumes = {name: _volume(one.values, result.mask) for name, one in result.maps.items()}
    t1w = template_t1w(ground.space, ground.header)
    below = np.abs(volumes["mean"]) if t1w is None else t1w
    fitted = result.fitted
    term = fitted.estimates["term"].iloc[0]
    shown = {
        name.removeprefix("logp-"): (volume >= -np.log10(keys.alpha) - 1e-9, f"{name}.nii.gz")
        for name, volume in volumes.items()
        if name.startswith("logp-")
    }
    shown["fdr"] = volumes["q-fdr"] <= keys.alpha, "q-fdr.nii.gz"
    for name, (significant, source) in shown.items():
        what = f"{'q' if name == 'fdr' else 'corrected p'} ≤ {keys.alpha:g}, {_WORDS[name]}"
        figure = result_montage(
            below, result.mask, volumes["t"], significant & result.mask, *grid,
            title=f"{term}: {what}", label="t",
        )  # fmt: skip
        table = fitted.tables["clusters"]
        caption = f"t of {term} where {what}; the volumes are t.nii.gz and {source}."
        _save(folder, f"montage-{name}", figure, table[table["inference"] == name], caption)
    of_groups = {n.removeprefix("mean-"): v for n, v in volumes.items() if n.startswith("mean-")}
    last = "difference" if "difference" in volumes else "effect"
    figure = mean_montage(
        below, result.mask, of_groups or {"mean": volumes["mean"]}, volumes[last], *grid,
        title="Mean susceptibility, not adjusted, and "
        + ("difference" if last == "difference" else f"effect of {term}"),
    )  # fmt: skip
    means = _means(result)
    caption = f"Means over {fitted.facts['n']} maps; the volumes are {', '.join(means['map'])}."
    _save(folder, "means", figure, means, caption)


def _save(folder: Path, name: str, figure: Figure, table: pd.DataFrame, caption: str) -> None:
    """Write a figure as PNG and SVG, its table, and what it shows in words."""
    for kind in ("png", "svg"):
        save_figure(figure, folder / f"{name}.{kind}")
    text = table.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    atomic_write_text(folder / f"{name}.tsv", text)
    about = {"Kind": "volume", "Caption": caption, "AlternativeText": str(figure.get_label())}
    text = json.dumps(about, indent=2, ensure_ascii=False)
    atomic_write_text(folder / f"{name}.json", text + "\n")


def _means(result: Voxelwise) -> pd.DataFrame:
    """Return what mean maps amount to over all that was tested."""
    names = [name for name in result.maps if name.startswith(("mean", "difference", "effect"))]
    values = [result.maps[name].values for name in names]
    return pd.DataFrame({
        "map": [f"{name}.nii.gz" for name in names],
        "mean_ppb": [float(np.nanmean(one)) for one in values],
        "sd_ppb": [float(np.nanstd(one)) for one in values],
    })  # fmt: skip


def _volume(values, mask):
    volume = np.zeros(mask.shape)
    volume[mask] = np.nan_to_num(values)
    return volume


def _with_regions(table: pd.DataFrame, ground: _Ground) -> pd.DataFrame:
    places = table[list(PLACE)].to_numpy(float)
    regions = [region_at(ground.labels, ground.header.affine, place) for place in places]
    return table.assign(peak_region=[region or "n/a" for region in regions])


def _with_words(result: Voxelwise, ground: _Ground, keys: VoxelwiseKeys) -> Fitted:
    """Return tables with regions, and what a reader must know of maps and mask."""
    fitted = result.fitted
    smoothing = (
        f"Maps were smoothed inside the mask by a Gaussian of {keys.smoothing:g} mm (full width "
        "at half maximum; normalised convolution)."
        if keys.smoothing
        else "Maps were not smoothed."
    )
    note = (
        "Harmonisation concerns tables, not maps; let the formula name site or scanner where "
        "there are several."
    )
    return replace(
        fitted,
        estimates=_with_regions(fitted.estimates, ground),
        method=f"{fitted.method} The mask was {ground.mask_source}. {smoothing}",
        tables={name: _with_regions(table, ground) for name, table in fitted.tables.items()},
        notes=(*fitted.notes, note),
    )
