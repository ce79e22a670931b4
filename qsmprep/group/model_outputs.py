"""What a model leaves in its folder: tables with sidecars, figures, provenance and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
import json
from pathlib import Path
import platform
import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from qsmprep import __version__
from qsmprep.files import atomic_write_text, replacing
from qsmprep.group.frames import ALL_REGIONS, regions_of
from qsmprep.group.model_files import ModelSpec
from qsmprep.group.region_values import column_name
from qsmprep.reports.model_page import ModelPage, write_model_page
from qsmprep.reports.plots import write_drawing
from qsmprep.statistics.columns import describe_columns
from qsmprep.statistics.families import add_family
from qsmprep.statistics.kinds import VOXELWISE
from qsmprep.statistics.results import Drawing, Fitted

if TYPE_CHECKING:
    from qsmprep.group.cohort_table import CohortTable

PACKAGES = ("numpy", "scipy", "pandas", "formulaic", "statsmodels", "lifelines", "nilearn")
LARGEST_FOREST = 60


def write_model(
    folder: Path,
    spec: ModelSpec,
    fits: Mapping[str, Fitted],
    frame: pd.DataFrame,
    cohort: CohortTable,
    notes: Sequence[str],
    failures: Mapping[str, str],
    harmonised: str,
) -> ModelPage:
    """
    Write everything that is known of a fitted model, and return what its page shows.

    Parameters
    ----------
    folder
        Folder of the model.
    spec
        What was asked for.
    fits
        By region, or one under no name.
    frame
        The rows it could use.
    cohort
        The tables of the participants.
    notes
        What to know about the rows.
    failures
        Why regions could not be fitted.
    harmonised
        How values were harmonised; empty where they were not.
    """
    estimates = join_estimates(fits)
    excluded = _excluded(fits)
    versions = _versions()
    tables = {"estimates": estimates, "data": _data(spec, frame), "excluded": excluded}
    tables |= _join_tables(fits)
    about = _about(spec, fits, cohort, versions, harmonised)
    for name, table in tables.items():
        _write_table(folder, name, table, about)
    atomic_write_text(
        folder / "model.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    )
    drawings = {
        f"{region}_{name}" if region else name: drawing
        for region, fitted in fits.items()
        for name, drawing in fitted.drawings.items()
    }
    drawings = forests(estimates) | drawings
    confidence = float(spec.keys.get("confidence", 0.95))
    written = {
        name: write_drawing(drawing, folder / "figures", name, confidence=confidence)
        for name, drawing in drawings.items()
    }
    # Figures of volumes were drawn where the volumes were.
    written = {p.stem: p for p in sorted(folder.glob("figures/*.png"))} | written
    page = ModelPage(
        name=spec.name,
        kind=spec.kind,
        description=spec.description,
        formula=spec.formula,
        text=spec.text,
        fits=fits,
        estimates=estimates,
        drawings=written,
        methods=_methods(spec, fits, cohort, versions, harmonised),
        notes=(*notes, *(f"{region}: {why}" for region, why in failures.items())),
        excluded=excluded,
        facts=about["Facts"],
        versions=versions,
        files=tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))),
        confidence=confidence,
    )
    write_model_page(folder, page)
    return page


def join_estimates(fits: Mapping[str, Fitted]) -> pd.DataFrame:
    """Return the estimates of all regions, corrected for their number where there are several."""
    if list(fits) == [""]:
        return fits[""].estimates
    tables = [fitted.estimates.assign(region=region) for region, fitted in fits.items()]
    joined = pd.concat(tables, ignore_index=True)
    joined.insert(0, "region", joined.pop("region"))
    return add_family(joined)


def forests(estimates: pd.DataFrame) -> dict[str, Drawing]:
    """
    Return a figure over regions for every term that concerns them.

    Those are the terms with the region's susceptibility; in models that explain it, all but the
    intercept.
    """
    if "region" not in estimates or estimates["region"].nunique() < 2:
        return {}
    terms = [term for term in estimates["term"].unique() if term != "Intercept"]
    of_region = [term for term in terms if re.search(r"\b(chi|r2star)\b", term)]
    ratio = "hazard_ratio" in estimates
    columns = ("hazard_ratio", "hazard_ratio_low", "hazard_ratio_high")
    mean, low, high = columns if ratio else ("estimate", "ci_low", "ci_high")
    found = {}
    for term in of_region or terms:
        rows = estimates[estimates["term"] == term].head(LARGEST_FOREST)
        data = pd.DataFrame({
            "label": rows["region"], "estimate": rows[mean], "ci_low": rows[low],
            "ci_high": rows[high], "p_value": rows["p_value"],
        })  # fmt: skip
        name = "forest_" + re.sub(r"[^a-zA-Z0-9]+", "-", term).strip("-")
        found[name] = Drawing(
            "forest",
            data,
            f"{term} in every region, with 95 % confidence intervals; p is not corrected here.",
            {"estimate": f"hazard ratio of {term}", "null": "1", "scale": "log"}
            if ratio
            else {"estimate": f"estimate of {term}", "null": "0"},
        )
    return found


def _join_tables(fits: Mapping[str, Fitted]) -> dict[str, pd.DataFrame]:
    """Return the further tables, those of the same name of all regions in one."""
    names = list(dict.fromkeys(name for fitted in fits.values() for name in fitted.tables))
    joined = {}
    for name in names:
        parts = []
        for region, fitted in fits.items():
            if name in fitted.tables:
                table = fitted.tables[name]
                if region:
                    table = table.copy()
                    table.insert(0, "region", region)
                parts.append(table)
        joined[name] = pd.concat(parts, ignore_index=True)
    return joined


def _excluded(fits: Mapping[str, Fitted]) -> pd.DataFrame:
    """Return which rows were left out where, and why."""
    parts = [
        pd.DataFrame({"row": fitted.excluded.index, "region": region or "all",
                      "reason": fitted.excluded["reason"].to_numpy()})
        for region, fitted in fits.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _data(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows a model could use, with the columns that it names."""
    words = set(re.findall(r"\w+", " ".join([spec.where, json.dumps(spec.keys, default=str)])))
    named = words | {"participant_id", "session_id", "acquisition_key"}
    asked = regions_of(frame) if spec.regions == ALL_REGIONS else spec.regions
    regions = {f"{word}_{column_name(name)}" for word in words for name in asked}
    columns = [name for name in frame if name in named | regions]
    data = frame[columns]
    data.insert(0, "row", frame.index)
    return data


