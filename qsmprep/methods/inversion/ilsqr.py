"""Least squares, less the streaks that their ill-conditioned part can hold."""

from __future__ import annotations

from array_api_compat import array_namespace

from qsmprep.methods.box import Box
from qsmprep.methods.differences import gradient, laplacian_spectrum, weighted_laplacian
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.damping import wiener_damping
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.inversion.weights import data_weight
from qsmprep.methods.smv import sphere_spectrum
from qsmprep.methods.solvers import conjugate_gradient

CURVED = (0.6, 0.999)
"""Quantiles of the field's Laplacian between which trust in a voxel falls."""

FLOOR = 0.3
"""Least trust in a voxel of the mask."""

STEEP = (0.5, 0.7)
"""Quantiles of the fast map's gradient between which a face turns into an edge."""

FAST = (0.01, 0.3)
"""Quantiles of the dipole kernel between which the fast map turns from smooth to sharp."""

SPHERE = 3.0
"""Radius of the mean that smooths the fast map, mm."""


def ilsqr(
    field,
    mask,
    geometry,
    *,
    noise,
    damping: float = 0.5,
    cone: float = 0.1,
    first_iterations: int = 50,
    first_tolerance: float = 1e-2,
    max_iterations: int = 50,
    tolerance: float = 1e-2,
):
    r"""
    Susceptibility by iLSQR (Li et al., 2015).

    .. math:: \min_\chi \|W (D * \chi - f)\|_2^2 + \lambda \|\chi\|_2^2, \qquad
              \min_{s:\, \hat s = 0 \text{ where } |D| \ge t}
              \sum_i g_i^2 (\partial_i \chi - \partial_i s)^2

    Streaks `s` are what can be taken from the ill-conditioned cone of the least-squares map so
    that it varies least away from edges; those, where `g` is 0, come from a fast map,
    :math:`\mathrm{sign}(D)` times the field with the cone smoothed (NeuroImage 108:111-122). `W`
    falls where the Laplacian of the field is large. It differs from there in: 1. both problems
    are solved by preconditioned conjugate gradients on their normal equations, not by LSQR; 2. the
    first weighs the field by its noise as well, and follows by :math:`\lambda` the part of the
    field that no susceptibility explains (`wiener_damping`), so that one setting serves
    acquisitions of any quality; 3. `W` keeps 0.3 at least in the mask, as strong sources curve the
    field most; 4. the fast map is not fitted to another, for only ranks of its gradients are
    used.

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
    damping
        Weight of the squared susceptibility, relative to that of a Wiener filter.
    cone
        Magnitude of the dipole kernel below which streaks are looked for, relative: the kernel
        ends at 2/3. The default of QSM.m.
    first_iterations
        Iterations of the least squares at most. The default of QSM.m.
    first_tolerance
        Relative residual of the least squares at which to stop. The default of QSM.m.
    max_iterations
        Iterations of the search for streaks at most. The default of QSM.m.
    tolerance
        Relative residual at which the search for streaks stops. The default of QSM.m.

    Returns
    -------
    chi : (X, Y, Z) real array
        Susceptibility, ppm, zero outside the mask.
    convergence : Convergence
        Of the search for streaks.
    """
    xp = array_namespace(field, mask, noise)
    box = Box(mask, MARGIN)
    inside, local = box.cut(mask), box.cut(xp.where(mask, field, 0.0))
    kernel = dipole_kernel(local, geometry)
    weight2 = _flatness(local, inside, geometry) * box.cut(data_weight(noise, mask)) ** 2
    ridge = damping * wiener_damping(local, inside, geometry) + 1e-8
    first = _least_squares(local, weight2, kernel, ridge, first_iterations, first_tolerance)
    first = xp.where(inside, first, 0.0)

    faces = _away_from_edges(_fast_map(local, inside, kernel, geometry), inside, geometry) ** 2
    streaks, convergence = _streaks(
        first, faces, xp.abs(kernel) < cone, geometry, max_iterations, tolerance
    )
    return xp.where(mask, box.paste(first - streaks), 0.0), convergence


