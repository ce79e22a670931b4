"""
Background field removal: from the total field (ppm) to the local field (ppm).

An algorithm is a function ``f(field, mask, geometry, *, <parameters>) -> (local, valid)`` in a
module of its own; one that iterates returns ``(local, valid, Convergence)``. Arrays it needs
besides (``noise``, ppm) are keyword-only arguments without a default. Listing it below is all it
takes to offer it to protocols, the command line and the docs.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.background.vsharp import vsharp

BACKGROUND_REMOVALS: dict[str, Callable[..., Any]] = {"vsharp": vsharp}
