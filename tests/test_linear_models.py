"""Linear models and comparisons of groups, against R, statsmodels and what was simulated."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from qsmprep.errors import RequestError
from qsmprep.simulate.cohorts.groups import CLINICAL, MEANS, groups, patients
from qsmprep.statistics.ancova import ancova
from qsmprep.statistics.families import add_family, correct
from qsmprep.statistics.linear import ols
from qsmprep.statistics.results import ESTIMATES

GOLDEN = Path(__file__).parent / "golden"
FORMULAS = {"main": "chi ~ group + sex + age", "crossed": "chi ~ group*sex + age"}


@pytest.fixture(scope="module")
def golden():
    """Return what R's lm, car and emmeans found, and the data."""
    found = pd.read_csv(GOLDEN / "ancova_golden.tsv", sep="\t", comment="#", keep_default_na=False)
    data = pd.read_csv(GOLDEN / "ancova_data.tsv", sep="\t").rename(index=str)
    return found, data


@pytest.fixture(scope="module")
def cohort():
    return groups(7, exact=True).rename(index=str)


def of(golden, model, quantity):
    """Return numbers of R by their terms, as our terms are called."""
    rows = golden[0][(golden[0]["model"] == model) & (golden[0]["quantity"] == quantity)]
    rows = rows[rows["value"] != "NA"]
    return dict(zip(rows["term"], rows["value"].astype(float), strict=True))


@pytest.mark.parametrize("model", FORMULAS)
def test_coefficients_are_those_of_r(golden, model):
    fitted = ols(golden[1], formula=FORMULAS[model])
    for ours, theirs in (("estimate", "estimate"), ("std_error", "std_error"),
                         ("statistic", "t"), ("p_value", "p_value")):  # fmt: skip
        # Ten digits are stored.
        np.testing.assert_allclose(
            fitted.estimates[ours], list(of(golden, model, theirs).values()), rtol=1e-8
        )
    assert fitted.facts["r_squared"] == pytest.approx(of(golden, model, "r_squared")[""], rel=1e-9)


@pytest.mark.parametrize("model", FORMULAS)
@pytest.mark.parametrize("kind", [2, 3])
def test_tables_of_terms_are_those_of_r(golden, model, kind):
    table = ols(golden[1], formula=FORMULAS[model], anova=kind).tables["anova"].set_index("term")
    for ours, theirs in (("sum_sq", "sum_of_squares"), ("df", "df"), ("f", "F"),
                         ("p_value", "p_value")):  # fmt: skip
        for term, value in of(golden, model, f"type{kind}_{theirs}").items():
            if term != "(Intercept)":
                name = "Residual" if term == "Residuals" else term
                assert table.loc[name, ours] == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("model", FORMULAS)
@pytest.mark.parametrize("weights", ["equal", "observed"])
def test_adjusted_means_and_contrasts_are_those_of_emmeans(golden, model, weights):
    fitted = ancova(
        golden[1], formula=FORMULAS[model], levels=["HC", "MCI", "AD"], weights=weights
    )
    theirs = {"equal": "equal", "observed": "proportional"}[weights]
    means = fitted.tables["means"].set_index("group")
    for ours, name in (("estimate", "emmean"), ("std_error", "SE"), ("ci_low", "lower.CL"),
                       ("ci_high", "upper.CL"), ("df", "df")):  # fmt: skip
        for group, value in of(golden, model, f"mean_{theirs}_{name}").items():
            assert means.loc[group, ours] == pytest.approx(value, rel=1e-8)
    pairs = fitted.estimates.set_index("term")
    # They subtract later from earlier levels, of the alphabet; we the reference from others.
    names = {"AD - HC": (1, "AD - HC"), "AD - MCI": (1, "AD - MCI"), "HC - MCI": (-1, "MCI - HC")}
    for term, (sign, name) in names.items():
        estimate = of(golden, model, f"pair_{theirs}_estimate")[term]
        assert pairs.loc[name, "estimate"] == pytest.approx(sign * estimate, rel=1e-8)
        p = of(golden, model, f"pair_{theirs}_p_holm")[term]
        assert pairs.loc[name, "p_adjusted"] == pytest.approx(p, rel=1e-7)


