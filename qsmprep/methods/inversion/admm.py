"""Total variation under any fidelity to the field, by ADMM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from array_api_compat import array_namespace

from qsmprep.geometry import Geometry
from qsmprep.methods.differences import laplacian_spectrum
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.solvers import Convergence, relative_change
from qsmprep.methods.total_variation import GradientSplit

PENALTY = 0.5
"""Of the gradient splitting, per unit of regularisation: changes the speed, not the solution."""


class Fidelity(Protocol):
    """
    The part of an objective that holds the data, as the update of `chi` sees it.

    The update minimises ``1/2 <chi, normal chi> - <right, chi>`` in k-space. Between updates, a
    fidelity that is not quadratic there replaces its `right`.
    """

    normal: object
    right: object

    def update(self, chi_k) -> None:
        """Take the spectrum of the new `chi`."""


class SpectralFidelity:
    """
    A quadratic fidelity that is diagonal in k-space.

    Parameters
    ----------
    normal, right : (X, Y, Z // 2 + 1) arrays
        Of its normal equations ``normal chi = right``.
    """

    def __init__(self, normal, right):
        self.normal, self.right = normal, right

    def update(self, chi_k) -> None:
        """Do nothing: the normal equations stay."""


class FieldFidelity:
    """
    A fidelity voxel by voxel, on the splitting ``predicted = D * chi`` of penalty 1.

    Parameters
    ----------
    kernel : (X, Y, Z // 2 + 1) array
        Dipole kernel.
    pull
        Proximal operator of the misfit, from (X, Y, Z) array to (X, Y, Z) array, ppm: what field
        is close both to its argument and to the data.
    start : (X, Y, Z) array
        Susceptibility that the iteration starts from, ppm.
    """

    def __init__(self, kernel, pull: Callable, start):
        self.kernel, self.pull, self.shape = kernel, pull, start.shape
        self.normal = kernel**2
        self.dual = array_namespace(start).zeros_like(start)
        self.update(rfftn(start))

    def update(self, chi_k) -> None:
        """Pull the field of the new `chi` towards the data."""
        self.right = self.kernel * rfftn(self._target(irfftn(self.kernel * chi_k, self.shape)))

    def _target(self, field):
        pulled = field + self.dual
        predicted = self.pull(pulled)
        self.dual = pulled - predicted
        return predicted - self.dual


def minimise_variation(
    fidelity: Fidelity,
    costs,
    start,
    geometry: Geometry,
    *,
    inside,
    penalty: float,
    max_iterations: int,
    tolerance: float,
    damping: float = 0.0,
):
    """
    Minimise a fidelity plus total variation.

    Parameters
    ----------
    fidelity : Fidelity
        What ties susceptibility to the field.
    costs : (3, X, Y, Z) array
        Of a gradient through each voxel face, ppm mm.
    start : (X, Y, Z) array
        First guess, ppm.
    geometry : Geometry
        Voxel size.
    inside : (X, Y, Z) array
        1 where the change of susceptibility is watched, else 0.
    penalty
        Of the splitting ``gradient(chi)``, mm².
    max_iterations
        Iterations at most.
    tolerance
        Relative change of susceptibility at which to stop.
    damping
        Weight of half the squared norm of susceptibility, relative to the fidelity's.

    Returns
    -------
    chi : (X, Y, Z) array
        ppm.
    convergence : Convergence
    """
    split = GradientSplit(costs / penalty, geometry)
    normal = fidelity.normal + penalty * laplacian_spectrum(start, geometry) + (damping + 1e-8)
    # No field shows the mean; divided by next to nothing, it would be rounding made large.
    normal[0, 0, 0] = 1.0
    inverse = 1 / normal
    chi, change, iteration = start, float("inf"), 0
    while iteration < max_iterations and change > tolerance:
        iteration += 1
        previous = chi
        chi_k = (fidelity.right - penalty * rfftn(split(chi))) * inverse
        fidelity.update(chi_k)
        chi = irfftn(chi_k, start.shape)
        change = relative_change(chi, previous, inside)
    return chi, Convergence(iteration, change, change <= tolerance)
