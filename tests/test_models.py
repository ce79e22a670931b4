"""Models from a file to a folder: the rows they see, what they leave, and what goes wrong."""

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from qsmprep.group.run import run_group
from qsmprep.simulate.cohorts.dataset import Cohort, write_cohort

MODELS = """
[data]
reference = "csf"

[model.groups]
kind = "ols"
description = "Do groups differ?"
formula = "chi ~ group + age"
for = ["putamen", "red-nucleus"]

[model.by-name]
kind = "ols"
formula = "chi_red_nucleus ~ age"
where = "group == 'MS'"

[model.scores]
kind = "ols"
rows = "scores"
formula = "score ~ chi_putamen"
cluster = "participant_id"

[model.own-table]
kind = "ols"
rows = "lesions.tsv"
formula = "size ~ depth"

[model.wrong-region]
kind = "ols"
formula = "chi ~ age"
for = ["puttamen"]

[model.wrong-column]
kind = "ols"
formula = "chi_putamen ~ weight"

[model.wrong-condition]
kind = "ols"
formula = "chi_putamen ~ age"
where = "group = 'MS'"

[model.nobody]
kind = "ols"
formula = "chi_putamen ~ age"
where = "age > 200"

[model.no-table]
kind = "ols"
rows = "score"
formula = "score ~ chi_putamen"

[model.not-harmonised]
kind = "ols"
formula = "chi_putamen ~ age"
harmonised = true
"""
FAILING = {
    "wrong-region": 'there is no region "puttamen"; there are putamen, red_nucleus',
    "wrong-column": "no column weight in the data",
    "wrong-condition": "is not true or false for every row",
    "nobody": "no row of 60 is left",
    "no-table": 'rows = "score": there is no such table; there are participants',
    "not-harmonised": "nothing is harmonised; add --harmonise METHOD",
}


def people():
    """Thirty participants of two visits; the age of one is not known."""
    rng = np.random.default_rng(4)
    n = 30
    table = pd.DataFrame({
        "participant_id": [f"sub-{i:02d}" for i in range(1, n + 1)],
        "group": np.where(np.arange(n) % 2, "MS", "HC"),
        "age": rng.integers(30, 60, n).astype(float),
    })  # fmt: skip
    table.loc[3, "age"] = np.nan
    return table, rng


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "study"
    table, rng = people()
    visits = pd.concat([table.assign(session_id=f"ses-{k}", years=2.0 * k) for k in (1, 2)])
    regions = pd.concat([
        visits[["participant_id", "session_id"]].assign(
            name=name, mean=40 + 5 * rng.normal(size=len(visits)), volume_mm3=4000.0
        )
        for name in ("putamen", "red-nucleus")
    ])  # fmt: skip
    scores = pd.concat([table[["participant_id"]].assign(score=rng.normal(size=30))] * 3)
    cohort = Cohort(
        truth="Nothing.",
        participants=table,
        regions=regions,
        sessions=visits[["participant_id", "session_id"]].assign(
            years_from_baseline=visits["years"] - 2
        ),
        phenotype={"scores": scores},
    )
    bids, out = write_cohort(folder, cohort)
    (folder / "models.toml").write_text(MODELS, encoding="utf-8")
    lesions = pd.DataFrame({"size": rng.normal(size=12), "depth": rng.normal(size=12)})
    lesions.to_csv(folder / "lesions.tsv", sep="\t", index=False)
    (out / "group/models/wrong-region").mkdir(parents=True)
    (out / "group/models/wrong-region/estimates.tsv").write_text("of an earlier call")
    return bids, out, folder / "models.toml"


@pytest.fixture(scope="module")
def ended(study):
    """Run all models once, and return the exit status and what was said."""
    bids, out, models = study
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr("sys.stderr", type("Say", (), {"write": said.append, "flush": int})())
        status = run_group(out, bids_dir=bids, models=[models])
    return status, "".join(map(str, said))


def read(out, model, table="estimates"):
    return pd.read_csv(out / f"group/models/{model}/{table}.tsv", sep="\t", na_values="n/a")


def wide(out):
    return pd.read_csv(out / "group/cohort.tsv", sep="\t", na_values="n/a")


@pytest.mark.usefixtures("ended")
def test_estimates_are_those_of_a_model_fitted_by_hand(study):
    _, out, _ = study
    first = wide(out).drop_duplicates("participant_id").dropna(subset=["age"])
    found = read(out, "groups").set_index(["region", "term"])
    for region in ("putamen", "red-nucleus"):
        data = first.assign(chi=first[f"chi_{region.replace('-', '_')}"])
        expected = smf.ols("chi ~ C(group) + age", data).fit()
        estimate = found.loc[(region, "age")]
        assert estimate["estimate"] == pytest.approx(expected.params["age"], rel=1e-9)
        assert estimate["std_error"] == pytest.approx(expected.bse["age"], rel=1e-9)
        assert estimate["p_value"] == pytest.approx(expected.pvalues["age"], rel=1e-9)


