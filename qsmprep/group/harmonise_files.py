"""Harmonised values, what was of the batches, and their figures as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import qsmprep
from qsmprep.bids.derivatives import write_json
from qsmprep.files import atomic_copy, replacing
from qsmprep.group.harmonise_parameters import in_brief, write_parameters
from qsmprep.group.harmonised import CHI, UNITS, Cohort, Harmonised, Key, Part
from qsmprep.reports.harmonisation import Batch, Shown, write_harmonisation_page
from qsmprep.reports.plots_harmonise import draw_batches, write_drawing

IDS = ("participant_id", "session_id", "acquisition", "run")


def write_harmonised(found: Harmonised, cohort: Cohort, out_dir: Path) -> list[Path]:
    """
    Write tables, parameters, figures and the page of a harmonisation, and return their paths.

    Parameters
    ----------
    found
        What was harmonised.
    cohort
        What it was made of.
    out_dir
        Output folder; everything goes to its ``group``.
    """
    folder = out_dir / "group"
    names = region_names(cohort)
    stem = f"desc-{found.label}"
    parameters = folder / f"{stem}_parameters.json"
    regions = folder / f"{stem}_regions.tsv"
    with replacing(regions) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_long(found, cohort.acquisitions, names))
    _sidecar(regions, found, _LONG | {f"mean_{found.label}": "mean after harmonisation"})
    variance = variance_table(found, names)
    table = folder / f"{stem}_sitevariance.tsv"
    with replacing(table) as temporary:
        variance.to_csv(temporary, sep="\t", index=False, na_rep="n/a", float_format="%.6g",
                        lineterminator="\n")  # fmt: skip
    batches = {name: _VARIANCE_BATCH[name.partition("_")[0]] + name.partition("_")[2]
               for name in map(str, variance) if name not in _VARIANCE}  # fmt: skip
    _sidecar(table, found, _VARIANCE | batches)
    if found.options.parameters:  # what they were learnt from stays with them
        atomic_copy(Path(found.options.parameters).expanduser(), parameters)
    else:
        write_parameters(parameters, found, cohort.acquisitions)
    drawn = _figures(found, cohort, folder / "figures")
    rows = _main(variance, _references(found, cohort))
    page = write_harmonisation_page(
        out_dir,
        Shown(
            found.label, found.method, found.notes, found.options.batch,
            _batch_rows(found, cohort.acquisitions), drawn, rows,
            (regions.name, table.name, parameters.name),
        ),
    )  # fmt: skip
    return [regions, table, parameters, page, *drawn.values()]


def region_names(cohort: Cohort) -> dict[str, tuple[str, str]]:
    """Return name and hemisphere of every region, by what it is called in wide tables."""
    rows = cohort.region_values.rows.drop_duplicates("region")
    sides = rows["hemisphere"].astype(object).where(rows["hemisphere"].notna(), "n/a")
    triples = zip(rows["region"], rows["name"], sides, strict=True)
    return {str(region): (str(name), str(side)) for region, name, side in triples}


_LONG = {
    "participant_id": "participant", "session_id": "session", "acquisition": "BIDS entity acq",
    "run": "BIDS entity run", "batch": "batch that was harmonised", "atlas": "atlas",
    "name": "region", "hemisphere": "L, R, M (midline) or B (left and right pooled)",
    "map": "Chimap or R2starmap", "reference": "what zero means; n/a for other maps",
    "units": "unit of both means", "mean": "mean as measured, as in regions.tsv",
}  # fmt: skip


def _long(
    found: Harmonised, acquisitions: pd.DataFrame, names: dict[str, tuple[str, str]]
) -> Iterator[str]:
    """Yield the lines of the long table: every value measured, before and after."""
    yield "\t".join([*_LONG, f"mean_{found.label}"]) + "\n"
    batch = found.batch.fillna("n/a").astype(str)
    ids = acquisitions[list(IDS)].astype(object).fillna("n/a").astype(str)
    heads = ["\t".join(words) for words in ids.assign(batch=batch).itertuples(index=False)]
    for key, part in found.parts.items():
        about = "\t".join([*key[:2], UNITS.get(key.map, "n/a")])
        before, after = part.before.to_numpy(float), part.after.to_numpy(float)
        for column, region in enumerate(map(str, part.before)):
            name, side = names[region]
            middle = f"\t{key.atlas}\t{name}\t{side}\t{about}\t"
            pairs = zip(heads, before[:, column].tolist(), after[:, column].tolist(), strict=True)
            yield from (
                f"{head}{middle}{old!r}\t{_text(new)}\n" for head, old, new in pairs if old == old
            )


def _text(value: float) -> str:
    return f"{value:.8g}" if value == value else "n/a"


_VARIANCE = {
    "atlas": "atlas", "name": "region", "hemisphere": _LONG["hemisphere"],
    "map": _LONG["map"], "reference": _LONG["reference"], "units": "unit of offsets",
    "n": "values",
    "partial_r2_before": "share of the variance, covariates held, that is of the batches, before",
    "p_before": "p of the batches before, F test",
    "partial_r2_after": "the same share after; small because these data were fitted",
    "p_after": "p of the batches after; no test of new data",
    "variance_ratio_before": "largest over smallest residual variance of a batch before",
    "variance_ratio_after": "the same after",
}  # fmt: skip

_VARIANCE_BATCH = {
    "offset": "what was taken from the mean of batch ",
    "se": "standard error of the offset of batch ",
    "scale": "standard deviation of residuals, over that of all, of batch ",
}


def variance_table(found: Harmonised, names: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Return a row per region, map and reference: what was of the batches, before and after."""
    return pd.concat([_variance(key, part, names) for key, part in found.parts.items()])


