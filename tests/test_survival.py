"""Cox models and Kaplan-Meier curves: what R finds, closed forms, laws, and refusals."""

from itertools import pairwise
from pathlib import Path

from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
import numpy as np
import pandas as pd
import pytest

from qsmprep.errors import RequestError
from qsmprep.simulate.cohorts.survival import time_to_impairment, time_to_impairment_pet
from qsmprep.statistics.cox import cox
from qsmprep.statistics.km import km

GOLDEN = Path(__file__).parent / "golden"
TIMES = {"time": "time", "event": "event"}
FOLLOWED = {"time": "time_to_event", "event": "event"}

# R and lifelines stop within 1e-7 of the maximum; the issue asks for 1e-4.
R_TOLERANCE = 1e-6

COX = {
    "plain": {"formula": "chi + age + sex + education + apoe4"},
    "interaction": {"formula": "chi * apoe4 + age + site"},
    "strata": {"formula": "chi + age", "strata": "sex"},
    "two_strata": {"formula": "chi + age", "strata": ["sex", "apoe4"]},
    "entry": {"formula": "chi + age + site", "entry": "entry"},
    "entry_strata": {"formula": "chi + age", "entry": "entry", "strata": "sex"},
    "cluster": {"formula": "chi + age + sex", "cluster": "family"},
    "cluster_strata": {"formula": "chi + age", "strata": "sex", "cluster": "family"},
    "cluster_entry": {"formula": "chi + age + sex", "entry": "entry", "cluster": "family"},
    "firth": {"formula": "chi + age + sex", "firth": True},
    "firth_strata": {"formula": "chi + age", "strata": "sex", "firth": True},
    "firth_entry": {"formula": "chi + age", "entry": "entry", "firth": True},
}


@pytest.fixture(scope="module")
def cohort():
    table = pd.read_csv(GOLDEN / "survival_data.tsv", sep="\t")
    return table.set_index("participant_id", drop=False)


@pytest.fixture(scope="module")
def of_r():
    table = pd.read_csv(GOLDEN / "survival_golden.tsv", sep="\t", comment="#")

    def found(model, quantity):
        rows = table[(table.model == model) & (table.quantity == quantity)]
        return rows.set_index(rows.term.fillna("")).value.astype(float)

    return found


def as_r(terms):
    """Return names of terms as R writes them."""
    return terms.str.replace(r"\[T\.(.*?)\]", r"\1", regex=True)


@pytest.mark.parametrize("model", COX)
def test_hazard_ratios_are_those_of_r(model, cohort, of_r):
    fitted = cox(cohort, **TIMES, **COX[model])
    rows = fitted.estimates.set_index(as_r(fitted.estimates.term))
    # Firth's maximum was found in R by a general search of numerical slopes.
    tolerance = 1e-5 if "firth" in COX[model] else R_TOLERANCE
    expected = of_r(model, "estimate")
    assert rows.estimate.to_dict() == pytest.approx(expected.to_dict(), abs=tolerance)
    if "firth" not in COX[model]:
        errors = of_r(model, "std_error").to_dict()
        assert rows.std_error.to_dict() == pytest.approx(errors, abs=R_TOLERANCE)
        assert fitted.facts["concordance"] == pytest.approx(of_r(model, "concordance")[""])
        assert np.allclose(rows.hazard_ratio, np.exp(rows.estimate))


@pytest.mark.parametrize("model", [name for name in COX if "firth" not in name])
def test_proportional_hazards_are_tested_as_r_does(model, cohort, of_r):
    tests = cox(cohort, **TIMES, **COX[model]).tables["ph_test"].set_index("term")
    for ours, theirs in (("statistic", "zph_chi2"), ("df", "zph_df"), ("p_value", "zph_p")):
        expected = of_r(model, theirs).rename({"GLOBAL": "global"}).to_dict()
        assert tests[ours].to_dict() == pytest.approx(expected, abs=R_TOLERANCE)


def test_hazards_that_are_not_proportional_are_said(cohort, of_r):
    assert of_r("plain", "zph_p")["age"] < 0.05
    notes = cox(cohort, **TIMES, **COX["plain"]).notes
    assert any("not proportional for age" in note for note in notes)


