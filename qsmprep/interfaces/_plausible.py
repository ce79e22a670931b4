"""What the voxels of a mask show to be wrong."""

from __future__ import annotations

import numpy as np

from qsmprep.errors import InputError
from qsmprep.interfaces._nifti import load


def check_mask(path: str) -> None:
    """
    Refuse a mask that holds nothing, or what is no number.

    Raises
    ------
    InputError
        If it does.
    """
    mask, _ = load(path)
    if np.isnan(mask).any():
        raise InputError(path, "holds NaN", "set them to 0")
    if not (mask > 0).any():
        raise InputError(path, "holds no voxel", "draw it again")
