"""The brain is found in magnitude alone."""

import os
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from qsmprep.geometry import Geometry
from qsmprep.methods.masking.bet import _icosphere, _winding, bet

COARSE = Geometry((3.0, 3.0, 3.0))
DATA = Path(os.environ.get("QSMPREP_TEST_DATA", Path(__file__).parents[1] / "../shared/data"))


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def head(voxel_size, noise=0.04):
    """Magnitude and brain of an ellipsoid in 8 mm of dark skull and 6 mm of bright scalp."""
    shape = [int(length / size) for length, size in zip((190, 226, 176), voxel_size, strict=True)]
    axes = [size * (np.arange(n) - n / 2) for n, size in zip(shape, voxel_size, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    brain, skull, scalp = (
        (x / (68 + d)) ** 2 + (y / (85 + d)) ** 2 + (z / (62 + d)) ** 2 <= 1 for d in (0, 8, 14)
    )
    signal = np.select([brain, skull, scalp], [1.0, 0.05, 1.1], 0.0)
    signal *= 1 + y / 226  # a coil at the face: brighter by three from end to end
    real, imag = np.random.default_rng(7).normal(0, noise, (2, *shape))
    return np.hypot(signal + real, imag), brain


@pytest.mark.parametrize("voxel_size", [(2.0, 2.0, 2.0), (1.4, 1.4, 3.0)])
def test_a_phantom_is_stripped_of_skull_and_scalp(voxel_size):
    magnitude, brain = head(voxel_size)
    # Partial volume leaves about half a voxel all around: 2 to 3 % of the volume.
    assert dice(bet(magnitude, Geometry(voxel_size)), brain) > 0.97


def test_a_noisy_phantom_is_not_mistaken_for_skull():
    fine = Geometry((2.0, 2.0, 2.0))
    magnitude, brain = head(fine.voxel_size, noise=0.1)
    assert dice(bet(magnitude, fine), brain) > 0.97


def test_a_cut_head_keeps_its_last_slices():
    magnitude, brain = head(COARSE.voxel_size)
    cut = np.s_[:, :, 15:40]
    mask = bet(magnitude[cut], COARSE)
    assert dice(mask, brain[cut]) > 0.97
    assert dice(mask[..., -1], brain[cut][..., -1]) > 0.95


def test_axes_do_not_matter():
    magnitude, _ = head((2.0, 2.5, 3.0))
    mask = bet(magnitude, Geometry((2.0, 2.5, 3.0)))
    turned = bet(magnitude.transpose(2, 0, 1)[::-1], Geometry((3.0, 2.0, 2.5)))
    # The vertices fall elsewhere, which may move the surface by a fraction of a voxel.
    assert dice(turned[::-1].transpose(1, 2, 0), mask) > 0.98


def test_neither_repetition_nor_unit_changes_the_mask():
    magnitude, _ = head(COARSE.voxel_size)
    first, again, thousandfold = (
        bet(image, COARSE, iterations=400) for image in (magnitude, magnitude, 1000 * magnitude)
    )
    assert first.any()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, thousandfold)


def test_a_smaller_fraction_gives_a_larger_brain():
    magnitude, _ = head(COARSE.voxel_size)
    small, large = (bet(magnitude, COARSE, fraction=f, iterations=400) for f in (0.7, 0.3))
    assert small.sum() < large.sum()


@pytest.mark.parametrize("level", [0.0, 5.0])
def test_an_image_without_signal_is_refused(level):
    with pytest.raises(ValueError, match="no signal"):
        bet(np.full((20, 20, 20), level), Geometry((2.0, 2.0, 2.0)))


def test_an_image_with_gaps_is_refused():
    magnitude, _ = head(COARSE.voxel_size)
    magnitude[3, 3, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        bet(magnitude, COARSE)


def test_voxels_in_a_sphere_are_enclosed_once():
    mesh, voxel = _icosphere(4), np.array([1.0, 1.5, 2.0])
    grid = np.moveaxis(np.indices((40, 30, 20)), 0, -1) * voxel
    r = np.linalg.norm(grid - 20.0, axis=-1)
    winding = _winding(20.0 + 15.0 * mesh.vertices, mesh.faces, r.shape, voxel)
    assert (winding[r < 14.9] == 1).all()  # the flat faces lie up to 0.02 mm inside the sphere
    assert (winding[r > 15.0] == 0).all()
    # Turned inside out, every crossing changes its sign.
    inverse = _winding(20.0 + 15.0 * mesh.vertices, mesh.faces[:, ::-1], r.shape, voxel)
    np.testing.assert_array_equal(inverse, -winding)


@pytest.mark.parametrize("name", ["sub-0002", "sub-1001/ses-01"])
def test_real_anatomies(name):
    folder, stem = DATA / "bids", name.replace("/", "_")
    path = folder / name / "anat" / f"{stem}_echo-1_part-mag_MEGRE.nii.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here; QSMPREP_TEST_DATA names the folder of test data")
    image = nb.Nifti1Image.from_filename(path)
    truth = folder / "derivatives/truth" / name / "anat" / f"{stem}_desc-brain_mask.nii.gz"
    brain = nb.Nifti1Image.from_filename(truth).get_fdata() > 0
    mask = bet(image.get_fdata(), Geometry.from_affine(image.affine))
    assert dice(mask, brain) > 0.95
    assert np.count_nonzero(brain & ~mask) < 0.03 * np.count_nonzero(brain)
