"""What people get wrong in models: one sentence each, and never a wrong number in silence."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qsmprep.errors import RequestError
from qsmprep.group import models
from qsmprep.group.cohort_table import read_cohort
from qsmprep.group.covariates import read_rows
from qsmprep.group.frames import frame_of
from qsmprep.group.joining import _as_counted
from qsmprep.group.model_files import read_plan
from qsmprep.group.run import run_group
from qsmprep.simulate.cohorts.dataset import Cohort, write_cohort
from qsmprep.statistics.kinds import KINDS
from qsmprep.statistics.km import km
from qsmprep.statistics.linear import ols
from qsmprep.statistics.reliability import reliability
from qsmprep.statistics.roc import roc

N = 24


def people():
    """Return participants with columns that nobody should model with."""
    rng = np.random.default_rng(1)
    number = np.arange(N)
    return pd.DataFrame({
        "participant_id": [f"sub-{i:02d}" for i in number + 1],
        "group": np.where(number % 2, "MS", "HC"),
        "stage": number % 3 + 1.0,
        "age": rng.integers(30, 60, N).astype(float),
        "one": 1.0,
        "word": "a",
        "called": [f"w{i}" for i in number],
        "huge": rng.normal(size=N) * 1e300,
        "tiny": rng.normal(size=N) * 1e-200,
        "zero": np.r_[0.0, rng.uniform(1, 2, N - 1)],
        "two": np.r_[1.0, 2.0, np.full(N - 2, np.nan)],
        "volume_icv": rng.normal(1500, 50, N),
        "time": rng.exponential(5, N) + 0.1,
        "event": (rng.random(N) < 0.6).astype(float),
    })  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs") / "study"
    table = people()
    rng = np.random.default_rng(2)
    visits = pd.concat([
        table[["participant_id"]].assign(session_id=f"ses-{k}", years_from_baseline=2.0 * k)
        for k in (0, 1, 2)
    ])  # fmt: skip
    ids = visits[["participant_id", "session_id"]]
    regions = pd.concat([
        ids.assign(name="putamen", mean=40 + 5 * rng.normal(size=len(ids)), volume_mm3=4000.0),
        ids.assign(name="red-nucleus", mean=40.0, volume_mm3=200.0),
        ids[10:].assign(name="caudate", mean=30 + rng.normal(size=len(ids) - 10), volume_mm3=1.0),
    ])  # fmt: skip
    cohort = Cohort("Nothing.", table, regions, sessions=visits)
    return write_cohort(folder, cohort)


@pytest.fixture(scope="module")
def cohort(study):
    bids, out = study
    return read_cohort(out, bids, {})


def ask(cohort, tmp_path, keys, head=""):
    """Return fits, failures and notes of one model."""
    path = tmp_path / "models.toml"
    path.write_text(f"{head}[model.a]\n{keys}\n", encoding="utf-8")
    (spec,) = read_plan([path], KINDS).models
    frame, notes = frame_of(spec, cohort, None, read_rows)
    fits, failures = models.fit_regions(spec, frame, KINDS[spec.kind][0])
    return fits, failures, notes


OLS = 'kind = "ols"\nformula = "chi_putamen ~ '
WHERE = OLS + 'age"\nwhere = '
MISTAKES = {
    "a function that there is not": (OLS + 'zscore(age)"', "formulas have no function zscore"),
    "a function, misspelt": (OLS + 'scal(age)"', "did you mean scale?"),
    "rows of others": (OLS + 'lag(age)"', "formulas have no function lag"),
    "a method": (OLS + "age.to_csv('x')\"", "formulas have no function age.to_csv"),
    "an import": (OLS + "{__import__('os').getcwd()}\"", "formulas have no function __import__"),
    "an import, bare": (OLS + "__import__('os').getcwd() + age\"", "invalid syntax"),
    "a file": (OLS + "np.load('x')\"", "formulas have no function np.load"),
    "an attribute": (OLS + '{age.values}"', "no arithmetic on columns"),
    "a comprehension": (OLS + '{[i for i in age]}"', "no arithmetic on columns"),
    "operators": (OLS + 'group + + * age"', "Operator"),
    "a bracket": (OLS + 'group + (age"', "context marker"),
    "text that is constant": (OLS + 'age + word"', 'word is "a" in all 24 complete rows'),
    "log of zero": (OLS + 'log(zero)"', "log(zero) is no number in row sub-01_ses-0"),
    "numbers beyond squaring": (OLS + 'huge"', "too large to compute with"),
    "an outcome beyond squaring": ('kind = "ols"\nformula = "huge ~ age"', "too large"),
    "numbers beside which 1 is huge": (OLS + 'tiny"', "write scale() around"),
    "a region with a dash": ('kind = "ols"\nformula = "chi_red-nucleus ~ age"', "chi_red_nucleus"),
    "chi of no region": ('kind = "ols"\nformula = "chi ~ age"', "name regions by for"),
    "a column, misspelt": (OLS + 'agee"', "did you mean age?"),
    "no intercept": (
        'kind = "change"\nvalue = "chi_putamen"\nformula = "0 + group"', "leave out 0 +"),
    "a condition that calls": (WHERE + "\"age.to_csv('x') == 1\"", "age.to_csv is more than"),
    "a condition with @": (WHERE + "\"@frame.to_csv('x') == 1\"", "not true or false"),
    "a condition with eval": (WHERE + "\"age.map('x') == 1\"", "age.map is more than"),
    "a condition that assigns": (WHERE + '"age = 40"', "not true or false for every row"),
    "a condition that ends": (WHERE + '"age >"', "not true or false for every row"),
    "mixed text": ('kind = "mixed"\nformula = "chi_putamen ~ years + word"', 'word is "a"'),
    "mixed names": ('kind = "mixed"\nformula = "chi_putamen ~ called"', "24 participants are too"),
    "mixed seed": (
        'kind = "mixed"\nformula = "chi_putamen ~ years"\nseed = -1', "seed = -1: give 0"),
    "mixed at a list": (
        'kind = "mixed"\nformula = "chi_putamen ~ years + group"\nat = { group = ["MS"] }',
        'no row has group = ["MS"]'),
    "growth without intercept": (
        'kind = "growth"\noutcome = "chi_putamen"\ncovariates = ["0"]', "names no column"),
    "roc of one level": (
        'kind = "roc"\nvalue = "age"\nlevels = ["HC", "HC"]', "name two of them by levels"),
    "roc of a constant": ('kind = "roc"\nvalue = "one"', "tells no groups apart"),
    "digits": ('kind = "describe"\ncolumns = ["age"]\ndigits = -3', "between 0 and 10"),
    "correlation beyond squaring": (
        'kind = "correlation"\nx = ["huge", "age"]', "too large to compute with"),
    "a file that is not there": (OLS + 'age"\nrows = "lesions.tsv"', "there is no such file in"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_model_is_one_sentence(cohort, tmp_path, monkeypatch, mistake):
    monkeypatch.chdir(tmp_path)
    keys, sentence = MISTAKES[mistake]
    try:
        _, failures, _ = ask(cohort, tmp_path, keys)
        said = failures[""]
    except RequestError as error:
        said = str(error)
    assert sentence in said
    assert len(said) < 400
    assert "\n" not in said
    assert not list(tmp_path.glob("x*")), "nothing that it named has run"


REFUSED = {
    '[modl.a]\nkind = "ols"': 'there is no table "modl"; did you mean model?',
    '[model]\nkind = "ols"': "[model] kind: give the model a name, [model.NAME]",
    "model = 3": "write [model.NAME] above its keys",
    f'[model.{"a" * 300}]\nkind = "describe"': "at most 100",
    '[model.a]\nkind = "describe"\n[model.A]\nkind = "describe"': "another model of this name",
    '[model.a]\nkind = "correlation"\nx = [["age"], 3]': "give a list of texts, in quotes",
    '[model.a]\nkind = "growth"\noutcome = "age"\nbins = [1, "a"]': "give a list of numbers",
    '[model.a]\nkind = "ols"\nformula = "chi ~ age"\nfor = ["red-nucleus", "red_nucleus"]': (
        "red-nucleus, red_nucleus stands there more than once"
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_mistake_in_a_file_is_one_sentence(tmp_path, text):
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        read_plan([path], KINDS)
    assert REFUSED[text] in str(caught.value)


def test_the_mark_that_windows_puts_before_a_text_is_no_mistake(tmp_path):
    path = tmp_path / "models.toml"
    path.write_bytes(b"\xef\xbb\xbf[model.a]\r\nkind = 'describe'\r\n")
    (spec,) = read_plan([path], KINDS).models
    assert spec.text == "[model.a]\nkind = 'describe'"
    path.write_bytes("[model.a]\nkind = 'describe'\ndescription = 'Größe'".encode("latin-1"))
    with pytest.raises(RequestError, match="line 3 is not in UTF-8"):
        read_plan([path], KINDS)


def test_columns_of_users_are_no_regions(cohort, tmp_path):
    fits, failures, _ = ask(cohort, tmp_path, 'kind = "ols"\nformula = "chi ~ age"\nfor = "all"')
    assert set(fits) == {"putamen", "caudate"}, "not the icv of volume_icv"
    assert failures == {"red_nucleus": "chi is 40 in all 24 complete rows"}


def test_a_column_with_a_dash_may_still_be_quoted_and_transformed():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"a-b": rng.uniform(1, 2, 20), "y": rng.normal(size=20)})
    found = ols(data, formula="y ~ scale(np.log(`a-b`)) + I(`a-b` ** 2)").estimates
    x = np.log(data["a-b"])
    scaled = (x - x.mean()) / x.std(ddof=1)
    design = np.column_stack([np.ones(20), scaled, data["a-b"] ** 2])
    expected = np.linalg.lstsq(design, data["y"], rcond=None)[0]
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-8)


def test_numbers_that_may_name_groups_are_said_to_be_numbers():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"stage": np.arange(20) % 3 + 1.0, "y": rng.normal(size=20)})
    (note,) = [note for note in ols(data, formula="y ~ stage").notes if "C(stage)" in note]
    assert "values 1, 2, 3" in note
    assert not [note for note in ols(data, formula="y ~ C(stage)").notes if "C(stage)" in note]


def test_a_formula_without_intercept_is_said_to_test_something_else():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.arange(20) % 2, "y": 5 + rng.normal(size=20)})
    data["g"] = data["g"].map({0: "a", 1: "b"})
    found = ols(data, formula="y ~ 0 + g")
    assert found.estimates["estimate"].tolist() == pytest.approx(data.groupby("g")["y"].mean())
    assert any("has no intercept" in note for note in found.notes)
    assert not any("has no intercept" in note for note in ols(data, formula="y ~ g").notes)


def test_levels_are_called_as_their_owner_wrote_them(cohort, tmp_path):
    keys = 'kind = "ancova"\nformula = "chi_putamen ~ stage"\nfactor = "stage"'
    fits, *_ = ask(cohort, tmp_path, keys)
    assert fits[""].estimates["term"].tolist() == ["2 - 1", "3 - 1", "3 - 2"]
    keys = 'kind = "growth"\noutcome = "chi_putamen"\ngroup = "stage"\nlevels = [3, 1]\norder = 1'
    fits, *_ = ask(cohort, tmp_path, keys)
    assert "stage[T.1]" in fits[""].estimates["term"].tolist()


def test_pairs_never_at_risk_together_have_no_p_value():
    data = pd.DataFrame({
        "g": ["a", "a", "b", "b", "c", "c"], "t": [5.0, 6, 1, 2, 3, 4], "e": [1, 1, 0, 0, 1, 1],
    })  # fmt: skip
    table = km(data, time="t", event="e", by="g").tables["logrank"].set_index("comparison")
    assert np.isnan(table.loc["b vs a", "p_value"]), "b was gone before anything happened"
    assert table.loc["c vs a", "p_holm"] == table.loc["c vs a", "p_value"], "one test is left"


def test_repeated_rows_of_people_are_said_to_be_taken_for_independent():
    data = pd.DataFrame({
        "participant_id": ["a", "a", "b", "c"], "v": [1.0, 2, 3, 4], "g": ["x", "x", "y", "y"],
    })  # fmt: skip
    assert any("taken to be independent" in note for note in roc(data, value="v", group="g").notes)
    alone = data.drop_duplicates("participant_id").assign(g=["x", "y", "y"])
    alone = pd.concat([alone, alone.assign(participant_id=["d", "e", "f"], v=[5.0, 6, 7])])
    assert not any("independent" in note for note in roc(alone, value="v", group="g").notes)


def test_participants_of_correlations_are_those_that_were_used(cohort, tmp_path):
    keys = 'kind = "correlation"\nx = ["two", "age"]'
    fits, *_ = ask(cohort, tmp_path, keys)
    assert fits[""].facts["participants"] == fits[""].facts["n"] == 2
    keys = 'kind = "correlation"\nx = ["chi_putamen", "age"]\nmethod = "spearman"'
    fits, *_ = ask(cohort, tmp_path, keys)
    first = cohort.acquisitions.drop_duplicates("participant_id")
    values = cohort.values("Chimap", "csf", "simulated", "mean").loc[first.index, "putamen"]
    expected = stats.spearmanr(values, first["age"])
    estimate = fits[""].estimates.iloc[0]
    assert estimate["estimate"] == pytest.approx(expected.statistic, abs=1e-12)
    assert estimate["p_value"] == pytest.approx(expected.pvalue, abs=1e-12)


def test_sessions_may_be_named_without_their_prefix():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({
        "participant_id": list("abcdef") * 2, "session_id": ["ses-1"] * 6 + ["ses-2"] * 6,
        "chi": rng.normal(size=12),
    })  # fmt: skip
    found = [reliability(data, sessions=names) for names in (["1", "2"], ["ses-1", "ses-2"])]
    pd.testing.assert_frame_equal(found[0].estimates, found[1].estimates)


def test_session_10_comes_after_session_9():
    labels = pd.Series(["ses-10", "ses-9", "ses-1b", "n/a", "ses-1"], name="session_id")
    order = labels[_as_counted(labels).sort_values().index].tolist()
    assert order == ["n/a", "ses-1", "ses-1b", "ses-9", "ses-10"]


def two_runs(folder):
    """Write a cohort whose first session has two runs, and nothing says when sessions were."""
    table = people()[["participant_id", "group", "age"]].head(6)
    ids = pd.concat([table[["participant_id"]].assign(session_id=f"ses-{k}") for k in (9, 10)])
    regions = ids.assign(name="putamen", mean=np.arange(12.0), volume_mm3=1.0)
    bids, out = write_cohort(folder, Cohort("Nothing.", table, regions))
    for path in sorted(out.glob("sub-*/ses-9/anat/*")):
        text = path.read_text("utf-8")
        if path.suffix == ".tsv":
            rows = pd.read_csv(path, sep="\t", keep_default_na=False).assign(run="2")
            text = rows.to_csv(sep="\t", index=False)
        path.with_name(path.name.replace("ses-9_", "ses-9_run-2_")).write_text(text, "utf-8")
    return bids, out


def test_several_acquisitions_of_a_session_are_said(tmp_path):
    bids, out = two_runs(tmp_path / "study")
    cohort = read_cohort(out, bids, {})
    path = tmp_path / "models.toml"
    path.write_text('[model.a]\nkind = "describe"\n', encoding="utf-8")
    (spec,) = read_plan([path], KINDS).models
    frame, notes = frame_of(spec, cohort, None, read_rows)
    assert set(frame["session_id"]) == {"ses-9"}, "the alphabet has ses-10 first"
    assert any(note.startswith("6 sessions have several acquisitions") for note in notes)
    assert any("not known when 6 participants" in note for note in notes)
    path.write_text('[model.a]\nkind = "describe"\nrows = "acquisitions"\n', encoding="utf-8")
    (spec,) = read_plan([path], KINDS).models
    frame, notes = frame_of(spec, cohort, None, read_rows)
    assert len(frame) == 18
    assert any("as if it were a session" in note for note in notes)


SEVERAL = """
[model.nothing-to-draw]
kind = "correlation"
x = ["two", "age"]

