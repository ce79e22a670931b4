"""From an output folder to what the page of the cohort shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
import os
from pathlib import Path

import pandas as pd

from qsmprep.bids.longitudinal import LONGITUDINAL
from qsmprep.bids.quality import FILES, flatten_quality
from qsmprep.bids.status import StatusRow
from qsmprep.bids.windows import read_windows
from qsmprep.group.cohort_table import CohortTable
from qsmprep.group.mosaic import draw_mosaic
from qsmprep.group.outputs import Identity, Outputs
from qsmprep.group.people import read_people
from qsmprep.reports.cohort import Cohort, Figure
from qsmprep.reports.outliers import list_outliers, robust_z
from qsmprep.reports.pages import IDENTITY, MISSING, distinct
from qsmprep.reports.regions import bilateral, reference_of, select

KINDS = {
    "Chimap.nii.gz": "χ map",
    "R2starmap.nii.gz": "R2* map",
    "seg_regions.tsv": "table of regions",
    "space_Chimap.nii.gz": "χ on the template",
    "desc-qc.json": "quality figures",
}
"""Outputs whose absence the page shows, by the end of their names."""

_KEY = list(IDENTITY)


def gather(
    out_dir: Path,
    table: CohortTable,
    participants: pd.DataFrame,
    outputs: Mapping[Identity, Outputs],
    status: Sequence[StatusRow],
    quality: Mapping[Identity, dict[str, dict]],
) -> Cohort:
    """
    Return everything about a cohort, and draw the pictures that its mosaic lacks.

    Parameters
    ----------
    out_dir
        Output folder.
    table
        The table of the cohort.
    participants
        The rows of ``participants.tsv``; none where there is no such table.
    outputs
        Those wanted of `qsmprep.group.outputs.find_outputs`.
    status
        Rows of ``status.tsv`` that are wanted.
    quality
        What the files of quality say; see `qsmprep.bids.quality.read_quality`.
    """
    apart = [row for row in status if row.suffix == LONGITUDINAL and row.status != "done"]
    status = [row for row in status if row.suffix != LONGITUDINAL]
    people = _everybody(status, outputs, "status.tsv does not know it" if status else MISSING)
    identities = [tuple(row) for row in people[_KEY].itertuples(index=False)]
    keys = table.acquisitions.dropna(subset=["acquisition_key"])
    made = dict(
        zip(keys[_KEY].itertuples(index=False, name=None), keys["acquisition_key"], strict=True)
    )
    known = read_people(participants, made, identities)
    said = [quality.get(who, {}) for who in identities]
    pictures, without = draw_mosaic(out_dir, outputs.values())
    people = people.assign(
        site=[known.site[who] for who in identities],
        group=[known.group.get(who, "") for who in identities],
        verdict=[str(flatten_quality(each)["verdict"]) for each in said],
        reasons=pd.Series([_reasons(each) for each in said], dtype=object),
        page=[_page(out_dir, outputs.get(who), who) for who in identities],
        picture=[_beside(out_dir, pictures.get(who)) for who in identities],
        no_picture=[without.get(who, "there is no Chimap") for who in identities],
        outputs=pd.Series(
            [[*outputs[who].files] if who in outputs else [] for who in identities], dtype=object
        ),
    )
    values, verdicts, figures = _figures(said)
    numbers = values.select_dtypes("number")
    shown, atlas, reference, notes = _shown(table)
    means = _means(shown, reference, identities)
    if not status:
        notes.insert(0, "There is no status.tsv: who failed or was left out is not known.")
    notes += [
        f"Sessions of {row.participant_id} are not {'all ' * (row.status == 'partial')}brought "
        f"together: {row.reason}."
        for row in apart
    ]
    if missing := sum(not each for each in said):
        notes.append(
            f"{missing} of {len(said)} acquisitions have no quality figures with a verdict: they "
            "failed before, or are of an older version; run the participants again."
        )
    return Cohort(
        people=people,
        regions=shown,
        values=values,
        verdicts=verdicts,
        z=robust_z(numbers, people["site"]),
        region_means=means,
        region_z=robust_z(means, people["site"]),
        figures=figures,
        kinds=KINDS,
        reference=reference,
        atlas=atlas,
        site_source=known.site_source,
        group_source=known.group_source,
        notes=(*table.notes, *known.notes, *notes),
    )


def whole_regions(table: CohortTable) -> pd.DataFrame:
    """Return the rows of susceptibility of whole structures as plain words and numbers."""
    rows = table.region_values.rows
    rows = bilateral(rows[rows["map"] == "Chimap"])
    whose = table.acquisitions.loc[rows["acquisition"].astype(object), _KEY]
    words = ["atlas", "name", "hemisphere", "map", "reference", "units", "flag"]
    return pd.DataFrame(
        {
            **{name: whose[name].to_numpy() for name in _KEY},
            **{name: rows[name].astype(object).to_numpy() for name in words},
            "mean": rows["mean"].to_numpy(),
        }
    )


def outlier_table(cohort: Cohort) -> pd.DataFrame:
    """Return a row per figure or regional mean that lies far from the others."""
    site = cohort.people["site"]
    numbers = cohort.values[cohort.z.columns]
    tables = []
    for kind, values, z in (
        ("figure", numbers, cohort.z),
        ("region", cohort.region_means, cohort.region_z),
    ):
        found = list_outliers(values, site, z)
        unit = [cohort.figures[n].unit if kind == "figure" else "ppb" for n in found["figure"]]
        who = cohort.people.loc[found["row"], [*_KEY, "site"]].reset_index(drop=True)
        found = found.drop(columns="row").rename(columns={"figure": "name"})
        tables.append(pd.concat([who, found.assign(kind=kind, units=unit)], axis=1))
    order = [*_KEY, "site", "kind", "name", "value", "units", "z", "compared_with"]
    return pd.concat([table for table in tables if len(table)] or tables[:1])[order]


def _everybody(
    status: Sequence[StatusRow], outputs: Mapping[Identity, Outputs], otherwise: str
) -> pd.DataFrame:
    """Return the rows of ``status.tsv``, and one for all outputs that it does not know."""
    rows = distinct([asdict(row) for row in status])
    named = {tuple(row[key] for key in IDENTITY) for row in rows}
    rows += [
        {**dict(zip(IDENTITY, who, strict=True)), "status": MISSING,
         "reason": otherwise}
        for who in outputs
        if who not in named
    ]  # fmt: skip
    columns = [*_KEY, "status", "reason"]
    return pd.DataFrame(rows, columns=columns).sort_values(_KEY, ignore_index=True)


def _reasons(quality: Mapping[str, Mapping]) -> list[str]:
    """Return why an acquisition does not pass, the worst first."""
    reasons = [reason for said in quality.values() for reason in said.get("reasons", [])]
    return sorted(reasons, key=lambda reason: not reason.startswith("fail"))


def _page(out_dir: Path, outputs: Outputs | None, who: Identity) -> str:
    """Return where the participant's page shows an acquisition, or nothing."""
    if not (out_dir / f"{who[0]}.html").is_file():
        return ""
    return f"../{who[0]}.html" + (f"#{outputs.stem}" if outputs else "")


