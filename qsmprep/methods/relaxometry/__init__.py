"""
R2* from the magnitudes of the echoes.

An algorithm is a function ``f(magnitude, mask, te, *, <parameters>) -> r2star`` in a module of
its own, listed below.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.relaxometry.arlo import arlo
from qsmprep.methods.relaxometry.log_linear import log_linear
from qsmprep.methods.relaxometry.nonlinear import nonlinear

RELAXOMETRY: dict[str, Callable[..., Any]] = {
    "nonlinear": nonlinear,
    "log_linear": log_linear,
    "arlo": arlo,
}