@pytest.mark.parametrize("name", MEANS)
def test_an_exact_cohort_gives_back_the_published_difference(cohort, name):
    # ST-07: noise has no share in the design, so only rounding is left.
    fitted = ancova(
        cohort, formula=f"chi_{name} ~ group + age + sex + volume_{name}", levels=["HC", "MS"]
    )
    control, patient = MEANS[name]
    assert fitted.estimates["estimate"].tolist() == pytest.approx([patient - control], abs=1e-6)
    assert fitted.tables["means"]["estimate"].tolist() == pytest.approx(MEANS[name], abs=1e-6)


def test_the_thalamus_is_lower_in_patients_by_the_abstract_not_by_the_news(cohort):
    fitted = ancova(
        cohort, formula="chi_thalamus ~ group + age + sex", levels=["HC", "MS"],
        extra="volume_thalamus",
    )  # fmt: skip
    row = fitted.estimates.set_index("term").loc["MS - HC, with volume_thalamus"]
    # Published: -7.5 and -1.1; SE .928, t -6.90, P 1.0e-11 are those studies.md measured.
    assert row["estimate"] == pytest.approx(-6.4, abs=1e-6)
    assert row["std_error"] == pytest.approx(0.928, abs=5e-4)
    assert row["statistic"] == pytest.approx(-6.90, abs=5e-3)
    assert row["p_value"] == pytest.approx(1.0e-11, rel=0.05)
    assert row["cohens_d"] == pytest.approx(-6.4 / 12, abs=1e-9)
    # Without volume its slope times the atrophy, 0.516 SD of 1.5 cm3, is part of the difference.
    without = fitted.estimates.set_index("term").loc["MS - HC", "estimate"]
    assert without == pytest.approx(-6.4 + 0.5 * 0.516 * 1.5, abs=1e-6)


@pytest.mark.parametrize("levels", [["HC", "MS"], ["MS", "HC"]])
def test_the_order_of_levels_turns_the_sign_and_nothing_else(cohort, levels):
    fitted = ancova(cohort, formula="chi_thalamus ~ group + age + sex", levels=levels)
    assert fitted.estimates["term"].tolist() == [f"{levels[1]} - {levels[0]}"]
    sign = -1 if levels[0] == "HC" else 1
    unadjusted = 6.4 - 0.5 * 0.516 * 1.5
    assert fitted.estimates["estimate"][0] == pytest.approx(sign * unadjusted, abs=1e-6)
    assert fitted.tables["means"]["group"].tolist() == levels


def test_estimates_are_unbiased_and_their_errors_true():
    found = np.array([
        ancova(groups(seed, 120, 50), formula="chi_thalamus ~ group + age + sex + volume_thalamus",
               levels=["HC", "MS"]).estimates[["estimate", "std_error"]].to_numpy()[0]
        for seed in range(25)
    ])  # fmt: skip
    # 25 cohorts: the mean has an error of 2.1 / sqrt(25) = 0.42, the SD one of 14 %.
    assert found[:, 0].mean() == pytest.approx(-6.4, abs=1.2)
    assert found[:, 0].std(ddof=1) / found[:, 1].mean() == pytest.approx(1, abs=0.4)


def test_clinical_regressions_give_back_the_published_slopes():
    # ST-08, patients only.
    data = patients(3, exact=True)
    thalamus = ols(data, formula="chi_thalamus ~ duration + edss + course + age + sex")
    slopes = thalamus.estimates.set_index("term")["estimate"]
    assert slopes["duration"] == pytest.approx(CLINICAL["duration"], abs=1e-6)
    assert slopes["edss"] == pytest.approx(CLINICAL["edss"], abs=1e-6)
    assert slopes["course[T.SP]"] == pytest.approx(CLINICAL["spms"], abs=1e-6)
    pallidum = ols(data, formula="chi_pallidum ~ edss + course + duration + age + sex")
    slopes = pallidum.estimates.set_index("term")["estimate"]
    assert slopes["edss"] == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize("right", [
    "duration + edss + course + age + sex", "duration*course + edss + sex*course", "C(grade)*age",
])  # fmt: skip
def test_tables_of_terms_are_those_of_statsmodels(kind, right):
    data = patients(3).assign(grade=np.arange(600) % 3)
    ours = ols(data, formula=f"chi_thalamus ~ {right}", anova=kind).tables["anova"]
    coded = right.replace("course", "C(course, Sum)").replace("sex", "C(sex, Sum)")
    coded = coded.replace("C(grade)", "C(grade, Sum)")
    theirs = anova_lm(smf.ols(f"chi_thalamus ~ {coded}", data).fit(), typ=kind)
    theirs.index = theirs.index.str.replace(", Sum)", ")").str.replace(
        r"C\((course|sex)\)", r"\1", regex=True
    )
    for _, row in ours.iterrows():
        other = theirs.loc[row["term"]] if row["term"] in theirs.index else theirs.loc[
            ":".join(reversed(row["term"].split(":")))]  # fmt: skip
        assert row["sum_sq"] == pytest.approx(other["sum_sq"], rel=1e-8)
        assert row["df"] == other["df"]
        if row["term"] != "Residual":
            assert row["p_value"] == pytest.approx(other["PR(>F)"], rel=1e-6)


