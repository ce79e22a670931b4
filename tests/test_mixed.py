"""Mixed models: as lme4 has them, as algebra has them, and honest where data say too little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from qsmprep.errors import RequestError
from qsmprep.simulate.cohorts.decline import decline
from qsmprep.statistics.design import design
from qsmprep.statistics.likelihood import Structure, evaluate, products
from qsmprep.statistics.mixed import mixed

GOLDEN = Path(__file__).parent / "golden"
THREE_WAY = "score ~ age + education + years * chi * dvr"
FORMULAS = {
    "slope": ("y ~ age + education + chi * time + time:dvr + dvr", "1 + time"),
    "three_way": ("y ~ age + education + time * chi * dvr", "1 + time"),
    "intercept": ("y ~ age + education + chi * time + time:dvr + dvr", "1"),
    "nested": ("chi ~ rim * (age + I(age**2) + I(age**3))", "1"),
}


def by_term(fitted):
    """Return estimates by term, spelt alike in R and here whatever the order of factors."""
    return fitted.estimates.set_index(fitted.estimates["term"].map(spelt))


def spelt(term):
    plain = term.replace("**", "^").replace(" ", "").replace("(Intercept)", "Intercept")
    return ":".join(sorted(plain.split(":")))


@pytest.fixture(scope="module")
def golden():
    columns = {"term": str, "value": float}
    table = pd.read_csv(
        GOLDEN / "mixed_golden.tsv", sep="\t", comment="#", dtype=columns, keep_default_na=False
    )
    return table.set_index(["model", "reml", "quantity"]).sort_index()


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", FORMULAS)
def test_it_finds_what_lme4_finds(golden, name, reml):
    """lme4 stopped where its deviance changes by 1e-10 or so, which leaves six digits or more."""
    formula, random = FORMULAS[name]
    lesions = name == "nested"
    data = pd.read_csv(GOLDEN / f"{'growth' if lesions else 'mixed'}_data.tsv", sep="\t")
    keys = {"subject": "patient", "unit": "lesion"} if lesions else {}
    fitted = mixed(data, formula=formula, random=random, time="time", reml=reml, **keys)
    found = by_term(fitted)
    for quantity in ("estimate", "std_error"):
        theirs = golden.loc[(name, int(reml), quantity)].set_index("term")["value"]
        theirs.index = theirs.index.map(spelt)
        np.testing.assert_allclose(found[quantity][theirs.index], theirs, rtol=1e-5, atol=1e-7)
    likelihood = golden.loc[(name, int(reml), "log_likelihood")]["value"].item()
    assert fitted.facts["log_likelihood"] == pytest.approx(likelihood, abs=1e-6)
    theirs = golden.loc[(name, int(reml), "variance")]["value"]
    ours = fitted.tables["random_effects"]["variance"]
    np.testing.assert_allclose(np.sort(ours), np.sort(theirs), rtol=1e-4)


@pytest.fixture(scope="module")
def small():
    """Return a design with slopes and units, and a covariance chosen at will."""
    rng = np.random.default_rng(5)
    who = rng.permutation(np.repeat(np.arange(7), rng.integers(3, 9, 7)))
    units = rng.integers(0, 3, len(who))
    x = np.column_stack(
        [np.ones(len(who)), rng.normal(50, 10, len(who)), rng.normal(size=len(who))]
    )
    z = np.column_stack([np.ones(len(who)), rng.normal(2, 3, len(who))])
    y = rng.normal(size=len(who)) + 0.1 * x[:, 1]
    return x, y, z, who, units


@pytest.mark.parametrize("reml", [True, False])
def test_the_likelihood_is_that_of_the_whole_covariance(small, reml):
    """By a matrix of all rows at once, as the definition has it."""
    x, y, z, who, units = small
    n, p = x.shape
    theta, sigma = np.array([0.7, -0.3, 0.4, 0.5]), 1.3
    sums = products(x, y, z, who, units)
    value = evaluate(sums, Structure(2, True, True), theta, reml, sigma)
    triangle = np.array([[0.7, 0], [-0.3, 0.4]]) / sums.scale[:, None]
    same = who[:, None] == who
    cov = np.eye(n) + same * (z @ triangle @ triangle.T @ z.T)
    cov = sigma**2 * (cov + 0.25 * same * (units[:, None] == units))
    inverse = np.linalg.inv(cov)
    information = x.T @ inverse @ x
    beta = np.linalg.solve(information, x.T @ inverse @ y)
    rest = y - x @ beta
    deviance = np.linalg.slogdet(cov)[1] + rest @ inverse @ rest + n * np.log(2 * np.pi)
    if reml:
        deviance += np.linalg.slogdet(information)[1] - p * np.log(2 * np.pi)
    assert value.deviance == pytest.approx(deviance, rel=1e-10)
    np.testing.assert_allclose(sums.shift + sums.to_beta @ value.beta, beta, rtol=1e-9)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("correlated", [True, False])
def test_the_gradient_is_that_of_the_likelihood(small, reml, correlated):
    x, y, z, who, units = small
    structure = Structure(2, correlated, True)
    sums = products(x, y, z, who, units)
    at = np.r_[structure.start(0.6), 1.3]

    def deviance(point):
        return evaluate(sums, structure, point[:-1], reml, point[-1]).deviance

    steps = 1e-5 * np.eye(len(at))
    numeric = [(deviance(at + step) - deviance(at - step)) / 2e-5 for step in steps]
    found = evaluate(sums, structure, at[:-1], reml, at[-1]).gradient
    np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-6)


def test_statsmodels_finds_no_higher_likelihood():
    """Its likelihood, at its maximum, is ours to the precision at which it stops."""
    data = decline(3, slope_sd=0.15)
    fitted = mixed(data, formula=THREE_WAY)
    x, z = design(THREE_WAY, data), design("1 + years", data)
    theirs = MixedLM(data["score"], x, groups=data["participant_id"], exog_re=z).fit()
    assert fitted.facts["log_likelihood"] == pytest.approx(theirs.llf, abs=1e-4)
    assert fitted.facts["log_likelihood"] > theirs.llf - 1e-7
    np.testing.assert_allclose(fitted.estimates["estimate"], theirs.fe_params, rtol=1e-3)


def test_two_visits_are_a_paired_t_test():
    """With its degrees of freedom, which Satterthwaite's must be on balanced data."""
    rng = np.random.default_rng(2)
    first = rng.normal(20, 3, 12)
    second = first + rng.normal(1, 1, 12)
    data = pd.DataFrame({"participant_id": np.tile(np.arange(12), 2),
                         "visit": np.repeat([0, 1], 12), "chi": np.r_[first, second]})  # fmt: skip
    found = mixed(data, formula="chi ~ visit", random="1").estimates.set_index("term").loc["visit"]
    theirs = stats.ttest_rel(second, first)
    interval = theirs.confidence_interval()
    assert found["statistic"] == pytest.approx(theirs.statistic, rel=1e-6)
    assert found["df"] == pytest.approx(11, rel=1e-4)
    assert found["p_value"] == pytest.approx(theirs.pvalue, rel=1e-4)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((interval.low, interval.high))


