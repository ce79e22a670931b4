"""What iterative methods tell about themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Convergence:
    """
    How an iteration ended.

    Parameters
    ----------
    iterations
        Number of iterations done.
    residual
        Relative change of the solution in the last one.
    converged
        Whether the residual fell below the tolerance, not merely the iterations ran out.
    """

    iterations: int
    residual: float
    converged: bool
