"""Morphology is in millimetres, whatever the voxels."""

import numpy as np
import pytest

from qsmprep.geometry import Geometry
from qsmprep.methods.morphology import (
    closing,
    dilate,
    erode,
    fill_holes,
    largest_component,
    opening,
)

GEOMETRIES = [Geometry((1.0, 1.0, 1.0)), Geometry((1.4, 1.0, 2.0))]


def distance(geometry, extent=40.0):
    """Distance from the centre of a cubic volume, mm."""
    axes = [size * (np.arange(n := int(extent / size)) - n // 2) for size in geometry.voxel_size]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2)


def speckle(shape=(20, 24, 16), share=0.3):
    return np.random.default_rng(0).random(shape) < share


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(("change", "sign"), [(erode, -1), (dilate, 1)])
def test_a_ball_changes_its_radius(geometry, change, sign):
    r = distance(geometry)
    changed = change(r <= 12, 4, geometry)
    # Centres of voxels stand for the voxels: the new surface is true to one diagonal.
    slack = np.linalg.norm(geometry.voxel_size)
    assert changed[r <= 12 + 4 * sign - slack].all()
    assert not changed[r > 12 + 4 * sign + slack].any()


def test_long_voxels_are_crossed_in_fewer_steps():
    point = np.zeros((9, 9, 9), dtype=bool)
    point[4, 4, 4] = True
    grown = np.argwhere(dilate(point, 2.0, Geometry((0.5, 1.0, 2.0)))) - 4
    np.testing.assert_array_equal(grown.max(axis=0), [4, 2, 1])


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_erosion_is_dilation_of_the_complement(geometry):
    mask = speckle(share=0.9)
    np.testing.assert_array_equal(erode(mask, 2, geometry), ~dilate(~mask, 2, geometry))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_closing_only_adds_and_opening_only_removes_once(geometry):
    mask = speckle()
    closed, opened = closing(mask, 2, geometry), opening(mask, 1.5, geometry)
    assert (closed >= mask).all()
    assert (opened <= mask).all()
    np.testing.assert_array_equal(closing(closed, 2, geometry), closed)
    np.testing.assert_array_equal(opening(opened, 1.5, geometry), opened)


def test_the_border_erodes_on_request_only():
    full = np.ones((5, 5, 5), dtype=bool)
    assert erode(full, 1, GEOMETRIES[0]).all()
    assert erode(full, 1, GEOMETRIES[0], border=True).sum() == 27


def test_a_radius_of_zero_changes_nothing():
    mask = speckle()
    for change in (erode, dilate, opening, closing):
        np.testing.assert_array_equal(change(mask, 0, GEOMETRIES[1]), mask)


def test_a_negative_radius_is_named():
    with pytest.raises(ValueError, match=r"-1 mm"):
        dilate(speckle(), -1, GEOMETRIES[0])


def test_nothing_stays_nothing():
    nothing = np.zeros((4, 4, 4), dtype=bool)
    for change in (erode, dilate, opening, closing):
        assert not change(nothing, 2, GEOMETRIES[0]).any()
    assert not largest_component(nothing).any()
    assert not fill_holes(nothing).any()


def test_corners_do_not_connect():
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[:2, :2, :2] = True
    mask[2:5, 2:5, 2:5] = True
    assert largest_component(mask).sum() == 27


def test_cavities_are_filled_and_bays_are_not():
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[1:8, 1:8, 1:8] = True
    solid = mask.copy()
    mask[3, 3, 3] = False
    np.testing.assert_array_equal(fill_holes(mask), solid)
    mask[3, 3, 3:] = False
    np.testing.assert_array_equal(fill_holes(mask), mask)
