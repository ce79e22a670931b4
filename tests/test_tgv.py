import array_api_strict
import numpy as np
from phantoms import OBLIQUE, coordinates, make_head
import pytest

from qsmprep.methods.inversion.tgv import symmetric_divergence, symmetric_gradient, tgv


def outer_dipole(shape, geometry, centre, strength):
    """Return the field of a point source outside the volume, exact at every voxel."""
    axes = coordinates(shape, geometry.voxel_size)
    x, y, z = (a - c for a, c in zip(axes, centre, strict=True))
    distance = np.sqrt(x**2 + y**2 + z**2)
    bx, by, bz = geometry.b0_dir
    cosine = (bx * x + by * y + bz * z) / distance
    return strength * (3 * cosine**2 - 1) / distance**3


def test_the_field_of_an_outer_source_changes_nothing():
    head = make_head()
    background = outer_dipole(head.mask.shape, OBLIQUE, (0.3, -28.3, -8.3), 200.0)
    assert background[head.mask].std() > 4 * head.local[head.mask].std()
    noise = head.mask.astype("f4")
    random = 5e-4 * np.random.default_rng(3).standard_normal(head.mask.shape)
    local = (head.local + random).astype("f4")
    alone, _ = tgv(local, head.mask, OBLIQUE, noise=noise)
    both, _ = tgv((local + background).astype("f4"), head.mask, OBLIQUE, noise=noise)
    # Spheres of voxels have the mean of a harmonic field but for the grid's anisotropy.
    left = np.std((both - alone)[head.mask]) / np.std(head.chi[head.mask])
    assert left < 0.05


@pytest.mark.parametrize("xp", [np, array_api_strict])
def test_symmetric_differences_have_their_adjoint(xp):
    rng = np.random.default_rng(0)
    v = xp.asarray(rng.standard_normal((3, 6, 5, 4)))
    e = xp.asarray(rng.standard_normal((6, 6, 5, 4)))
    counts = xp.reshape(xp.asarray([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]), (6, 1, 1, 1))
    left = float(xp.sum(counts * symmetric_gradient(v, OBLIQUE) * e))
    right = -float(xp.sum(v * symmetric_divergence(e, OBLIQUE)))
    assert left == pytest.approx(right)


def test_a_mask_too_thin_for_any_sphere_is_told():
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[:, 8, :] = True
    with pytest.raises(ValueError, match="no sphere"):
        tgv(mask.astype("f4"), mask, OBLIQUE, noise=mask.astype("f4"))
