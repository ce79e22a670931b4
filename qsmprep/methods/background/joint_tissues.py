"""Background removal by a joint fit that knows from the T1w where tissues are."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.background.joint import separate


def joint_tissues(
    field,
    mask,
    geometry,
    *,
    noise,
    white_matter,
    deep_grey,
    tissue: float = 0.05,
    outside: float = 100.0,
    error: float = 0.005,
    padding: float = 24.0,
    max_iterations: int = 100,
    tolerance: float = 2e-2,
):
    r"""
    Local field by a joint fit of outer sources and of tissues whose places are known (after Liu et
    al., 2017, doi:10.1002/mrm.26331).

    The fit is that of `joint`, which expects no pattern of tissue more than another. White matter
    and deep grey matter are large patterns: a part of their field looks like that of outer sources
    and is taken for it, the less costly explanation. Here the contrast of each of the two with the
    rest of the brain is expected to be ten times as strong as other patterns, so that the field
    alone decides how large it is. Nothing is assumed about the susceptibility of a tissue, and
    what varies within one is explained as in `joint`.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Total field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field is known.
    geometry : Geometry
        Voxel size, mm, and field direction.
    noise : (X, Y, Z) real array
        Standard deviation of the field, ppm.
    white_matter : (X, Y, Z) real array
        Probability of white matter.
    deep_grey : (X, Y, Z) boolean array
        Deep grey matter; may be empty.
    tissue
        Standard deviation expected of susceptibility in the mask, ppm.
    outside
        That of sources around the mask, relative to `tissue`.
    error
        Of the model, ppm: what voxels of the grid cannot express; added to the noise.
    padding
        Width of the space around the mask where sources may lie, mm.
    max_iterations
        Iterations at most, on each of the two grids.
    tolerance
        Residual of the normal equations, relative, at which to stop on the fine grid; on the
        coarse one, whose field is larger, a tenth of it.

    Returns
    -------
    local : (X, Y, Z) real array
        Local field, ppm, zero outside the mask.
    valid : (X, Y, Z) boolean array
        The mask.
    convergence : Convergence
        Of the fine grid.
    """
    xp = array_namespace(field, deep_grey)
    return separate(
        field,
        mask,
        geometry,
        noise=noise,
        tissues=(white_matter, xp.astype(deep_grey, field.dtype)),
        tissue=tissue,
        outside=outside,
        error=error,
        padding=padding,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
