"""Lesions are counted, and followed through time."""

from dataclasses import replace
from itertools import permutations, product
import os
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from qsmprep.geometry import Geometry
from qsmprep.methods.lesions import (
    LesionMaps,
    LesionRules,
    find_lesions,
    follow_labels,
    match_lesions,
    measure_lesions,
    replace_regions,
    volumes_of,
)

DATA = Path(os.environ.get("QSMPREP_TEST_DATA", Path(__file__).parents[2] / "shared/data"))
CUBE = Geometry((1.0, 1.0, 1.0))


def test_what_touches_by_a_corner_is_one_lesion_and_crumbs_are_none():
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[1:3, 1:3, 1:3] = mask[3:5, 3:5, 3:5] = True
    mask[8, 8, 8:11] = True
    mask[10, 1, 1] = mask[10, 1, 2] = True
    found = find_lesions(mask, CUBE)
    assert found.volumes_mm3 == {1: 16.0, 2: 3.0}
    assert found.dropped_mm3 == (2.0,)
    assert volumes_of(found.labels, CUBE) == found.volumes_mm3
    # Voxel sizes as float32 headers have them: three voxels still have 3 mm³.
    rounded = Geometry((float(np.float32(0.1) * 10), 0.9999999, 0.9999999))
    assert len(find_lesions(mask, rounded).volumes_mm3) == 2


def test_numbers_do_not_depend_on_how_the_axes_run():
    mask = np.random.default_rng(0).random((20, 20, 20)) > 0.93
    found = find_lesions(mask, CUBE)
    flipped = find_lesions(mask[::-1].transpose(2, 0, 1), CUBE)
    assert flipped.volumes_mm3 == found.volumes_mm3
    np.testing.assert_array_equal(flipped.labels.transpose(1, 2, 0)[::-1] == 1, found.labels == 1)


def test_numbers_of_a_reader_are_kept():
    image = np.zeros((9, 9, 9), dtype=np.uint8)
    image[0, 0, 0], image[4:8, 4:8, 4:8], image[0, 4, 4] = 12, 3, 12
    found = find_lesions(image, Geometry((1.0, 1.0, 2.0)))
    np.testing.assert_array_equal(found.labels, image)
    assert found.volumes_mm3 == {3: 128.0, 12: 4.0}
    assert find_lesions(np.zeros((3, 3, 3), bool), CUBE).volumes_mm3 == {}
    with pytest.raises(ValueError, match="booleans or integers, not float64"):
        find_lesions(image.astype(float), CUBE)
    with pytest.raises(ValueError, match="number -12"):
        find_lesions(-image.astype(int), CUBE)


@pytest.mark.skipif(not (DATA / "lesions").is_dir(), reason="needs the lesion masks")
def test_lesions_of_a_person_are_counted_and_measured_exactly():
    (path,) = (DATA / "lesions").glob("*GOLD_STANDARD*")
    image = nb.load(path)
    mask = np.asanyarray(image.dataobj) > 0
    geometry = Geometry.from_affine(image.affine)
    found = find_lesions(mask, geometry, minimum_mm3=0)
    # Counted another way: voxel by voxel, from neighbour to neighbour.
    left, sizes = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        front, size = [left.pop()], 0.0
        while front:
            x, y, z = front.pop()
            size += 1
            near = {(x + i, y + j, z + k) for i, j, k in product((-1, 0, 1), repeat=3)} & left
            left -= near
            front += near
        sizes.append(size)
    assert sorted(found.volumes_mm3.values()) == sorted(sizes)
    assert len(found.volumes_mm3) == 19
    assert sum(found.volumes_mm3.values()) == 8227.0
    every = np.ones(mask.shape, dtype=bool)
    maps = LesionMaps(np.zeros(mask.shape), every, every, every, geometry)
    rows = measure_lesions(found.labels, maps, LesionRules())
    assert {row.lesion: row.chi.volume_mm3 for row in rows} == found.volumes_mm3
    assert all(row.chi.n_voxels == row.chi.volume_mm3 for row in rows)


def _history():
    """Sessions a, b, c: 1 stays, 2 and 3 merge, 4 splits, 5 goes, 6 comes."""
    a, b, c = (np.zeros((60, 12, 12), dtype=np.int32) for _ in range(3))
    for image in (a, b, c):
        image[1:9, 2:10, 2:10] = 7
    a[12:18, 3:8, 3:8], a[20:25, 3:8, 3:8] = 1, 2
    b[12:25, 3:8, 3:8] = c[12:25, 3:8, 3:8] = 5
    a[30:39, 3:7, 3:7] = 9
    b[30:33, 3:7, 3:7], b[36:39, 3:7, 3:7] = 2, 3
    c[30:33, 3:7, 3:7] = 8
    a[44:47, 3:7, 3:7] = 4
    b[52:55, 3:7, 3:7] = c[52:56, 3:7, 3:7] = 11
    return {"a": a, "b": b, "c": c}


def test_lesions_are_followed_through_all_that_can_happen_to_them():
    images = _history()
    matched = match_lesions(images, "abc", CUBE)
    states: dict[int, list[str]] = {}
    for state in matched.states:
        states.setdefault(state.lesion, []).append(state.state)
    assert states == {
        1: ["baseline", "persistent", "persistent"],
        2: ["baseline", "merged", "merged"],
        3: ["baseline", "split", "persistent"],
        4: ["baseline", "merged", "merged"],
        5: ["baseline", "vanished", "vanished"],
        6: ["absent", "new", "persistent"],
    }
    rows = {(state.lesion, state.session): state for state in matched.states}
    assert rows[2, "b"].merged_with == (4,)
    assert rows[2, "b"].parts == rows[4, "b"].parts == (5,)
    assert rows[3, "b"].parts == (2, 3)
    # The gap between two lesions goes to the nearest: two slices, one each.
    assert rows[2, "b"].n_voxels == 7 * 25
    assert rows[4, "b"].n_voxels == 6 * 25
    for session, image in images.items():
        np.testing.assert_array_equal(matched.sessions[session] > 0, image > 0)
    # The fixed region is that of the first session, whatever came later.
    np.testing.assert_array_equal((matched.regions > 0) & (matched.regions < 6), images["a"] > 0)
    np.testing.assert_array_equal(matched.regions == 6, images["b"] == 11)


