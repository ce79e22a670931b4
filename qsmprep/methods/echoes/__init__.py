"""
What happens to echoes before they become a field: coding and receive phase.

An offset removal is a function ``f(phase, magnitude, mask, te, geometry, *, <parameters>) ->
offset`` in a module of its own, listed below.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.echoes.none import no_offset
from qsmprep.methods.echoes.offset import mcpc3ds
from qsmprep.methods.echoes.polynomial import polynomial

OFFSETS: dict[str, Callable[..., Any]] = {
    "mcpc3ds": mcpc3ds,
    "polynomial": polynomial,
    "none": no_offset,
}