def test_robust_errors_are_those_of_statsmodels_and_of_the_formula():
    data = patients(5).assign(site=np.arange(600) % 20)
    robust = ols(data, formula="chi_thalamus ~ duration*sex", covariance="HC3", anova=3)
    model = smf.ols("chi_thalamus ~ duration*C(sex, Sum)", data)
    theirs = anova_lm(model.fit(), typ=3, robust="hc3")["PR(>F)"].to_numpy()[1:4]
    # Theirs has the category first.
    np.testing.assert_allclose(robust.tables["anova"]["p_value"][:3], theirs[[1, 0, 2]], rtol=1e-8)
    x = np.column_stack([np.ones(600), data["duration"]])
    inverse = np.linalg.inv(x.T @ x)
    residual = data["chi_thalamus"] - x @ inverse @ x.T @ data["chi_thalamus"]
    scores = pd.DataFrame(x * residual.to_numpy()[:, None]).groupby(data["site"]).sum().to_numpy()
    # Liang and Zeger's sandwich with the factor for few clusters.
    sandwich = inverse @ scores.T @ scores @ inverse * 20 / 19 * 599 / 598
    clustered = ols(data, formula="chi_thalamus ~ duration", cluster="site").estimates
    np.testing.assert_allclose(clustered["std_error"], np.sqrt(np.diag(sandwich)), rtol=1e-9)
    assert (clustered["df"] == 19).all()


def test_the_spread_that_differs_is_named_and_hc3_allows_for_it():
    rng = np.random.default_rng(0)
    group = np.repeat(["HC", "MS"], [300, 60])
    data = pd.DataFrame({"group": group, "age": rng.normal(50, 9, 360)})
    data["chi"] = rng.normal(0, np.where(group == "MS", 20, 4))
    fitted = ancova(data, formula="chi ~ group + age")
    assert any("Brown-Forsythe" in note and "HC3" in note for note in fitted.notes)
    robust = ancova(data, formula="chi ~ group + age", covariance="HC3")
    # Var = 20²/60 + 4²/300, which the pooled variance underestimates by half.
    assert robust.estimates["std_error"][0] == pytest.approx(2.59, rel=0.15)
    assert fitted.estimates["std_error"][0] < 0.6 * 2.59
    assert robust.tables["anova"]["partial_eta2"].isna().all()


def test_slopes_that_differ_between_groups_are_named():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"group": ["HC", "MS"] * 60, "age": rng.normal(50, 9, 120)})
    data["chi"] = np.where(data["group"] == "MS", 1.0, -1.0) * data["age"] + rng.normal(0, 5, 120)
    checks = ancova(data, formula="chi ~ group + age").tables["checks"].set_index("check")
    interaction = ols(data, formula="chi ~ group * age").tables["anova"].set_index("term")
    # One covariate: the test is that of its interaction.
    assert checks.loc["same slopes in all groups", "statistic"] == pytest.approx(
        interaction.loc["group:age", "f"], rel=1e-9
    )


def test_a_row_that_moves_the_fit_alone_is_named():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"age": rng.normal(50, 5, 40), "chi": rng.normal(0, 1, 40)})
    data.index = [f"sub-{number:02d}" for number in range(40)]
    data.loc["sub-07"] = [120.0, 60.0]
    fitted = ols(data, formula="chi ~ age")
    assert any("sub-07" in note for note in fitted.notes)
    influence = smf.ols("chi ~ age", data).fit().get_influence()
    worst = fitted.tables["influence"].iloc[0]
    assert worst["row"] == "sub-07"
    assert worst["cooks_distance"] == pytest.approx(influence.cooks_distance[0][7], rel=1e-9)
    assert worst["leverage"] == pytest.approx(influence.hat_matrix_diag[7], rel=1e-9)