def _flatness(local, inside, geometry):
    """Return 1 where the field is smooth, down to `FLOOR` where it is most curved."""
    xp = array_namespace(local)
    laplacian = weighted_laplacian(local, _inner_faces(inside, local.dtype), geometry)
    return 1 - (1 - FLOOR) * (1 - _falling(xp.abs(laplacian), inside, CURVED))


def _away_from_edges(chi, inside, geometry):
    """Return 1 for faces across which `chi` changes little, down to 0 at its edges."""
    xp = array_namespace(chi)
    steepness = xp.abs(gradient(chi, geometry))
    faces = _inner_faces(inside, chi.dtype)
    ramps = [_falling(steepness[a, ...], faces[a, ...] > 0, STEEP) for a in range(3)]
    return xp.stack(ramps)


def _inner_faces(inside, dtype):
    """Return 1 for faces with the mask on both sides, else 0."""
    xp = array_namespace(inside)
    return xp.astype(xp.stack([inside & xp.roll(inside, -1, axis=a) for a in range(3)]), dtype)


def _falling(values, inside, quantiles):
    """Return a ramp from 1 at the lower of two quantiles to 0 at the upper, 0 outside."""
    xp = array_namespace(values)
    ranked = xp.sort(values[inside], stable=False)
    low, high = (float(ranked[int(q * (ranked.shape[0] - 1))]) for q in quantiles)
    ramp = (high - values) / (high - low) if high > low else xp.ones_like(values)
    return xp.where(inside, xp.clip(ramp, 0.0, 1.0), xp.zeros_like(values))


def _fast_map(local, inside, kernel, geometry):
    """Return a map without streaks, whose amplitudes are wrong but whose edges are not."""
    xp = array_namespace(local)
    shape = local.shape
    # The paper's power 0.001 of the kernel is its logarithm, once between quantiles.
    size = xp.log(xp.abs(kernel) + 1e-6)
    sharp = 1 - _falling(size, xp.ones_like(size) > 0, FAST)
    spectrum = sharp + (1 - sharp) * sphere_spectrum(local, geometry, SPHERE)
    chi_k = xp.sign(kernel) * rfftn(local)
    chi = xp.where(inside, irfftn(spectrum * chi_k, shape), 0.0)
    return xp.where(inside, irfftn(spectrum * rfftn(chi), shape), 0.0)


def _least_squares(local, weight2, kernel, ridge: float, iterations: int, tolerance: float):
    """Return the susceptibility that explains the field best, and is itself small."""
    shape = local.shape

    def apply(chi):
        predicted = irfftn(kernel * rfftn(chi), shape)
        return irfftn(kernel * rfftn(weight2 * predicted), shape) + ridge * chi

    chi, _ = conjugate_gradient(
        apply,
        irfftn(kernel * rfftn(weight2 * local), shape),
        precondition=lambda rest: irfftn(rfftn(rest) / (kernel**2 + ridge), shape),
        tolerance=tolerance,
        max_iterations=iterations,
    )
    return chi


def _streaks(chi, faces, ill, geometry, iterations: int, tolerance: float):
    """Return the part of `chi` in the ill-conditioned cone that makes it rough off edges."""
    xp = array_namespace(chi)
    shape = chi.shape
    ill = xp.astype(ill, chi.dtype)
    stiffness = laplacian_spectrum(chi, geometry)
    floor = 1e-3 * float(xp.max(stiffness))

    def rough(x):
        return irfftn(ill * rfftn(weighted_laplacian(x, faces, geometry)), shape)

    return conjugate_gradient(
        rough,
        rough(chi),
        precondition=lambda rest: irfftn(ill * rfftn(rest) / (stiffness + floor), shape),
        tolerance=tolerance,
        max_iterations=iterations,
    )
