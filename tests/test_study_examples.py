"""Models of published studies in `examples/studies`: all can be read, and find what was put in."""

import json
import re

from docs_blocks import ROOT
import numpy as np
import pandas as pd
import pytest

from qsmprep.group import model_figures
from qsmprep.group.harmonise_options import read_options
from qsmprep.group.model_files import read_plan
from qsmprep.group.run import run_group
from qsmprep.simulate.cohorts.dataset import write_cohort
from qsmprep.simulate.cohorts.lesions import AGES, MEANS
from qsmprep.simulate.cohorts.studies import STUDIES
from qsmprep.statistics.kinds import KINDS

FOLDER = ROOT / "examples/studies"
FILES = sorted(FOLDER.glob("*.toml"))
MOST = 6
FEW = 'for = ["putamen", "caudate", "thalamus", "pallidum"]'


def run(study, folder):
    """Simulate a study, fit its models to a few regions, and return its output folder."""
    bids, out = write_cohort(folder / study, STUDIES[study](1))
    models = folder / f"{study}.toml"
    text = (FOLDER / models.name).read_text("utf-8")
    models.write_text(text.replace('for = "all"', FEW), encoding="utf-8")
    assert run_group(out, bids_dir=bids, models=[models]) == 0
    return out / "group"


def table(group, model, name="estimates"):
    return pd.read_csv(group / f"models/{model}/{name}.tsv", sep="\t", keep_default_na=False,
                       na_values="n/a")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # Figures take most of the time, and have tests of their own.
        patch.setattr(model_figures, "MOST_FIGURES", MOST)
        yield tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def cornell(folder):
    return run("cornell", folder)


@pytest.fixture(scope="module")
def travelling(folder):
    return run("travelling", folder)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_understood_and_has_a_cohort_of_its_name(path):
    plan = read_plan([path], KINDS)
    assert plan.models
    assert path.stem in STUDIES
    assert f"qsmprep-simulate cohort {path.stem} COHORT" in path.read_text("utf-8")
    if plan.harmonise:
        read_options(plan.harmonise)
    for spec in plan.models:
        assert spec.description, f"{spec.name} says no question"


def test_every_cohort_and_every_file_is_in_the_readme():
    named = set(re.findall(r"\]\(([\w-]+)\.toml\)", (FOLDER / "README.md").read_text("utf-8")))
    assert named == {path.stem for path in FILES} == set(STUDIES)


def test_susceptibility_of_lesions_follows_their_volume_as_it_was_made_to(cornell):
    slope = table(cornell, "volume-change").set_index("term").loc["volume_change"]
    assert slope["ci_low"] < 0.014 < slope["ci_high"]


def test_curves_of_lesions_go_through_the_published_means(cornell):
    means = table(cornell, "curves", "means").set_index(["group", "time"])
    truth = pd.Series({(rim, age): mean for rim in ("rim+", "rim-")
                       for age, mean in zip(AGES, MEANS[rim], strict=True)})  # fmt: skip
    found = means.loc[truth.index]
    inside = (found["ci_low"] < truth) & (truth < found["ci_high"])
    # 17.1 of 18 are expected, and means of one lesion go together.
    assert inside.sum() >= 14


def test_lesions_lose_eight_percent_of_their_volume_a_year(cornell):
    means = table(cornell, "volumes", "means").set_index(["group", "time"])["estimate"]
    for rim in ("rim+", "rim-"):
        yearly = 1 - (means[rim, 6.0] / means[rim, 0.0]) ** (1 / 6)
        # Four standard errors: sigma is 0.09, and five lesions are seen after six years.
        assert yearly == pytest.approx(0.08, abs=0.03)


def test_what_travellers_tell_takes_the_scanner_out_of_age(travelling):
    """Half a ppb a year was put in, and older people were at the scanner that adds 5 ppb."""
    measured = table(travelling, "age-measured").query("term == 'age'")
    harmonised = table(travelling, "age-harmonised").query("term == 'age'")
    assert measured["estimate"].mean() > 0.6
    inside = (harmonised["ci_low"] < 0.5) & (harmonised["ci_high"] > 0.5)
    assert inside.sum() >= 3, "95 % of four regions"
    assert abs(harmonised["estimate"].mean() - 0.5) < abs(measured["estimate"].mean() - 0.5)


def test_travellers_agree_better_when_harmonised(travelling):
    def within(model):
        found = table(travelling, model).query("term == 'within-subject SD'")
        return found["estimate"].mean()

    # Offsets of -5, 0 and 5 ppb make an SD of 5; noise was made with 2 ppb.
    assert within("agreement-measured") > 4
    assert within("agreement-harmonised") == pytest.approx(2, abs=0.4)


def test_undrawn_figures_are_counted_on_the_page(travelling):
    drawn = list((travelling / "models/agreement-measured/figures").glob("*.svg"))
    assert len(drawn) == MOST
    page = (travelling / "models/agreement-measured/index.html").read_text("utf-8")
    assert re.search(r"\d+ of \d+ figures of single regions are not drawn", page)


@pytest.mark.parametrize("study", ["cornell", "travelling"])
def test_every_column_that_is_written_is_described(study, request):
    missing = []
    for path in request.getfixturevalue(study).glob("models/*/*.tsv"):
        columns = path.read_text("utf-8").partition("\n")[0].split("\t")
        told = json.loads(path.with_suffix(".json").read_text("utf-8"))
        missing += [f"{path.parent.name}/{path.name}: {c}" for c in columns if c not in told]
    assert missing == []


def test_a_page_says_how_values_were_harmonised_and_by_which_map(travelling):
    about = json.loads((travelling / "models/age-harmonised/model.json").read_text("utf-8"))
    page = (travelling / "models/age-harmonised/index.html").read_text("utf-8")
    assert about["Harmonisation"] in re.sub(r"\s+", " ", page)
    assert np.all([word in page for word in ("Chimap", "travelling", "csf")])