def test_standardised_coefficients_are_those_of_standardised_columns():
    data = patients(4)
    given = ols(data, formula="chi_thalamus ~ duration + edss + sex").estimates
    numbers = ["chi_thalamus", "duration", "edss"]
    data[numbers] = (data[numbers] - data[numbers].mean()) / data[numbers].std()
    scaled = ols(data, formula="chi_thalamus ~ duration + edss + sex").estimates
    rows = given["term"].isin(["duration", "edss"])
    np.testing.assert_allclose(given["beta_standardised"][rows], scaled["estimate"][rows])
    assert given["beta_standardised"][~rows].isna().all()


def test_weights_of_contrasts_combine_adjusted_means():
    data = groups(1, 90, 60).assign(group=np.repeat(["A", "B", "C"], 50))
    fitted = ancova(
        data, formula="chi_thalamus ~ group + age", contrasts={"C - A and B": [-0.5, -0.5, 1]}
    )
    a, b, c = fitted.tables["means"]["estimate"]
    assert fitted.estimates["term"].tolist() == ["C - A and B"]
    assert fitted.estimates["estimate"][0] == pytest.approx(c - (a + b) / 2, rel=1e-9)


def test_rows_with_gaps_and_strange_levels_are_left_out_by_name():
    data = groups(1, 40, 40).rename(index=str)
    data.loc["3", "age"] = np.nan
    data.loc["5", "group"] = "CIS"
    data.loc["9", "volume_thalamus"] = np.inf
    fitted = ancova(
        data, formula="chi_thalamus ~ group + age", levels=["HC", "MS"], extra="volume_thalamus"
    )
    assert fitted.excluded["reason"].to_dict() == {
        "5": "group is CIS, not in levels", "3": "no age", "9": "no volume_thalamus",
    }  # fmt: skip
    assert fitted.facts["n"] == 77
    # Both models use the same rows, or volume would not be what makes them differ.
    assert set(fitted.tables["means"].groupby("covariates")["n"].sum()) == {77}


@pytest.mark.parametrize("right", [
    "C(group) + poly(age, 2) + scale(volume_thalamus)", "group*sex + bs(age, df=4)",
    "0 + group + age", "group + flag",
])  # fmt: skip
def test_adjusted_means_follow_any_formula(right):
    data = groups(1, 60, 60).rename(index=str).assign(flag=np.arange(120) % 3 == 0)
    means = ancova(data, formula=f"chi_thalamus ~ {right}").tables["means"].set_index("group")
    theirs = smf.ols(f"chi_thalamus ~ {right}".replace("poly(age, 2)", "age + I(age**2)").replace(
        "scale(volume_thalamus)", "volume_thalamus"), data).fit()  # fmt: skip
    at = data[["age", "volume_thalamus"]].mean().to_dict() | {"flag": data["flag"].mean()}
    for group, mean in means["estimate"].items():
        grid = pd.DataFrame([{"group": group, "sex": sex, **at} for sex in "FM"])
        if "flag" in right:
            # Patsy takes true and false for a category: weigh both by their share.
            grid = pd.concat([grid.assign(flag=value) for value in (False, False, True)])
        # With age squared the mean of age is where the curve is read, as emmeans does.
        assert mean == pytest.approx(theirs.predict(grid).mean(), rel=1e-6)


def test_groups_coded_by_numbers_are_groups():
    data = groups(1, 40, 40).assign(group=np.repeat([1, 0], 40))
    fitted = ancova(data, formula="chi_thalamus ~ group + age")
    assert fitted.estimates["term"].tolist() == ["1 - 0"]
    slope = ols(data, formula="chi_thalamus ~ group + age").estimates.set_index("term")
    assert fitted.estimates["estimate"][0] == pytest.approx(slope.loc["group", "estimate"])


def test_participants_with_several_rows_are_pointed_to_other_models():
    data = groups(1, 40, 40).assign(participant_id=[f"sub-{n // 2}" for n in range(80)])
    notes = ols(data, formula="chi_thalamus ~ age").notes
    assert any("rows are of 40 participants, yet" in note for note in notes)
    assert not ols(data, formula="chi_thalamus ~ age", cluster="participant_id").notes


