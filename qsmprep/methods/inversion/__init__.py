"""
Dipole inversion: from the local field (ppm) to susceptibility (ppm).

An algorithm is a function ``f(field, mask, geometry, *, <parameters>) -> chi`` in a module of its
own; one that iterates returns ``(chi, Convergence)``. Arrays it needs besides (``noise``, ppm;
``magnitude``; ``csf``, the fluid of the ventricles as booleans) are keyword-only arguments without
a default. Listing it below is all it takes to offer it to protocols, the command line and the
docs.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.inversion.tkd import tkd
from qsmprep.methods.inversion.wtv import wtv

INVERSIONS: dict[str, Callable[..., Any]] = {"wtv": wtv, "tkd": tkd}
