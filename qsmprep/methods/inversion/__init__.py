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

from qsmprep.methods.inversion.fansi import fansi
from qsmprep.methods.inversion.hdqsm import hdqsm
from qsmprep.methods.inversion.ilsqr import ilsqr
from qsmprep.methods.inversion.medi import medi
from qsmprep.methods.inversion.medi0 import medi0
from qsmprep.methods.inversion.ndi import ndi
from qsmprep.methods.inversion.rts import rts
from qsmprep.methods.inversion.sfcr import sfcr
from qsmprep.methods.inversion.sfcr0 import sfcr0
from qsmprep.methods.inversion.tgv import tgv
from qsmprep.methods.inversion.tikhonov import tikhonov
from qsmprep.methods.inversion.tkd import tkd
from qsmprep.methods.inversion.tsvd import tsvd
from qsmprep.methods.inversion.tv import tv
from qsmprep.methods.inversion.wtv import wtv

INVERSIONS: dict[str, Callable[..., Any]] = {
    "wtv": wtv,
    "hdqsm": hdqsm,
    "medi": medi,
    "medi0": medi0,
    "sfcr": sfcr,
    "sfcr0": sfcr0,
    "rts": rts,
    "tv": tv,
    "fansi": fansi,
    "tgv": tgv,
    "ilsqr": ilsqr,
    "ndi": ndi,
    "tikhonov": tikhonov,
    "tsvd": tsvd,
    "tkd": tkd,
}
