import array_api_strict
import numpy as np
from phantoms import OBLIQUE, ball, coordinates, forward
import pytest

from qsmprep.geometry import Geometry
from qsmprep.methods.swi import (
    minimum_intensity_projection,
    susceptibility_weighted_image,
    weighting_echo,
)
from qsmprep.units import ppm_to_hz

SHAPE = (48, 48, 28)
MASK = ball(SHAPE, OBLIQUE.voxel_size, 20)


def vein(chi=0.45):
    """Return a vein along the main field, its field in Hz at 3 T, and a smooth background."""
    geometry = Geometry(OBLIQUE.voxel_size, (0.0, 0.0, 1.0))
    x, y, z = coordinates(SHAPE, geometry.voxel_size)
    inside = np.broadcast_to((np.hypot(x, y) < 1.5) & (z == z), SHAPE)
    field = ppm_to_hz(forward(np.where(inside, chi, 0).astype("f4"), geometry), 3.0)
    background = 20 + 1.5 * x + 0.05 * (x**2 - y**2) + 0 * z
    return geometry, inside & ball(SHAPE, geometry.voxel_size, 15), field + background


def weight(field, geometry, mask=MASK, **params):
    field = field.astype("f4")
    return susceptibility_weighted_image(
        field, np.ones_like(field), mask, geometry, **{"echo_time": 0.02} | params
    )


def test_veins_are_dark_and_tissue_is_not():
    geometry, inside, field = vein()
    image = weight(field, geometry)
    deep = ball(SHAPE, geometry.voxel_size, 15)
    away = deep & (np.hypot(*coordinates(SHAPE, geometry.voxel_size)[:2]) > 6)
    # A third of its susceptibility, 19 Hz, is 0.77 of half a turn; the high-pass takes some off.
    assert image[inside].mean() < 0.5
    assert np.median(image[away]) > 0.9


def test_what_repels_the_field_stays_bright():
    geometry, inside, field = vein(chi=-0.45)
    assert weight(field, geometry)[inside].min() > 0.99


def test_the_factor_is_that_of_the_paper():
    field = np.zeros(SHAPE, "f4")
    field[24, 24, 14] = 10.0  # Hz: 0.4 of half a turn after 20 ms
    image = weight(field, OBLIQUE, power=4)
    # The Gaussian mean takes a voxel's share, 2 mm³ of its 1000 mm³, off its own field.
    assert image[24, 24, 14] == pytest.approx((1 - 0.4) ** 4, rel=0.02)
    assert weight(field, OBLIQUE, power=1)[24, 24, 14] == pytest.approx(1 - 0.4, rel=0.01)
    assert weight(20 * field, OBLIQUE)[24, 24, 14] == 0


def test_a_constant_field_and_what_is_outside_the_mask_darken_nothing():
    field = np.where(MASK, 30.0, np.random.default_rng(0).normal(0, 100, SHAPE))
    np.testing.assert_allclose(weight(field, OBLIQUE), 1, atol=1e-4)


def test_weighting_is_proportional_to_the_magnitude():
    geometry, _, field = vein()
    magnitude = np.random.default_rng(0).uniform(0, 2, SHAPE).astype("f4")
    image = susceptibility_weighted_image(
        field.astype("f4"), magnitude, MASK, geometry, echo_time=0.02
    )
    np.testing.assert_allclose(image, magnitude * weight(field, geometry), rtol=1e-5)
    assert image.dtype == np.float32


@pytest.mark.parametrize(("thickness", "reached"), [(0.0, 1), (2.0, 1), (8.0, 4), (9.0, 4)])
def test_a_dark_voxel_shows_in_as_many_slices_as_the_slab_has(thickness, reached):
    image = np.ones(SHAPE, "f4")
    image[24, 24, 14] = 0.2
    projection = minimum_intensity_projection(
        image, np.ones(SHAPE, bool), OBLIQUE, thickness=thickness
    )
    (where,) = np.nonzero(projection[24, 24] < 1)
    assert where.size == reached
    assert abs(where.mean() - 14) <= 0.5
    assert (projection == np.float32(0.2)).sum() == reached


def test_only_voxels_that_count_are_projected():
    image = np.where(MASK, 1.0, 0.0).astype("f4")
    projection = minimum_intensity_projection(image, MASK, OBLIQUE, thickness=8.0)
    assert (projection[MASK] == 1).all()
    assert not projection[~MASK.any(axis=2)].any()


def test_any_array_library_gives_the_same():
    xp = array_api_strict
    geometry, _, field = vein()
    field = field.astype("f4")
    ones = np.ones_like(field)
    strict = susceptibility_weighted_image(
        xp.asarray(field), xp.asarray(ones), xp.asarray(MASK), geometry, echo_time=0.02
    )
    image = weight(field, geometry)
    np.testing.assert_allclose(np.asarray(strict), image, atol=1e-4)
    slabs = minimum_intensity_projection(strict, xp.asarray(MASK), geometry, thickness=8.0)
    expected = minimum_intensity_projection(image, MASK, geometry, thickness=8.0)
    np.testing.assert_allclose(np.asarray(slabs), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("te", "b0", "wanted", "expected"),
    [
        ((0.004, 0.012, 0.020, 0.028), 3.0, 0.0, (2, 0.020)),
        ((0.004, 0.012, 0.020, 0.028), 7.0, 0.0, (1, 0.06 / 7)),
        ((0.004, 0.012, 0.020, 0.028), 3.0, 0.025, (3, 0.025)),
        ((0.008,), 1.5, 0.0, (0, 0.040)),
    ],
)
def test_phase_is_taken_where_veins_show_at_any_field_strength(te, b0, wanted, expected):
    echo, echo_time = weighting_echo(te, b0, wanted)
    assert (echo, echo_time) == (expected[0], pytest.approx(expected[1]))
