"""First tables, reliability and discrimination, against published and closed-form numbers."""

from inspect import signature
from pathlib import Path
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qsmprep.errors import RequestError
from qsmprep.simulate.cohorts.lesion_table import lesions
from qsmprep.statistics.ancova import ancova
from qsmprep.statistics.change import change
from qsmprep.statistics.correlation import correlation
from qsmprep.statistics.describe import describe, rounded
from qsmprep.statistics.linear import ols
from qsmprep.statistics.reliability import reliability
from qsmprep.statistics.roc import roc

# Shrout and Fleiss (1979), table 2: six targets, four judges.
JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def long(table):
    """Return a row per value of a table of participants by sessions."""
    return pd.DataFrame([
        {"participant_id": f"sub-{i}", "session_id": f"ses-{j}", "chi": float(value)}
        for i, row in enumerate(table) for j, value in enumerate(row)
    ]).rename(index=str)  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lesions_are_described_as_the_paper_prints_them(seed):
    # ST-01. Printed: 28, 72, 50, 81, 88 and 31 %; 6.87 ± 5.80 and 12.10 ± 8.95; 10.63 overall.
    columns = ["chi", "enhancement", "rim", "rim_at_enhancement", "rim_lasting", "central_vein"]
    fitted = describe(lesions(seed), columns=columns, group="enhancement")
    table = fitted.tables["table1"].set_index(["column", "level"])
    assert table.loc[("chi", ""), ["nodular", "shell"]].tolist() == ["6.87 ± 5.80", "12.10 ± 8.95"]
    printed = {
        ("enhancement", "nodular"): "9/32 (28 %)", ("enhancement", "shell"): "23/32 (72 %)",
        ("rim", "yes"): "16/32 (50 %)", ("rim_at_enhancement", "yes"): "13/16 (81 %)",
        ("rim_lasting", "yes"): "14/16 (88 %)", ("central_vein", "yes"): "10/32 (31 %)",
    }  # fmt: skip
    assert {key: table.loc[key, "all"] for key in printed} == printed
    rows = fitted.estimates.set_index("term")
    # The tolerance of the paper's two decimals.
    assert rows.loc["chi, all", "estimate"] == pytest.approx(10.63, abs=0.005)
    assert rows.loc["chi, nodular", "sd"] == pytest.approx(5.80, abs=1e-9)
    assert fitted.facts["participants"] == 19


def test_halves_are_rounded_away_from_zero_as_papers_do():
    assert rounded(87.5, 0) == "88"
    assert rounded(12.5, 0) == "13"
    assert rounded(2.675, 2) == "2.68"
    assert rounded(-2.675, 2) == "-2.68"
    assert rounded(-0.001, 2) == "0.00"


def test_numbers_are_compared_by_the_tests_named():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({
        "group": np.repeat(["HC", "MS"], [20, 30]), "age": rng.normal(50, 9, 50),
        "edss": rng.gamma(2, 1, 50), "sex": rng.choice(["F", "M"], 50), "apoe": [0, 1] * 25,
    })  # fmt: skip
    fitted = describe(data, group="group", skewed=["edss"], categories=["apoe"])
    tests = fitted.tables["tests"].set_index("column")
    a, b = (data[data["group"] == level] for level in ("HC", "MS"))
    assert tests.loc["age", "p_value"] == pytest.approx(
        stats.ttest_ind(a["age"], b["age"], equal_var=False).pvalue
    )
    assert tests.loc["edss", "p_value"] == pytest.approx(
        stats.mannwhitneyu(a["edss"], b["edss"]).pvalue
    )
    table = pd.crosstab(data["sex"], data["group"])
    assert tests.loc["sex", "p_value"] == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue
    )
    printed = fitted.tables["table1"].set_index(["column", "level"])
    assert printed.loc[("apoe", "1"), "all"] == "25/50 (50 %)"
    q = np.quantile(data["edss"], [0.5, 0.25, 0.75])
    assert printed.loc[("edss", ""), "all"] == f"{q[0]:.2f} [{q[1]:.2f}, {q[2]:.2f}]"


def test_intervals_of_shares_are_wilsons():
    data = pd.DataFrame({"rim": ["yes"] * 13 + ["no"] * 3})
    row = describe(data).estimates.set_index("term").loc["rim = yes, all"]
    wilson = stats.binomtest(13, 16).proportion_ci(method="wilson")
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((wilson.low, wilson.high))


def test_gaps_are_counted_and_groups_without_a_name_left_out():
    data = pd.DataFrame({"group": ["A", "A", "B", None], "age": [1.0, np.nan, 3.0, 4.0]})
    fitted = describe(data.rename(index=str), group="group")
    rows = fitted.estimates.set_index("term")
    assert rows.loc["age, A", ["n", "missing"]].tolist() == [1, 1]
    assert rows.loc["age, A", "text"] == "1.00 ± n/a"
    assert fitted.excluded["reason"].to_dict() == {"3": "no group"}
    with pytest.raises(RequestError, match="no column weight"):
        describe(data, columns=["weight"])