@pytest.mark.parametrize(("change", "keys", "said"), [
    ({}, {"formula": "group + age"}, "has no outcome"),
    ({}, {"formula": "chi ~ group ~ age"}, "more than one ~"),
    ({"site": "A"}, {"formula": "chi ~ group + site"}, 'site is "A" in all'),
    ({}, {"formula": "chi ~ group", "contrasts": {"a": ["x", 1]}}, "sum to 0"),
    ({}, {"formula": "sex ~ group"}, "no column of numbers"),
    ({}, {"formula": "chi ~ group", "factor": "site"}, "has no site"),
    ({}, {"formula": "chi ~ group", "covariance": "HC9"}, '"nonrobust" or "HC3"'),
    ({}, {"formula": "chi ~ group", "anova": 1}, "it is 2 or 3"),
    ({}, {"formula": "chi ~ group", "confidence": 95}, "between 0 and 1"),
    ({}, {"formula": "chi ~ group", "adjust": "fdr"}, "no correction"),
    ({}, {"formula": "chi ~ group", "weights": "some"}, '"equal" or "observed"'),
    ({}, {"formula": "chi ~ group", "levels": ["HC", "RR"]}, 'no group is "RR"'),
    ({}, {"formula": "chi ~ group", "levels": ["HC"]}, "no list of different values"),
    ({}, {"formula": "chi ~ group", "contrasts": "all"}, "contrasts"),
    ({}, {"formula": "chi ~ group", "contrasts": {"a": [1, 1]}}, "sum to 0"),
    ({}, {"formula": "chi ~ group", "extra": "thickness"}, "no column thickness"),
    ({}, {"formula": "chi ~ group + age", "extra": "age"}, "in the formula already"),
    ({}, {"formula": "log(chi) ~ group"}, "no number in row"),
    ({"chi": 3.0}, {"formula": "chi ~ group"}, "chi is 3 in all"),
    ({"group": "HC"}, {"formula": "chi ~ group"}, "nothing to compare"),
])  # fmt: skip
def test_mistakes_are_named(change, keys, said):
    data = groups(1, 10, 10).rename(columns={"chi_thalamus": "chi"}).assign(**change)
    with pytest.raises(RequestError, match=said):
        ancova(data, **keys)


def test_more_coefficients_than_rows_are_refused():
    data = groups(1, 2, 2)
    with pytest.raises(RequestError, match="4 complete rows are too few for the 4 coefficients"):
        ols(data, formula="chi_thalamus ~ age + volume_thalamus + volume_basal_ganglia")


def test_corrections_are_those_of_statsmodels_and_leave_gaps():
    rng = np.random.default_rng(0)
    p = np.round(rng.random(200) ** 3, 3)  # with ties
    for ours, theirs in (("holm", "holm"), ("bh", "fdr_bh"), ("bonferroni", "bonferroni")):
        np.testing.assert_allclose(correct(p, ours), multipletests(p, method=theirs)[1])
    gaps = np.where(np.arange(200) % 3 == 0, np.nan, p)
    corrected = correct(gaps, "holm")
    assert np.isnan(corrected[::3]).all()
    np.testing.assert_allclose(corrected[~np.isnan(gaps)], correct(p[~np.isnan(gaps)], "holm"))
    assert correct([], "bh").size == 0


def test_a_family_is_one_term_over_all_regions():
    estimates = pd.DataFrame({
        "region": ["a", "a", "b", "b"], "term": ["age", "group"] * 2,
        "p_value": [0.01, 0.04, 0.03, np.nan],
    })  # fmt: skip
    family = add_family(estimates)
    assert family["p_holm"].tolist()[:3] == pytest.approx([0.02, 0.04, 0.03])
    assert family["p_bh"].tolist()[:3] == pytest.approx([0.02, 0.04, 0.03])
    assert family[["p_holm", "p_bh"]].iloc[3].isna().all()


def test_estimates_and_drawings_have_the_columns_agreed():
    data = groups(2, 40, 40)
    fitted = ancova(data, formula="chi_thalamus ~ group + age", extra="sex")
    assert list(fitted.estimates)[: len(ESTIMATES)] == list(ESTIMATES)
    means = fitted.drawings["means"].data
    assert set(means["kind"]) == {"mean", "point"}
    # A point is the group's mean plus its residual, which have mean 0 in each group here.
    points = means[means["kind"] == "point"].groupby("group")["y"].mean()
    lines = means[means["kind"] == "mean"].set_index("group")["y"]
    np.testing.assert_allclose(points[lines.index], lines, atol=1e-9)
    assert list(fitted.drawings["contrasts"].data) == [
        "label", "estimate", "ci_low", "ci_high", "p_value",
    ]  # fmt: skip
