"""Outliers, small pictures and charts of the group's page, each by itself."""

import re

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from qsmprep.group.outputs import find_outputs
from qsmprep.reports.outliers import FEWEST, LIMIT, list_outliers, robust_z
from qsmprep.reports.strips import strip_chart
from qsmprep.reports.thumbnail import HEIGHT, WIDTH, WINDOW_PPB, chi_thumbnail


@pytest.fixture
def values():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    return pd.DataFrame(rows, columns=["a", "b", "c"])


def one_site(values):
    return pd.Series("here", index=values.index)


def test_z_of_normal_numbers_is_their_distance_in_standard_deviations(values):
    # The scale of 200 numbers is known to about 8 %.
    z = robust_z(values, one_site(values))
    np.testing.assert_allclose(z, values - values.median(), atol=0.6)
    assert z.abs().to_numpy().max() < 4.5


def test_z_knows_no_unit_and_no_zero(values):
    z = robust_z(values, one_site(values))
    pd.testing.assert_frame_equal(robust_z(1e3 * values + 7, one_site(values)), z)


def test_a_tenth_of_wild_values_does_not_hide_itself(values):
    values.loc[:19, "a"] = 40.0
    found = list_outliers(values, one_site(values), robust_z(values, one_site(values)))
    assert set(range(20)) <= set(found.loc[found["figure"] == "a", "row"])


def test_values_are_compared_with_their_site_where_it_is_large_enough():
    values = pd.DataFrame({"a": [*np.linspace(0, 1, 20), *np.linspace(100, 101, 20), 0.5]})
    site = pd.Series(["one"] * 20 + ["two"] * 21)
    found = list_outliers(values, site, robust_z(values, site))
    # As the first site's values go it would be one of them; at its own it is far off.
    assert found["row"].tolist() == [40]
    assert found["compared_with"].tolist() == ["site"]
    small = pd.Series(["one"] * 20 + [f"site-{i}" for i in range(21)])
    everybody = robust_z(values, one_site(values))
    pd.testing.assert_frame_equal(robust_z(values, small)[20:], everybody[20:])


def test_one_that_differs_among_equals_is_marked():
    values = pd.DataFrame({"echo_count": [5.0] * 30 + [4.0], "same": [2.0] * 31})
    z = robust_z(values, one_site(values))
    assert z["echo_count"].abs().gt(LIMIT).tolist() == [False] * 30 + [True]
    assert z["same"].isna().all()


def test_a_few_values_mark_nothing():
    values = pd.DataFrame({"a": [0.0, 1, 2, 3, 4, 5, 6, 7, 1000]})
    assert len(values) < FEWEST
    assert robust_z(values, one_site(values)).isna().all(axis=None)
    assert robust_z(pd.DataFrame(), pd.Series(dtype=str)).empty


def two_halves(shape=(60, 70, 50), left=-0.05, right=0.05):
    """Return a box whose halves differ, ppm, with air around it."""
    chi = np.zeros(shape, "f4")
    chi[5:30, 5:-5, 5:-5], chi[30:-5, 5:-5, 5:-5] = left, right
    return chi


def test_a_picture_shows_the_window_and_the_left_on_the_left():
    picture = chi_thumbnail(two_halves(), (2.0, 2.0, 2.0))
    assert picture.shape == (HEIGHT, WIDTH)
    low, high = WINDOW_PPB
    dark, bright = (255 * (chi - low) / (high - low) for chi in (-50, 50))
    for start in (0, WIDTH // 2):  # axial, coronal
        half = picture[:, start : start + WIDTH // 2]
        # Whole grey levels are cut, not rounded.
        assert half[HEIGHT // 2, WIDTH // 4 - 15] == pytest.approx(dark, abs=1)
        assert half[HEIGHT // 2, WIDTH // 4 + 15] == pytest.approx(bright, abs=1)
        assert half[0].max() == 0


@pytest.mark.parametrize("axcodes", [("L", "P", "S"), ("P", "S", "R"), ("A", "R", "I")])
def test_pictures_are_the_same_however_the_axes_lie(axcodes):
    turn = nb.orientations.axcodes2ornt(axcodes)
    back = nb.orientations.ornt_transform(nb.orientations.axcodes2ornt("RAS"), turn)
    chi, size = two_halves(), (2.0, 1.5, 3.0)
    turned = nb.orientations.apply_orientation(chi, back)
    sizes = [size[int(axis)] for axis in turn[:, 0]]
    np.testing.assert_array_equal(chi_thumbnail(turned, sizes, axcodes), chi_thumbnail(chi, size))


def test_pictures_keep_proportions_and_hold_any_head():
    # 50 voxels of 2 mm across, 60 of 2 mm from back to front: pixels of 1.25 mm.
    picture = chi_thumbnail(two_halves(right=0.09, left=0.09), (2.0, 2.0, 2.0))[:, : WIDTH // 2]
    rows, columns = np.nonzero(picture)
    assert np.ptp(columns) + 1 == 50 * 2 / 1.25
    assert np.ptp(rows) + 1 == 60 * 2 / 1.25
    assert chi_thumbnail(two_halves(), (9.0, 9.0, 9.0)).shape == (HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="zero everywhere"):
        chi_thumbnail(np.zeros((4, 4, 4)), (1.0, 1.0, 1.0))


def places(svg):
    drawn = re.findall(r'class="dots" d="([^"]*)"', svg)
    return [[float(x) for x in re.findall(r"M([\d.]+)", path)] for path in drawn]


def test_dots_stand_in_proportion_and_missing_values_are_left_out():
    svg = strip_chart({"one": [0.0, 5.0, float("nan"), 10.0], "two": [2.5]}, axis="Hz", alt="x")
    (low, middle, high), (quarter,) = places(svg)
    assert middle == pytest.approx((low + high) / 2, abs=0.1)  # places have one decimal
    assert quarter == pytest.approx((low + middle) / 2, abs=0.1)
    assert "one (n = 3)" in svg
    assert "two (n = 1)" in svg
    assert ">Hz<" in svg


def test_a_value_far_away_does_not_squeeze_the_others_and_is_told():
    svg = strip_chart({"": [*range(100), 1e6]}, axis="", alt="x")
    (drawn,) = places(svg)
    assert drawn[99] - drawn[0] > 70
    assert "1 beyond the axis" in svg
    assert drawn[100] == max(drawn)


@pytest.mark.parametrize("values", [[], [3.0], [0.0, 0.0], [-1e-9, 1e-9], [1e9, 1e9 + 1]])
def test_any_values_can_be_drawn(values):
    svg = strip_chart({"<b>": values}, axis="<i>", alt='"', window=(None, 3))
    assert "nan" not in svg
    assert "<b>" not in svg
    assert svg.count('"') % 2 == 0


def test_outputs_of_a_session_lie_where_its_maps_do(tmp_path):
    stem = "sub-01_ses-1"
    for name in (f"figures/{stem}_desc-chi_figure.png", f"ses-1/anat/{stem}_desc-qc.json"):
        path = tmp_path / "sub-01" / name
        path.parent.mkdir(parents=True)
        path.touch()
    (outputs,) = find_outputs(tmp_path).values()
    assert outputs.folder == tmp_path / "sub-01/ses-1/anat"
    assert set(outputs.files) == {"desc-qc.json", "desc-chi_figure.png"}
