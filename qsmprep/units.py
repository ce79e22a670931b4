"""The units of QSM and the only conversions between them."""

import math

GAMMA_HZ_PER_T = 42.577478461e6
"""Proton gyromagnetic ratio over 2π (CODATA 2022)."""

PPB_PER_PPM = 1e3
"""Maps are in ppm, tables in ppb."""


def hz_to_ppm(field_hz, b0: float):
    """Express a frequency offset as a fraction of the Larmor frequency at `b0` tesla, in ppm."""
    return field_hz * (1e6 / (GAMMA_HZ_PER_T * b0))


def ppm_to_hz(field, b0: float):
    """Express a relative field offset in ppm as a frequency offset at `b0` tesla, in Hz."""
    return field * (1e-6 * GAMMA_HZ_PER_T * b0)


def phase_to_hz(phase, te: float):
    """Return the frequency, in Hz, that turns the spins by `phase` radians in `te` seconds."""
    return phase / (2 * math.pi * te)


def hz_to_phase(field_hz, te: float):
    """Return the phase, in rad, that a frequency offset in Hz reaches in `te` seconds."""
    return field_hz * (2 * math.pi * te)