def test_intraclass_correlations_are_those_of_shrout_and_fleiss():
    # Printed: ICC(2,1) .29, ICC(3,1) .71; intervals as R's psych prints them for these data.
    rows = reliability(long(JUDGES)).estimates.set_index("term")
    agreement, consistency = rows.loc["ICC(2,1)"], rows.loc["ICC(3,1)"]
    assert agreement["estimate"] == pytest.approx(0.290, abs=5e-4)
    assert (agreement["ci_low"], agreement["ci_high"]) == pytest.approx((0.019, 0.761), abs=5e-4)
    assert consistency["estimate"] == pytest.approx(0.715, abs=5e-4)
    assert (consistency["ci_low"], consistency["ci_high"]) == pytest.approx(
        (0.342, 0.946), abs=5e-4
    )


def test_limits_of_agreement_are_bias_and_spread_of_differences():
    rng = np.random.default_rng(0)
    true = rng.normal(40, 10, 400)
    table = np.column_stack([true + rng.normal(0, 3, 400), true + 2 + rng.normal(0, 3, 400)])
    fitted = reliability(long(table))
    row = fitted.tables["agreement"].iloc[0]
    difference = table[:, 1] - table[:, 0]
    assert row["estimate"] == pytest.approx(difference.mean())
    assert row["limit_high"] == pytest.approx(difference.mean() + 1.96 * difference.std(ddof=1))
    rows = fitted.estimates.set_index("term")["estimate"]
    # Within participants: 3² and half the square of 2; errors of a chi-square with 400 df.
    assert rows["within-subject SD"] == pytest.approx(np.sqrt(9 + 2), rel=0.08)
    assert rows["repeatability coefficient"] == pytest.approx(
        1.96 * np.sqrt(2) * rows["within-subject SD"]
    )
    # 100 / (100 + 9), and with the bias 100 / (100 + 9 + 2).
    assert rows["ICC(3,1)"] == pytest.approx(100 / 109, abs=0.02)
    assert rows["ICC(2,1)"] == pytest.approx(100 / 111, abs=0.02)
    assert any("ICC(2,1) counts that as error" in note for note in fitted.notes)


def test_participants_without_all_sessions_are_named():
    data = long(JUDGES).drop(index="5")
    fitted = reliability(data)
    assert "Left out, without all sessions: sub-1." in fitted.notes
    assert set(fitted.excluded.index) == {"4", "6", "7"}
    assert fitted.facts["participants"] == 5
    assert reliability(data, sessions=["ses-0", "ses-2"]).facts["participants"] == 6
    with pytest.raises(RequestError, match="two sessions"):
        reliability(data[data["session_id"] == "ses-0"])


def test_perfect_repetition_has_an_icc_of_one_and_values_of_both_signs_no_cov():
    table = np.column_stack([np.arange(-3.0, 4)] * 2)
    rows = reliability(long(table)).estimates.set_index("term")
    assert rows.loc[["ICC(2,1)", "ICC(3,1)"], "estimate"].tolist() == [1.0, 1.0]
    assert np.isnan(rows.loc["within-subject CoV", "estimate"])


def test_the_area_is_the_share_of_pairs_in_order_with_delongs_error():
    rng = np.random.default_rng(0)
    values = {"no": np.round(rng.normal(10, 6, 40)), "yes": np.round(rng.normal(15, 6, 25))}
    data = pd.DataFrame({"gd": np.repeat(list(values), [40, 25]),
                         "chi": np.concatenate(list(values.values()))})  # fmt: skip
    row = roc(data, group="gd").estimates.iloc[0]
    above = values["yes"][:, None] > values["no"]
    psi = above + 0.5 * (values["yes"][:, None] == values["no"])
    assert row["estimate"] == pytest.approx(psi.mean())
    variance = psi.mean(1).var(ddof=1) / 25 + psi.mean(0).var(ddof=1) / 40
    assert row["std_error"] == pytest.approx(np.sqrt(variance))
    turned = roc(data, group="gd", levels=["yes", "no"])
    assert turned.estimates["estimate"][0] == pytest.approx(1 - psi.mean())
    assert any("turn levels round" in note for note in turned.notes)


def test_thresholds_count_who_is_at_or_above():
    data = pd.DataFrame({"group": ["a", "a", "b", "b"], "chi": [1.0, 3.0, 2.0, 4.0]})
    table = roc(data).tables["thresholds"].set_index("threshold")
    assert table["sensitivity"].tolist() == [1, 1, 0.5, 0.5]
    assert table["specificity"].tolist() == [0, 0.5, 0.5, 1]
    with pytest.raises(RequestError, match="name two"):
        roc(data.assign(group=["a", "b", "c", "c"]))


@pytest.mark.parametrize(("page", "functions"), [
    ("linear", [ols, ancova]), ("change", [change]), ("correlation", [correlation]),
    ("describe", [describe]), ("reliability", [reliability, roc]),
])  # fmt: skip
def test_every_key_is_documented(page, functions):
    text = (Path(__file__).parents[1] / f"docs/models/{page}.md").read_text("utf-8")
    for function in functions:
        for key in list(signature(function).parameters)[1:]:
            assert re.search(rf"^\|.*`{key}`.*\|", text, re.MULTILINE), (function.__name__, key)