def test_groups_of_people_have_the_degrees_of_freedom_of_people():
    """On balanced data group means are a t test of people's means, change one of rows."""
    rng = np.random.default_rng(4)
    people, visits = 10, 4
    who = np.repeat(np.arange(people), visits)
    years = np.tile(np.arange(visits), people) - 1.5
    data = pd.DataFrame({"participant_id": who, "years": years, "group": who % 2})
    data["chi"] = rng.normal(0, 2, people)[who] + data["group"] + rng.normal(0, 1, len(who))
    found = mixed(data, formula="chi ~ group * years", random="1").estimates.set_index("term")
    means = data.groupby("participant_id")[["chi", "group"]].mean()
    theirs = stats.ttest_ind(means["chi"][means["group"] == 1], means["chi"][means["group"] == 0])
    assert found.loc["group", "statistic"] == pytest.approx(theirs.statistic, rel=1e-6)
    assert found.loc["group", "df"] == pytest.approx(people - 2, rel=1e-4)
    # of 40 rows: 10 levels of people and 2 slopes
    assert found.loc["group:years", "df"] == pytest.approx(40 - 10 - 2, rel=1e-4)


def test_several_coefficients_of_a_term_are_tested_together():
    """Three balanced visits: the F test of the repeated-measures analysis of variance."""
    rng = np.random.default_rng(8)
    values = rng.normal(0, 3, (15, 1)) + rng.normal(0, 1, (15, 3)) + [0.0, 0.4, 0.9]
    data = pd.DataFrame({"participant_id": np.repeat(np.arange(15), 3),
                         "visit": np.tile(list("abc"), 15), "chi": values.ravel()})  # fmt: skip
    test = mixed(data, formula="chi ~ visit", random="1").tables["tests"].iloc[0]
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    mean_square = 15 * values.mean(axis=0).var() * 3 / 2
    assert test["f"] == pytest.approx(mean_square / ((rest**2).sum() / 28), rel=1e-5)
    assert (test["df"], test["df_residual"]) == (2, pytest.approx(28, rel=1e-4))


