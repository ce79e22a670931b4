"""The error that noise of the field leaves in the mean of a region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.methods.box import Box
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.inversion.tkd import MARGIN
from qsmprep.methods.regions.selection import Sample

DAMPING = 0.001
"""Of the linear inversion: halves what the dipole kernel makes a thirtieth as strong."""

LARGEST = 5.0
"""Medians that the noise of a voxel counts as at most: inversions pass over what is noisier."""


def errors_of_means(
    samples: Sequence[Sample], noise, measured, geometry: Geometry, *, damping: float = DAMPING
) -> list[float]:
    r"""
    Return the standard error of each sample's mean susceptibility, ppm.

    A mean :math:`w^T \chi` of a linear inversion :math:`\chi = A f` is linear in the field, and
    `A` is symmetric, so that independent noise of the field leaves

    .. math:: \sigma^2 = \sum_i (A w)_i^2 \sigma_i^2, \qquad
              A = M F^{-1} \frac{D}{D^2 + \lambda} F M

    in it, with the mask `M`. No approximation is made for noise that is correlated by the
    inversion. Regularised inversions are not linear; this is the error of a Tikhonov inversion
    with the damping given, which that of others resembles (docs/methods.md has the ratio). What
    background removal, residual background, labels and the reference add is not in it.

    Parameters
    ----------
    samples
        Voxels and weights of each mean; weights need not sum to one.
    noise : (X, Y, Z) real array
        Standard deviation of the field, ppm.
    measured : (X, Y, Z) boolean array
        Mask of the inversion.
    geometry : Geometry
        Voxel size and field direction.
    damping
        The :math:`\lambda` of the inversion, dimensionless.

    Returns
    -------
    errors : list of float
        NaN for a sample without voxels. NumPy only.
    """
    if not measured.any():
        return [np.nan] * len(samples)
    propagate = _Propagation(noise, measured, geometry, damping)
    return [propagate.error_of(sample) for sample in samples]


class _Propagation:
    """Noise, and the kernel that carries it to means, in the box of the mask."""

    def __init__(self, noise, measured, geometry: Geometry, damping: float):
        self.box = Box(measured, MARGIN)
        self.inside = self.box.cut(measured)
        sigma = self.box.cut(np.asarray(noise, dtype=np.float32))
        typical = np.median(sigma[self.inside])
        self.variance = np.minimum(sigma[self.inside], LARGEST * typical) ** 2
        kernel = dipole_kernel(sigma, geometry)
        self.inverse = kernel / (kernel**2 + np.float32(damping))
        self.sides: dict[int, np.ndarray] = {}

    def error_of(self, sample: Sample) -> float:
        if sample.voxels.size == 0:
            return np.nan
        share = self._share(sample)
        weight = sample.voxels.size if sample.weights is None else sample.weights.sum()
        return float(np.sqrt(np.dot(share * share, self.variance)) / weight)

    def _share(self, sample: Sample):
        """Return how much the field of each voxel in the mask counts in the weighted sum."""
        if len(sample.indices) == 2 and self.sides.keys() >= set(sample.indices):
            left, right = sample.indices  # what is linear need not be computed again
            return self.sides.pop(left) + self.sides.pop(right)
        indicator = np.zeros(self.box.full_shape, dtype=np.float32)
        indicator.ravel()[sample.voxels] = 1 if sample.weights is None else sample.weights
        share = self._invert(indicator)
        if sample.hemisphere in ("L", "R"):
            self.sides[sample.indices[0]] = share
        return share

    def _invert(self, indicator):
        spectrum = rfftn(self.box.cut(indicator))
        spectrum *= self.inverse
        return irfftn(spectrum, self.box.shape)[self.inside]
