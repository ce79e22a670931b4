"""Parameters as JSON has them, and back, without loss."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, TypeVar

import numpy as np

from qsmprep.statistics.coding import Coding

Kind = TypeVar("Kind")


def pack(parameters: Any) -> dict[str, Any]:
    """Return a dataclass of arrays, texts and a `Coding` as lists and dicts; NaN becomes None."""
    return {name: _plain(value) for name, value in asdict(parameters).items()}


def unpack(kind: type[Kind], content: dict[str, Any]) -> Kind:
    """
    Return what `pack` was given.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is not of this kind.
    """
    return kind(**{one.name: _back(one.type, content[one.name]) for one in fields(kind)})  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        plain = value.astype(object)
        plain[np.isnan(value)] = None
        return plain.tolist()
    return value


def _back(kind: object, value: Any) -> Any:
    if kind == "np.ndarray":
        return np.array(value, dtype=float)
    if kind == "Coding":
        return Coding(
            {name: (centre, scale) for name, (centre, scale) in value["numbers"].items()},
            {name: tuple(levels) for name, levels in value["levels"].items()},
            {name: tuple(knots) for name, knots in value["knots"].items()},
        )
    return tuple(value) if isinstance(value, list) else value
