"""Lesions are compared with what surrounds them, and solid ones told from shells."""

import os
from pathlib import Path

import numpy as np
from phantoms import ball, coordinates
import pytest
from scipy import ndimage

from qsmprep.errors import ProtocolError, RequestError
from qsmprep.geometry import Geometry
from qsmprep.methods.lesions import (
    LesionMaps,
    LesionRules,
    measure_lesions,
)
from qsmprep.methods.lesions.depth import depth_of
from qsmprep.methods.lesions.noise import covariance_of
from qsmprep.methods.lesions.profile import radial_profile, rim_of
from qsmprep.methods.lesions.surroundings import WhiteMatter
from qsmprep.methods.lesions.veins import find_veins
from qsmprep.methods.regions import Rules

DATA = Path(os.environ.get("QSMPREP_TEST_DATA", Path(__file__).parents[2] / "shared/data"))
CUBE = Geometry((1.0, 1.0, 1.0))
SHAPE = (64, 40, 40)
LEFT, RIGHT = (-16, 0, 0), (15, 0, 0)


def _two_balls():
    """A solid lesion of +20 ppb and a shell of +30 ppb, R 6 mm, in white matter of -30 ppb."""
    labels = np.zeros(SHAPE, dtype=np.int32)
    chi = np.full(SHAPE, -0.03)
    for number, (centre, hole, ppm) in enumerate([(LEFT, 0, 0.02), (RIGHT, 4.5, 0.03)], start=1):
        labels[ball(SHAPE, CUBE.voxel_size, 6, centre)] = number
        chi[ball(SHAPE, CUBE.voxel_size, 6, centre)] += ppm
        if hole:
            chi[ball(SHAPE, CUBE.voxel_size, hole, centre)] -= ppm
    return labels, chi


def _maps(chi, **more):
    every = np.ones(chi.shape, dtype=bool)
    hemispheres = np.where(coordinates(chi.shape, CUBE.voxel_size)[0] < 0, 1, 2) * np.ones(
        chi.shape, dtype=int
    )
    given = {"brain": every, "measured": every, "white": every, "hemispheres": hemispheres}
    return LesionMaps(**{"chi": chi, "geometry": CUBE, **given, **more})


@pytest.mark.parametrize(
    ("voxel_size", "radius", "mean", "spread"),
    [
        ((1.0, 1.0, 1.0), 3, 0.15, 0.2),
        ((1.0, 1.0, 1.0), 6, 0.1, 0.15),
        ((0.5, 0.5, 0.5), 6, 0.05, 0.08),
        # Slices half as thick as the ball: the mask itself knows no better.
        ((0.75, 0.75, 3.0), 6, 0.2, 0.4),
    ],
)
def test_depth_is_that_below_the_surface_of_a_ball(voxel_size, radius, mean, spread):
    size = np.array(voxel_size)
    shape = tuple(2 * np.ceil((radius + 3) / size).astype(int) + 1)
    errors = []
    for centre in np.random.default_rng(1).uniform(-0.5, 0.5, (4, 3)) * size:
        axes = coordinates(shape, voxel_size)
        apart = np.sqrt(sum((x - c) ** 2 for x, c in zip(axes, centre, strict=True)))
        depth = depth_of(apart < radius, Geometry(voxel_size))
        assert ((depth > 0) == (apart < radius)).all()
        errors.append((depth - (radius - apart))[apart < radius])
    # In mm; what was measured is two thirds of it.
    assert abs(np.mean(np.concatenate(errors))) < mean
    assert np.std(np.concatenate(errors)) < spread


def test_depth_of_one_voxel_of_a_border_and_of_nothing():
    one = np.zeros((5, 5, 5), dtype=bool)
    assert (depth_of(one, CUBE) == -np.inf).all()
    one[0, 2, 2] = True
    depth = depth_of(one, CUBE)
    # A ball of 1 mm³ has the radius 0.62 mm, a cube of it the half edge 0.5 mm.
    assert 0.4 < depth[0, 2, 2] < 0.7
    assert depth[4, 2, 2] == pytest.approx(-3.5, abs=0.15)
    assert (depth_of(np.ones((3, 3, 3), bool), CUBE) > 0).all()
    near = depth_of(one, CUBE, outside=2.0)
    np.testing.assert_array_equal(near, np.where(depth >= -2, depth, -np.inf))


