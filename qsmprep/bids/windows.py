"""What quality figures should be, as ``qc_windows.toml`` says."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
import tomllib

from qsmprep.methods.verdicts import Window


@cache
def read_windows(kind: str) -> dict[str, Window]:
    """
    Return the windows of one file of figures, by the names of the figures and in their order.

    Parameters
    ----------
    kind
        ``acquisition``, ``maps`` or ``regions``.
    """
    text = files("qsmprep.data").joinpath("qc_windows.toml").read_text("utf-8")
    return {
        name: Window(
            unit=entry["unit"],
            what=entry["what"],
            good=tuple(entry.get("pass", ())),
            fair=tuple(entry.get("look", ())),
            advice=entry.get("advice", ""),
            source=entry.get("source", ""),
        )
        for name, entry in tomllib.loads(text)[kind].items()
    }
