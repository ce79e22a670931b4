"""No receive phase."""

from __future__ import annotations

from array_api_compat import array_namespace


def no_offset(phase, magnitude, mask, te, geometry):  # noqa: ARG001 - as all of its stage
    """
    Zero, for phase whose receive offset is gone already, or is fitted with the field.

    Parameters
    ----------
    phase : (E, X, Y, Z) real array
        Wrapped phase of every echo, rad.
    magnitude : (E, X, Y, Z) real array
        Any unit.
    mask : (X, Y, Z) boolean array
        Where there is signal.
    te : sequence of E floats
        Echo times, s.
    geometry : Geometry
        Voxel size, mm.

    Returns
    -------
    offset : (X, Y, Z) real array
        rad.
    """
    return array_namespace(phase).zeros_like(phase[0, ...])