def test_a_shell_has_a_rim_and_a_solid_lesion_has_none():
    labels, chi = _two_balls()
    noise = 0.002 * np.random.default_rng(0).standard_normal(SHAPE)
    solid, shell = measure_lesions(labels, _maps(chi + noise), LesionRules())
    # No voxel of the rim lies deeper than 1.5 mm; 480 and 208 voxels leave 0.17 ppb of noise.
    assert solid.rim.difference == pytest.approx(0, abs=5e-4)
    assert shell.rim.difference == pytest.approx(0.03, abs=5e-4)
    assert shell.rim.ci_low < shell.rim.difference < shell.rim.ci_high
    assert solid.rim.ci_low < 0 < solid.rim.ci_high
    assert (solid.rim.appearance, shell.rim.appearance) == ("solid", "shell")
    assert shell.rim.completeness == 1
    assert shell.rim.n_directions == 26
    assert solid.rim.completeness < 0.1
    assert solid.rim.shell_score == pytest.approx(0, abs=0.05)
    assert shell.rim.shell_score == pytest.approx(1, abs=0.05)


def test_half_a_rim_is_half_complete():
    labels, chi = _two_balls()
    x, _, _ = coordinates(SHAPE, CUBE.voxel_size)
    chi[(labels == 2) & (x < RIGHT[0])] = -0.03
    rim = measure_lesions(labels, _maps(chi), LesionRules())[1].rim
    # 9 of 26 directions point away from it, and the 8 along the cut have half of it.
    assert rim.completeness == pytest.approx(17 / 26)


def test_the_profile_steps_where_the_lesion_does():
    labels, chi = _two_balls()
    solid, shell = measure_lesions(labels, _maps(chi), LesionRules())
    for row, levels in ((solid, (-0.03, -0.01, -0.01)), (shell, (-0.03, 0, -0.03))):
        bins = {step.low: step for step in row.profile}
        assert min(bins) == -4
        found = [bins[low].mean for low in (-2, 0, 3)]
        np.testing.assert_allclose(found, levels, atol=1e-9)
        assert sum(step.n_voxels for step in row.profile if step.low >= 0) == row.chi.n_voxels
    assert all(step.n_voxels for step in shell.profile)


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_the_interval_holds_the_truth_as_often_as_it_says(width):
    inside = ball((36, 36, 36), CUBE.voxel_size, 6)
    depth = depth_of(inside, CUBE)
    white = (depth < -2) & (depth > -6)
    rng = np.random.default_rng(0)
    held = []
    for _ in range(60):
        # Noise of neighbouring voxels goes together, as inversions leave it.
        noise = ndimage.gaussian_filter(rng.standard_normal(inside.shape), width)
        covariance = covariance_of(noise, white, CUBE)
        rim = rim_of(
            noise,
            depth,
            inside,
            CUBE,
            LesionRules(),
            quantity="susceptibility",
            covariance=covariance,
        )
        held.append(rim.ci_low < 0 < rim.ci_high)
    # 95 % is meant; 60 draws know it to 3 %. Voxels taken as independent would give 50 %.
    assert np.mean(held) >= 0.86


@pytest.mark.parametrize("quantity", ["phase", "field", "local field", "R2star"])
def test_rim_figures_are_refused_on_anything_but_susceptibility(quantity):
    labels, chi = _two_balls()
    depth, inside = depth_of(labels == 2, CUBE), labels == 2
    with pytest.raises(RequestError, match=f"not of {quantity}: on phase and field"):
        rim_of(chi, depth, inside, CUBE, LesionRules(), quantity=quantity)
    with pytest.raises(RequestError, match="give a Chimap"):
        measure_lesions(labels, _maps(chi, quantity=quantity), LesionRules())
    if quantity != "R2star":
        with pytest.raises(RequestError, match="solid lesion has a rim"):
            radial_profile(chi, depth, inside, LesionRules(), quantity=quantity)


