"""The splitting of total variation that ADMM inversions share."""

from __future__ import annotations

from array_api_compat import array_namespace, is_numpy_array
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.methods.differences import divergence, gradient
from qsmprep.methods.jit import compiled


class GradientSplit:
    """
    The variable ``z = gradient(chi)`` of ADMM with its scaled dual ``s``.

    A call takes the new `chi`, shrinks ``gradient(chi) + s`` into ``z``, updates ``s`` and
    returns ``divergence(z - s)``, (X, Y, Z), all that the update of `chi` needs of them.

    Parameters
    ----------
    thresholds : (3, X, Y, Z) array
        Of the shrinkage, unit of `chi` per mm. May be replaced between calls.
    geometry : Geometry
        Voxel size, mm.
    """

    def __init__(self, thresholds, geometry: Geometry):
        xp = array_namespace(thresholds)
        self.thresholds, self.geometry = thresholds, geometry
        self.dual = xp.zeros_like(thresholds)

    def __call__(self, chi):
        """Shrink, update the dual, and return what the next update of `chi` needs."""
        if is_numpy_array(chi):
            spread = _shrink_loop(chi, self.thresholds, self.dual, self.geometry.voxel_size)
            return _divergence_loop(spread, self.geometry.voxel_size)
        xp = array_namespace(chi)
        raw = gradient(chi, self.geometry) + self.dual
        size = xp.abs(raw) - self.thresholds
        shrunk = xp.where(size > 0, xp.copysign(size, raw), xp.zeros_like(raw))
        self.dual = raw - shrunk
        return divergence(shrunk - self.dual, self.geometry)


@compiled
def _shrink_loop(chi, thresholds, dual, voxel_size):
    """Shrink ``gradient(chi) + dual``, update `dual` in place and return their difference."""
    nx, ny, nz = chi.shape
    hx, hy, hz = 1 / voxel_size[0], 1 / voxel_size[1], 1 / voxel_size[2]
    spread = np.empty_like(dual)
    for i in range(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k in range(nz):
                k1 = k + 1 if k + 1 < nz else 0
                here = chi[i, j, k]
                steps = (
                    (chi[i1, j, k] - here) * hx,
                    (chi[i, j1, k] - here) * hy,
                    (chi[i, j, k1] - here) * hz,
                )
                for a in range(3):
                    raw = steps[a] + dual[a, i, j, k]
                    limit = thresholds[a, i, j, k]
                    kept = min(max(raw, -limit), limit)
                    dual[a, i, j, k] = kept
                    spread[a, i, j, k] = raw - kept - kept
    return spread


@compiled
def _divergence_loop(g, voxel_size):
    """Return the backward differences of `g`, summed over the axes, periodic."""
    _, nx, ny, nz = g.shape
    hx, hy, hz = 1 / voxel_size[0], 1 / voxel_size[1], 1 / voxel_size[2]
    out = np.empty(g.shape[1:], g.dtype)
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                # A negative index is the last voxel, as periodicity wants.
                out[i, j, k] = (
                    (g[0, i, j, k] - g[0, i - 1, j, k]) * hx
                    + (g[1, i, j, k] - g[1, i, j - 1, k]) * hy
                    + (g[2, i, j, k] - g[2, i, j, k - 1]) * hz
                )
    return out
