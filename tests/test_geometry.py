import nibabel as nb
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from qsmprep.geometry import Geometry
from qsmprep.units import hz_to_phase, hz_to_ppm, phase_to_hz, ppm_to_hz


def test_an_axial_slab_sees_the_field_along_its_slices():
    geometry = Geometry.from_affine(np.diag([1.0, 1.5, 2.0, 1.0]))
    assert geometry.voxel_size == (1.0, 1.5, 2.0)
    assert geometry.b0_dir == (0.0, 0.0, 1.0)
    assert geometry.voxel_volume == 3.0


@pytest.mark.parametrize("angles", [(20, 0, 0), (0, -15, 0), (12, -5, 30)])
@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAR", "PIL"])
def test_an_oblique_slab_sees_the_field_where_the_scanner_has_it(angles, axes):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] *= (1.0, 1.5, 2.0)
    start = nb.orientations.io_orientation(affine)
    turn = nb.orientations.ornt_transform(start, nb.orientations.axcodes2ornt(axes))
    turned = affine @ nb.orientations.inv_ornt_aff(turn, (8, 9, 10))
    geometry = Geometry.from_affine(turned)
    world = turned[:3, :3] / np.asarray(geometry.voxel_size) @ np.asarray(geometry.b0_dir)
    np.testing.assert_allclose(world, (0, 0, 1), atol=1e-12)


def test_one_ppm_at_three_tesla_is_128_hz():
    assert ppm_to_hz(1.0, 3.0) == pytest.approx(127.732, abs=1e-3)
    assert hz_to_ppm(ppm_to_hz(0.3, 7.0), 7.0) == pytest.approx(0.3)


def test_a_full_turn_in_ten_milliseconds_is_100_hz():
    assert phase_to_hz(2 * np.pi, 0.01) == pytest.approx(100)
    assert hz_to_phase(100, 0.01) == pytest.approx(2 * np.pi)
