"""No method cares how arrays lie in memory: nibabel hands out columns first, NumPy makes rows."""

import numpy as np
from phantoms import coordinates, make_head
import pytest

from qsmprep.methods.background import BACKGROUND_REMOVALS
from qsmprep.methods.echoes import OFFSETS
from qsmprep.methods.echoes.wrap import wrap
from qsmprep.methods.field import FIELD_FITS
from qsmprep.methods.inversion import INVERSIONS
from qsmprep.methods.masking import BRAIN_MASKS
from qsmprep.methods.relaxometry import RELAXOMETRY
from qsmprep.methods.unwrapping import UNWRAPPERS
from qsmprep.protocol import needed_arrays

HEAD = make_head((32, 32, 20))
X, *_ = coordinates(HEAD.mask.shape, HEAD.geometry.voxel_size)
PHASE = wrap(HEAD.phase + np.float32(0.3) * X.astype("f4"))  # more than a turn
BESIDES = {
    "noise": np.where(HEAD.mask, 1e-3, 0).astype("f4"),
    "magnitude": HEAD.magnitude[0],
    "csf": HEAD.mask & (HEAD.chi < 0),
    "white_matter": np.where(HEAD.mask & (HEAD.chi == 0), 1, 0).astype("f4"),
    "deep_grey": HEAD.mask & (HEAD.chi > 0),
    "quality": np.where(HEAD.mask, 1.0, 0.2).astype("f4"),
    "t1w_brain": HEAD.mask.astype("f4"),
    "given": HEAD.mask,
}
ECHOES = (HEAD.magnitude, HEAD.mask, HEAD.te)
LOCAL = (HEAD.local.astype("f4"), HEAD.mask, HEAD.geometry)
KINDS = {
    "offset": (OFFSETS, (PHASE, *ECHOES, HEAD.geometry)),
    "unwrapping": (UNWRAPPERS, (PHASE, *ECHOES)),
    "field": (FIELD_FITS, (HEAD.true_phase, *ECHOES)),
    "relaxometry": (RELAXOMETRY, ECHOES),
    "masking": (BRAIN_MASKS, (HEAD.magnitude[0], HEAD.geometry)),
    "background": (BACKGROUND_REMOVALS, LOCAL),
    "inversion": (INVERSIONS, LOCAL),
}
METHODS = [(kind, name) for kind, (methods, _) in KINDS.items() for name in methods]


def columns_first(x):
    return np.asfortranarray(x) if isinstance(x, np.ndarray) else x


@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_memory_order_does_not_matter(kind, name):
    methods, arrays = KINDS[kind]
    method = methods[name]
    besides = {array: BESIDES[array] for array in needed_arrays(method)}
    there = method(*arrays, **besides)
    turned = {array: columns_first(values) for array, values in besides.items()}
    again = method(*map(columns_first, arrays), **turned)
    if isinstance(there, tuple):
        there, again = there[0], again[0]
    # Sums in another order differ in their last digits, which iterations carry on.
    np.testing.assert_allclose(again, there, rtol=1e-3, atol=2e-3 * np.abs(there).max())
