"""What iterative methods share: solving normal equations, and telling how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from array_api_compat import array_namespace


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
        step = steep if step is None else steep + (power / former) * step
        image = apply(step)
        length = power / _dot(step, image)
        x = x + length * step
        rest = rest - length * image
        residual = _dot(rest, rest) ** 0.5 / size
    return x, Convergence(iteration, residual, residual <= tolerance)


def relative_change(new, old, inside=None) -> float:
    """Return the size of ``new - old`` relative to that of `new`, `inside` a mask if given."""
    if inside is not None:
        new, old = new * inside, old * inside
    difference = new - old
    size = _dot(new, new)
    return (_dot(difference, difference) / size) ** 0.5 if size else 0.0


def _dot(a, b) -> float:
    xp = array_namespace(a, b)
    return float(xp.sum(a * b))
