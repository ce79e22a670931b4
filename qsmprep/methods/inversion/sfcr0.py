"""SFCR with uniform cerebrospinal fluid, which is then zero."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.inversion.sfcr import collaborate


def sfcr0(
    field,
    mask,
    geometry,
    *,
    noise,
    csf,
    first_fidelity: float = 500.0,
    second_fidelity: float = 1000.0,
    csf_weight: float = 0.2,
    first_edges: float = 0.3,
    second_edges: float = 0.35,
    max_iterations: int = 20,
    tolerance: float = 0.01,
):
    """
    Susceptibility by SFCR+0 (Chen et al., 2019, automatic zero reference by fluid).

    SFCR whose two steps also keep the fluid of the ventricles even; its mean is then subtracted.
    Without fluid it is SFCR. Numbers are those of the Johns Hopkins toolbox.

    Parameters
    ----------
    field : (X, Y, Z) real array
        Local field, ppm.
    mask : (X, Y, Z) boolean array
        Where the field can be trusted.
    geometry : Geometry
        Voxel size and field direction.
    noise : (X, Y, Z) real array
        Standard deviation of the field, ppm; only its variation over the mask counts.
    csf : (X, Y, Z) boolean array
        Fluid of the ventricles; may be empty.
    first_fidelity
        Weight of the data in the first step, 1/ppm for gradients per mm.
    second_fidelity
        Weight of the data in the second step, 1/ppm for gradients per mm.
    csf_weight
        Weight of the evenness of fluid, relative to that of the data in each step.
    first_edges
        Share of the voxel faces in the mask that count as edges in the first step, relative.
    second_edges
        Share of those in the second step, relative.
    max_iterations
        Iterations of the second step at most; the first has two.
    tolerance
        Relative change of susceptibility at which the second step stops.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility against fluid, ppm, zero outside the mask.
    convergence : Convergence
        Of the second step.
    """
    xp = array_namespace(field, mask, csf)
    fluid = csf & mask
    chi, convergence = collaborate(
        field,
        mask,
        geometry,
        noise=noise,
        csf=fluid,
        csf_weight=csf_weight,
        fidelities=(first_fidelity, second_fidelity),
        edges=(first_edges, second_edges),
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    if bool(xp.any(fluid)):
        chi = xp.where(mask, chi - xp.mean(chi[fluid]), 0.0)
    return chi, convergence
