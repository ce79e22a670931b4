"""One susceptibility map of two: the better where it is known, the other elsewhere."""

from __future__ import annotations

import numpy as np


def fill_first_pass(first, reliable, second, mask):
    """
    Susceptibility of two passes (Stewart et al., 2022, doi:10.1002/mrm.29048).

    The first pass leaves out what has no coherent phase, as strong sources do, so that their
    streaks do not reach the tissue around them; the second fills its holes. This differs from
    there in that the two are brought to one zero, their mean over the voxels they share: each is
    known up to a constant only.

    Parameters
    ----------
    first : (X, Y, Z) real array
        Susceptibility computed in the mask with holes, ppm. NumPy only.
    reliable : (X, Y, Z) boolean array
        Where `first` is known.
    second : (X, Y, Z) real array
        Susceptibility computed in the filled mask, ppm.
    mask : (X, Y, Z) boolean array
        Where `second` is known.

    Returns
    -------
    chi : (X, Y, Z) real array
        ppm, with the zero of `second`.

    Raises
    ------
    ValueError
        If they share no voxel.
    """
    shared = reliable & mask
    if not shared.any():
        raise ValueError("the first pass is known nowhere; its mask may have too many holes")
    shift = (second[shared] - first[shared]).mean(dtype=np.float64)
    return np.where(shared, first + np.asarray(shift, dtype=first.dtype), second)
