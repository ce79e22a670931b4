"""Growth curves: the study's table and coefficients come back, and what is saturated is said."""

from __future__ import annotations

from pathlib import Path
import re
import tomllib

import numpy as np
import pandas as pd
import pytest

from qsmprep.errors import RequestError
from qsmprep.simulate.cohorts import lesions
from qsmprep.statistics.growth import growth
from qsmprep.statistics.growth_curves import decay_start
from qsmprep.statistics.mixed import mixed
from qsmprep.statistics.polynomials import bin_times, orthonormal

ROOT = Path(__file__).parents[1]
STUDY = {
    "outcome": "chi", "time": "lesion_age", "group": "rim", "levels": ["rim+", "rim-"],
    "bins": list(lesions.AGES), "order": 8, "unit": "lesion_id",
}  # fmt: skip
MEANS = np.r_[lesions.MEANS["rim+"], lesions.MEANS["rim-"]]


def at(fitted, table="differences", key="time"):
    return fitted.tables[table].set_index(key)


@pytest.mark.parametrize(("cohort", "tolerance"), [
    # 1e-3 ppb of noise leaves an error of 1e-3 in a mean of few; 20 times the study one of 0.3
    (lesions.growth_means(1, 1, 1e-3, 1e-3, 1e-3), 0.01), (lesions.growth_means(1, 20), 1.0),
])  # fmt: skip
def test_the_means_of_the_study_are_recovered(cohort, tolerance):
    """ST-02: all 18."""
    table = growth(cohort, **STUDY).tables["means"]
    np.testing.assert_allclose(table["estimate"], MEANS, rtol=0, atol=tolerance)
    counts = np.r_[lesions.COUNTS["rim+"], lesions.COUNTS["rim-"]]
    np.testing.assert_array_equal(table["rows"] * 32 // len(set(cohort["lesion_id"])), counts)


def test_a_cohort_of_the_study_s_size_lies_in_its_intervals():
    """ST-02: of 18 means 16.4 on average over seeds, and 14 at the fifth percentile."""
    fitted = growth(lesions.growth_means(4), **STUDY)
    low, high = np.array(lesions.INTERVALS["rim+"] + lesions.INTERVALS["rim-"]).T
    found = fitted.tables["means"]["estimate"]
    assert ((low <= found) & (found <= high)).sum() >= 14
    assert list(fitted.tables["decay"]["decay_start"]) == [6.0, 2.0]
    assert any("saturated" in note for note in fitted.notes)
    drawn = fitted.drawings["curves"].data
    assert set(drawn["line"]) == {"rim+", "rim-", "rim+ (data)", "rim- (data)"}
    lines = drawn[~drawn["line"].str.endswith("(data)")]
    assert ((lines["ci_low"] < lines["y"]) & (lines["y"] < lines["ci_high"])).all()


def test_decay_starts_where_the_study_s_table_says():
    """2 years without a rim, 6 with one, from the printed means and intervals."""
    for rim, begin in (("rim+", 6.0), ("rim-", 2.0)):
        floor = lesions.INTERVALS[rim][1][0]
        times, means = np.array(lesions.AGES), np.array(lesions.MEANS[rim])
        assert decay_start(times, means, floor, 0.5) == begin
    assert decay_start(np.arange(4.0), np.array([1.0, 3.0, 2.5, 2.2]), 2.0, 0.0) == np.inf


def test_the_coefficients_of_the_study_are_recovered():
    """ST-03 at 20 times its size: within three standard errors, which are some 0.8 ppb."""
    fitted = growth(lesions.growth_coefficients(2, 20), **STUDY)
    found = at(fitted, "polynomials", "polynomial")
    truth = [lesions.CONTRAST.get(k, 0.0) for k in range(9)]
    assert (abs(found["estimate"] - truth) < 3 * found["std_error"]).all()
    assert (found["std_error"][["mean", "linear", "cubic"]] < [0.5, 1.0, 1.0]).all()
    curve = fitted.estimates.set_index("term")
    for degree in (1, 2, 3):
        row = curve.loc[f"poly(lesion_age, {degree})"]
        assert abs(row["estimate"] - lesions.CURVE[degree]) < 3 * row["std_error"]


def test_cohorts_that_stop_other_software_are_fitted():
    """ST-03 at its size: every fit ends, with all standard errors, and says what it left out."""
    dropped = 0
    for seed in range(6):
        fitted = growth(lesions.growth_coefficients(seed), **STUDY)
        assert fitted.facts["converged"]
        assert np.isfinite(fitted.estimates[["estimate", "std_error", "df"]]).all(axis=None)
        assert fitted.facts["boundary"] == any("left out" in note for note in fitted.notes)
        dropped += fitted.facts["boundary"]
    assert 0 < dropped < 6  # 1 ppb between patients is little beside 7 of noise


def test_lesions_shrink_as_planted():
    """ST-04: means at the start within 5 %, and groups apart at 0, 0.5, 2 and 4 years."""
    keys = STUDY | {"outcome": "volume", "order": 3, "spacing": "time", "times": [0, 0.5, 2, 4]}
    fitted = growth(lesions.volumes(1, 20), **keys)
    start = at(fitted, "means", ["group", "time"])["estimate"]
    for rim, volume in lesions.VOLUMES.items():
        assert start[rim, 0.0] == pytest.approx(volume, rel=0.05)
    assert list(fitted.tables["differences"]["time"]) == [0, 0.5, 2, 4]
    assert (fitted.tables["differences"]["p_holm"] < 0.001).all()
    small = growth(lesions.volumes(1), **keys).tables["differences"]
    order = np.argsort(small["p_value"].to_numpy())
    holm = np.maximum.accumulate(small["p_value"].to_numpy()[order] * [4, 3, 2, 1])
    np.testing.assert_allclose(small["p_holm"].to_numpy()[order], np.minimum(holm, 1), rtol=1e-12)


def test_logarithms_give_ratios():
    """Volumes are lognormal: their ratio is that of the means, to some 2 % at 20 times the size."""
    keys = STUDY | {"outcome": "volume", "order": 3, "log": True}
    fitted = growth(lesions.volumes(1, 20), **keys)
    ratio = lesions.VOLUMES["rim-"] / lesions.VOLUMES["rim+"]
    np.testing.assert_allclose(fitted.tables["differences"]["estimate"], ratio, rtol=0.1)
    means = at(fitted, "means", ["group", "time"])
    first = means.loc[("rim+", 0.0)]
    assert first["arithmetic_mean"] == pytest.approx(lesions.VOLUMES["rim+"], rel=0.05)
    # the median of the lognormal is lower by half the variance of its logarithm, 0.17
    assert first["estimate"] == pytest.approx(lesions.VOLUMES["rim+"] * np.exp(-0.085), rel=0.05)


CHANGE = {"formula": "chi ~ volume_change * rim", "unit": "lesion_id", "random": "1"}


def test_change_follows_volume_exactly_where_noise_is_taken_out():
    """ST-05: 0.014 ppb per mm³ to 1e-6, and the same in both groups."""
    table = mixed(lesions.volume_change(1, exact=True), **CHANGE).estimates.set_index("term")
    assert table.loc["volume_change", "estimate"] == pytest.approx(0.014, abs=1e-6)
    assert abs(table.loc["volume_change:rim[T.rim-]", "estimate"]) < 1e-6


def test_change_follows_volume_alike_in_both_groups():
    table = mixed(lesions.volume_change(1), **CHANGE).estimates.set_index("term")
    assert abs(table.loc["volume_change", "estimate"] - 0.014) < 0.004  # three standard errors
    assert table.loc["volume_change:rim[T.rim-]", "p_value"] > 0.05


def test_polynomials_are_those_of_tables():
    """Contrasts for five equal steps, as every table of orthogonal polynomials has them."""
    steps = np.array([0.0, 0.5, 1.0, 3.0, 6.0])
    found = orthonormal(steps, 2, total=1.0, equal=True)(steps)
    np.testing.assert_allclose(found[:, 0], np.array([-2, -1, 0, 1, 2]) / np.sqrt(10), atol=1e-12)
    np.testing.assert_allclose(found[:, 1], np.array([2, -1, -2, -1, 2]) / np.sqrt(14), atol=1e-12)


def test_polynomials_are_orthonormal_whatever_the_times():
    times = np.array(lesions.AGES)
    for basis in (orthonormal(times, 8, total=1.0), orthonormal(times, 8, total=1.0, equal=True)):
        values = basis(times)
        np.testing.assert_allclose(values.T @ values, np.eye(8), atol=1e-10)
        np.testing.assert_allclose(values.sum(axis=0), 0, atol=1e-10)


def test_rows_go_to_the_nearest_bin():
    times = np.array([0.0, 0.2, 0.25, 0.3, 5.0])
    np.testing.assert_array_equal(bin_times(times, [0, 0.5, 6]), [0, 0, 0, 0.5, 6])
    np.testing.assert_array_equal(bin_times(np.arange(8.0), 4), [0.5, 0.5, 2.5, 2.5, 4.5, 4.5,
                                                                 6.5, 6.5])  # fmt: skip
    np.testing.assert_array_equal(bin_times(np.array([0.0, 0, 0, 0, 1, 2]), 3), [0, 0, 0, 0, 1.5,
                                                                                 1.5])  # fmt: skip


def test_basis_does_not_change_saturated_means():
    """Nor does the choice of the group compared with: only what is compared."""
    data = lesions.growth_means(3)
    one = growth(data, **STUDY)
    two = growth(data, **STUDY | {"spacing": "time", "levels": ["rim-", "rim+"]})
    means = [at(f, "means", ["group", "time"])["estimate"].sort_index() for f in (one, two)]
    np.testing.assert_allclose(*means, rtol=1e-7)
    np.testing.assert_allclose(at(one)["estimate"], -at(two)["estimate"], rtol=1e-6)


def test_the_order_is_chosen_by_what_it_explains():
    """The study's cubic is no straight line at 6 times its size, and hardly of degree 6."""
    data = lesions.growth_coefficients(5, 6)
    assert growth(data, **STUDY | {"order": "auto"}).facts["order"] in (3, 4, 5)
    line = data.assign(chi=data["lesion_age"] * 2.0 + data["chi"].sample(
        frac=1, random_state=1).to_numpy() * 0.01)  # fmt: skip
    assert growth(line, **STUDY | {"order": "auto", "bins": 0}).facts["order"] <= 2


def test_continuous_time_gives_the_same_line_as_a_formula():
    data = lesions.growth_means(2)
    fitted = growth(data, **STUDY | {"bins": 0, "order": 1}, times=[1.0, 3.0], decay_from=0.5)
    plain = mixed(data, formula='chi ~ C(rim, contr.treatment("rim+")) * lesion_age', random="1",
                  time="lesion_age", unit="lesion_id").estimates["estimate"].to_numpy()  # fmt: skip
    np.testing.assert_allclose(at(fitted)["estimate"], plain[1] + plain[3] * np.array([1.0, 3.0]),
                               rtol=1e-6)  # fmt: skip
    means = fitted.tables["means"]
    np.testing.assert_allclose(means["estimate"][:41], plain[0] + plain[2] * means["time"][:41],
                               rtol=1e-6)  # fmt: skip


def test_covariates_are_held_at_the_mean_of_patients():
    data = lesions.growth_means(2)
    edss = pd.Series(np.linspace(0, 4, 19), index=sorted(set(data["participant_id"])))
    data = data.assign(edss=data["participant_id"].map(edss))
    data["chi"] += 5 * data["edss"]
    fitted = growth(data, **STUDY, covariates=["center(edss)"])
    assert fitted.estimates.set_index("term").loc["center(edss)", "estimate"] == pytest.approx(
        5, abs=1.5)  # fmt: skip
    offset = fitted.tables["means"]["estimate"] - MEANS
    assert offset.mean() == pytest.approx(10, abs=2)  # 5 times the mean EDSS
    assert list(fitted.tables["tests"]["term"]) == ["rim", "lesion_age", "center(edss)",
                                                    "rim:lesion_age"]  # fmt: skip


def test_patients_drawn_anew_give_intervals_to_everything():
    fitted = growth(lesions.growth_means(4), **STUDY, bootstrap=60, seed=3)
    for name in ("means", "differences"):
        table = fitted.tables[name]
        assert (table["boot_low"] < table["boot_high"]).all()
    decay = at(fitted, "decay", "group")
    assert decay.loc["rim-", "boot_low"] <= 2 <= decay.loc["rim-", "boot_high"]
    assert 0 < decay.loc["rim+", "share_decayed"] <= 1
    again = growth(lesions.growth_means(4), **STUDY, bootstrap=60, seed=3)
    pd.testing.assert_frame_equal(fitted.estimates, again.estimates)


def test_one_curve_needs_no_groups():
    fitted = growth(lesions.growth_means(4), **STUDY | {"group": "", "levels": [], "order": 3})
    assert set(fitted.tables) == {"means", "tests", "decay", "random_effects", "participants"}
    assert len(fitted.tables["means"]) == 9


MISTAKES = [
    ({"outcome": "hight"}, "no column hight"),
    ({"outcome": "rim"}, "rim is not a number"),
    ({"group": "edss"}, "no column edss"),
    ({"levels": ["rim+", "rim"]}, 'no row has rim = "rim"'),
    ({"levels": ["rim+"]}, "rim has one group"),
    ({"bins": 1}, "give 2 or more"),
    ({"bins": [0.0, 0.0]}, "different times"),
    ({"bins": [0.0, 100.0]}, "all 155 rows are in one bin"),
    ({"order": 9}, "rim rim+ has rows at 9 different times: give an order of at most 8"),
    ({"order": 0}, 'give a number from 1, or "auto"'),
    ({"order": "all"}, 'give a number from 1, or "auto"'),
    ({"spacing": "log"}, "choose equal or time"),
    ({"times": [7.0]}, "times: 7.0 is outside the data, 0.0 to 6.0"),
    ({"decay_from": -1.0}, "decay_from: -1.0 is outside the data"),
    ({"log": True}, "chi is not above 0"),
    ({"covariates": ["edss"]}, "no column edss"),
]


@pytest.mark.parametrize(("keys", "sentence"), MISTAKES)
def test_mistakes_are_named(keys, sentence):
    data = lesions.growth_means(4)
    data.iloc[0, data.columns.get_loc("chi")] = -3.0
    with pytest.raises(RequestError) as raised:
        growth(data, **STUDY | keys)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rows_of_other_groups_are_left_out_and_named():
    data = lesions.growth_means(4)
    data.iloc[:4, data.columns.get_loc("rim")] = "unsure"
    data.iloc[4, data.columns.get_loc("chi")] = np.nan
    fitted = growth(data, **STUDY)
    assert list(fitted.excluded["reason"]) == ["no chi", *["rim unsure"] * 4]


EXAMPLES = re.findall(
    r"```toml\n(.*?)```", (ROOT / "docs/models/growth.md").read_text("utf-8"), re.DOTALL
)


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_of_the_docs_run(text):
    kinds = {"growth": growth, "mixed": mixed}
    for name, keys in tomllib.loads(text)["model"].items():
        rng = np.random.default_rng(1)
        data = {"chi": lesions.growth_means, "volume": lesions.volumes,
                "change": lesions.volume_change}[name.split("-")[1]](4)  # fmt: skip
        people = pd.factorize(data["participant_id"])[0]
        data = data.assign(edss=rng.normal(2, 1, people.max() + 1)[people])
        if "volume" not in data:
            data["volume"] = rng.normal(500, 100, len(data))
        function = kinds[keys.pop("kind")]
        keys = {key: value for key, value in keys.items() if key not in ("rows", "description")}
        if "bootstrap" in keys:
            keys["bootstrap"] = 20
        assert function(data, **keys).facts["converged"]
