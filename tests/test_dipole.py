import array_api_strict
import numpy as np
from phantoms import OBLIQUE, ball, coordinates, forward
import pytest
from scipy.ndimage import gaussian_filter

from qsmprep.geometry import Geometry
from qsmprep.methods.differences import divergence, gradient, laplacian_spectrum
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn


@pytest.mark.parametrize("b0_dir", [(0.0, 0.0, 1.0), (0.0, 0.6, 0.8), (0.48, 0.6, 0.64)])
def test_a_sphere_has_the_field_of_a_dipole(b0_dir):
    geometry = Geometry((1.0, 1.0, 1.0), b0_dir)
    shape, radius = (64, 64, 64), 8
    # Blurred, as every image is: a sphere keeps its outer field, and has no edges that ring.
    sphere = gaussian_filter(ball(shape, geometry.voxel_size, radius).astype("f4"), 1)
    field = forward(sphere, geometry)
    x, y, z = coordinates(shape, geometry.voxel_size)
    r = np.sqrt(x**2 + y**2 + z**2 + 1e-9)
    cosine = (x * b0_dir[0] + y * b0_dir[1] + z * b0_dir[2]) / r
    expected = sphere.sum() / (4 * np.pi) * (3 * cosine**2 - 1) / r**3
    shell = (r > 12) & (r < 22)
    error = np.linalg.norm((field - expected)[shell]) / np.linalg.norm(expected[shell])
    # Voxels make no perfect sphere, and D(0) = 0 leaves a small constant.
    assert error < 0.02
    assert abs(field[r < 5].mean()) < 5e-3  # nothing inside: the Lorentz sphere


def test_the_field_follows_the_axes():
    chi = np.zeros((16, 20, 24), "f4")
    chi[5:9, 8:12, 10:13] = 1
    field = forward(chi, OBLIQUE)
    turned = Geometry(OBLIQUE.voxel_size[::-1], OBLIQUE.b0_dir[::-1])
    np.testing.assert_allclose(forward(chi.transpose(), turned), field.transpose(), atol=1e-6)


def test_divergence_is_minus_the_adjoint_of_the_gradient():
    rng = np.random.default_rng(1)
    x, g = rng.standard_normal((6, 7, 8)), rng.standard_normal((3, 6, 7, 8))
    assert np.vdot(gradient(x, OBLIQUE), g) == pytest.approx(-np.vdot(x, divergence(g, OBLIQUE)))


def test_the_laplacian_has_its_spectrum():
    x = np.random.default_rng(2).standard_normal((6, 7, 8))
    spectrum = laplacian_spectrum(x, OBLIQUE)
    np.testing.assert_allclose(
        irfftn(rfftn(x) * spectrum, x.shape),
        -divergence(gradient(x, OBLIQUE), OBLIQUE),
        atol=1e-10,
    )


def test_the_kernel_is_the_same_in_any_array_library():
    shape = (8, 10, 12)
    strict = dipole_kernel(array_api_strict.zeros(shape), OBLIQUE)
    np.testing.assert_allclose(np.asarray(strict), dipole_kernel(np.zeros(shape), OBLIQUE))
