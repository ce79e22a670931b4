"""The page of a cohort: what became of everybody, and the numbers side by side."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qsmprep.methods.regions import WHOLE_BRAIN
from qsmprep.reports.figures import save_figure
from qsmprep.reports.pages import (
    IDENTITY,
    MISSING,
    STATUSES,
    data_uri,
    distinct,
    generator,
    read_json,
    render,
    write_page,
)
from qsmprep.reports.regions import (
    bilateral,
    cohort_dots,
    main_regions,
    reference_of,
    select,
)

_IDENTITY = list(IDENTITY)


def write_group_page(output_dir: Path, regions: pd.DataFrame, status: pd.DataFrame) -> Path:
    """
    Write ``OUT/group/index.html``, and return its path.

    Parameters
    ----------
    output_dir
        Output folder of qsmprep.
    regions
        Rows of all ``regions.tsv``, as `qsmprep.reports.regions.read_regions` reads them.
    status
        Rows of ``status.tsv``: `participant_id session_id acquisition run suffix status reason`.
    """
    output_dir = Path(output_dir)
    regions = _as_text(regions, "atlas", "name", "hemisphere", "map", "reference", "flag")
    status = _as_text(status, "suffix", "status", "reason")
    status = status.assign(
        acquisition=[row["acquisition"] for row in distinct(status.to_dict("records"))]
    )
    preferred = _protocol_references(output_dir)
    # Regions of different atlases do not mix; the one most used is shown, and named.
    atlas = next(iter(regions["atlas"].mode()), MISSING)
    regions = regions[regions["atlas"] == atlas]
    reference = reference_of(regions, preferred[0] if preferred else None)
    chi = bilateral(select(regions, "Chimap", reference))
    picture = ""
    if len(chi):
        path = output_dir / "group" / "figures" / "regions_figure.svg"
        picture = data_uri(save_figure(cohort_dots(regions, reference), path))
    columns, matrix = _matrix(chi, status)
    page = render(
        "group.html",
        generator=generator(output_dir),
        counts=[(name, int((status["status"] == name).sum())) for name in reversed(STATUSES)],
        reasons=_reasons(status),
        rows=_rows(output_dir, status),
        atlas=atlas,
        reference=reference,
        references=preferred,
        picture=picture,
        means=_means(chi) if picture else [],
        columns=columns,
        matrix=matrix,
    )
    return write_page(page, output_dir / "group" / "index.html")


def _as_text(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return a table whose labels are all text, ``n/a`` where there is none."""
    columns = (*IDENTITY, *columns)
    table = table.reindex(columns=table.columns.union(pd.Index(columns), sort=False))
    return table.assign(
        **{name: table[name].astype(object).fillna(MISSING).astype(str) for name in columns}
    )


def _protocol_references(output_dir: Path) -> list[str]:
    """Return the references that the χ maps of the cohort were written with, most used first."""
    sidecars = map(read_json, output_dir.glob("sub-*/**/anat/*_Chimap.json"))
    references = [sidecar.get("Reference") for sidecar in sidecars]
    names = [item.get("name") if isinstance(item, dict) else item for item in references]
    return pd.Series(names, dtype=object).dropna().value_counts().index.tolist()


def _reasons(status: pd.DataFrame) -> list[dict]:
    """Return every reason with how many acquisitions share it, by status and number."""
    told = status[(status["reason"] != MISSING) & (status["reason"] != "")]
    counted = told.groupby(["status", "reason"]).size().reset_index(name="count")
    return counted.sort_values(["status", "count"], ascending=[True, False]).to_dict("records")


def _rows(output_dir: Path, status: pd.DataFrame) -> list[dict]:
    """Return a row per acquisition, with the participant's page where it exists."""
    pages = {
        name: f"../{name}.html"
        for name in status["participant_id"].unique()
        if (output_dir / f"{name}.html").is_file()
    }
    return [
        {
            "participant_id": row["participant_id"],
            "acquisition": _label(*(row[key] for key in _IDENTITY[1:])),
            "page": pages.get(row["participant_id"], ""),
            "status": row["status"],
            "reason": row["reason"],
        }
        for row in status.sort_values(_IDENTITY).to_dict("records")
    ]


def _label(*labels: str) -> str:
    """Return the labels that there are as one."""
    return " ".join(label for label in labels if label != MISSING)


def _means(chi: pd.DataFrame) -> list[dict]:
    """Return number, mean, SD and range over the cohort, the main regions first."""
    summary = chi.groupby("name", sort=False)["mean"].agg(["count", "mean", "std", "min", "max"])
    leading = [name for name in (*main_regions(chi), WHOLE_BRAIN) if name in summary.index]
    order = leading + [name for name in summary.index if name not in leading]
    return summary.loc[order].reset_index().to_dict("records")


def _matrix(chi: pd.DataFrame, status: pd.DataFrame) -> tuple[list[str], list[dict]]:
    """Return the main regions, and for each acquisition which of them were measured."""
    names = main_regions(chi)
    marks = {
        (*(row[key] for key in _IDENTITY), row["name"]): _mark(row)
        for row in chi.to_dict("records")
    }
    everybody = pd.concat([status[_IDENTITY], chi[_IDENTITY]]).drop_duplicates()
    rows = [
        {"label": _label(*who), "marks": [marks.get((*who, name), "missing") for name in names]}
        for who in everybody.sort_values(_IDENTITY).itertuples(index=False, name=None)
    ]
    return names, rows


def _mark(row: dict) -> str:
    """Return what to say of a region: measured, missing, or its flag."""
    if pd.isna(row["mean"]):
        return "missing"
    return "measured" if row["flag"] in ("", MISSING) else row["flag"]