[model.broken]
kind = "describe"

[model.separated]
kind = "cox"
formula = "event"
time = "time"
event = "event"
"""


def test_neither_an_empty_figure_nor_our_own_fault_stops_other_models(
    study, tmp_path, monkeypatch, capsys
):
    def broken(data, **_):
        return data["no such column"]

    monkeypatch.setitem(models.KINDS, "describe", (broken, "participants"))
    bids, out = study
    path = tmp_path / "models.toml"
    path.write_text(SEVERAL, encoding="utf-8")
    assert run_group(out, bids_dir=bids, models=[path]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "model broken" in line]
    assert "by a fault of qsmprep (KeyError" in line
    assert "please report it" in line
    for name in ("nothing-to-draw", "separated"):
        assert (out / f"group/models/{name}/index.html").is_file()
        assert json.loads((out / f"group/models/{name}/model.json").read_text("utf-8"))["Facts"]


def test_what_an_interrupted_model_leaves_is_no_answer(study, tmp_path, monkeypatch):
    def interrupted(folder, origin, *_):
        folder.mkdir(parents=True)
        (folder / "estimates.tsv").write_text("half")
        if origin.spec.name == "b":
            raise KeyboardInterrupt
        return

    monkeypatch.setattr(models, "write_model", interrupted)
    bids, out = study
    path = tmp_path / "models.toml"
    path.write_text(
        "".join(f'[model.{n}]\nkind = "describe"\ncolumns = ["age"]\n' for n in "abc"), "utf-8"
    )
    with pytest.raises(KeyboardInterrupt):
        run_group(out, bids_dir=bids, models=[path])
    assert (out / "group/models/a/estimates.tsv").is_file(), "what was finished is kept"
    assert not (out / "group/models/b").exists()
    assert not (out / "group/models/c").exists()


def test_the_data_of_a_model_have_the_values_of_all_its_regions(study, tmp_path):
    bids, out = study
    path = tmp_path / "models.toml"
    path.write_text(
        '[model.one]\nkind = "describe"\ncolumns = ["chi"]\nfor = ["red-nucleus"]\n'
        '[model.every]\nkind = "describe"\ncolumns = ["chi"]\nfor = "all"\n', "utf-8"
    )  # fmt: skip
    assert run_group(out, bids_dir=bids, models=[path]) == 0
    for name, regions in (("one", 1), ("every", 3)):
        data = pd.read_csv(out / f"group/models/{name}/data.tsv", sep="\t")
        assert data["chi_red_nucleus"].tolist() == [40.0] * N
        assert sum(column.startswith("chi_") for column in data) == regions


def test_the_time_of_a_row_is_not_that_of_the_image(cohort, tmp_path):
    table = people()[["participant_id"]].assign(score=1.0)
    table.to_csv(tmp_path / "visits.tsv", sep="\t", index=False)
    keys = 'kind = "ols"\nrows = "visits.tsv"\nformula = "score ~ years"'
    _, failures, _ = ask(cohort, tmp_path, keys)
    assert "no column years in the data" in failures[""]
    _, failures, _ = ask(cohort, tmp_path, keys.replace("years", "age"))
    assert failures[""] == "score is 1 in all 24 complete rows"


def test_a_folder_that_leads_elsewhere_keeps_what_is_there(study, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    bids, out = study
    folder = out / "group/models/linked"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(elsewhere)
    path = tmp_path / "models.toml"
    path.write_text('[model.linked]\nkind = "describe"\ncolumns = ["age"]\n', encoding="utf-8")
    assert run_group(out, bids_dir=bids, models=[path]) == 0
    assert [one.name for one in elsewhere.iterdir()] == ["mine.txt"]
    assert not folder.is_symlink()


def test_an_empty_column_is_described_as_empty(cohort, tmp_path):
    keys = 'kind = "describe"\ncolumns = ["software", "age"]'
    fits, *_ = ask(cohort, tmp_path, keys)
    row = fits[""].estimates.set_index("column").loc["software"]
    assert (row["n"], row["missing"], row["text"]) == (0, N, "n/a")
