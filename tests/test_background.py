from array_api_compat import array_namespace
import array_api_strict
import numpy as np
from phantoms import OBLIQUE, ball, coordinates, forward, make_head
import pytest

from qsmprep.geometry import Geometry
from qsmprep.methods.background import BACKGROUND_REMOVALS, OF_TISSUES
from qsmprep.methods.background.joint import joint
from qsmprep.methods.background.joint_tissues import joint_tissues
from qsmprep.methods.smv import sphere_weights
from qsmprep.protocol import needed_arrays

SHAPE = (48, 48, 28)
MASK = ball(SHAPE, OBLIQUE.voxel_size, 20)
HALF = MASK & (coordinates(SHAPE, OBLIQUE.voxel_size)[0] > 0)
TISSUES = {"white_matter": HALF.astype("f4"), "deep_grey": ball(SHAPE, OBLIQUE.voxel_size, 5)}

LEFT = {"joint": 0.035, "joint_tissues": 0.035, "pdf": 0.015}
"""
Share of a harmonic field that may stay where not 0.01 of it, of root mean squares. PDF stops
early by intent, and the joint fit takes a part at the surface for tissue.
"""

KEPT = {"sharp": 0.3, "resharp": 0.3, "ismv": 0.4}
"""Share of a ball of 20 mm that is left after a rim of one sphere, of 6 or 5 mm, is lost."""


def remove(name, field, mask, geometry, **params):
    """Return the local field and where it is known, whatever else the method needs."""
    xp = array_namespace(field)
    noise = xp.where(mask, xp.ones_like(field), xp.zeros_like(field)) * 5e-4
    method = BACKGROUND_REMOVALS[name]
    needed = {
        array: noise if array == "noise" else xp.asarray(TISSUES[array])
        for array in needed_arrays(method)
    }
    return method(field, mask, geometry, **needed, **params)[:2]


def harmonics():
    """Return fields that no source inside the mask can make, by name, of unit size."""
    x, y, z = coordinates(SHAPE, OBLIQUE.voxel_size)
    fields = {
        "constant": 1 + 0 * x * y * z,
        "gradient": x + 2 * y - z,
        "saddle": x * y + 0 * z,
        "cigar": 2 * z**2 - x**2 - y**2,
        "cubic": x**3 - 3 * x * y**2 + 0 * z,
    }
    return {n: (f / np.abs(f[MASK]).max()).astype("f4") for n, f in fields.items()}


@pytest.mark.parametrize("name", sorted(BACKGROUND_REMOVALS.keys() - {"none"}))
@pytest.mark.parametrize("kind", harmonics())
def test_the_field_of_outer_sources_goes(name, kind):
    local, valid = remove(name, harmonics()[kind], MASK, OBLIQUE)
    left = np.linalg.norm(local[valid]) / np.linalg.norm(harmonics()[kind][valid])
    assert left < LEFT.get(name, 0.01)


@pytest.mark.parametrize("name", BACKGROUND_REMOVALS)
def test_the_field_of_the_tissue_stays(name):
    head = make_head()
    local, valid = remove(name, head.total, head.mask, head.geometry)
    deep = valid & ball(SHAPE, OBLIQUE.voxel_size, 14)
    assert np.corrcoef(local[deep], head.local[deep])[0, 1] > 0.9


@pytest.mark.parametrize("name", BACKGROUND_REMOVALS)
def test_removal_is_linear_and_keeps_to_the_mask(name):
    head = make_head()
    local, valid = remove(name, head.total, head.mask, head.geometry)
    # A power of two, with which numbers are rounded alike: iterations may not end one later.
    more, _ = remove(name, 4 * head.total, head.mask, head.geometry)
    np.testing.assert_allclose(more, 4 * local, atol=1e-4)
    assert local.dtype == np.float32
    assert not local[~valid].any()
    assert not (valid & ~head.mask).any()
    # One voxel of rim is lost, 2 mm of a ball of 20 mm, as the smallest sphere has that radius.
    assert valid.sum() > KEPT.get(name, 0.7) * head.mask.sum()


@pytest.mark.parametrize("name", BACKGROUND_REMOVALS)
def test_any_array_library_gives_the_same(name):
    head, xp = make_head(), array_api_strict
    strict = remove(name, xp.asarray(head.total), xp.asarray(head.mask), head.geometry)
    for one, other in zip(strict, remove(name, head.total, head.mask, head.geometry), strict=True):
        assert isinstance(one, type(xp.asarray(head.total)))
        np.testing.assert_allclose(np.asarray(one), other, atol=1e-4)


@pytest.mark.parametrize("name", sorted(BACKGROUND_REMOVALS.keys() - {"none"}))
def test_an_empty_mask_is_refused(name):
    with pytest.raises(ValueError, match="mask is empty"):
        remove(name, np.zeros(SHAPE, "f4"), np.zeros(SHAPE, bool), OBLIQUE)


@pytest.mark.parametrize("voxel_size", [(1, 1, 1), (1.4, 1.4, 2), (0.5, 0.5, 2), (0.6, 0.7, 0.8)])
@pytest.mark.parametrize("radius", [2.0, 5.0, 12.0])
def test_sphere_weights_have_equal_moments(voxel_size, radius):
    weights = sphere_weights(voxel_size, radius)
    axes = [(np.arange(n) - n // 2) * h for n, h in zip(weights.shape, voxel_size, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    moments = (weights * grid**2).sum(axis=(1, 2, 3))
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0
    np.testing.assert_allclose(moments, moments.mean(), rtol=1e-6)
    assert (np.sqrt((grid**2).sum(axis=0))[weights > 0] <= radius * 1.001).all()


def test_a_rotated_head_gives_the_rotated_field():
    head = make_head()
    local, _ = remove("vsharp", head.total, head.mask, head.geometry)
    turned = Geometry(head.geometry.voxel_size[::-1], head.geometry.b0_dir[::-1])
    there, _ = remove(
        "vsharp", np.ascontiguousarray(head.total.T), np.ascontiguousarray(head.mask.T), turned
    )
    np.testing.assert_allclose(there.T, local, atol=1e-4)


def test_tissues_keep_their_field_where_their_places_are_known():
    size = OBLIQUE.voxel_size
    deep, outer = ball(SHAPE, size, 7), ball(SHAPE, size, 3, (0, -28, -8))
    white = ball(SHAPE, size, 14, (0, 0, 2)) & ~deep
    true = forward((-0.04 * white + 0.02 * deep).astype("f4"), OBLIQUE)
    total = (true + forward(9.0 * outer.astype("f4"), OBLIQUE)).astype("f4")
    noise = (5e-4 * MASK).astype("f4")

    def error(method, **tissues):
        local, _, _ = method(total, MASK, OBLIQUE, noise=noise, **tissues)
        return np.std((local - true)[MASK]) / np.std(true[MASK])

    lost = error(joint)
    assert error(joint_tissues, white_matter=white.astype("f4"), deep_grey=deep) < 0.5 * lost
    # What is not so does no harm, and what is nowhere tells nothing.
    nowhere = np.zeros(SHAPE, bool)
    assert (
        error(joint_tissues, white_matter=TISSUES["white_matter"], deep_grey=nowhere) < 1.1 * lost
    )
    empty = error(joint_tissues, white_matter=nowhere.astype("f4"), deep_grey=nowhere)
    assert empty == pytest.approx(lost)


def test_only_what_needs_tissues_is_said_to():
    needs = {
        name
        for name, method in BACKGROUND_REMOVALS.items()
        if {"white_matter", "deep_grey"} & set(needed_arrays(method))
    }
    assert needs == OF_TISSUES