@pytest.mark.parametrize(
    ("model", "keys"), [("predicted", {}), ("predicted_entry", {"entry": "entry"})]
)
def test_predicted_survival_is_that_of_r(model, keys, cohort, of_r):
    fitted = cox(cohort, **TIMES, formula="chi + age + sex", focus="chi", **keys)
    levels = {"-1": "mean - 1 SD", "0": "mean", "+1": "mean + 1 SD"}
    table = fitted.tables["predicted"]
    for ours, theirs in (("survival", "surv"), ("ci_low", "lower"), ("ci_high", "upper")):
        for label, expected in of_r(model, theirs).items():
            level, moment = label.split("@")
            rows = table[(table.level == levels[level]) & (table.time <= float(moment))]
            assert rows[ours].iloc[-1] == pytest.approx(expected, abs=R_TOLERANCE)


def pairs(first: int, second: int) -> pd.DataFrame:
    """Return pairs of one exposed and one not, of which the exposed have the event in `first`."""
    rows = [
        {"pair": f"p{k}", "exposed": exposed, "time": 1.0, "event": int(exposed == (k < first))}
        for k in range(first + second)
        for exposed in (0, 1)
    ]
    table = pd.DataFrame(rows)
    table["time"] += 1 - table["event"]
    return table.set_index(table.index.astype(str))


@pytest.mark.parametrize(("first", "second"), [(9, 4), (5, 0)])
def test_firth_adds_half_an_event_to_each_side_of_matched_pairs(first, second):
    # With pairs as strata the likelihood is binomial, and Firth's penalty is Jeffreys' prior:
    # the estimate is log((a + 1/2) / (b + 1/2)), finite also where all events are on one side.
    fitted = cox(pairs(first, second), **TIMES, formula="exposed", strata="pair", firth=True)
    row = fitted.estimates.iloc[0]
    assert row.estimate == pytest.approx(np.log((first + 0.5) / (second + 0.5)), abs=1e-6)

    def penalised(beta):
        p = 1 / (1 + np.exp(-beta))
        return (first + 0.5) * np.log(p) + (second + 0.5) * np.log(1 - p)

    # At the limits twice the loss is the 95th percentile of chi squared, 3.8415 (Wilks).
    for limit in (row.ci_low, row.ci_high):
        loss = 2 * (penalised(row.estimate) - penalised(limit))
        assert loss == pytest.approx(3.841459, abs=1e-5)
    assert row.statistic**2 == pytest.approx(2 * (penalised(row.estimate) - penalised(0)))


def test_a_likelihood_without_maximum_is_said_and_firth_helps(cohort):
    # All events have the mark, of the others half.
    mark = np.where(cohort.event == 1, 1.0, np.arange(len(cohort)) % 2)
    fitted = cox(cohort.assign(mark=mark), **TIMES, formula="mark + age")
    rows = fitted.estimates.set_index("term")
    assert not fitted.facts["converged"]
    assert rows.loc["mark"].isna().all()
    assert rows.loc["age"].notna().drop("df").all()
    assert any("mark: the likelihood rises without end" in note for note in fitted.notes)
    assert any("firth = true" in note for note in fitted.notes)
    mended = cox(cohort.assign(mark=mark), **TIMES, formula="mark + age", firth=True)
    assert mended.estimates.notna().drop(columns="df").all(axis=None)
    assert mended.estimates.hazard_ratio_low[0] > 1


def test_units_do_not_matter(cohort):
    plain = cox(cohort, **TIMES, formula="chi + age").estimates
    large = cohort.assign(chi=1e6 * cohort.chi + 1e9, age=cohort.age / 365)
    scaled = cox(large, **TIMES, formula="chi + age").estimates
    # 1e9 takes nine digits from chi.
    assert np.allclose(scaled.estimate * [1e6, 1 / 365], plain.estimate, rtol=1e-5)
    assert np.allclose(scaled.p_value, plain.p_value, rtol=1e-4)


def test_outliers_do_not_hinder_the_fit():
    rng = np.random.default_rng(1)
    x = rng.standard_t(1.5, 150)
    table = pd.DataFrame({"x": x, "time": rng.exponential(np.exp(-np.clip(x / 2, -3, 3)))})
    fitted = cox(table.assign(event=1), **TIMES, formula="x")
    assert fitted.facts["converged"]


def test_few_events_per_variable_are_warned_of():
    fitted = cox(time_to_impairment(1), **FOLLOWED, formula="chi + age + sex + education + apoe4")
    assert fitted.facts["events_per_variable"] == fitted.facts["events"] / 5
    assert any("fewer than 10" in note for note in fitted.notes)
    fewer = cox(time_to_impairment(1), **FOLLOWED, formula="chi")
    assert not any("fewer than 10" in note for note in fewer.notes)


