"""From figures and the windows they should lie in to verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import math
from typing import TypedDict

VERDICTS = ("pass", "info", "absent", "look", "fail")
"""What is said of a figure, the worst last: ``info`` is not judged, ``absent`` not known."""


class Judgement(TypedDict):
    """Figures by name, each as `judge` returns it, with the worst verdict and its reasons."""

    verdict: str
    reasons: list[str]
    figures: dict[str, dict[str, object]]


@dataclass(frozen=True)
class Window:
    """
    What a figure should be.

    Parameters
    ----------
    unit
        Of the figure; empty for words, fractions and ratios.
    what
        What the figure is, as a noun phrase.
    good, fair
        Lowest and highest value that passes, and that only asks for a look; or the words that do.
        Both are included, what lies in neither fails, and empty windows judge nothing.
    advice
        What to do about a figure that does not pass.
    source
        Where the window comes from.
    """

    unit: str
    what: str
    good: tuple[float, ...] | tuple[str, ...] = ()
    fair: tuple[float, ...] | tuple[str, ...] = ()
    advice: str = ""
    source: str = ""


def judge(value: object, window: Window) -> dict[str, object]:
    """
    Return a figure with its verdict: ``value unit verdict reason window advice source``.

    Parameters
    ----------
    value
        A number or a word. None and NaN are absent.
    window
        What it should be.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return absent(window, "it could not be measured")
    if not window.good:
        verdict = "info"
    elif _inside(value, window.good):
        verdict = "pass"
    else:
        verdict = "look" if _inside(value, window.fair) else "fail"
    reason = f"{window.what} is {_written(value, window.unit)}"
    if verdict in ("look", "fail"):
        reason += f", expected {_expected(window)}"
    return _figure(_finite(value), verdict, reason, window)


def absent(window: Window, reason: str) -> dict[str, object]:
    """Return a figure that is not known, and why."""
    return _figure(None, "absent", f"{window.what} is not known: {reason}", window)


def judge_all(
    values: Mapping[str, object], windows: Mapping[str, Window], missing: Mapping[str, str]
) -> Judgement:
    """
    Return all figures with the verdict over them: ``verdict reasons figures``.

    Parameters
    ----------
    values
        Numbers and words by name.
    windows
        What they should be; one for every name.
    missing
        Why figures that are not among the values are not known.
    """
    figures = {
        name: judge(values[name], window) if name in values else absent(window, missing[name])
        for name, window in windows.items()
        if name in values or name in missing
    }
    return conclude(figures)


def conclude(figures: Mapping[str, dict[str, object]]) -> Judgement:
    """Return figures with the worst of their verdicts and the reasons for it, the worst first."""
    told = sorted(
        (f for f in figures.values() if f["verdict"] in ("look", "fail")),
        key=lambda figure: -VERDICTS.index(str(figure["verdict"])),
    )
    return {
        "verdict": str(told[0]["verdict"]) if told else "pass",
        "reasons": [f"{figure['verdict']}: {figure['reason']}" for figure in told],
        "figures": dict(figures),
    }


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of verdicts on whole files, ``absent`` if there is none."""
    given = set(verdicts)
    known = [verdict for verdict in VERDICTS if verdict in given]
    return known[-1] if known else "absent"


def _figure(value, verdict: str, reason: str, window: Window) -> dict[str, object]:
    return {
        "value": value,
        "unit": window.unit,
        "verdict": verdict,
        "reason": reason,
        "window": {
            "pass": [_finite(end) for end in window.good],
            "look": [_finite(end) for end in window.fair],
        },
        "advice": window.advice,
        "source": window.source,
    }


def _inside(value, ends) -> bool:
    if not ends or isinstance(ends[0], str) or isinstance(value, str):
        return value in ends
    return ends[0] <= value <= ends[1]


def _finite(value):
    """Return what JSON can hold: an end that is infinite is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _written(value, unit: str) -> str:
    text = f"{value:.3g}" if isinstance(value, float) and abs(value) < 1e3 else str(value)
    text = f"{value:.0f}" if isinstance(value, float) and abs(value) >= 1e3 else text
    return " ".join(filter(None, (text, unit)))


def _expected(window: Window) -> str:
    if isinstance(window.good[0], str):
        return " or ".join(map(str, window.good))
    low, high = (float(end) for end in window.good)
    if math.isinf(low) or math.isinf(high):
        bound, end = ("at least", low) if math.isinf(high) else ("at most", high)
        return f"{bound} {_written(end, window.unit)}"
    return (
        _written(low, window.unit) if low == high else f"{low:g} to {_written(high, window.unit)}"
    )