def test_a_lesion_without_a_core_has_no_rim_figures():
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[ball(SHAPE, CUBE.voxel_size, 2.5, LEFT)] = 4
    (row,) = measure_lesions(labels, _maps(np.zeros(SHAPE)), LesionRules())
    assert row.rim.flag == "too small for a rim"
    assert np.isnan([row.rim.difference, row.rim.completeness, row.rim.shell_score]).all()
    assert row.rim.appearance == ""
    assert "too small for a rim" in row.flag
    assert row.chi.n_voxels == np.count_nonzero(labels)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rim", 3.0), ("rim", 0.0), ("rim", -1.0), ("core", 200.0), ("rim_voxels", 1),
        ("profile_width", 0.0), ("profile_outside", -1.0), ("rim_contrast", -0.001),
        ("rim_sigmas", -1.0), ("rim_completeness", 1.2), ("rim_confidence", 95.0),
        ("minimum_mm3", -3.0), ("minimum_overlap", 0.0), ("white_probability", 50.0),
        ("white_inner", 6.0), ("white_gap", -3.0), ("white_voxels", 0),
    ],
)  # fmt: skip
def test_thresholds_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ProtocolError, match=rf"^\[lesions\] {name} = \S+: give [\w =.,]+$"):
        LesionRules(**{name: value})


def _with_vein(chi, *, offset=0):
    """Lay a vein 1.6 mm wide, +200 ppb, through the solid lesion."""
    _, y, z = coordinates(SHAPE, CUBE.voxel_size)
    vein = np.broadcast_to((y - offset) ** 2 + z**2 < 0.8**2, SHAPE).copy()
    vein &= np.abs(coordinates(SHAPE, CUBE.voxel_size)[0] - LEFT[0]) < 10
    # Half of it leaks into the voxels beside it.
    blurred = ndimage.gaussian_filter(0.2 * vein, 0.5)
    return vein, chi + blurred


def test_a_vein_is_taken_out_of_a_lesion_and_a_rim_is_not():
    labels, chi = _two_balls()
    noise = 0.002 * np.random.default_rng(0).standard_normal(SHAPE)
    vein, with_vein = _with_vein(chi + noise)
    rules = LesionRules(), Rules(vessels=False)
    truth = measure_lesions(labels, _maps(chi + noise), *rules)
    kept = measure_lesions(labels, _maps(with_vein), *rules)
    taken = measure_lesions(labels, _maps(with_vein), LesionRules())
    # Without the rule the mean is off by more than 1.5 ppb, with it by less than 0.5 ppb.
    assert kept[0].difference - truth[0].difference > 0.0015
    assert abs(taken[0].difference - truth[0].difference) < 0.0005
    assert taken[0].chi.n_vessel >= np.count_nonzero(vein & (labels == 1))
    assert taken[0].vein_fraction == pytest.approx(
        taken[0].chi.n_vessel / np.count_nonzero(labels == 1)
    )
    assert taken[0].central_vein is True
    assert taken[1].chi.n_vessel == 0
    assert taken[1].central_vein is False


@pytest.mark.parametrize("ppm", [0.03, 0.06, 0.12])
def test_a_rim_of_any_strength_stays(ppm):
    labels, chi = _two_balls()
    rim = (labels == 2) & (chi > -0.01)
    chi[rim] = -0.03 + ppm
    noise = 0.003 * np.random.default_rng(0).standard_normal(SHAPE)
    row = measure_lesions(labels, _maps(chi + noise), LesionRules())[1]
    assert row.vein_fraction < 0.02
    assert row.rim.difference == pytest.approx(ppm, rel=0.05)