def test_rows_of_one_participant_are_not_taken_for_many(cohort):
    twice = pd.concat([cohort, cohort.set_index(cohort.index + "b")])
    notes = cox(twice, **TIMES, formula="chi").notes
    assert any("participants, yet are taken to be independent" in note for note in notes)
    robust = cox(twice, **TIMES, formula="chi", cluster="participant_id")
    assert not any("independent" in note for note in robust.notes)


def test_gaps_are_named(cohort):
    gap = cohort.assign(age=cohort.age.where(cohort.index != "sub-007"))
    fitted = cox(gap, **TIMES, formula="scale(chi) + center(age)")
    assert fitted.excluded.reason.to_dict() == {"sub-007": "no age"}
    assert fitted.facts["n"] == 157


REFUSED = {
    "no column zz": {"formula": "zz"},
    "time is zero or negative in 1 of 158 row, first in sub-003": {"time": -1},
    "event is neither 0 nor 1 in 1 of 158 row, first in sub-003": {"event": 2},
    "event is 0 in all 158 rows": {"event": 0, "everywhere": True},
    "chi is 3.0 in all 158 rows; leave it out": {"chi": 3, "everywhere": True},
    "sex[T.M] does not vary within strata": {"formula": "sex", "strata": "sex"},
    "there is no covariate in it": {"formula": "1"},
    "a Cox model has nothing left of ~": {"formula": "y ~ chi"},
    "entry is not before time": {"entry": 99.0},
    "it must lie between 0 and 1": {"confidence": 95.0},
    "firth and cluster exclude each other": {"firth": True, "cluster": "family"},
    'only "efron"': {"ties": "breslow"},
    "focus age is not in the formula; chi are": {"focus": "age"},
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_answered_is_refused_in_a_sentence(sentence, cohort):
    keys = {**TIMES, "formula": "chi", **REFUSED[sentence]}
    table = cohort.copy()
    everywhere = keys.pop("everywhere", False)
    for column in ("time", "event", "chi", "entry"):
        if isinstance(keys.get(column), int | float):
            rows = slice(None) if everywhere else "sub-003"
            table.loc[rows, column] = keys.pop(column)
            keys |= {"entry": "entry"} if column == "entry" else {}
    with pytest.raises(RequestError) as refused:
        cox(table, **{**TIMES, **keys})
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("by", ["half", "site"])
@pytest.mark.parametrize("entry", ["", "entry"])
def test_curves_medians_and_restricted_means_are_those_of_r(by, entry, cohort, of_r):
    table = cohort.assign(half=np.where(cohort.chi <= cohort.chi.median(), "low", "high"))
    moments = [0.5, 1, 2.5, 4, 6]
    fitted = km(table, **TIMES, by=by, entry=entry, horizon=5.0, at=moments)
    model = f"km_{by}{'_entry' if entry else ''}"
    medians = fitted.tables["medians"].set_index("group")
    for ours, theirs in (("median", "median"), ("ci_low", "0.95LCL"), ("ci_high", "0.95UCL")):
        expected = of_r(model, theirs).to_dict()
        assert medians[ours].to_dict() == pytest.approx(expected, nan_ok=True)
    means = fitted.tables["restricted_mean"].set_index("group")
    for ours, theirs in (("restricted_mean", "rmean"), ("std_error", "se(rmean)")):
        assert means[ours].to_dict() == pytest.approx(of_r(model, theirs).to_dict(), abs=1e-8)
    curves = fitted.tables["curves"]
    for ours, theirs in (("survival", "surv"), ("ci_low", "lower"), ("ci_high", "upper")):
        for label, expected in of_r(model, theirs).items():
            group, moment = label.split("@")
            rows = curves[(curves.group == group) & (curves.time <= float(moment))]
            assert rows[ours].iloc[-1] == pytest.approx(expected, abs=1e-8)
    if not entry:  # with entries R gives the number at the next event instead
        at_risk = fitted.tables["at_risk"]
        names = at_risk.group + "@" + at_risk.time.map("{:g}".format)
        expected = of_r(model, "n.risk").to_dict()
        assert dict(zip(names, at_risk.at_risk, strict=True)) == expected


@pytest.mark.parametrize("strata", ["", "sex"])
@pytest.mark.parametrize("by", ["half", "site"])
def test_log_rank_tests_are_those_of_r(by, strata, cohort, of_r):
    table = cohort.assign(half=np.where(cohort.chi <= cohort.chi.median(), "low", "high"))
    row = km(table, **TIMES, by=by, strata=strata).estimates.iloc[0]
    model = f"logrank_{by}{'_strata' if strata else ''}"
    assert row.statistic == pytest.approx(of_r(model, "chi2")[""], rel=1e-7)
    assert row.p_value == pytest.approx(of_r(model, "p_value")[""], rel=1e-7)


def test_st11_curves_of_a_median_split_are_those_of_lifelines():
    cohort = time_to_impairment(3)
    fitted = km(cohort, **FOLLOWED, by="chi")
    assert list(fitted.tables["groups"]["n"]) == [79, 79]
    low = cohort.chi <= cohort.chi.median()
    for (_, rows), own in zip(
        fitted.tables["curves"].groupby("group", sort=False), (low, ~low), strict=True
    ):
        theirs = KaplanMeierFitter().fit(cohort.time_to_event[own], cohort.event[own])
        curve = theirs.survival_function_.iloc[:, 0]
        assert np.abs(rows.survival.to_numpy() - curve.to_numpy()).max() < 1e-12
        assert rows.time.to_numpy() == pytest.approx(curve.index.to_numpy(), abs=0)
    test = multivariate_logrank_test(cohort.time_to_event, low, cohort.event)
    assert fitted.estimates.statistic[0] == pytest.approx(test.test_statistic, rel=1e-12)


def test_the_median_itself_goes_with_the_lower_group():
    cohort = time_to_impairment(3, n=157)
    groups = km(cohort, **FOLLOWED, by="chi").tables["groups"].set_index("group")
    assert groups.n.to_dict() == {"chi ≤ median": 79, "chi > median": 78}


def test_numbers_are_cut_where_asked_and_pairs_are_corrected(cohort):
    fitted = km(cohort, **TIMES, by="chi", split=[-0.5, 0.5])
    assert list(fitted.tables["groups"].group) == ["chi ≤ -0.5", "-0.5 < chi ≤ 0.5", "chi > 0.5"]
    table = fitted.tables["logrank"].set_index("comparison")
    assert len(table) == 4
    single = table.p_value.drop("all groups").sort_values()
    # Holm: the smallest p three times, the next twice, never falling.
    expected = np.maximum.accumulate(np.minimum(single * [3, 2, 1], 1))
    assert table.p_holm[single.index].tolist() == pytest.approx(expected.tolist())


def test_curves_fall_and_their_limits_hold_them(cohort):
    for _, rows in km(cohort, **TIMES, by="site").tables["curves"].groupby("group"):
        assert all(after <= before for before, after in pairwise(rows.survival))
        assert (rows.ci_low <= rows.survival).all()
        assert (rows.survival <= rows.ci_high).all()


KM_REFUSED = {
    "sex is no number": {"by": "sex", "split": 2.0},
    "no row has chi > 99": {"by": "chi", "split": 99.0},
    "its numbers must rise": {"by": "chi", "split": [1.0, 0.0]},
    'give "median", "values" or numbers': {"by": "chi", "split": "mean"},
    "too many groups": {"by": "family"},
    "group all is observed until": {"horizon": 99.0},
    "there are no groups": {"by": "constant"},
}


@pytest.mark.parametrize("sentence", KM_REFUSED)
def test_curves_that_cannot_be_drawn_are_refused_in_a_sentence(sentence, cohort):
    with pytest.raises(RequestError, match=sentence):
        km(cohort.assign(constant="x"), **TIMES, **KM_REFUSED[sentence])


def test_st10_a_hundredfold_cohort_gives_the_hazard_ratio_that_was_put_in():
    # Over 20 seeds 1.93 to 2.07 and 3.40 to 3.84: studies.md allows 5 and 8 %.
    whole = time_to_impairment(1, n=15_800, hazard=0.018)
    row = cox(whole, **FOLLOWED, formula="chi + age").estimates.iloc[0]
    assert row.hazard_ratio == pytest.approx(2.0, rel=0.05)
    pet = time_to_impairment_pet(1, n=11_000, hazard=0.010)
    row = cox(pet, **FOLLOWED, formula="chi + age").estimates.iloc[0]
    assert row.hazard_ratio == pytest.approx(3.59, rel=0.08)
    assert km(whole, **FOLLOWED, by="chi").estimates.p_value[0] < 1e-6
