"""
Where the brain is in the gradient echoes.

A brain mask is a function ``f(magnitude, geometry, *, <parameters>) -> mask`` in a module of its
own, listed below. Arrays it needs besides (``quality``, the coherence of the phase, 0 to 1;
``t1w_brain``, the brain of the T1w in the space of the echoes; ``given``, somebody else's mask)
are keyword-only arguments without a default.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.masking.bet import bet
from qsmprep.methods.masking.given import precomputed, t1w
from qsmprep.methods.masking.phase_quality import phase_quality

BRAIN_MASKS: dict[str, Callable[..., Any]] = {
    "bet": bet,
    "phase_quality": phase_quality,
    "t1w": t1w,
    "precomputed": precomputed,
}
