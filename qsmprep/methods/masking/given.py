"""Brain masks that somebody else has drawn."""

from __future__ import annotations

from qsmprep.methods.morphology import fill_holes, largest_component


def t1w(magnitude, geometry, *, t1w_brain):  # noqa: ARG001 - every brain mask takes these two
    """
    Brain of the T1w image, brought to the gradient echoes by the coregistration.

    Parameters
    ----------
    magnitude : (X, Y, Z) real array
        Not looked at. NumPy only.
    geometry : Geometry
        Not looked at.
    t1w_brain : (X, Y, Z) real array
        Share of each voxel that is brain in the T1w, 0 to 1.

    Returns
    -------
    mask : (X, Y, Z) boolean array
        Voxels that are brain by half or more, in one piece and without cavities.

    Raises
    ------
    ValueError
        If there is no such voxel.
    """
    if not (t1w_brain >= 0.5).any():
        raise ValueError("the brain of the T1w lies outside the gradient echoes")
    return fill_holes(largest_component(t1w_brain >= 0.5))


def precomputed(magnitude, geometry, *, given):  # noqa: ARG001 - as above
    """
    Brain mask that is given, as it is.

    Parameters
    ----------
    magnitude : (X, Y, Z) real array
        Not looked at.
    geometry : Geometry
        Not looked at.
    given : (X, Y, Z) real array
        Above zero in the brain.

    Returns
    -------
    mask : (X, Y, Z) boolean array

    Raises
    ------
    ValueError
        If it is empty.
    """
    mask = given > 0
    if not mask.any():
        raise ValueError("the brain mask that is given is empty")
    return mask
