import numpy as np
from phantoms import OBLIQUE, ball, make_head
import pytest

from qsmprep.methods.masking.phase_quality import trusted_mask
from qsmprep.methods.unwrapping.romeo import voxel_quality

SHAPE = (48, 48, 28)
BRAIN = ball(SHAPE, OBLIQUE.voxel_size, 20)


def quality_of(head):
    return voxel_quality(head.phase, head.magnitude, head.te)


def test_clean_phase_is_trusted_throughout():
    head = make_head(SHAPE)
    trusted = trusted_mask(BRAIN, quality_of(head))
    # What is lost is a part of the outermost voxels, whose neighbours are noise.
    assert trusted.sum() > 0.9 * BRAIN.sum()
    assert not (trusted & ~BRAIN).any()


def test_incoherent_phase_at_the_surface_is_left_out_and_inside_is_kept():
    head = make_head(SHAPE)
    rng = np.random.default_rng(0)
    surface = ball(SHAPE, OBLIQUE.voxel_size, 6, (16, 0, 0)) & BRAIN
    inside = ball(SHAPE, OBLIQUE.voxel_size, 4, (-4, 0, 0))
    for region in (surface, inside):
        size = (len(head.te), int(region.sum()))
        head.phase[:, region] = rng.uniform(-np.pi, np.pi, size)
    trusted = trusted_mask(BRAIN, quality_of(head))
    assert trusted[surface].mean() < 0.35  # its own rim borders on good voxels
    assert trusted[inside].all()


def test_a_brain_of_noise_is_refused():
    rng = np.random.default_rng(0)
    quality = rng.uniform(0.2, 0.3, SHAPE)
    quality[:4] = 0.9
    with pytest.raises(ValueError, match="incoherent"):
        trusted_mask(BRAIN, quality)
