"""MEDI with uniform cerebrospinal fluid, which is then zero."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.inversion.medi import solve


def medi0(
    field,
    mask,
    geometry,
    *,
    noise,
    magnitude,
    csf,
    fidelity: float = 1000.0,
    csf_weight: float = 100.0,
    adaptive: bool = True,
    edge_fraction: float = 0.3,
    merit: bool = True,
    phase_scale: float = 6.42,
    max_iterations: int = 10,
    tolerance: float = 0.1,
    cg_iterations: int = 100,
    cg_tolerance: float = 0.01,
):
    r"""
    Susceptibility by MEDI+0 (Liu et al., 2018, doi:10.1002/mrm.26946).

    MEDI with the term :math:`\lambda_{CSF} \|x - \bar x\|_2^2` over the fluid of the ventricles,
    whose mean is then subtracted. Without fluid it is MEDI. Defaults and differences are those of
    `medi`.

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
    magnitude : (X, Y, Z) real array
        Any unit; gradients cost nothing where its edges are.
    csf : (X, Y, Z) boolean array
        Fluid of the ventricles; may be empty.
    fidelity
        Weight of the data, relative, at the scale of phase given below.
    csf_weight
        Weight of the evenness of fluid, relative.
    adaptive
        Whether the fidelity falls in proportion where more than 0.3 % of the field's power fits no
        susceptibility.
    edge_fraction
        Share of the voxel faces in the mask that count as edges, relative to all.
    merit
        Whether voxels of large residual lose weight from step to step.
    phase_scale
        Phase per field, rad/ppm; that of 3 T and 8 ms between echoes.
    max_iterations
        Gauss-Newton steps at most.
    tolerance
        Relative change of susceptibility at which to stop.
    cg_iterations
        Conjugate gradients at most within a step.
    cg_tolerance
        Relative residual at which they stop.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility against fluid, ppm, zero outside the mask.
    convergence : Convergence
    """
    xp = array_namespace(field, mask, csf)
    chi, convergence = solve(
        field,
        mask,
        geometry,
        noise=noise,
        magnitude=magnitude,
        csf=csf & mask,
        csf_weight=csf_weight,
        fidelity=fidelity,
        adaptive=adaptive,
        edge_fraction=edge_fraction,
        merit=merit,
        phase_scale=phase_scale,
        outer=(max_iterations, tolerance),
        inner=(cg_iterations, cg_tolerance),
    )
    fluid = csf & mask
    if bool(xp.any(fluid)):
        chi = xp.where(mask, chi - xp.mean(chi[fluid]), 0.0)
    return chi, convergence
