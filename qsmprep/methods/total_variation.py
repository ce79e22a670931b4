"""The splitting of total variation that ADMM inversions share."""

from __future__ import annotations

from array_api_compat import array_namespace, is_numpy_array
import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.jit import compiled
from qsmprep.methods.differences import divergence, gradient


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
            out = np.zeros_like(chi)
            _split_loop(chi, self.thresholds, self.dual, self.geometry.voxel_size, out)
            return out
        xp = array_namespace(chi)
        raw = gradient(chi, self.geometry) + self.dual
        size = xp.abs(raw) - self.thresholds
        shrunk = xp.where(size > 0, xp.copysign(size, raw), xp.zeros_like(raw))
        self.dual = raw - shrunk
        return divergence(shrunk - self.dual, self.geometry)


# Rows of voxels, as the compiler turns loops over them into vector instructions; and one pass
# over the volume, as memory is slower than arithmetic.


@compiled
def _split_loop(chi, thresholds, dual, voxel_size, out):
    """Shrink, update `dual` in place and add the divergence of ``z - s`` to `out`, zero so far."""
    nx, ny, nz = chi.shape
    real = chi.dtype.type  # or single precision would become double
    hx, hy, hz = real(1 / voxel_size[0]), real(1 / voxel_size[1]), real(1 / voxel_size[2])
    spread, ahead = np.empty(nz, chi.dtype), np.empty(nz, chi.dtype)
    for i in range(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            here = chi[i, j]
            _shrink_row(chi[i1, j], here, hx, thresholds[0, i, j], dual[0, i, j], spread)
            _flow(spread, out[i, j], out[i1, j])
            _shrink_row(chi[i, j1], here, hy, thresholds[1, i, j], dual[1, i, j], spread)
            _flow(spread, out[i, j], out[i, j1])
            ahead[:-1] = here[1:]
            ahead[-1] = here[0]
            _shrink_row(ahead, here, hz, thresholds[2, i, j], dual[2, i, j], spread)
            ahead[1:] = spread[:-1]
            ahead[0] = spread[-1]
            for k in range(nz):
                out[i, j, k] += spread[k] - ahead[k]


@compiled
def _shrink_row(ahead, here, inverse, thresholds, dual, spread):
    """Do so for the faces between two rows; `spread` takes ``z - s`` over their distance."""
    for k in range(here.size):
        raw = (ahead[k] - here[k]) * inverse + dual[k]
        kept = min(max(raw, -thresholds[k]), thresholds[k])
        dual[k] = kept
        spread[k] = (raw - kept - kept) * inverse


@compiled
def _flow(spread, here, ahead):
    """Add to one row what is taken from the next."""
    for k in range(spread.size):
        here[k] += spread[k]
        ahead[k] -= spread[k]