def _about(
    spec: ModelSpec,
    fits: Mapping[str, Fitted],
    cohort: CohortTable,
    versions: Mapping[str, str],
    harmonised: str,
) -> dict[str, Any]:
    """Return what made a model, from what, with which parameters."""
    first = next(iter(fits.values()))
    return {
        "Name": spec.name,
        "Kind": spec.kind,
        "Description": spec.description,
        "Formula": spec.formula,
        "Keys": {key: list(v) if isinstance(v, tuple) else v for key, v in spec.keys.items()},
        "Rows": spec.rows,
        "Where": spec.where,
        "Regions": list(spec.regions),
        "Reference": spec.measure.reference or cohort.reference,
        "Statistic": spec.measure.statistic,
        "Units": "ppb for susceptibility, 1/s for R2*, mm3 for volumes",
        "Harmonisation": harmonised or "none",
        "Facts": first.facts if list(fits) == [""] else {n: f.facts for n, f in fits.items()},
        "GeneratedBy": [{"Name": "qsmprep", "Version": __version__}],
        "Software": dict(versions),
        "Source": spec.text,
    }


def _write_table(folder: Path, name: str, table: pd.DataFrame, about: Mapping[str, Any]) -> None:
    path = folder / f"{name}.tsv"
    with replacing(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    told = {
        key: about[key] for key in ("Formula", "Reference", "Facts", "GeneratedBy", "Software")
    }
    content = {**describe_columns(table), "Model": {"Name": about["Name"], **told}}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    atomic_write_text(path.with_suffix(".json"), text + "\n")


def _versions() -> dict[str, str]:
    found = {name: version(name) for name in PACKAGES}
    return {"qsmprep": __version__, "Python": platform.python_version(), **found}


def _methods(
    spec: ModelSpec,
    fits: Mapping[str, Fitted],
    cohort: CohortTable,
    versions: Mapping[str, str],
    harmonised: str,
) -> str:
    """Return the paragraph for a paper."""
    statistic = {"mean": "mean"}.get(spec.measure.statistic, spec.measure.statistic)
    reference = spec.measure.reference or cohort.reference
    values = (
        "Voxels hold the susceptibility"
        if spec.kind == VOXELWISE
        else f"Regional values are the {statistic} susceptibility of each region"
    )
    sentences = [
        f"{values} in ppb, with the {reference} as reference, from qsmprep {__version__}.",
        harmonised,
        next(iter(fits.values())).method,
    ]
    if len(fits) > 1:
        sentences.append(
            f"The model was fitted in {len(fits)} regions; p-values are given uncorrected, and "
            "corrected for their number after Holm (1979) and after Benjamini and Hochberg (1995)."
        )
    with_versions = ", ".join(f"{name} {number}" for name, number in versions.items())
    sentences.append(f"Software: {with_versions}.")
    return " ".join(filter(None, sentences))
