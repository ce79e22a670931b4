"""Figures that say how well a reconstruction went."""

from __future__ import annotations

import numpy as np

from qsmprep.geometry import Geometry
from qsmprep.methods.inversion.inconsistency import inconsistency
from qsmprep.units import PPB_PER_PPM


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
        Susceptibility, ppm.
    geometry : Geometry
        Voxel size and field direction.

    Returns
    -------
    quality
        By names that end on their unit; fractions have none.
    """
    ml = geometry.voxel_volume / 1e3
    return {
        "brain_volume_ml": float(brain.sum() * ml),
        "trusted_fraction": float((trusted & brain).sum() / brain.sum()),
        "median_field_noise_hz": float(np.median(noise_hz[trusted])),
        "local_field_sd_ppb": float(local[trusted].std() * PPB_PER_PPM),
        "field_inconsistency_ppb": inconsistency(local, trusted, geometry) * PPB_PER_PPM,
        "chi_sd_ppb": float(chi[trusted].std() * PPB_PER_PPM),
    }
