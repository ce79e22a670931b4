"""Tables and charts of the group's page: quality, regions, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
import math

from markupsafe import Markup, escape

from qsmprep.methods.regions import WHOLE_BRAIN
from qsmprep.reports.cohort import Cohort
from qsmprep.reports.outliers import LIMIT
from qsmprep.reports.pages import IDENTITY, MISSING
from qsmprep.reports.regions import bilateral, main_regions, select
from qsmprep.reports.strips import strip_chart

ABOUT = {
    "acquisition": "Acquisition",
    "maps": "Maps",
    "regions": "Regions and registration",
}
"""Headings of the quality figures, by the file they are of."""

_SPELLING = {
    "chi": "χ", "csf": "CSF", "sd": "SD", "snr": "SNR", "t1w": "T1w", "t2star": "T2*",
}  # fmt: skip


def three(value: object) -> str:
    """Return a number with three digits that count, and ``n/a`` for what is missing."""
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or not math.isfinite(value):
        return MISSING
    if value == int(value) or abs(value) >= 1000:
        text = f"{value:.0f}"
    else:
        text = f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"
    return text.replace("-", "−")


def title(name: str, unit: str = "") -> str:
    """Return the name of a figure as words, without the unit that ends it."""
    ending = {"%": "percent", "degrees": "deg", "iterations": ""}.get(unit, unit.lower())
    words = name.removesuffix(f"_{ending}").split("_")
    return " ".join(_SPELLING.get(word, word) for word in words)


def quality_tables(cohort: Cohort) -> list[dict]:
    """Return a table per file of figures: its heading, columns, and a row per acquisition."""
    tables = []
    for about, heading in ABOUT.items():
        names = [n for n in cohort.values.columns if cohort.figures[n].about == about]
        if not names:
            continue
        columns = [
            {
                "name": name,
                "title": title(name, cohort.figures[name].unit),
                "unit": cohort.figures[name].unit,
                "what": cohort.figures[name].what,
                "window": _window(cohort.figures[name].window),
                "number": name in cohort.z,
            }
            for name in names
        ]
        tables.append(
            {"about": about, "heading": heading, "columns": columns,
             "rows": list(_cells(cohort, names))}
        )  # fmt: skip
    return tables


def _cells(cohort: Cohort, names: list[str]) -> Iterator[Markup]:
    """Yield the cells of each row; made here, because a template takes ten times as long."""
    columns = []
    for name in names:
        z = cohort.z[name].tolist() if name in cohort.z else [math.nan] * len(cohort.people)
        number = " n" if name in cohort.z else ""
        columns.append(
            [
                _cell(value, verdict, far, number)
                for value, verdict, far in zip(
                    cohort.values[name].tolist(), cohort.verdicts[name].tolist(), z, strict=True
                )
            ]
        )
    for cells in zip(*columns, strict=True):
        yield Markup("".join(cells))


def _cell(value: object, verdict: object, z: float, number: str) -> str:
    words = verdict if verdict in ("look", "fail") else ""
    text = escape(three(value))
    if abs(z) > LIMIT:
        far = f"{z:.1f}".replace("-", "−")
        mark = f" <i>outlier, z {far}</i>"
    else:
        mark = ""
    said = f" <b>{words}</b>" if words else ""
    name = " ".join(part for part in (number.strip(), words, "out" if mark else "") if part)
    return f'<td class="{name}">{text}{said}{mark}</td>' if name else f"<td>{text}</td>"


def _window(ends: tuple[float | None, ...]) -> str:
    """Return what passes, as a phrase."""
    if not ends:
        return ""
    low, high = ends
    if low is None:
        return f"≤ {three(high)}"
    return f"≥ {three(low)}" if high is None else f"{three(low)} to {three(high)}"


def site_charts(cohort: Cohort) -> dict[str, list[dict]]:
    """Return the distribution of every number that varies, a row per site, by heading."""
    sites = list(cohort.by_site())
    charts: dict[str, list[dict]] = {}
    for name in cohort.z.columns:
        values, figure = cohort.values[name].astype(float), cohort.figures[name]
        if values.nunique() < 2:
            continue
        words = title(name, figure.unit)
        chart = strip_chart(
            {site: values[rows].tolist() for site, rows in sites},
            axis=figure.unit,
            alt=f"{words}, a dot per acquisition and a row per site; the table below has the "
            "numbers",
            window=figure.window,
        )
        charts.setdefault(ABOUT[figure.about], []).append(
            {"title": words, "what": figure.what, "svg": chart}
        )
    return charts


def site_table(cohort: Cohort) -> list[dict]:
    """Return number, median, quartiles and outliers of every figure at every site."""
    rows = []
    for name in cohort.z.columns:
        values = cohort.values[name].astype(float)
        far = cohort.z[name].abs() > LIMIT
        for site, index in cohort.by_site():
            here = values[index].dropna()
            quartiles = here.quantile([0.25, 0.5, 0.75]).tolist()
            rows.append(
                {
                    "figure": title(name, cohort.figures[name].unit),
                    "unit": cohort.figures[name].unit,
                    "site": site,
                    "count": len(here),
                    "numbers": [three(value) for value in quartiles],
                    "outliers": int(far[index].sum()),
                }
            )
    return rows


def regional_charts(cohort: Cohort) -> list[dict]:
    """Return the susceptibility of each main region, a row per group and site."""
    parts = list(cohort.by_group_and_site())
    names = [name for name in main_regions(cohort.regions) if name in cohort.region_means]
    return [
        {
            "title": name.replace("-", " "),
            "svg": strip_chart(
                {part: cohort.region_means[name][rows].tolist() for part, rows in parts},
                axis="χ (ppb)",
                alt=f"Susceptibility of the {name.replace('-', ' ')}, a dot per acquisition and a "
                "row per group and site; the table below has the numbers",
            ),
        }
        for name in names
        if cohort.region_means[name].notna().any()
    ]


def regional_table(cohort: Cohort) -> list[dict]:
    """Return number, mean, SD, median and range of the main regions, of all and of each part."""
    means = cohort.region_means
    leading = [*main_regions(cohort.regions), WHOLE_BRAIN]
    leading = [name for name in leading if name in means]
    order = leading + [name for name in means if name not in leading]
    parts = list(cohort.by_group_and_site())
    rows = []
    for name in order:
        of_all = [("all", means.index)]
        # Of the lesser regions, a hundred perhaps, the page tells of the whole cohort only.
        for part, index in of_all + (parts if name in leading and len(parts) > 1 else []):
            values = means[name][index].dropna()
            numbers = (values.mean(), values.std(), values.median(), values.min(), values.max())
            rows.append(
                {"name": name, "part": part, "count": len(values),
                 "numbers": [_ppb(float(value)) for value in numbers]}
            )  # fmt: skip
    return rows


def _ppb(value: float) -> str:
    return f"{value:.1f}".replace("-", "−") if math.isfinite(value) else MISSING


def missing_matrix(cohort: Cohort) -> tuple[list[str], list[int], list[list[str]]]:
    """
    Return columns, how many lack each, and a row of marks per acquisition.

    What nobody has was not asked for, and has no column.

    A mark is ``yes``, ``no``, or the flag of a region that was measured with one.
    """
    names = main_regions(cohort.regions)
    chi = bilateral(select(cohort.regions, "Chimap", cohort.reference))
    chi = chi[chi["name"].isin(names)].fillna(dict.fromkeys([*IDENTITY, "flag"], MISSING))
    columns = [*IDENTITY, "name", "mean", "flag"]
    marks = {
        (*who, name): _mark(mean, flag)
        for *who, name, mean, flag in chi[columns].itertuples(index=False, name=None)
    }
    made = {kind: text for kind, text in cohort.kinds.items() if kind not in nobody_has(cohort)}
    rows = []
    for row in cohort.people.to_dict("records"):
        who = tuple(row[key] for key in IDENTITY)
        kinds = ["yes" if kind in row["outputs"] else "no" for kind in made]
        rows.append([*kinds, *(marks.get((*who, name), "no") for name in names)])
    headings = [*made.values(), *(name.replace("-", " ") for name in names)]
    totals = [sum(row[place] == "no" for row in rows) for place in range(len(headings))]
    return headings, totals, rows


def nobody_has(cohort: Cohort) -> dict[str, str]:
    """Return the kinds of output that are nowhere, by the end of their names."""
    present = {kind for kinds in cohort.people["outputs"] for kind in kinds}
    return {kind: text for kind, text in cohort.kinds.items() if kind not in present}


def _mark(mean: float, flag: str) -> str:
    if math.isnan(mean):
        return "no"
    return "yes" if flag in ("", MISSING) else flag