def _beside(out_dir: Path, picture: Path | None) -> str:
    """Return the address of a picture seen from the page of the group."""
    return Path(os.path.relpath(picture, out_dir / "group")).as_posix() if picture else ""


def _figures(
    quality: Sequence[Mapping[str, Mapping]],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Figure]]:
    """Return values and verdicts of all figures, and what these are."""
    values, verdicts, figures = [], [], {}
    for said in quality:
        told = {name: (about, figure) for about, part in said.items()
                for name, figure in part["figures"].items()}  # fmt: skip
        values.append({name: figure["value"] for name, (_, figure) in told.items()})
        verdicts.append({name: figure["verdict"] for name, (_, figure) in told.items()})
        for name, (about, figure) in told.items():
            if name not in figures:
                figures[name] = _figure(about, name, figure)
    order = [n for about in FILES for n, figure in figures.items() if figure.about == about]
    rows = range(len(quality))
    table = pd.DataFrame(values, index=rows, columns=order).infer_objects()
    return table, pd.DataFrame(verdicts, index=rows, columns=order), figures


def _figure(about: str, name: str, told: Mapping) -> Figure:
    window = read_windows(about).get(name)
    ends = (told.get("window") or {}).get("pass") or ()
    bounds = () if any(isinstance(end, str) for end in ends) else tuple(ends)
    return Figure(about, told.get("unit") or "", window.what if window else "", bounds)


def _shown(table: CohortTable) -> tuple[pd.DataFrame, str, str, list[str]]:
    """Return the rows of the atlas used most, its name, the reference shown, and notes on both."""
    regions, notes = whole_regions(table), []
    # Regions of different atlases do not mix; the one most used is shown, and named.
    used = regions.drop_duplicates([*_KEY, "atlas"])["atlas"].value_counts()
    atlas = str(used.index[0]) if len(used) else MISSING
    if others := [f"{name} ({count})" for name, count in used.iloc[1:].items()]:
        notes.append(
            f"Regions of several atlases are in this folder. The page shows {atlas} "
            f"({used.iloc[0]} acquisitions); regions.tsv also has those of {', '.join(others)}."
        )
    regions = regions[regions["atlas"] == atlas]
    return regions, atlas, reference_of(regions, table.reference), notes


def _means(regions: pd.DataFrame, reference: str, identities: list[Identity]) -> pd.DataFrame:
    """Return the susceptibility of whole structures, ppb, a row per acquisition."""
    chi = bilateral(select(regions, "Chimap", reference)).fillna(dict.fromkeys(_KEY, MISSING))
    wide = chi.pivot_table(
        index=_KEY, columns="name", values="mean", aggfunc="first", sort=False, dropna=False
    )
    wide.columns.name = None
    rows = wide.reindex(pd.MultiIndex.from_tuples(identities, names=_KEY)) if identities else wide
    return rows.astype(float).reset_index(drop=True)
