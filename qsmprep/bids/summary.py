"""Many outcomes in few lines: those of one reason together."""

from __future__ import annotations

from collections.abc import Iterable
import re

NAMED = 5
"""How many of those that share a reason are named; status.tsv has all."""

_FOLDER = re.compile(r"(?<![^\s(])/\S*/")
_PARTICIPANT = re.compile(r"sub-[a-zA-Z0-9+]+")


def summarise_reasons(outcomes: Iterable[tuple[str, str]]) -> list[str]:
    """
    Return one line per reason.

    Parameters
    ----------
    outcomes
        Names and reasons. Reasons that differ in the participant alone count as one, and are
        told with ``sub-*``.
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for name, reason in outcomes:
        pattern = _PARTICIPANT.sub("sub-*", _FOLDER.sub("", reason))
        alike.setdefault(pattern, []).append((name, reason))
    lines = []
    for pattern, same in alike.items():
        names = list(dict.fromkeys(name for name, _ in same))
        told = ", ".join(names[:NAMED])
        if len(names) > NAMED:
            told += f" and {len(names) - NAMED} more"
        lines.append(f"{told}: {same[0][1] if len(same) == 1 else pattern}")
    return lines
