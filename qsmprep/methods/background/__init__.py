"""
Background field removal: from the total field (ppm) to the local field (ppm).

An algorithm is a function ``f(field, mask, geometry, *, <parameters>) -> (local, valid)`` in a
module of its own; one that iterates returns ``(local, valid, Convergence)``. Arrays it needs
besides (``noise``, ppm; ``white_matter`` and ``deep_grey``, of the T1w) are keyword-only arguments
without a default. Listing it below is all it
takes to offer it to protocols, the command line and the docs.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.background.ismv import ismv
from qsmprep.methods.background.joint import joint
from qsmprep.methods.background.joint_tissues import joint_tissues
from qsmprep.methods.background.lbv import lbv
from qsmprep.methods.background.none import none
from qsmprep.methods.background.pdf import pdf
from qsmprep.methods.background.resharp import resharp
from qsmprep.methods.background.sharp import sharp
from qsmprep.methods.background.vsharp import vsharp

BACKGROUND_REMOVALS: dict[str, Callable[..., Any]] = {
    "joint": joint,
    "joint_tissues": joint_tissues,
    "pdf": pdf,
    "vsharp": vsharp,
    "lbv": lbv,
    "sharp": sharp,
    "resharp": resharp,
    "ismv": ismv,
    "none": none,
}

OF_TISSUES = frozenset({"joint_tissues"})
"""Those that ask a T1w where tissues are."""
