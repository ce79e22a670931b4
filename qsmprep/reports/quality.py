"""Figures of quality as a reader wants them: sentences, rows, and bars with their windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeGuard

from qsmprep.methods.verdicts import VERDICTS, worst
from qsmprep.reports.pages import MISSING, number, plain

FILES = {
    "acquisition": ("desc-acquisition_qc.json", "Acquisition"),
    "maps": ("desc-qc.json", "Maps"),
    "regions": ("desc-regions_qc.json", "Regions and registration"),
}
"""What is judged: how the name of its file ends, and its heading."""

_MARGIN = 0.12  # of the scale, on either side of the windows


class Bar(NamedTuple):
    """
    A value on its scale, in hundredths of the scale's length.

    Parameters
    ----------
    look, good
        Start and length of the windows.
    at
        Where the value lies.
    beyond
        -1 or 1 if it lies before or behind the scale.
    """

    look: tuple[float, float]
    good: tuple[float, float]
    at: float
    beyond: int


class Row(NamedTuple):
    """
    A figure of quality in words.

    Parameters
    ----------
    name
        Its key in the file.
    what
        The same for people.
    value, expected
        With unit; what it should be.
    verdict, reason, advice, source
        As in the file.
    note
        Advice if it is needed, or why the figure is not known.
    bar
        For numbers with a window.
    """

    name: str
    what: str
    value: str
    verdict: str
    reason: str
    expected: str
    advice: str
    source: str
    note: str
    bar: Bar | None


def verdict_of(quality: Mapping[str, Mapping]) -> str:
    """Return the worst verdict of the files there are, ``absent`` without any."""
    return worst([str(said.get("verdict")) for said in quality.values()])


def rows_of(said: Mapping) -> list[Row]:
    """Return a row for each figure of one file, in its order."""
    figures = said.get("figures")
    if not isinstance(figures, Mapping):
        return []
    return [_row(name, figure) for name, figure in figures.items() if isinstance(figure, Mapping)]


def sentences(quality: Mapping[str, Mapping]) -> list[Row]:
    """Return the figures of all files that do not pass, the worst first."""
    told = [row for said in quality.values() for row in rows_of(said)]
    told = [row for row in told if row.verdict in ("look", "fail")]
    return sorted(told, key=lambda row: -VERDICTS.index(row.verdict))


def count(quality: Mapping[str, Mapping]) -> dict[str, int]:
    """Return how many figures of all files have each verdict, the worst first."""
    told = [row.verdict for said in quality.values() for row in rows_of(said)]
    return {verdict: told.count(verdict) for verdict in reversed(VERDICTS)}


def _row(name: str, figure: Mapping) -> Row:
    window = figure.get("window")
    window = window if isinstance(window, Mapping) else {}
    good, fair = (_ends(window.get(which)) for which in ("pass", "look"))
    unit, value = plain(figure.get("unit") or ""), figure.get("value")
    unit = "" if unit == MISSING else unit
    verdict = str(figure.get("verdict"))
    reason = str(figure.get("reason") or "")
    # All reasons begin with the name of the figure for people: "the first echo time is 6 ms".
    what = reason.partition(" is ")[0].strip(" ,") or name.replace("_", " ")
    verdict = verdict if verdict in VERDICTS else "absent"
    advice = str(figure.get("advice") or "")
    why = _capital(reason.partition(": ")[2])
    notes = {"absent": why, "look": f"What to do: {advice}" if advice else ""}
    return Row(
        name=name,
        what=_capital(what),
        value=_written(value, unit),
        verdict=verdict,
        reason=_capital(reason.replace("-", "−") if _is_number(value) and value < 0 else reason),
        expected=_expected(good, unit),
        advice=advice,
        source=str(figure.get("source") or ""),
        note=notes.get("look" if verdict == "fail" else verdict, ""),
        bar=_bar(value, good, fair) if _is_number(value) else None,
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ends(window: object) -> list:
    return list(window) if isinstance(window, Sequence) and not isinstance(window, str) else []


def _written(value: object, unit: str) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return plain(value)
    value = 0 if abs(value) < 1e-6 else value  # what rounding leaves of nothing
    text = f"{value:.0f}" if isinstance(value, int) or abs(value) >= 1e3 else f"{value:.3g}"
    return " ".join(filter(None, (text.replace("-", "−"), unit)))


def _expected(good: Sequence, unit: str) -> str:
    if not good:
        return "no window"
    if isinstance(good[0], str) or isinstance(good[-1], str):
        return " or ".join(map(str, good))
    low, high = good[0], good[-1]
    if low is None or high is None:
        bound = f"at least {_written(low, unit)}" if high is None else ""
        return bound or f"at most {_written(high, unit)}"
    if low == high:
        return _written(low, unit)
    return f"{_written(low, '')} to {_written(high, unit)}"


def _bar(value: float, good: Sequence, fair: Sequence) -> Bar | None:
    """Return a value on a scale that holds both windows, none where there are no numbers."""
    fair = fair or good
    known = [end for end in (*good, *fair) if _is_number(end)]
    if len(good) != 2 or len(fair) != 2 or not known:
        return None
    low, high = min(known), max(known)
    if None in (good[1], fair[1]):  # what has no end is shown as far as it is of interest
        high = max(2 * high, min(value, 4 * high), high + 1)
    if None in (good[0], fair[0]):
        low = min(2 * low, low - 1)
    margin = _MARGIN * ((high - low) or 1.0)
    # A window that begins at nothing has nothing before it.
    start = low if low == 0 <= value else low - margin
    length = high + margin - start

    def place(end: float | None, where_none: float) -> float:
        return 100 * ((where_none if end is None else end) - start) / length

    def stretch(ends: Sequence) -> tuple[float, float]:
        first, last = place(ends[0], start), place(ends[1], start + length)
        return round(first, 1), round(max(last - first, 1.5), 1)

    at = place(value, start)
    beyond = -1 if at < 0 else int(at > 100)
    return Bar(stretch(fair), stretch(good), round(min(max(at, 0), 100), 1), beyond)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def summary(quality: Mapping[str, Mapping]) -> str:
    """Return how many figures there are of each verdict, in words."""
    words = {"fail": "fail", "look": "look", "pass": "pass", "info": "without a window",
             "absent": "not known"}  # fmt: skip
    counts = count(quality)
    return ", ".join(f"{number(counts[v], 0)} {text}" for v, text in words.items() if counts[v])
