"""Threshold-free cluster enhancement is the integral, and clusters are what touches."""

from nilearn.mass_univariate._utils import calculate_cluster_measures, calculate_tfce
import numpy as np
import pytest
from scipy import ndimage

from qsmprep.statistics.tfce import CONNECTIVITIES, clusters, neighbours, tfce

RNG = np.random.default_rng(7)


def smooth_scores(shape=(12, 14, 11), sigma=1.2):
    volume = ndimage.gaussian_filter(RNG.normal(size=shape), sigma)
    return volume / volume.std()


def everywhere(volume, connectivity=6, **keys):
    """Return the enhancement of a whole volume."""
    beside = neighbours(np.ones(volume.shape, dtype=bool), connectivity)
    return tfce(volume.ravel(), beside, **keys).reshape(volume.shape)


@pytest.mark.parametrize(("extent", "height"), [(0.5, 2.0), (1.0, 1.0), (0.3, 1.7)])
def test_a_box_has_the_integral_on_paper(extent, height):
    volume = np.zeros((9, 9, 9))
    volume[2:5, 3:7, 1:3] = 4.0  # 24 voxels of one height
    found = everywhere(volume, extent=extent, height=height)
    expected = 24**extent * 4.0 ** (height + 1) / (height + 1)
    np.testing.assert_allclose(found[volume > 0], expected, rtol=1e-12)
    assert np.all(found[volume == 0] == 0)


def test_steps_add_up_from_the_ground_to_each_voxel():
    volume = np.zeros((1, 1, 5))
    volume[0, 0] = [1, 3, 2, 0, 5]
    one, three, two = np.sqrt([1, 2, 3])  # extents as the height falls: 1, 2 and 3 voxels
    low = three_voxels = two * (1**3 - 0) / 3
    middle = low + three * (2**3 - 1**3) / 3
    high = middle + one * (3**3 - 2**3) / 3
    expected = [three_voxels, high, middle, 0, 5**3 / 3]
    np.testing.assert_allclose(everywhere(volume)[0, 0], expected, rtol=1e-12)


def test_a_cone_has_the_integral_of_its_cross_sections():
    # A pyramid in the city-block distance: above h lie 2r² + 2r + 1 voxels for the ring r below.
    grid = np.abs(np.indices((21, 21)) - 10).sum(axis=0)
    volume = np.maximum(8.0 - grid, 0)[None]
    heights = np.arange(8, 0, -1)  # extents between heights h - 1 and h
    rings = 8 - heights
    parts = np.sqrt(2 * rings**2 + 2 * rings + 1) * (heights**3 - (heights - 1) ** 3) / 3
    np.testing.assert_allclose(everywhere(volume)[0, 10, 10], parts.sum(), rtol=1e-12)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_it_is_the_limit_of_sums_over_steps(connectivity):
    volume = smooth_scores()
    steps = 1000
    structure = ndimage.generate_binary_structure(3, CONNECTIVITIES[connectivity])
    height = np.abs(volume).max() / steps
    sums = calculate_tfce(volume[..., None], structure, dh=height)[..., 0] * height
    # A sum of steps that ends above each score is off by up to a step's share of the integral.
    np.testing.assert_allclose(
        everywhere(volume, connectivity), sums, atol=3e-3 * np.abs(sums).max()
    )


def test_signs_are_enhanced_alike_and_apart():
    volume = smooth_scores()
    found = everywhere(volume)
    np.testing.assert_array_equal(everywhere(-volume), -found)
    one_sided = everywhere(volume, two_sided=False)
    np.testing.assert_array_equal(one_sided[volume > 0], found[volume > 0])
    assert np.all(one_sided[volume <= 0] == 0)
    assert np.all(np.sign(found) == np.sign(volume))


def test_it_scales_with_the_cube_of_scores():
    volume = smooth_scores()
    np.testing.assert_allclose(everywhere(2 * volume), 8 * everywhere(volume), rtol=1e-12)


def test_moving_or_turning_the_volume_moves_or_turns_the_result():
    volume = smooth_scores()
    turned = np.transpose(volume[::-1], (2, 0, 1)).copy()
    np.testing.assert_allclose(
        everywhere(turned), np.transpose(everywhere(volume)[::-1], (2, 0, 1)), rtol=1e-12
    )


def test_more_neighbours_never_enhance_less():
    volume = smooth_scores()
    six, eighteen, all_of_them = (np.abs(everywhere(volume, c)) for c in (6, 18, 26))
    assert np.all(six <= eighteen + 1e-9)
    assert np.all(eighteen <= all_of_them + 1e-9)
    assert all_of_them.sum() > six.sum()


def test_what_is_outside_the_mask_joins_nothing():
    mask = np.ones((3, 3, 5), dtype=bool)
    mask[:, :, 2] = False
    beside = neighbours(mask, 26)
    found = tfce(np.full(mask.sum(), 2.0), beside)
    np.testing.assert_allclose(found, np.sqrt(18) * 8 / 3, rtol=1e-12)  # two slabs of 18


def test_neighbours_touch_both_ways_and_as_often_as_geometry_says():
    for connectivity in CONNECTIVITIES:
        beside = neighbours(np.ones((4, 5, 6), dtype=bool), connectivity)
        pairs = {(i, int(j)) for i, row in enumerate(beside) for j in row if j >= 0}
        assert {(j, i) for i, j in pairs} == pairs
        assert max(np.bincount([i for i, _ in pairs])) == connectivity


def test_clusters_have_the_size_and_mass_that_nilearn_finds():
    volume = smooth_scores()
    beside = neighbours(np.ones(volume.shape, dtype=bool), 6)
    labels, sizes, masses = clusters(volume.ravel(), 1.3, beside)
    structure = ndimage.generate_binary_structure(3, 1)
    size, mass = calculate_cluster_measures(volume[..., None], 1.3, structure, True)
    assert sizes.max() == size[0]
    assert masses.max() == pytest.approx(mass[0], rel=1e-12)
    expected = sum(ndimage.label(sign * volume > 1.3, structure)[1] for sign in (1, -1))
    assert len(sizes) == labels.max() == expected


def test_nothing_above_the_threshold_is_no_cluster():
    beside = neighbours(np.ones((3, 3, 3), dtype=bool), 6)
    labels, sizes, masses = clusters(np.zeros(27), 2.0, beside)
    assert not labels.any()
    assert sizes.size == masses.size == 0