def test_predictions_are_the_coefficients_times_the_people():
    """ST-12 and ST-13: nine lines, at the mean and 1 SD of people, to 1e-9."""
    data = decline(6, by_both=-0.015)
    formula = "score ~ center(age) + education + years * scale(chi) * dvr"
    fitted = mixed(data, formula=formula, lines="chi", panels="dvr", at={"education": 12})
    table, beta = fitted.tables["predictions"], fitted.estimates.set_index("term")["estimate"]
    people = data.drop_duplicates("participant_id")
    assert table.groupby(["panel", "line"], sort=False).ngroups == 9
    assert list(table["line"].unique()) == ["chi -1 SD (-1)", "chi mean (0)", "chi +1 SD (1)"]
    assert set(table["chi"].round(9)) == {-1.0, 0.0, 1.0}  # standardised when simulated
    chi = (table["chi"] - data["chi"].mean()) / data["chi"].std(ddof=1)
    t, dvr = table["years"], table["dvr"]
    expected = (
        beta["Intercept"] + beta["center(age)"] * (people["age"].mean() - data["age"].mean())
        + beta["education"] * 12 + beta["years"] * t + beta["scale(chi)"] * chi
        + beta["dvr"] * dvr + beta["years:scale(chi)"] * t * chi + beta["years:dvr"] * t * dvr
        + beta["scale(chi):dvr"] * chi * dvr + beta["years:scale(chi):dvr"] * t * chi * dvr
    )  # fmt: skip
    np.testing.assert_allclose(table["estimate"], expected, rtol=0, atol=1e-9)
    drawn = fitted.drawings["predictions"].data
    assert list(drawn.columns) == ["panel", "line", "x", "y", "ci_low", "ci_high"]
    assert ((drawn["ci_low"] < drawn["y"]) & (drawn["y"] < drawn["ci_high"])).all()


@pytest.mark.parametrize(
    ("planted", "term"), [({}, "years:chi"), ({"by_both": -0.015}, "years:chi:dvr")]
)
def test_decline_is_recovered(planted, term):
    """ST-12 and ST-13 with 4000 people: a standard error is 0.0014, the tolerance 0.004."""
    formula = THREE_WAY if planted else "score ~ age + education + years * (chi + dvr)"
    found = mixed(decline(11, n=4000, **planted), formula=formula).estimates.set_index("term")
    truth = planted.get("by_both", -0.020)
    assert abs(found.loc[term, "estimate"] - truth) < 0.004
    assert found.loc[term, "std_error"] < 0.002


def test_what_the_data_do_not_bear_is_left_out_and_said():
    """Nobody's change differs from another's: the slope goes, the intercept stays."""
    data = decline(1, slope_sd=0.0)
    formula = "score ~ age + years * chi"
    who = data["participant_id"]
    years = data["years"] - data.groupby(who)["years"].transform("mean")
    slope = (years * data["score"]).groupby(who).sum() / (years**2).groupby(who).sum()
    data["score"] -= who.map(slope) * years
    found, simple = mixed(data, formula=formula), mixed(data, formula=formula, random="1")
    assert found.facts["converged"]
    assert found.facts["boundary"]
    assert found.facts["refitted"] == 2
    (note,) = found.notes
    assert "the correlation of the random effects and the variance of years" in note
    pd.testing.assert_frame_equal(found.estimates, simple.estimates)


