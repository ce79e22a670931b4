"""What iterative methods share: solving normal equations, and telling how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from array_api_compat import array_namespace, is_numpy_array
import numpy as np

from qsmprep.jit import compiled

LANES = 256
"""Sums that a long sum is made of, so that it is quick and exact."""


@dataclass(frozen=True)
class Convergence:
    """
    How an iteration ended.

    Parameters
    ----------
    iterations
        Number of iterations done.
    residual
        What the tolerance is compared with: the relative change of the solution, or the
        relative residual of linear equations.
    converged
        Whether the residual fell below the tolerance, not merely the iterations ran out.
    """

    iterations: int
    residual: float
    converged: bool


def conjugate_gradient(
    apply: Callable,
    right,
    *,
    tolerance: float,
    max_iterations: int,
    start=None,
    precondition: Callable | None = None,
):
    """
    Solve linear equations with a symmetric, positive operator (Hestenes and Stiefel, 1952).

    Parameters
    ----------
    apply
        The operator, from array to array.
    right : array
        Right-hand side.
    tolerance
        Residual relative to the right-hand side at which to stop.
    max_iterations
        Iterations at most.
    start : array, optional
        First guess; zero by default.
    precondition
        Symmetric, positive approximation of the operator's inverse.

    Returns
    -------
    solution : array
        Like `right`.
    convergence : Convergence
    """
    xp = array_namespace(right)
    x = xp.zeros_like(right) if start is None else start
    rest = right if start is None else right - apply(start)
    size = _dot(right, right) ** 0.5
    residual = _dot(rest, rest) ** 0.5 / size if size else 0.0
    iteration, step, power = 0, None, 0.0
    while iteration < max_iterations and residual > tolerance:
        iteration += 1
        steep = precondition(rest) if precondition else rest
        former, power = power, _dot(rest, steep)
        step = steep if step is None else _plus(steep, power / former, step)
        image = apply(step)
        length = power / _dot(step, image)
        x = _plus(x, length, step)
        rest = _plus(rest, -length, image)
        residual = _dot(rest, rest) ** 0.5 / size
    return x, Convergence(iteration, residual, residual <= tolerance)


def relative_change(new, old, inside=None) -> float:
    """Return the size of ``new - old`` relative to that of `new`, `inside` a mask if given."""
    if is_numpy_array(new):
        change, size = _square_sums(new, old, inside)
    else:
        if inside is not None:
            new, old = new * inside, old * inside
        change, size = _dot(new - old, new - old), _dot(new, new)
    return (change / size) ** 0.5 if size else 0.0


@compiled
def _square_sums(new, old, inside):
    """Return the sums of the squares of ``new - old`` and of `new`."""
    nx, ny, nz = new.shape
    change, size = np.zeros(nz), np.zeros(nz)
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                value, former = new[i, j, k], old[i, j, k]
                if inside is not None:
                    value, former = value * inside[i, j, k], former * inside[i, j, k]
                change[k] += (value - former) ** 2
                size[k] += value**2
    return change.sum(), size.sum()


def _plus(a, factor: float, b):
    """Return ``a + factor * b``."""
    if not is_numpy_array(a):
        return a + factor * b
    out = np.empty(a.shape, a.dtype)
    _plus_loop(a.reshape(-1), a.dtype.type(factor), b.reshape(-1), out.reshape(-1))
    return out


@compiled
def _plus_loop(a, factor, b, out):
    for i in range(a.size):
        out[i] = a[i] + factor * b[i]


def _dot(a, b) -> float:
    if is_numpy_array(a):
        return _dot_loop(a.reshape(-1), b.reshape(-1))
    xp = array_namespace(a, b)
    return float(xp.sum(a * b))


@compiled
def _dot_loop(a, b):
    sums = np.zeros(LANES)
    whole = a.size - a.size % LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            sums[lane] += a[start + lane] * b[start + lane]
    for i in range(whole, a.size):
        sums[0] += a[i] * b[i]
    return sums.sum()
