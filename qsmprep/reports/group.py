"""The page of a cohort: what became of everybody, and the numbers side by side."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup
import pandas as pd

from qsmprep.reports.cohort import Cohort
from qsmprep.reports.group_tables import (
    missing_matrix,
    nobody_has,
    quality_tables,
    regional_charts,
    regional_table,
    site_charts,
    site_table,
)
from qsmprep.reports.outliers import LIMIT, RULE
from qsmprep.reports.pages import (
    MISSING,
    STATUSES,
    generator,
    render,
    write_page,
)
from qsmprep.reports.thumbnail import HEIGHT, WIDTH, WINDOW_PPB

VERDICTS = ("fail", "look", "pass", "absent")
"""What the quality figures of an acquisition can say, the worst first."""

MARKS = {"fail": "✕", "look": "▲", "pass": "✓", "absent": "–"}
"""Beside the word, for those who do not tell its colour."""

_MOST = 3  # reasons and outliers of an acquisition; its participant's page and the tables have all


def write_group_page(
    output_dir: Path,
    cohort: Cohort,
    models: Sequence[Mapping[str, object]] = (),
    *,
    harmonised: bool = False,
) -> Path:
    """
    Write ``OUT/group/index.html``, and return its path.

    Parameters
    ----------
    output_dir
        Output folder of qsmprep.
    cohort
        What the page shows.
    models
        What `qsmprep.reports.model_page.models_section` says of models; those that could not be
        fitted have ``failures`` in its place.
    harmonised
        Whether there is a page of harmonisation beside.
    """
    output_dir = Path(output_dir)
    script = _resource("group.js")
    people = cohort.people
    columns, totals, matrix = missing_matrix(cohort)
    rows = _rows(cohort, [any(mark == "no" for mark in marks) for marks in matrix])
    page = render(
        "group.html",
        style=Markup(_resource("group.css")),
        script=Markup(script),
        # Nothing but this script runs, whatever a data set may have smuggled in.
        script_hash=f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}",
        generator=generator(output_dir),
        cohort=cohort,
        harmonised=harmonised,
        models=[row for row in models if "failures" not in row],
        not_fitted=[row for row in models if "failures" in row],
        counts=_counts(people["status"]),
        verdicts=[(n, int((people["verdict"] == n).sum())) for n in reversed(VERDICTS)],
        participants=people["participant_id"].nunique(),
        reasons=_reasons(people),
        marks=MARKS,
        rows=rows,
        tile={"width": WIDTH, "height": HEIGHT, "window": WINDOW_PPB},
        sites=sorted(people["site"].unique(), key=str),
        groups=sorted(people["group"].unique(), key=str) if cohort.group_source else [],
        outlier_rule=RULE,
        quality=quality_tables(cohort),
        site_charts=site_charts(cohort),
        site_table=site_table(cohort),
        regional_charts=regional_charts(cohort),
        regional_table=regional_table(cohort),
        columns=columns,
        nobody=list(nobody_has(cohort).values()),
        totals=totals,
        matrix=matrix,
        gaps=sum("no" in marks for marks in matrix),
        ranks=_RANKS,
        tables=[name for name in _TABLES if (output_dir / name).is_file()],
    )
    return write_page(page, output_dir / "group" / "index.html")


_RANKS = {word: rank for words in (STATUSES, VERDICTS) for rank, word in enumerate(words)}

_TABLES = (
    "group/cohort.tsv",
    "group/regions.tsv",
    "group/qc.tsv",
    "group/outliers.tsv",
    "status.tsv",
    "CITATION.md",
    "README.md",
)


def _resource(name: str) -> str:
    return files("qsmprep.data").joinpath(name).read_text(encoding="utf-8")


def _counts(status: pd.Series) -> list[tuple[str, int]]:
    """Return how many there are of each status, and of none."""
    counts = [(name, int((status == name).sum())) for name in reversed(STATUSES)]
    untold = int((status == MISSING).sum())
    return [*counts, *([(MISSING, untold)] if untold else [])]


def _reasons(people: pd.DataFrame) -> list[dict]:
    """Return every reason with how many acquisitions share it, by status and number."""
    told = people[(people["reason"] != MISSING) & (people["reason"] != "")]
    counted = told.groupby(["status", "reason"]).size().reset_index(name="count")
    return counted.sort_values(["status", "count"], ascending=[True, False]).to_dict("records")


def _rows(cohort: Cohort, gaps: list[bool]) -> list[dict]:
    """Return a row per acquisition, with all that the page says of it as a whole."""
    rows = []
    for index, (name, row) in enumerate(
        zip(cohort.labels(), cohort.people.to_dict("records"), strict=True)
    ):
        outliers = _outliers(cohort, index)
        told = [row["reason"]] if row["reason"] not in ("", MISSING) else []
        told += _first(row["reasons"])
        if outliers:
            told.append(f"outliers: {', '.join(_first(outliers))}")
        own = {
            "label": name,
            "rest": name.removeprefix(row["participant_id"]).strip(),
            "told": told,
            "outliers": len(outliers),
            "gaps": gaps[index],
            "worst": _WORST.get(row["status"], 0)
            + _WORST.get(row["verdict"], 0)
            + min(len(outliers), 9),
        }
        rows.append(row | own)
    return rows


_WORST = {"failed": 100, "fail": 40, "look": 20}
"""What puts a picture in front when the worst come first; outliers count one each."""


def _first(words: Sequence[str]) -> list[str]:
    """Return the first of many, and how many more there are."""
    more = len(words) - _MOST
    return [*words[:_MOST], *([f"and {more} more"] if more > 0 else [])]


def _outliers(cohort: Cohort, index: int) -> list[str]:
    """Return what of an acquisition lies far from the others."""
    names = []
    for table in (cohort.z, cohort.region_z):
        if len(table.columns):
            z = table.iloc[index]
            names += [str(name) for name in z.index[z.abs() > LIMIT]]
    return names
