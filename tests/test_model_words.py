"""What a model says of where its numbers come from, and what its columns mean."""

import json

import numpy as np
import pandas as pd
import pytest
from report_folder import Page

from qsmprep.group.model_figures import forests
from qsmprep.group.model_outputs import join_estimates
from qsmprep.group.run import run_group
from qsmprep.simulate.cohorts.dataset import Cohort, write_cohort
from qsmprep.simulate.cohorts.decline import decline
from qsmprep.simulate.cohorts.groups import groups
from qsmprep.simulate.cohorts.lesion_table import lesions
from qsmprep.simulate.cohorts.lesions import growth_means, volumes
from qsmprep.simulate.cohorts.sites import travellers
from qsmprep.simulate.cohorts.spectrum import spectrum
from qsmprep.simulate.cohorts.survival import time_to_impairment
from qsmprep.statistics.columns import describe_columns
from qsmprep.statistics.kinds import KINDS, VOXELWISE

MODELS = """
[model.both]
kind = "ols"
formula = "chi ~ age + volume"
where = "age > 20"
confidence = 0.9
for = ["putamen", "caudate"]

[model.ages]
kind = "describe"
columns = ["age"]
"""
FOLLOWED = {"time": "time_to_event", "event": "event"}
CURVES = {"time": "lesion_age", "group": "rim", "unit": "lesion_id"}
KEYS = {
    "cox": (lambda: time_to_impairment(1),
            {**FOLLOWED, "formula": "chi + age", "focus": "chi"}),
    "cox-firth": (lambda: time_to_impairment(1),
                  {**FOLLOWED, "formula": "chi + age", "firth": True}),
    "km": (lambda: time_to_impairment(1), {**FOLLOWED, "by": "chi"}),
    "mixed": (lambda: decline(1, n=40),
              {"formula": "score ~ age + years * chi", "lines": "chi", "bootstrap": 2}),
    "growth": (lambda: growth_means(1),
               {**CURVES, "outcome": "chi", "bins": [0, 1, 2, 4, 6], "bootstrap": 2}),
    "growth-log": (lambda: volumes(1),
                   {**CURVES, "outcome": "volume", "order": 1, "log": True}),
    "ols": (lambda: groups(1).head(80), {"formula": "chi_thalamus ~ age + sex"}),
    "ancova": (lambda: groups(1),
               {"formula": "chi_thalamus ~ group + age", "extra": "volume_thalamus"}),
    "change": (lambda: spectrum(1), {"value": "chi_putamen"}),
    "correlation": (lambda: spectrum(1).query("years == 0"),
                    {"x": ["chi_precuneus"], "y": ["inflammation1", "tau"]}),
    "describe": (lambda: lesions(1), {"columns": ["chi", "rim"], "group": "enhancement"}),
    "reliability": (lambda: travellers(1)["cohort"], {"value": "chi_putamen"}),
    "roc": (lambda: groups(1), {"value": "chi_thalamus"}),
}  # fmt: skip
"""Data and keys that make each kind leave all its tables."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng = np.random.default_rng(5)
    people = [f"sub-{number:02d}" for number in range(1, 25)]
    one = {"participant_id": people}
    regions = pd.concat([
        pd.DataFrame(one).assign(name=name, mean=rng.normal(40, 5, 24),
                                 volume_mm3=rng.normal(4000, 200, 24))
        for name in ("putamen", "caudate")
    ])  # fmt: skip
    cohort = Cohort(
        truth="Nothing.",
        participants=pd.DataFrame(one).assign(age=rng.uniform(30, 60, 24)),
        regions=regions,
        acquisitions={(who, "n/a"): {"GeneratedBy": {"ProtocolDigest": "0123456789ab"}}
                      for who in people},
    )  # fmt: skip
    root = tmp_path_factory.mktemp("words")
    bids, out = write_cohort(root / "study", cohort)
    (root / "models.toml").write_text(MODELS, encoding="utf-8")
    assert run_group(out, bids_dir=bids, models=[root / "models.toml"]) == 0
    return out / "group/models"


def test_the_paragraph_says_map_units_reference_atlas_and_protocol(folder):
    page = (folder / "both/index.html").read_text("utf-8")
    told = ("Regional values are the mean susceptibility (in ppb, with the csf as reference) and "
            "the volume (in mm³) of each region of the atlas simulated, from qsmprep")  # fmt: skip
    assert told in page
    assert "(protocol 0123456789ab)" in page
    assert "Those with age &gt; 20 were kept." in page


def test_the_summary_has_what_the_numbers_rest_on(folder):
    told = Page((folder / "both/index.html").read_text("utf-8")).section("Summary")
    for fact in ("Map Chimap", "Reference csf", "Units susceptibility ppb, volume mm3",
                 "Protocol 0123456789ab", "Harmonisation none"):  # fmt: skip
        assert fact in told
    told = json.loads((folder / "both/model.json").read_text("utf-8"))
    assert told["Protocols"] == ["0123456789ab"]
    assert told["Atlas"] == "simulated"


def test_a_model_without_regions_claims_none(folder):
    page = (folder / "ages/index.html").read_text("utf-8")
    assert "No regional values are used" in page
    assert "Regional values are" not in page


def test_a_forest_says_the_confidence_of_its_intervals(folder):
    (caption,) = {
        json.loads(path.read_text("utf-8"))["Caption"]
        for path in (folder / "both/figures").glob("forest_age.json")
    }
    assert "with 90 % confidence intervals" in caption


def test_a_forest_of_many_regions_says_which_it_shows():
    fitted = KINDS["ols"][0](groups(1).head(40), formula="chi_thalamus ~ age")
    many = join_estimates({f"region-{number}": fitted for number in range(70)})
    (drawing,) = forests(many).values()
    assert len(drawing.data) == 60
    assert "in the first 60 of 70 regions" in drawing.caption


def test_a_term_that_no_region_has_an_estimate_of_has_no_forest():
    fitted = KINDS["ols"][0](groups(1).head(40), formula="chi_thalamus ~ age + sex")
    table = join_estimates({"one": fitted, "other": fitted})
    table.loc[table["term"] == "age", "estimate"] = np.nan
    assert list(forests(table)) == ["forest_sex-T-M"]


def test_every_kind_is_covered_here():
    assert {name.partition("-")[0] for name in KEYS} == set(KINDS) - {VOXELWISE}


@pytest.mark.parametrize("name", KEYS)
def test_every_column_of_every_table_of_a_kind_is_described(name):
    kind = name.partition("-")[0]
    make, keys = KEYS[name]
    data = make()
    if "participant_id" not in data:
        data = data.assign(participant_id=[f"sub-{number}" for number in range(len(data))])
    fitted = KINDS[kind][0](data.set_index(pd.Index([f"row-{i}" for i in range(len(data))])),
                            **keys)  # fmt: skip
    tables = {"estimates": fitted.estimates, **fitted.tables}
    missing = [
        f"{table}: {column}"
        for table, content in tables.items()
        for column in content.columns
        if column not in describe_columns(content, kind=kind, name=table, data=data.columns)
    ]
    assert missing == []


def test_a_column_means_what_its_kind_makes_of_it():
    table = pd.DataFrame(columns=["estimate", "statistic"])
    told = {kind: describe_columns(table, kind=kind)["statistic"]["Description"]
            for kind in ("km", "ols", "reliability")}  # fmt: skip
    assert told["km"].startswith("Chi squared")
    assert told["ols"].startswith("t with df")
    assert told["reliability"].startswith("F of")
    hazard = describe_columns(table, kind="cox")["estimate"]["Description"]
    assert hazard.startswith("Logarithm of the hazard ratio")
