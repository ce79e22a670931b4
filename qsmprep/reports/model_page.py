"""The page of a model: what was asked, what to beware of, the numbers, the figures, the words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import re
from typing import Any

import pandas as pd

from qsmprep.reports.apa import figures, p_value
from qsmprep.reports.model_tables import (
    Shown,
    all_terms,
    facts_of,
    family,
    headline,
    joined,
    shown,
    words,
)
from qsmprep.reports.pages import data_uri, plain, read_json, render, write_page
from qsmprep.reports.pictures import description
from qsmprep.reports.plots import DRAWINGS
from qsmprep.statistics.results import Fact, Fitted

_MOST_FIGURES = 24
_MOST_BYTES = 3_000_000
"""Figures within a page; it has to open on a phone, and the others lie beside it."""

_OPEN_ROWS = 40
_CHECKS = ("diagnostics", "residuals", "schoenfeld")
"""What figures of assumptions are called, as a kind or at the end of their name."""

_CHECK_TABLES = ("checks", "influence", "ph_test")

_VALUE = re.compile(r"(?<= = )\d+(?:\.\d+)?(?:e-?\d+)?")
"""The value of a test within a note."""

_FIRST = ("n", "participants", "events", "converged")


@dataclass(frozen=True)
class ModelPage:
    """
    What the page of a model shows.

    Parameters
    ----------
    name, kind
        Of the model, as in its file.
    description
        What it asks, in words.
    formula
        Its formula; empty for a model without.
    text
        Its file, TOML.
    fits
        What came out, by region; under the empty name where it was not run over regions.
    estimates
        Estimates of all regions as one table, with a column ``region`` where there are several.
    drawings
        Pictures that were written, by name: SVG or PNG.
    methods
        Paragraphs for a methods section, with an empty line between them.
    notes
        What a reader must know, beyond the notes of the fits.
    excluded
        Rows that were left out, with a column ``reason``, and ``region`` where there are several.
    facts
        About the data and the run: protocol digest, reference, map, units. What is itself a
        mapping, such as the facts of each region, is left to the table of the fits.
    versions
        Of the programs.
    files
        Files beside the page, by their path from there.
    confidence
        Of all intervals.
    """

    name: str
    kind: str
    description: str
    formula: str
    text: str
    fits: Mapping[str, Fitted]
    estimates: pd.DataFrame
    drawings: Mapping[str, Path] = field(default_factory=dict)
    methods: str = ""
    notes: Sequence[str] = ()
    excluded: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["reason"]))
    facts: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[str] = ()
    confidence: float = 0.95


def write_model_page(folder: str | Path, page: ModelPage) -> Path:
    """
    Write ``index.html`` of a model, which holds its pictures, and return its path.

    Parameters
    ----------
    folder
        Folder of the model; all names of files on the page are relative to it.
    page
        What the page shows.
    """
    pictures = [_picture(name, path) for name, path in page.drawings.items()]
    checks = [p for p in pictures if p["kind"] in _CHECKS or p["stem"].endswith(_CHECKS)]
    results = [picture for picture in pictures if picture not in checks]
    room = _MOST_BYTES
    for place, picture in enumerate([*results, *checks]):
        room -= len(picture["uri"])
        if place >= _MOST_FIGURES or (place and room < 0):
            picture["uri"] = ""
    level = f"{100 * page.confidence:g} % CI"
    tables = _tables(page, level)
    several = len(page.fits) > 1
    html = render(
        "model.html",
        page=page,
        headline=headline(page.estimates),
        notes=gathered_notes(page),
        unconverged=_unconverged(page.fits),
        facts=_facts(page),
        family=_or_none(family(page.estimates), level),
        estimates=shown(all_terms(page.estimates), level, most=1000),
        fold=several and len(page.estimates) > _OPEN_ROWS,
        tables=[entry for entry in tables if entry["name"] not in _CHECK_TABLES],
        check_tables=[entry for entry in tables if entry["name"] in _CHECK_TABLES],
        fits=shown(facts_of(page.fits)) if several else None,
        figures=results,
        checks=checks,
        reasons=_reasons(page.excluded),
        files=[name for name in page.files if not name.startswith("figures/")],
        figure_files=[name for name in page.files if name.startswith("figures/")],
        paragraphs=[part.strip() for part in re.split(r"\n\s*\n", page.methods) if part.strip()],
    )
    return write_page(html, Path(folder) / "index.html")


def models_section(pages: Sequence[ModelPage]) -> list[dict[str, object]]:
    """
    Return what the page of the group says of each model, for the macro in ``models.html``.

    Returns
    -------
    rows
        ``name``, ``kind``, ``description``, ``n``, ``participants``, ``headline``, ``notes`` (how
        many), ``converged`` and ``href``, from the folder ``group``.
    """
    return [
        {
            "name": page.name,
            "kind": page.kind,
            "description": page.description,
            "n": _range(page.fits, "n"),
            "participants": _range(page.fits, "participants"),
            "headline": headline(page.estimates),
            "notes": len(gathered_notes(page)),
            "converged": not _unconverged(page.fits),
            "href": f"models/{page.name}/index.html",
        }
        for page in pages
    ]


def gathered_notes(page: ModelPage) -> list[str]:
    """
    Return all notes, each once, with the regions that it is about.

    Notes that differ in the value of a test are one, with the smallest and the largest value: a
    hundred regions would fill pages.
    """
    about: dict[str, list[tuple[str, str]]] = {note: [("", note)] for note in page.notes}
    for region, fitted in page.fits.items():
        for note in fitted.notes:
            about.setdefault(_VALUE.sub("", note), []).append((region, note))
    told = []
    for alike in about.values():
        note = _ranged([note for _, note in alike])
        named = list(dict.fromkeys(region for region, _ in alike if region))
        if not named or len(named) == len(page.fits):
            told.append(note)
        else:
            more = f" and {len(named) - 6} more" if len(named) > 6 else ""
            told.append(f"{', '.join(named[:6])}{more}: {note}")
    return told


def _ranged(notes: Sequence[str]) -> str:
    """Return notes that differ in values as one."""
    columns = zip(*(_VALUE.findall(note) for note in notes), strict=True)
    texts = []
    for values in columns:
        ordered = sorted(set(values), key=float)
        texts.append(ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}")
    found = iter(texts)
    return _VALUE.sub(lambda _: next(found), notes[0])


def _unconverged(fits: Mapping[str, Fitted]) -> list[str]:
    """Return the regions whose fit did not converge; the empty name is the only fit."""
    return [name for name, fitted in fits.items() if not fitted.facts.get("converged", True)]


def _facts(page: ModelPage) -> list[tuple[str, object]]:
    """Return what the model rests on: rows and people first, then the data and the fit."""
    names = list(dict.fromkeys(key for fitted in page.fits.values() for key in fitted.facts))
    names.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    told = {name: _range(page.fits, name) for name in names}
    told |= {name: value for name, value in page.facts.items()
             if name not in told and not isinstance(value, Mapping)}  # fmt: skip
    return [("Rows" if name == "n" else words(name), value) for name, value in told.items()]


def _range(fits: Mapping[str, Fitted], name: str) -> object:
    """Return a fact of all regions: one value if it is the same, both ends if it is not."""
    values = [fit.facts[name] for fit in fits.values() if name in fit.facts]
    if len(set(values)) <= 1:
        return _fact(name, values[0]) if values else None
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        low, high = _fact(name, min(numbers)), _fact(name, max(numbers))
        return low if low == high else f"{low} to {high}, by region"
    counted = Counter(map(plain, values))
    return ", ".join(f"{value} ({count})" for value, count in counted.items())


def _fact(name: str, value: Fact) -> Fact:
    """Return a fact as papers print it."""
    if not isinstance(value, float):
        return value
    return p_value(value) if name.endswith(("_p", "p_value")) else figures(value, 4)


def _tables(page: ModelPage, level: str) -> list[dict[str, object]]:
    """Return the further tables, each with its file where there is one."""
    names = list(dict.fromkeys(name for fit in page.fits.values() for name in fit.tables))
    return [
        {
            "name": name,
            "title": words(name),
            "table": table,
            "file": f"{name}.tsv" if f"{name}.tsv" in page.files else "",
        }
        for name in names
        if (table := shown(joined(page.fits, name), level)).rows
    ]


def _or_none(table: pd.DataFrame, level: str) -> Shown | None:
    return shown(table, level) if len(table) else None


def _reasons(excluded: pd.DataFrame) -> list[tuple[str, int]]:
    """Return the reasons for which rows were left out, the most frequent first."""
    counts = excluded["reason"].astype(str).value_counts(sort=False)
    return sorted(((str(k), int(v)) for k, v in counts.items()), key=lambda row: (-row[1], row[0]))


def _picture(name: str, path: Path) -> dict[str, Any]:
    """Return a picture with its words, those that were written beside it where there are any."""
    told = read_json(path.with_suffix(".json"))
    caption = str(told.get("Caption", ""))
    return {
        "name": words(name),
        "kind": str(told.get("Kind", "")),
        # Lines on white are turned over in the dark, brains on black are not.
        "plot": told.get("Kind") in DRAWINGS,
        "caption": caption,
        "alt": description(path) or caption or words(name),
        "uri": data_uri(path),
        "width": _width(path),
        "stem": path.stem,
    }


def _width(path: Path) -> str:
    """Return how wide a drawing is meant to be, in em of the page; nothing for a picture."""
    if path.suffix != ".svg":
        return ""
    found = re.search(r'<svg[^>]*\bwidth="([\d.]+)pt"', path.read_text("utf-8")[:2000])
    return f"{float(found[1]) / 10.5:.1f}rem" if found else ""