def test_people_who_do_not_differ_leave_least_squares():
    """Every person's mean is the same: no random effect is left, and it is said."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"participant_id": np.repeat(np.arange(9), 5), "dose": rng.normal(size=45),
                         "chi": rng.normal(size=45)})  # fmt: skip
    data["chi"] -= data.groupby("participant_id")["chi"].transform("mean")
    data["dose"] -= data.groupby("participant_id")["dose"].transform("mean")
    found = mixed(data, formula="chi ~ dose")
    line = stats.linregress(data["dose"], data["chi"])
    row = found.estimates.set_index("term").loc["dose"]
    assert row["estimate"] == pytest.approx(line.slope, rel=1e-9)
    assert row["std_error"] == pytest.approx(line.stderr, rel=1e-9)
    assert row["df"] == pytest.approx(43, rel=1e-4)
    assert found.facts["icc"] == 0
    assert any("No random effect is left" in note for note in found.notes)


def test_units_and_order_of_rows_do_not_matter():
    """Metres or nanometres, first or last: the same tests, estimates in their own units."""
    data = decline(9, n=60, slope_sd=0.15)
    formula = "score ~ age + years * chi"
    one = mixed(data, formula=formula).estimates
    other = data.assign(score=1e9 * data["score"] + 7, age=data["age"] * 365.25,
                        participant_id=data["participant_id"].str[::-1])  # fmt: skip
    two = mixed(other.sample(frac=1, random_state=3), formula=formula).estimates
    np.testing.assert_allclose(two["statistic"][1:], one["statistic"][1:], rtol=1e-6)
    np.testing.assert_allclose(two["df"], one["df"], rtol=1e-4)
    scale = 1e9 * np.array([1, 1 / 365.25, 1, 1, 1])
    np.testing.assert_allclose(two["estimate"][1:], (one["estimate"] * scale)[1:], rtol=1e-6)


def test_the_bootstrap_agrees_where_the_model_is_true():
    """With 200 people and 150 draws a standard error is known to a tenth or so."""
    data = decline(12, n=200, slope_sd=0.15)
    wish = {"formula": "score ~ age + years * chi", "bootstrap": 150}
    found = mixed(data, **wish, seed=4).estimates
    ratio = found["boot_se"] / found["std_error"]
    assert ((ratio > 0.75) & (ratio < 1.3)).all()
    again = mixed(data, **wish, seed=4).estimates
    pd.testing.assert_frame_equal(found, again)
    assert not mixed(data, **wish, seed=5).estimates["boot_se"].equals(found["boot_se"])


def test_gaps_are_left_out_and_named():
    data = decline(2, n=30)
    data.loc[data.index[[3, 8]], "age"] = np.nan
    found = mixed(data, formula="score ~ center(age) + years")
    assert list(found.excluded.index) == list(data.index[[3, 8]])
    assert set(found.excluded["reason"]) == {"no age"}
    assert found.facts["n"] == len(data) - 2


MISTAKES = [
    ({"formula": "age + years"}, "say what is modelled"),
    ({"formula": "score ~ iron"}, "no column iron"),
    ({"formula": "participant_id ~ age"}, 'outcome "participant_id" is no column of numbers'),
    ({"formula": "log(age - 100) ~ years"}, 'outcome "log(age - 100)" is no number in row'),
    ({"formula": "foo(score) ~ years"}, "formulas have no function foo"),
    ({"formula": "log(sex) ~ years"}, 'outcome "log(sex)": Unable to evaluate factor `log(sex)`'),
    ({"formula": "years ~ years"}, "says the outcome exactly"),
    ({"formula": "score ~ age + I(2 * age)"}, "one repeats others"),
    ({"formula": "score ~ age + (1 | participant_id)"}, "give random effects as random"),
    ({"random": "0"}, 'formula "0": has no term'),
    ({"subject": "row"}, "every row has one row"),
    ({"subject": "everyone"}, "a mixed model needs 3"),
    ({"unit": "row"}, "every row has one row"),
    ({"unit": "participant_id"}, "every participant_id has one participant_id"),
    ({"lines": "education"}, "lines: education is not in the formula"),
    ({"lines": "chi", "time": "month"}, "time = month, which is not in the formula"),
    ({"lines": "chi", "panels": "chi"}, "panels: chi is shown in another way already"),
    ({"lines": "years"}, "lines: years is shown in another way already"),
    ({"lines": "chi", "at": {"chi": 1}}, "at: chi is not held"),
    ({"time": "sex", "formula": "score ~ age + sex", "random": "1"}, "time: sex is not a number"),
    ({"at": {"age": "old"}}, 'age is a number, not "old"'),
    ({"at": {"sex": "X"}, "formula": "score ~ years + sex"}, 'no row has sex = "X"'),
    ({"df": "kenward"}, "choose satterthwaite or normal"),
    ({"confidence": 95.0}, "between 0 and 1"),
    ({"bootstrap": -1}, "number of draws"),
]


@pytest.mark.parametrize(("keys", "sentence"), MISTAKES)
def test_mistakes_are_named(keys, sentence):
    data = decline(2, n=20).assign(sex="F", everyone="one")
    data.iloc[::2, data.columns.get_loc("sex")] = "M"
    data["row"] = data.index
    with pytest.raises(RequestError) as raised:
        mixed(data, **{"formula": "score ~ age + years * chi", **keys})
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_too_few_visits_for_slopes_leave_intercepts():
    """Two visits of everybody cannot tell slopes from noise."""
    data = decline(2, n=40)
    data = data[data["years"] < 2]
    found = mixed(data, formula="score ~ years * chi")
    assert any("Too few rows per participant_id" in note for note in found.notes)
    assert list(found.tables["random_effects"]["level"]) == ["participant_id", "residual"]
