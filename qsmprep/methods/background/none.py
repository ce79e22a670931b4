"""No background removal, for inversions that do it themselves."""

from __future__ import annotations

from array_api_compat import array_namespace


def none(field, mask, geometry):  # noqa: ARG001 - every background removal takes it
    """
    The total field as it is, for inversions that explain it whole.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Not used.

    Returns
    -------
    field : (X, Y, Z) real array
        The same field, ppm, zero outside the mask.
    valid : (X, Y, Z) boolean array
        The mask.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    xp = array_namespace(field, mask)
    if not bool(xp.any(mask)):
        raise ValueError("the mask is empty")
    return xp.where(mask, field, xp.zeros_like(field)), mask
