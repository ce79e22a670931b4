"""Figures that say how well a reconstruction went."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from scipy.ndimage import convolve1d

from qsmprep.geometry import Geometry
from qsmprep.methods.dipole import dipole_kernel, frequencies
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.fft import rfftn
from qsmprep.methods.inversion.inconsistency import BAND, CONE, inconsistency
from qsmprep.methods.morphology import erode
from qsmprep.units import PPB_PER_PPM

EDGE_MM = 3.0
"""Depth of the shell that counts as the edge of a mask, mm."""

SHELLS = 8
"""Into how many parts the band of frequencies is cut for the streaking index."""


def measure_quality(
    *, brain, trusted, noise_hz, local, chi, geometry: Geometry
) -> dict[str, float]:
    """
    Measure what tells a good reconstruction from a bad one.

    Parameters
    ----------
    brain, trusted : (X, Y, Z) boolean arrays
        Brain, and where susceptibility is known. NumPy only.
    noise_hz : (X, Y, Z) real array
        Standard deviation of the total field, Hz.
    local : (X, Y, Z) real array
        Local field, ppm.
    chi : (X, Y, Z) real array
        Susceptibility, ppm, against the reference.
    geometry : Geometry
        Voxel size and field direction.

    Returns
    -------
    quality
        By names that end on their unit; ratios and fractions have none.
    """
    ml = geometry.voxel_volume / 1e3
    inside = trusted & brain
    edge, ratio = edge_spread(chi, trusted, geometry)
    return {
        "brain_volume_ml": float(brain.sum() * ml),
        "trusted_fraction": float(inside.sum() / brain.sum()),
        "median_field_noise_hz": float(np.median(noise_hz[trusted])),
        "local_field_sd_ppb": float(local[trusted].std() * PPB_PER_PPM),
        "field_inconsistency_ppb": inconsistency(local, trusted, geometry) * PPB_PER_PPM,
        "chi_sd_ppb": float(chi[trusted].std() * PPB_PER_PPM),
        "chi_skewness": skewness(chi, trusted, geometry),
        "whole_brain_mean_ppb": float(chi[inside].mean() * PPB_PER_PPM),
        "edge_sd_ppb": edge * PPB_PER_PPM,
        "edge_sd_ratio": ratio,
        "streaking_index": streaking_index(chi, trusted, geometry),
    }


def edge_spread(chi, mask, geometry: Geometry, *, depth: float = EDGE_MM) -> tuple[float, float]:
    """
    Spread of susceptibility in the outermost millimetres of its mask, and that over the inner one.

    What background removal leaves is strongest there (Schweser et al., 2017,
    doi:10.1002/nbm.3604). The spread is robust, half the distance of the 16th and the 84th
    percentile, because veins at the surface of the brain are no artefact.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility, ppm. NumPy only.
    mask : (X, Y, Z) boolean array
        Where it is known.
    geometry : Geometry
        Voxel size.
    depth
        Of the shell, mm.

    Returns
    -------
    spread : float
        Of the shell, ppm.
    ratio : float
        That over the spread of the rest.
    """
    inner = erode(mask, depth, geometry, border=True)
    shell = mask & ~inner
    if not inner.any():
        return _spread(chi[shell]), float("nan")
    return _spread(chi[shell]), _spread(chi[shell]) / max(_spread(chi[inner]), 1e-9)


def _spread(values) -> float:
    low, high = np.percentile(values, [15.9, 84.1])
    return float(high - low) / 2


def skewness(chi, mask, geometry: Geometry, *, depth: float = 8.0) -> float:
    """
    Robust skewness of susceptibility in the depth of the brain, from -1 to 1.

    Positive in every brain: iron-rich nuclei and veins make a tail on the paramagnetic side, and
    nothing makes one on the other. A map of the wrong sign has it negative.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility, ppm. NumPy only.
    mask : (X, Y, Z) boolean array
        Where it is known.
    geometry : Geometry
        Voxel size.
    depth
        Millimetres below the surface of the mask from which voxels count.
    """
    deep = erode(mask, depth, geometry, border=True)
    low, middle, high = np.percentile(chi[deep if deep.any() else mask], [0.5, 50, 99.5])
    return float((high + low - 2 * middle) / (high - low)) if high > low else 0.0


def streaking_index(chi, mask, geometry: Geometry) -> float:
    """
    Power of a map at the magic angle over its power at other angles and equal frequency.

    Where the dipole kernel vanishes the field says nothing, and noise and inconsistency that an
    inversion amplifies there become streaks along the magic angle (Shmueli et al., 2009,
    doi:10.1002/mrm.22135; Li et al., 2015, doi:10.1016/j.neuroimage.2014.12.043). Anatomy has no
    preferred direction of that kind, so that a map without streaks has about 1, one with streaks
    more, and one that is smoothed there, or not filled in, less. The ratio is the median over
    shells of equal frequency, because power falls steeply with frequency.

    Parameters
    ----------
    chi : (X, Y, Z) real array
        Susceptibility, ppm. NumPy only.
    mask : (X, Y, Z) boolean array
        Where it is known.
    geometry : Geometry
        Voxel size and field direction.

    Returns
    -------
    index
        Dimensionless.
    """
    centred = np.where(mask, chi - chi[mask].mean(), 0).astype(np.float32)
    power = np.abs(rfftn(centred)) ** 2
    kernel = np.abs(dipole_kernel(centred, geometry))
    kx, ky, kz = frequencies(chi.shape, geometry)
    radius = np.sqrt(kx**2 + ky**2 + kz**2)
    ends = np.linspace(*BAND, SHELLS + 1)
    ratios = []
    for low, high in pairwise(ends):
        shell = (radius >= low) & (radius < high)
        cone, other = shell & (kernel < CONE), shell & (kernel > 3 * CONE)
        if cone.any() and other.any() and power[other].mean() > 0:
            ratios.append(power[cone].mean() / power[other].mean())
    return float(np.median(ratios)) if ratios else float("nan")


def field_residual(phase, magnitude, field_hz, mask, te) -> float:
    r"""
    Phase that the fitted field leaves unexplained, rad: median over the mask.

    Of every voxel the root mean square over echoes, weighted by squared magnitude, of

    .. math:: \varphi_e - \varphi_0 - 2 \pi f t_e

    wrapped, where :math:`\varphi_0` is the weighted circular mean of the rest: what an offset
    explains is no error of the field.

    Parameters
    ----------
    phase : (E, X, Y, Z) real array
        Wrapped phase of every echo, rad. NumPy only.
    magnitude : (E, X, Y, Z) real array
        Any unit.
    field_hz : (X, Y, Z) real array
        What was fitted, Hz, with the sign of `phase`.
    mask : (X, Y, Z) boolean array
        Where it was.
    te : sequence of E floats
        Echo times, s.
    """
    weights = magnitude[:, mask].astype(np.float64) ** 2
    turns = 2 * np.pi * np.multiply.outer(np.asarray(te), field_hz[mask])
    rest = phase[:, mask] - turns
    offset = np.angle((weights * np.exp(1j * rest)).sum(axis=0))
    error = wrap(rest - offset)
    total = weights.sum(axis=0)
    known = total > 0
    return float(np.median(np.sqrt((weights * error**2).sum(axis=0)[known] / total[known])))


def signal_to_noise(magnitude, mask, geometry: Geometry) -> float:
    """
    Median magnitude over the standard deviation of its noise.

    Noise is what is left when second differences along all three axes have taken everything
    smooth away, after the two-dimensional estimate of Immerkær (1996,
    doi:10.1006/cviu.1996.0060); robust, from the median deviation, because edges are left, too.
    An image that was interpolated or filtered has less noise in it than its scanner measured.

    Parameters
    ----------
    magnitude : (X, Y, Z) real array
        One echo, any unit. NumPy only.
    mask : (X, Y, Z) boolean array
        Brain.
    geometry : Geometry
        Voxel size.
    """
    inner = erode(mask, 2 * max(geometry.voxel_size), geometry, border=True)
    rest = magnitude.astype(np.float64)
    for axis in range(3):
        rest = convolve1d(rest, [1.0, -2.0, 1.0], axis=axis)
    where = inner if inner.any() else mask
    noise = 1.4826 * np.median(np.abs(rest[where])) / 6**1.5
    return float(np.median(magnitude[where]) / noise) if noise > 0 else float("inf")


def measure_facts(facts: Mapping[str, object]) -> dict[str, object]:
    """
    Return what the stages said of themselves as figures: solvers, reference, sign of the phase.

    Parameters
    ----------
    facts
        ``BackgroundConvergence``, ``InversionConvergence``, ``Reference`` and ``PhaseSign``, as
        sidecars have them; what is missing has no figure.
    """
    figures: dict[str, object] = {}
    for stage in ("background", "inversion"):
        if isinstance(found := facts.get(f"{stage.capitalize()}Convergence"), Mapping):
            figures[f"{stage}_iterations"] = int(found["iterations"])
            figures[f"{stage}_residual"] = float(found["residual"])
            figures[f"{stage}_solver"] = "converged" if found["converged"] else "not converged"
    if isinstance(found := facts.get("Reference"), Mapping):
        for part in ("mean", "sd"):
            if isinstance(value := found.get(f"{part}_ppm"), int | float):
                figures[f"reference_{part}_ppb"] = float(value) * PPB_PER_PPM
        figures["reference_region"] = "another one" if "instead_of" in found else "as asked"
    if isinstance(found := facts.get("PhaseSign"), Mapping):
        against = (-1 if found["inverted"] else 1) != found["sign"]
        agree = "against the data" if against else "as the data say"
        figures["phase_sign"] = agree if found["agree"] else f"{agree}, which disagree"
    return figures