def _variance(key: Key, part: Part, names: dict[str, tuple[str, str]]) -> pd.DataFrame:
    labels = [names[region] for region in part.regions if region in names]
    kept = [number for number, region in enumerate(part.regions) if region in names]
    columns: dict[str, Any] = {
        "atlas": key.atlas, "name": [name for name, _ in labels],
        "hemisphere": [side for _, side in labels],
        "map": key.map, "reference": key.reference, "units": UNITS.get(key.map, "n/a"),
    }  # fmt: skip
    nothing = np.full(len(part.regions), np.nan)
    for name in ("n", "partial_r2", "p", "variance_ratio"):
        for when, which in (("before", 0), ("after", 1)):
            values = part.variance[which][name] if part.variance else nothing
            if name != "n" or which == 0:
                columns[name if name == "n" else f"{name}_{when}"] = values[kept]
    p = part.parameters
    own: dict[str, np.ndarray | None] = {"offset": p.offsets, "se": getattr(p, "std_errors", None),
           "scale": getattr(p, "scale", None)}  # fmt: skip
    for word, found in own.items():
        if found is not None:
            columns |= {f"{word}_{name}": row[kept]
                        for name, row in zip(p.batches, found, strict=True)}  # fmt: skip
    table = pd.DataFrame(columns)
    return table[[*_VARIANCE, *(name for name in table if name not in _VARIANCE)]]


def _sidecar(path: Path, found: Harmonised, columns: dict[str, str]) -> None:
    options = found.options
    write_json(
        path.with_suffix(".json"),
        {
            "Description": found.method,
            "GeneratedBy": {"Name": "qsmprep", "Version": qsmprep.__version__},
            "Batch": options.batch,
            "Covariates": list(options.covariates or ()),
            "Notes": list(found.notes),
            **{name: {"Description": text} for name, text in columns.items()},
        },
    )


def _figures(found: Harmonised, cohort: Cohort, folder: Path) -> dict[str, Path]:
    """Draw batches before and after for every map and atlas, and return where they lie."""
    drawn = {}
    for (quantity, atlas), reference in _references(found, cohort).items():
        part = found.parts[Key(quantity, reference, atlas)]
        if not part.variance:
            continue
        before, after = (one["adjusted"].T.ravel() for one in part.variance)
        columns = {
            "region": np.repeat(part.regions, len(part.batches)),
            "batch": np.tile(part.batches, len(part.regions)),
            "before": before,
            "after": after,
            "partial_r2": np.repeat(part.variance[0]["partial_r2"], len(part.batches)),
        }
        data = pd.DataFrame(columns)
        unit = f"{'χ' if quantity == CHI else 'R2*'} ({UNITS.get(quantity, 'n/a')})"
        against = "" if reference == "n/a" else f", reference: {reference}"
        figure = draw_batches(data, unit, f"{quantity}{against}, {atlas}")
        path = folder / f"desc-{found.label}_seg-{atlas}_{quantity}_batches.svg"
        drawn[f"{quantity}, {atlas}"] = write_drawing(figure, data, path)
    return drawn


def _references(found: Harmonised, cohort: Cohort) -> dict[tuple[str, str], str]:
    """Return the reference to show of every map and atlas: that of the maps where it is there."""
    shown: dict[tuple[str, str], str] = {}
    for key in found.parts:
        if (key.map, key.atlas) not in shown or key.reference == cohort.reference:
            shown[key.map, key.atlas] = key.reference
    return shown


def _main(variance: pd.DataFrame, references: dict[tuple[str, str], str]) -> pd.DataFrame:
    """Return what the page shows of the table, a reference of each map and atlas."""
    keys = zip(variance["map"], variance["atlas"], variance["reference"], strict=True)
    return variance[[references[name, atlas] == reference for name, atlas, reference in keys]]


def _batch_rows(found: Harmonised, acquisitions: pd.DataFrame) -> list[Batch]:
    rows = []
    for name, people in acquisitions[found.batch.notna()].groupby(found.batch.dropna()):
        covariates = {}
        for covariate in found.options.covariates or ():
            brief = in_brief(people[covariate])
            if "mean" in brief and "sd" in brief:
                covariates[covariate] = f"{brief['mean']:.1f} ± {brief['sd']:.1f}"
            else:
                covariates[covariate] = ", ".join(f"{n} {level}" for level, n in brief.items())
        whole = people["participant_id"].nunique()
        rows.append(Batch(str(name), len(people), whole, covariates))
    return rows
