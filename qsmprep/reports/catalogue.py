"""All methods there are, as `qsmprep methods` lists them on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import json
import sys
from textwrap import fill

from qsmprep.reports.docstrings import Description, Paper, describe, unit_of

WIDTH = 79
"""Columns of the narrowest terminal in use, less one for those that wrap at the last."""


def list_stages(
    algorithms: Mapping[str, Mapping[str, Callable]],
    settings: Mapping[str, type],
    defaults: Mapping[str, Mapping[str, Mapping[str, object]]],
    chosen: Mapping[str, str],
) -> str:
    """
    Return stages with their algorithms: what each is, what it takes and who described it.

    Parameters
    ----------
    algorithms
        The algorithms of every stage that has a choice of them.
    settings
        Documented classes of the stages that have none.
    defaults
        For every stage to list, in order, and every algorithm of it, the parameters with their
        defaults; stages without a choice have one entry of any name.
    chosen
        The algorithm of each stage that the default protocol takes.
    """
    return "\n\n".join(
        _stage_of_algorithms(stage, algorithms[stage], parameters, chosen[stage])
        if stage in algorithms
        else _stage_of_settings(stage, settings[stage], next(iter(parameters.values())))
        for stage, parameters in defaults.items()
    )


def _stage_of_algorithms(stage: str, algorithms, defaults, chosen: str) -> str:
    package = next(iter(algorithms.values())).__module__.rpartition(".")[0]
    blocks = [_heading(stage, describe(sys.modules[package]).summary)]
    for name, algorithm in algorithms.items():
        description = describe(algorithm)
        blocks += [
            f"  method = {json.dumps(name)}{'  (default)' if name == chosen else ''}\n"
            + _wrapped(description.summary, 4),
            *_entries(description, defaults[name], 4),
        ]
        if description.papers:
            blocks.append("\n".join(_cited(paper) for paper in description.papers))
    return "\n\n".join(blocks)


def _stage_of_settings(stage: str, kind: type, defaults: Mapping[str, object]) -> str:
    description = describe(kind)
    return "\n\n".join([_heading(stage, description.summary), *_entries(description, defaults, 2)])


def _heading(stage: str, summary: str) -> str:
    return fill(f"[{stage}]  {summary}", WIDTH, subsequent_indent=" " * (len(stage) + 4))


def _entries(description: Description, defaults: Mapping[str, object], indent: int) -> list[str]:
    """Return every parameter as a protocol would write it, with its meaning below."""
    blocks = []
    for name, value in defaults.items():
        meaning = description.parameters[name]
        unit = f"  {unit_of(meaning)}" if isinstance(value, float) else ""
        blocks.append(
            f"{' ' * indent}{name} = {json.dumps(value)}{unit}\n" + _wrapped(meaning, indent + 4)
        )
    return blocks


def _wrapped(text: str, indent: int) -> str:
    margin = " " * indent
    return fill(text, WIDTH, initial_indent=margin, subsequent_indent=margin)


def _cited(paper: Paper) -> str:
    # A link that is broken leads nowhere: it keeps a line of its own.
    return fill(str(paper), WIDTH, initial_indent="    ", subsequent_indent="      ",
                break_long_words=False, break_on_hyphens=False)  # fmt: skip
