"""
Phase unwrapping.

An algorithm is a function ``f(phase, magnitude, mask, te, *, <parameters>) -> unwrapped`` in a
module of its own, listed below.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.unwrapping.laplacian import laplacian
from qsmprep.methods.unwrapping.romeo import romeo

UNWRAPPERS: dict[str, Callable[..., Any]] = {"romeo": romeo, "laplacian": laplacian}
