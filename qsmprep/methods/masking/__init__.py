"""
Where the brain is, from magnitude alone, and where its phase can be trusted.

A brain mask is a function ``f(magnitude, geometry, *, <parameters>) -> mask`` in a module of its
own, listed below.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.masking.bet import bet

BRAIN_MASKS: dict[str, Callable[..., Any]] = {"bet": bet}
