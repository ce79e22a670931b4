"""How scanners store complex signals: the codings of phase met in the wild."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Coded:
    """
    One part of a complex image as it goes into a file.

    Parameters
    ----------
    values : (...) array
        What is stored; readers apply the scaling to it.
    units
        BIDS ``Units``; None where the standard asks for none.
    scaling
        Slope and intercept of the header.
    """

    values: np.ndarray
    units: str | None = None
    scaling: tuple[float, float] | None = None


def _twelve_bits(phase):
    """Phase in 4096 steps, 0 for -π."""
    steps = np.rint((phase + np.pi) * (4096 / (2 * np.pi)))
    return (steps.astype("i4") % 4096).astype("i2")


def _radians(signal) -> dict[str, Coded]:
    return {"phase": Coded(np.angle(signal).astype("f4"), "rad")}


def _sint4096(signal) -> dict[str, Coded]:
    return {"phase": Coded(2 * _twelve_bits(np.angle(signal)) - np.int16(4096), "arbitrary")}


def _uint4096(signal) -> dict[str, Coded]:
    return {"phase": Coded(_twelve_bits(np.angle(signal)), "arbitrary")}


def _slope(signal) -> dict[str, Coded]:
    return {"phase": Coded(_twelve_bits(np.angle(signal)), "arbitrary", (2.0, -4096.0))}


def _real_imag(signal) -> dict[str, Coded]:
    return {
        "real": Coded(np.rint(signal.real).astype("i2")),
        "imag": Coded(np.rint(signal.imag).astype("i2")),
    }


def _real_imag_inverted(signal) -> dict[str, Coded]:
    return _real_imag(np.conj(signal))


CODINGS: dict[str, Callable[..., dict[str, Coded]]] = {
    "radians": _radians,
    "sint4096": _sint4096,
    "uint4096": _uint4096,
    "slope": _slope,
    "real-imag": _real_imag,
    "real-imag-inverted": _real_imag_inverted,
}
"""
Phase in rad; -4096..4094 in steps of two; 0..4095; 0..4095 with a slope that makes them
-4096..4094; real and imaginary part; the same with the sign of the phase inverted, as some GE
exports have it.
"""


def encode(signal, coding: str) -> dict[str, Coded]:
    """
    Store a complex image the way some scanner does.

    Parameters
    ----------
    signal : (...) complex array
        Image, scaled to the range of int16.
    coding
        A name in `CODINGS`.

    Returns
    -------
    parts
        What goes into the files, by the value of the BIDS entity ``part``.
    """
    parts = CODINGS[coding](signal)
    if "phase" in parts:
        parts = {"mag": Coded(np.rint(np.abs(signal)).astype("i2")), **parts}
    return parts