def test_a_vein_at_the_border_is_not_central_and_given_ones_are_taken():
    labels, chi = _two_balls()
    _, with_vein = _with_vein(chi, offset=5)
    row = measure_lesions(labels, _maps(with_vein), LesionRules())[0]
    assert row.chi.n_vessel > 0
    assert row.central_vein is False
    given = np.zeros(SHAPE, dtype=bool)
    given[:, SHAPE[1] // 2, SHAPE[2] // 2] = True
    row = measure_lesions(labels, _maps(chi, veins=given), LesionRules())[0]
    assert row.chi.n_vessel == 13
    assert row.central_vein is True


def test_sessions_have_the_veins_of_their_mean():
    labels, chi = _two_balls()
    vein, with_vein = _with_vein(chi)
    sessions = [with_vein, chi]  # a vein that one session does not show
    mean = sum(sessions) / 2
    rows = [
        measure_lesions(labels, _maps(one, mean_chi=mean), LesionRules())[0] for one in sessions
    ]
    assert rows[0].chi.n_vessel == rows[1].chi.n_vessel >= np.count_nonzero(vein & (labels == 1))
    assert measure_lesions(labels, _maps(chi), LesionRules())[0].chi.n_vessel == 0
    # What is left is alike, up to what the vein leaks beyond the voxels that were taken.
    assert rows[0].chi.mean == pytest.approx(rows[1].chi.mean, abs=2e-4)


def test_a_lesion_of_two_millimetres_has_no_central_vein_to_look_for():
    _, chi = _two_balls()
    small = ball(SHAPE, CUBE.voxel_size, 1, LEFT)
    every = np.ones(SHAPE, dtype=bool)
    assert find_veins(chi, None, depth_of(small, CUBE), every, CUBE, Rules()).central is None
    nothing = find_veins(chi, None, depth_of(small, CUBE), ~every, CUBE, Rules())
    assert nothing.n_voxels == 0
    assert np.isnan(nothing.fraction)


def _around(labels, lesion=1, **more):
    every = np.ones(labels.shape, dtype=bool)
    maps = _maps(np.zeros(labels.shape))
    given = {"white": every, "hemispheres": maps.hemispheres} | more
    rules = given.pop("rules", LesionRules())
    matter = WhiteMatter(given["white"], labels, CUBE, rules, hemispheres=given["hemispheres"])
    found = matter.around(lesion)
    mask = np.zeros(labels.shape, dtype=bool)
    mask.ravel()[found.voxels] = True
    return found, mask


def test_white_matter_is_two_to_six_millimetres_away_on_the_same_side():
    labels, _ = _two_balls()
    found, mask = _around(labels)
    apart = np.sqrt(
        sum((x - c) ** 2 for x, c in zip(coordinates(SHAPE, (1, 1, 1)), LEFT, strict=True))
    )
    assert (found.side, found.flag) == ("same", "")
    # The radius is 6 mm; the surface is known to a third of a voxel.
    assert apart[mask].min() > 6 + 2 - 0.35
    assert apart[mask].max() < 6 + 6 + 0.35
    inner = (apart > 8.35) & (apart < 11.65)
    assert mask[inner].all()
    labels[ball(SHAPE, (1, 1, 1), 6, (-6, 0, 0))] = 1  # now it reaches near the midline
    _, mask = _around(labels)
    assert mask.any()
    assert not mask[SHAPE[0] // 2 :].any()


def test_other_lesions_are_kept_three_millimetres_away():
    labels, _ = _two_balls()
    labels[ball(SHAPE, (1, 1, 1), 2, (-16, 12, 0))] = 3
    _, mask = _around(labels)
    gap = ndimage.distance_transform_edt(labels != 3)
    assert gap[mask].min() > 3
    assert mask.sum() < _around(np.where(labels == 3, 0, labels))[1].sum()


def test_the_other_side_stands_in_at_the_mirror_image():
    labels, _ = _two_balls()
    labels[labels == 2] = 0
    white = np.ones(SHAPE, dtype=bool)
    white[: SHAPE[0] // 2] = False
    found, mask = _around(labels, white=white)
    assert (found.side, found.flag) == ("contralateral", "white matter of the other side")
    # Left and right meet between voxels 31 and 32, so that 16 mm left of 32 mirrors to 15 right.
    middle = np.argwhere(mask).mean(axis=0) - np.array(SHAPE) // 2
    np.testing.assert_allclose(middle, RIGHT, atol=0.5)
    none, mask = _around(labels, white=np.zeros(SHAPE, dtype=bool))
    assert (none.side, none.voxels.size) == ("", 0)
    assert none.flag == "too little normal-appearing white matter"


def test_a_tilted_head_is_mirrored_about_its_own_middle():
    shape = (50, 50, 30)
    x, y, _ = np.indices(shape)
    side = (x - 25) * 0.94 + (y - 25) * 0.34  # turned by 20 degrees
    brain = (x - 25) ** 2 + (y - 25) ** 2 < 23**2
    hemispheres = np.where(side < 0, 1, 2) * brain
    labels = np.zeros(shape, dtype=np.int32)
    centre = np.array([25 - 12 * 0.94, 25 - 12 * 0.34, 15])
    labels[sum((a - c) ** 2 for a, c in zip(np.indices(shape), centre, strict=True)) < 16] = 1
    found, mask = _around(labels, white=brain & (side >= 0), hemispheres=hemispheres)
    assert found.side == "contralateral"
    middle = np.argwhere(mask).mean(axis=0)
    np.testing.assert_allclose(middle, [25 + 12 * 0.94, 25 + 12 * 0.34, 15], atol=1.5)


def test_a_row_says_what_the_voxels_say():
    labels, chi = _two_balls()
    rng = np.random.default_rng(2)
    chi = chi + 0.003 * rng.standard_normal(SHAPE)
    r2star = 20 + rng.standard_normal(SHAPE) - 4.0 * (labels == 1)
    measured = rng.random(SHAPE) > 0.1
    row = measure_lesions(labels, _maps(chi, measured=measured, r2star=r2star), LesionRules())[0]
    inside = (labels == 1) & measured
    values = chi[inside]
    assert row.chi.n_voxels == inside.sum() - row.chi.n_vessel
    assert row.chi.n_untrusted == np.count_nonzero((labels == 1) & ~measured)
    assert row.chi.coverage == pytest.approx(measured[labels == 1].mean())
    assert row.chi.volume_mm3 == np.count_nonzero(labels == 1)
    assert row.chi.n_vessel == 0
    np.testing.assert_allclose(
        [row.chi.mean, row.chi.median, row.chi.std, row.chi.p05, row.chi.p95],
        [values.mean(), np.median(values), values.std(ddof=1), *np.quantile(values, (0.05, 0.95))],
    )
    assert row.difference == pytest.approx(0.02, abs=5e-4)
    # Noise without correlation: that of independent voxels, up to what its estimate is worth.
    independent = np.hypot(row.chi.sem, row.white.sem)
    assert row.difference_sem == pytest.approx(independent, rel=0.25)
    assert row.r2star == pytest.approx(16, abs=0.2)
    assert row.white_r2star == pytest.approx(20, abs=0.1)
    assert (row.hemisphere, row.white_side, row.flag) == ("L", "same", "")
    np.testing.assert_allclose(row.centre, np.array(SHAPE) // 2 + LEFT, atol=1e-9)
    assert row.depth_mm == pytest.approx(6, abs=0.2)


def test_what_was_not_measured_is_missing_and_flagged():
    labels, chi = _two_balls()
    nowhere = np.zeros(SHAPE, dtype=bool)
    rows = measure_lesions(labels, _maps(chi, measured=nowhere), LesionRules())
    for row in rows:
        assert np.isnan([row.chi.mean, row.white.mean, row.difference, row.vein_fraction]).all()
        assert row.chi.coverage == 0
        assert row.flag.startswith("not measured; too little normal-appearing white matter")
    cut = ~nowhere
    cut[: SHAPE[0] // 2 + LEFT[0]] = False
    row = measure_lesions(labels, _maps(chi, brain=cut), LesionRules())[0]
    assert "partly outside the brain" in row.flag
    assert row.chi.n_outside_mask > 0
    assert measure_lesions(np.zeros(SHAPE, dtype=int), _maps(chi), LesionRules()) == []
    with pytest.raises(ValueError, match="one grid"):
        measure_lesions(labels[1:], _maps(chi), LesionRules())


def test_a_constant_moves_means_and_no_difference():
    labels, chi = _two_balls()
    noise = 0.003 * np.random.default_rng(3).standard_normal(SHAPE)
    rows = measure_lesions(labels, _maps(chi + noise), LesionRules())
    moved = measure_lesions(labels, _maps(chi + noise + 0.05), LesionRules())
    for row, other in zip(rows, moved, strict=True):
        assert other.chi.mean - row.chi.mean == pytest.approx(0.05)
        assert other.difference == pytest.approx(row.difference)
        assert other.rim.difference == pytest.approx(row.rim.difference)
        assert other.rim.shell_score == pytest.approx(row.rim.shell_score)
        assert other.rim.appearance == row.rim.appearance
