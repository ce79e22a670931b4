"""Thin masks and small labels are not lost on their way to another grid."""

import ants
import nibabel as nb
import numpy as np
import pytest

from qsmprep.interfaces.lesions import VEIN
from qsmprep.interfaces.shares import CarryLabels, CarryShare, samples


def write(path, array, affine):
    nb.Nifti1Image(array.astype(np.uint8), affine).to_filename(path)
    return str(path)


def turned(path, degrees):
    """Write a rotation about an axis askew to the grid, and a shift by half a voxel."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.cross(np.eye(3), axis)
    angle = np.deg2rad(degrees)
    matrix = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    ants.write_transform(
        ants.create_ants_transform(
            transform_type="AffineTransform", matrix=matrix, translation=[0.5, 0.5, 0.5]
        ),
        str(path),
    )
    return str(path)


def carried(tmp_path, mask, affine, reference, degrees=0.0, carry=CarryShare):
    done = carry(
        image=write(tmp_path / "mask.nii", mask, np.eye(4)),
        reference=write(tmp_path / "reference.nii", np.zeros(reference), affine),
        transforms=[turned(tmp_path / "turn.mat", degrees)],
    ).run(cwd=str(tmp_path))
    return nb.load(done.outputs.resampled).get_fdata()


@pytest.mark.parametrize("degrees", [0, 5, 20])
def test_a_vein_a_voxel_wide_stays_whole(tmp_path, degrees):
    mask = np.zeros((40, 40, 40))
    mask[20, 20, 10:30] = 1
    share = carried(tmp_path, mask, np.eye(4), (40, 40, 40), degrees)
    # What is interpolated linearly keeps its sum, but for its ends.
    assert share.sum() == pytest.approx(mask.sum(), rel=0.05)
    across = (share >= VEIN).sum(axis=(0, 1))
    (slices,) = np.nonzero(across)
    # No slice on its way is without it, and none has more than it touches.
    assert list(slices) == list(range(slices[0], slices[-1] + 1))
    assert len(slices) >= 18 * np.cos(np.deg2rad(degrees))
    assert across.max() <= 4


def test_thick_slices_know_how_much_of_them_is_vein(tmp_path):
    mask = np.zeros((30, 30, 30))
    mask[:, 15, 13] = 1  # in the plane of slices 3 mm thick, away from the middle of its slice
    thick = np.diag([1.0, 1.0, 3.0, 1.0])
    thick[2, 3] = 1.0  # the first slice holds the first three of the mask
    share = carried(tmp_path, mask, thick, (30, 30, 10))
    assert share.sum() * 3 == pytest.approx(mask.sum(), rel=0.05)
    assert share.max() <= 1 / 3 + 1e-6


def test_samples_lie_evenly_in_their_voxel():
    reference = nb.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.diag([2.0, 1.0, 3.0, 1.0]))
    grids = samples(reference, nb.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)))
    assert {grid.shape for grid in grids} == {(4, 5, 6)}
    first = sorted(tuple(grid.affine[:3, 3].tolist()) for grid in grids)
    assert first == [(x, 0.0, z) for x in (-0.5, 0.5) for z in (-1.0, 0.0, 1.0)]


def test_an_empty_mask_and_one_at_the_border_keep_what_they_have(tmp_path):
    assert not carried(tmp_path, np.zeros((9, 9, 9)), np.eye(4), (9, 9, 9)).any()
    mask = np.zeros((9, 9, 9))
    mask[0, 4, :] = 1
    share = carried(tmp_path, mask, np.eye(4), (9, 9, 9))
    # Shifted by half a voxel along each axis: the last voxel is half outside.
    assert share.sum() == pytest.approx(8.5)
    assert share[0, 4, 0] == pytest.approx(0.25)


def test_labels_smaller_than_a_voxel_get_the_one_they_fill_most(tmp_path):
    labels = np.zeros((30, 30, 30))
    labels[18:27, 18:27, 18:27] = 1
    labels[9:11, 9, 10] = 4  # half a voxel from there on the way: in the coarse voxel (3, 3, 3)
    labels[11, 10, 10] = 7  # there as well, and a little in the next
    labels[10, 10, 10] = 8  # there alone: nothing is left for it
    labels[17, 22, 22] = 9  # in a voxel that the large one has, and a little in the next
    coarse = np.diag([3.0, 3.0, 3.0, 1.0])
    coarse[:3, 3] = 1.0
    found = carried(tmp_path, labels, coarse, (9, 9, 9), carry=CarryLabels)
    assert found[3, 3, 3] == 4
    assert [(found == label).sum() for label in (4, 7, 8, 9)] == [1, 1, 0, 1]
    for label, place in ((7, (4, 3, 3)), (9, (5, 7, 7))):
        assert np.abs(np.argwhere(found == label)[0] - place).max() <= 1
    assert (found == 1).sum() * 27 == pytest.approx(9**3, rel=0.2)


def test_labels_that_lie_elsewhere_are_not_made_up(tmp_path):
    labels = np.zeros((30, 30, 30))
    labels[5, 5, 5], labels[25, 25, 25] = 2, 3
    found = carried(tmp_path, labels, np.diag([2.0, 2.0, 2.0, 1.0]), (8, 8, 8), carry=CarryLabels)
    assert set(np.unique(found)) == {0, 2}


@pytest.mark.parametrize("degrees", [0, 5, 20])
def test_labels_a_voxel_wide_arrive(tmp_path, degrees):
    labels = np.zeros((40, 40, 40))
    for number in range(6):  # diagonals, of which the likeliest label of every voxel is none
        along = np.arange(18, 22)
        labels[along, along, along + 3 * number - 8] = number + 1
    found = carried(tmp_path, labels, np.eye(4), (40, 40, 40), degrees, CarryLabels)
    assert set(np.unique(found)) == set(range(7))