@pytest.mark.usefixtures("ended")
def test_p_values_are_corrected_for_the_number_of_regions(study):
    _, out, _ = study
    for _, rows in read(out, "groups").groupby("term"):
        assert rows["p_holm"].min() == pytest.approx(min(1, 2 * rows["p_value"].min()))
        assert (rows["p_bh"] <= rows["p_holm"] + 1e-12).all()


@pytest.mark.usefixtures("ended")
def test_a_row_with_a_gap_is_left_out_and_named(study):
    _, out, _ = study
    excluded = read(out, "groups", "excluded")
    assert set(excluded["reason"]) == {"no age"}
    assert set(excluded["row"]) == {"sub-04_ses-1"}
    assert set(excluded["region"]) == {"putamen", "red-nucleus"}
    assert (
        json.loads((out / "group/models/groups/model.json").read_text())["Facts"]["putamen"]["n"]
        == 29
    )


@pytest.mark.usefixtures("ended")
def test_a_condition_keeps_its_rows(study):
    _, out, _ = study
    patients = wide(out).drop_duplicates("participant_id").query("group == 'MS'")
    patients = patients.dropna(subset=["age"])
    expected = smf.ols("chi_red_nucleus ~ age", patients).fit()
    found = read(out, "by-name").set_index("term").loc["age"]
    assert found["estimate"] == pytest.approx(expected.params["age"], rel=1e-9)


@pytest.mark.usefixtures("ended")
def test_rows_of_another_table_have_the_regions_of_their_participant(study):
    _, out, _ = study
    facts = json.loads((out / "group/models/scores/model.json").read_text())["Facts"]
    assert facts["n"] == 90, "three rows of thirty participants"
    data = read(out, "scores", "data")
    first = wide(out).drop_duplicates("participant_id").set_index("participant_id")
    np.testing.assert_array_equal(
        data["chi_putamen"], first.loc[data["participant_id"], "chi_putamen"]
    )


@pytest.mark.usefixtures("ended")
def test_a_table_without_participants_stands_alone(study):
    _, out, models = study
    table = pd.read_csv(models.with_name("lesions.tsv"), sep="\t")
    expected = smf.ols("size ~ depth", table).fit().params["depth"]
    found = read(out, "own-table").set_index("term").loc["depth", "estimate"]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("model", FAILING)
def test_a_model_that_cannot_be_fitted_is_named_and_leaves_nothing(study, ended, model):
    _, out, models = study
    status, said = ended
    assert status == 1
    (line,) = [line for line in said.splitlines() if f"model {model}" in line]
    assert line.startswith(f"{models}: model {model}")
    assert FAILING[model] in line
    assert not (out / "group/models" / model).exists(), "nor what an earlier call has found"


@pytest.mark.usefixtures("ended")
def test_the_others_go_on_and_the_page_of_the_group_tells_both(study):
    _, out, _ = study
    page = (out / "group/index.html").read_text("utf-8")
    for model in ("groups", "by-name", "scores", "own-table"):
        assert f"models/{model}/index.html" in page
        assert (out / f"group/models/{model}/index.html").is_file()
    for model in FAILING:
        assert model in page


@pytest.mark.usefixtures("ended")
def test_every_table_says_what_made_it(study):
    _, out, _ = study
    for path in (out / "group/models/groups").glob("*.tsv"):
        sidecar = json.loads(path.with_suffix(".json").read_text("utf-8"))
        assert sidecar["Model"]["Formula"] == "chi ~ group + age"
        assert sidecar["Model"]["Reference"] == "csf"
        assert sidecar["Model"]["Software"]["statsmodels"]
    about = json.loads((out / "group/models/groups/model.json").read_text("utf-8"))
    assert about["Source"].startswith("[model.groups]")


@pytest.mark.usefixtures("ended")
def test_the_same_models_give_the_same_files_again(study):
    bids, out, models = study
    folder = out / "group/models/groups"
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    text = "[model.groups]" + MODELS.split("[model.groups]")[1].split("[model.by-name]")[0]
    alone = models.with_name("again.toml")
    alone.write_text('[data]\nreference = "csf"\n\n' + text, encoding="utf-8")
    assert run_group(out, bids_dir=bids, models=[alone]) == 0
    after = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert before == after


def test_a_mistake_in_a_file_stops_everything_before_it_begins(study, tmp_path, capsys):
    from qsmprep import cli

    bids, out, _ = study
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[model.a]\nkind = 'olss'\n", encoding="utf-8")
    before = (out / "group/index.html").stat().st_mtime_ns
    assert cli.main([str(bids), str(out), "group", "--model", str(wrong)]) == 2
    assert 'kind = "olss" does not exist' in capsys.readouterr().err
    assert (out / "group/index.html").stat().st_mtime_ns == before
