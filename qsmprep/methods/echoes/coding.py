"""Phase in radians from whatever a scanner or converter wrote."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

MILLIRADIANS = 1e3 * math.pi
FULL = 0.9
"""Noise around the head fills the whole circle; ranges that fill less than this share of a
coding are not recognised by their range alone."""


@dataclass(frozen=True)
class PhaseCoding:
    """
    How phase is written in a file.

    Parameters
    ----------
    name
        For logs and sidecars.
    period
        Difference of two values that mean the same angle.
    unscaled
        Whether the header's slope is wrong and the stored numbers are meant.
    """

    name: str
    period: float
    unscaled: bool = False


def recognise_coding(
    low: float,
    high: float,
    *,
    integers: bool,
    units: str | None = None,
    stored: tuple[float, float] | None = None,
) -> PhaseCoding:
    """
    Recognise the coding of phase from the declared unit and the kind and range of its numbers.

    The range only selects one of the codings that exist; it is never taken for the period, as
    scanners mask phase and an image need not touch either end.

    Parameters
    ----------
    low, high
        Smallest and largest value over all echoes, as scaled by the header.
    integers
        Whether all values are whole numbers.
    units
        BIDS ``Units`` of the sidecar: ``rad``, ``arbitrary`` or none.
    stored
        Smallest and largest number before the header's scaling, where it differs.

    Raises
    ------
    ValueError
        If the values are of no known coding, or contradict `units`.
    """
    if high == low:
        raise ValueError(f"phase is {low:g} everywhere")
    spread = high - low
    largest = max(abs(low), abs(high))
    if units == "rad" or not integers:
        if largest <= 2 * math.pi * 1.01 and spread >= FULL * math.pi:
            return PhaseCoding("radians", 2 * math.pi)
        if (
            stored is not None
            and FULL * 2 * math.pi <= stored[1] - stored[0] <= 2 * math.pi * 1.01
        ):
            return PhaseCoding("radians, header slope ignored", 2 * math.pi, unscaled=True)
        if units == "rad":
            raise ValueError(f"Units is rad but values run from {low:g} to {high:g}")
    if MILLIRADIANS * FULL <= -low <= MILLIRADIANS + 1 and high <= MILLIRADIANS + 1:
        return PhaseCoding("milliradians", 2 * MILLIRADIANS)
    if integers and low >= 0 and 8 < high <= 4096:
        return PhaseCoding("0..4095", 4096.0)
    if integers and -2048 <= low < 0 and 8 < high <= 2048:
        return PhaseCoding("-2048..2047", 4096.0)
    if integers and -4096 <= low < 0 and high <= 4096:
        return PhaseCoding("-4096..4095", 8192.0)
    raise ValueError(f"values from {low:g} to {high:g} are of no known phase coding")


def to_radians(values, coding: PhaseCoding):
    """
    Express coded phase in rad, wrapped to [-π, π).

    Parameters
    ----------
    values : real array
        Phase as coded.
    coding : PhaseCoding
        What `recognise_coding` found.

    Returns
    -------
    phase : float32 array
        rad. Unsigned codings differ from signed ones by π, a receive phase like any other.
    """
    # Double precision, so that one head in two codings gives one phase to the last bit of float32.
    turns = np.asarray(values, dtype=np.float64) / coding.period
    return (2 * np.pi * (turns - np.floor(turns + 0.5))).astype(np.float32)