def test_neither_the_order_of_processing_nor_the_labels_matter():
    images = _history()
    expected = match_lesions(images, "abc", CUBE)
    rng = np.random.default_rng(0)
    for order in permutations(images):
        renumbered = {}
        for session in order:
            numbers = np.append(0, 1 + rng.permutation(20))
            renumbered[session] = numbers[images[session]].astype(np.int32)
        found = match_lesions(renumbered, "abc", CUBE)
        without = [replace(state, parts=()) for state in found.states]
        assert without == [replace(state, parts=()) for state in expected.states]
        np.testing.assert_array_equal(found.regions, expected.regions)
        for session in images:
            np.testing.assert_array_equal(found.sessions[session], expected.sessions[session])


def test_a_lesion_that_comes_back_is_the_same_and_a_neighbour_is_not():
    a, b, c = (np.zeros((20, 12, 12), dtype=np.int32) for _ in range(3))
    a[2:8, 2:8, 2:8] = c[2:8, 2:8, 2:8] = 1
    b[8:14, 2:8, 2:8] = 1
    b[7, 2:4, 2:8] = 1  # by 12 of 216 voxels
    states = match_lesions({"a": a, "b": b, "c": c}, "abc", CUBE).states
    assert [s.state for s in states] == [
        *("baseline", "vanished", "persistent"),
        *("absent", "new", "vanished"),
    ]
    loose = match_lesions({"a": a, "b": b, "c": c}, "abc", CUBE, minimum_overlap=0.05).states
    assert [s.state for s in loose] == ["baseline", "persistent", "persistent"]


def test_what_is_one_voxel_may_lie_in_the_next():
    a, b, c = (np.zeros((30, 6, 6), dtype=np.int32) for _ in range(3))
    a[3, 3, 3], a[4, 3, 3] = 1, 2  # two that touch, and stay
    b[3, 3, 3], b[4, 3, 3] = 2, 1
    a[10, 3, 3], b[11, 4, 2], c[10, 4, 3] = 3, 3, 3  # one that moves by a corner
    a[15, 3, 3], b[17, 3, 3] = 4, 4  # one that goes, and one that comes two voxels away
    a[21, 3, 3], b[22:24, 3, 3] = 5, 5  # one that goes beside one of two voxels that comes
    matched = match_lesions({"a": a, "b": b, "c": c}, "abc", CUBE)
    states: dict[str, list[tuple[int, ...]]] = {}
    for state in matched.states:
        if state.session == "b":
            states.setdefault(state.state, []).append(state.parts)
    assert states == {
        "persistent": [(2,), (1,), (3,)],
        "vanished": [(), ()],
        "new": [(5,), (4,)],
    }
    moved = [state.state for state in matched.states if state.lesion == 3]
    assert moved == ["baseline", "persistent", "persistent"]


def test_labels_that_mean_the_same_are_followed_by_number():
    a, b = np.zeros((2, 6, 6, 6), dtype=np.int32)
    a[0, 0, 0], a[2, 2, 2], b[0, 0, 0], b[5, 5, 5] = 3, 8, 3, 2
    matched = follow_labels({"b": b, "a": a}, "ab")
    assert [(s.lesion, s.session, s.state) for s in matched.states] == [
        *((2, "a", "absent"), (2, "b", "new")),
        *((3, "a", "baseline"), (3, "b", "persistent")),
        *((8, "a", "baseline"), (8, "b", "vanished")),
    ]
    assert {int(n) for n in np.unique(matched.regions)} == {0, 2, 3, 8}


def test_sessions_that_do_not_fit_are_refused():
    image = np.zeros((4, 4, 4), dtype=np.int32)
    with pytest.raises(ValueError, match="not those of"):
        match_lesions({"a": image}, "ab", CUBE)
    with pytest.raises(ValueError, match="one grid"):
        match_lesions({"a": image, "b": image[1:]}, "ab", CUBE)
    with pytest.raises(ValueError, match="overlap is 0"):
        match_lesions({"a": image}, "a", CUBE, minimum_overlap=0)


def test_edited_regions_replace_those_of_their_lesions_alone():
    first, later = np.zeros((2, 20, 4, 4), dtype=np.int32)
    first[0:4], later[0:4], later[8:12], later[14:18] = 1, 1, 2, 3
    found = match_lesions({"1": first, "2": later}, ["1", "2"], CUBE)
    edited = np.zeros_like(first)
    edited[1:5], edited[8:9] = 1, 2  # smaller, and grown at one side
    regions = replace_regions(found, edited)
    np.testing.assert_array_equal(regions.regions[:14], edited[:14])
    np.testing.assert_array_equal(regions.regions[14:] == 3, later[14:] == 3)
    assert regions.states == found.states
    edited[19] = 7
    with pytest.raises(
        ValueError, match="has a lesion 7, and those that were matched are 1, 2, 3"
    ):
        replace_regions(found, edited)
    with pytest.raises(ValueError, match="has lesion 2 nowhere where that lesion was first seen"):
        replace_regions(found, np.where(later == 3, 2, 0))
