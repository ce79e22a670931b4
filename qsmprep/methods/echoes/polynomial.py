"""The receive phase as a polynomial of position."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.polynomial.legendre import legvander

from qsmprep.methods.box import Box
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.echoes.zero import phase_at_zero, weight_at_zero

SAMPLES = 100_000
"""Voxels that are fitted, spread evenly; more do not change what a few dozen numbers say."""
STEPS = 20


def polynomial(phase, magnitude, mask, te, geometry, *, order: int = 4):  # noqa: ARG001
    r"""
    Receive-phase offset by a polynomial in space, fitted to complex numbers.

    .. math:: \max_p \sum_r w \cos(\varphi_0(r) - p(r))

    :math:`\varphi_0` is the phase at an echo time of zero, as the first two echoes tell it
    (Eckstein et al., 2018, doi:10.1002/mrm.26963), and the weight :math:`w` is the inverse of
    its variance. Neither wraps nor voxels unwrapped wrongly pull the fit. It starts from the
    polynomial whose gradients are the wrapped differences of neighbours.

    Parameters
    ----------
    phase : (E, X, Y, Z) float32 array
        Wrapped phase of every echo, rad. NumPy only.
    magnitude : (E, X, Y, Z) float32 array
        Any unit.
    mask : (X, Y, Z) boolean array
        Where there is signal.
    te : sequence of E floats
        Echo times, s.
    geometry : Geometry
        Voxel size, mm; not used, as a polynomial is one at any size of voxel.
    order
        Highest sum of the powers of x, y and z.

    Returns
    -------
    offset : (X, Y, Z) float32 array
        rad, wrapped; zero outside the mask.

    Raises
    ------
    ValueError
        If there are fewer than two echoes, or the order is negative.
    """
    zero = phase_at_zero(phase, magnitude, mask, te)
    return fit_polynomial(zero, weight_at_zero(magnitude, te), mask, order)


def fit_polynomial(phase, weight, mask, order: int):
    """
    Fit a polynomial of position to phase, whatever its wraps.

    Parameters
    ----------
    phase : (X, Y, Z) float32 array
        rad. NumPy only.
    weight : (X, Y, Z) float32 array
        What a voxel counts.
    mask : (X, Y, Z) boolean array
        Where to fit.
    order
        Highest sum of the powers of x, y and z.

    Returns
    -------
    fitted : (X, Y, Z) float32 array
        rad, wrapped; zero outside the mask.

    Raises
    ------
    ValueError
        If the order is negative.
    """
    if order < 0:
        raise ValueError(f"order {order} of a polynomial: choose 0 or more")
    slices = Box(mask, (0, 0, 0)).slices
    inside = mask[slices]
    signal = np.exp(1j * phase[slices])
    signal *= weight[slices]
    signal[~inside] = 0
    powers = [p for p in product(range(order + 1), repeat=3) if sum(p) <= order]
    tables = [legvander(np.linspace(-1, 1, n), order) for n in inside.shape]

    seen = np.flatnonzero(signal)
    seen = seen[:: max(1, len(seen) // SAMPLES)]
    chosen = np.stack(np.unravel_index(seen, signal.shape))
    basis = _evaluate(tables, powers, chosen)
    values = signal[tuple(chosen)]
    coefficients = _from_gradients(signal, tables, powers, chosen)
    coefficients[0] = np.angle(np.sum(values * np.exp(-1j * (basis @ coefficients))))
    normal = basis.T @ (np.abs(values)[:, None] * basis)
    for _ in range(STEPS):
        left = values * np.exp(-1j * (basis @ coefficients))
        step = np.linalg.lstsq(normal, basis.T @ left.imag, rcond=1e-9)[0]
        coefficients += step
        if np.abs(step).max() < 1e-4:  # rad
            break

    cube = np.zeros((order + 1,) * 3)
    cube[tuple(np.transpose(powers))] = coefficients
    fitted = np.zeros(mask.shape, np.float32)
    factors = (x.astype(np.float32) for x in (cube, *tables))
    found = np.einsum("abc,ia,jb,kc->ijk", *factors, optimize=True)
    fitted[slices] = np.where(inside, wrap(found), 0)
    return fitted


def _evaluate(tables, powers, voxels):
    """Return every term of the polynomial, a column each, at some voxels."""
    return np.stack(
        [np.prod([t[v, n] for t, v, n in zip(tables, voxels, p, strict=True)], 0) for p in powers],
        axis=1,
    )


def _from_gradients(signal, tables, powers, chosen):
    """Return the coefficients whose differences between neighbours are those of the phase."""
    count = len(powers)
    normal, right = np.zeros((count, count)), np.zeros(count)
    here = _evaluate(tables, powers, chosen)
    for axis in range(3):
        after = chosen.copy()
        after[axis] = np.minimum(after[axis] + 1, signal.shape[axis] - 1)
        pair = signal[tuple(after)] * np.conj(signal[tuple(chosen)])  # zero outside the mask
        slope = _evaluate(tables, powers, after) - here
        weight = np.abs(pair)
        normal += slope.T @ (weight[:, None] * slope)
        right += slope.T @ (weight * np.angle(pair))
    return np.linalg.lstsq(normal, right, rcond=1e-9)[0]
