"""
R2* from the magnitudes of the echoes.

An algorithm is a function ``f(magnitude, mask, te, *, <parameters>) -> r2star`` in a module of
its own, listed below.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.relaxometry.log_linear import log_linear

RELAXOMETRY: dict[str, Callable[..., Any]] = {"log_linear": log_linear}
