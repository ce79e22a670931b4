"""
The total field from unwrapped echoes.

An algorithm is a function ``f(unwrapped, magnitude, mask, te, *, <parameters>) ->
(field_hz, noise_hz)`` in a module of its own, listed below.
"""

from collections.abc import Callable
from typing import Any

from qsmprep.methods.field.nonlinear import nonlinear_field
from qsmprep.methods.field.weighted import weighted_field

FIELD_FITS: dict[str, Callable[..., Any]] = {
    "weighted": weighted_field,
    "nonlinear": nonlinear_field,
}
