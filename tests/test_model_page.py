"""The page of a model: warnings first, then the numbers of its tables as papers print them."""

from dataclasses import replace
from itertools import pairwise
import json
from pathlib import Path
import re
import shutil

import drawings
from jinja2 import DictLoader, Environment
from model_pages import FORMULA, METHODS, estimates, fitted, model_page
import numpy as np
import pandas as pd
import pytest
from report_folder import Page, assert_loads_nothing

from qsmprep.reports.apa import p_value, with_interval
from qsmprep.reports.model_page import gathered_notes, models_section, write_model_page
from qsmprep.reports.model_tables import headline, shown
from qsmprep.reports.plots import write_drawing
from qsmprep.statistics.results import Fitted

REGIONS = ("entorhinal", "putamen")
NASTY = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return model_page(tmp_path_factory.mktemp("model"))


def page_of(made, folder, **changes):
    return Page(write_model_page(folder, replace(made, **changes)).read_text("utf-8"))


@pytest.fixture
def page(made, tmp_path):
    return page_of(made, tmp_path)


def test_what_to_beware_of_comes_before_the_numbers(page):
    names = [name for _, name, _ in page.headings]
    assert names[:3] == ["entorhinal-mci", "Summary", "Before you believe the numbers"]
    told = page.section("Summary")
    assert "The sites differ in their voxels." in told
    assert told.count("below 10 Cox models overfit") == 1  # of both regions, said once
    assert told.index("overfit") < told.index("Formula")


def test_the_question_the_formula_and_the_facts_are_told(page):
    told = page.section("Summary")
    for fact in (FORMULA, "Rows 179 to 180, by region", "Events 41", "Converged yes",
                 "Reference csf", "Units ppb", "Protocol abc123", "Left out 3"):  # fmt: skip
        assert fact in told, fact
    assert "Does susceptibility foretell the time to symptoms?" in page.headings[0][2]


def test_the_family_has_every_region_with_all_three_probabilities(made, page):
    head, *rows = page.table("The family of tests")
    # Readers know the ratio; its logarithm is with the other terms.
    assert head == ["Region", "Term", "Hazard ratio", "Hazard ratio, 95 % CI", "p", "p (Holm)",
                    "p (BH)"]  # fmt: skip
    known = made.estimates[made.estimates["term"] == "scale(chi)"]
    for cells, row in zip(rows, known.to_dict("records"), strict=True):
        ratio = with_interval(*(row[f"hazard_ratio{end}"] for end in ("", "_low", "_high")))
        assert cells[:4] == [row["region"], "scale(chi)", *ratio.split(" ", 1)]
        assert cells[4:] == [p_value(row[name]) for name in ("p_value", "p_holm", "p_bh")]


def test_all_terms_are_there_and_columns_without_a_value_are_not(made, page):
    head, *rows = page.table("Estimates of all terms")
    assert "df" not in head  # z has none
    assert [row[:2] for row in rows] == made.estimates[["region", "term"]].to_numpy().tolist()
    first = made.estimates.iloc[0]
    told = with_interval(first["estimate"], first["ci_low"], first["ci_high"])
    assert rows[0][2:4] == told.split(" ", 1)
    assert rows[0][head.index("p")] == p_value(first["p_value"])


def test_without_regions_there_is_no_family(tmp_path):
    page = Page(write_model_page(tmp_path, model_page(tmp_path, ())).read_text("utf-8"))
    assert not [t for t in page.tables if t["caption"].startswith("The family")]
    assert "by region" not in page.text
    assert "Region" not in page.table("Estimates of all terms")[0]


def test_the_headline_is_the_surest_of_a_family_or_the_first_term():
    table = estimates(1)
    ratio = with_interval(*table.loc[0, ["hazard_ratio", "hazard_ratio_low", "hazard_ratio_high"]])
    assert headline(table).startswith(f"scale(chi): hazard ratio {ratio}, p ")
    plain = table[["term", "estimate", "ci_low", "ci_high", "p_value"]]
    first = plain.assign(term=["Intercept", "age", "sex", "x"])
    assert headline(first).startswith("age: ")
    assert headline(first.iloc[:1]) == "no estimate"
    first = first.assign(p_holm=[0.01, 0.2, 0.01, 0.01])
    both = pd.concat([first.assign(region="a"),
                      first.assign(region="b", p_holm=[0.01, 0.04, 0.9, 0.9])])  # fmt: skip
    assert headline(both).startswith("age: 1 of 2 regions with p (Holm) < .05; surest: b, ")
    assert headline(both).endswith("p (Holm) = .040")


def test_further_tables_have_all_regions(page):
    assert page.table("Omnibus") == [
        ["Region", "Term", "Chi squared", "df", "p"],
        *[[region, *cells] for region in REGIONS
          for cells in (["scale(chi)", "0.412", "1", ".520"], ["global", "3.21", "4", "< .001"])],
    ]  # fmt: skip
    assert "omnibus.tsv" in page.links


def test_who_was_left_out_is_counted_by_reason_and_listed_in_a_file(made, page, tmp_path):
    assert page.table("Why rows")[1:] == [["no education", "2"], ["no age", "1"]]
    assert "excluded.tsv" in page.links
    nobody = page_of(made, tmp_path, excluded=made.excluded.iloc[:0])
    assert "No row of the data was left out." in nobody.section("Left out")


def test_pictures_are_in_the_page_with_words_and_captions(page):
    assert len(page.images) == 3
    assert page.images[0]["alt"].startswith("Kaplan–Meier curves")
    assert "60 at the start" in page.images[0]["alt"]
    assert drawings.kaplan_meier().caption in page.section("Figures")
    # Assumptions are folded away, and no result.
    assert drawings.diagnostics().caption in page.section("Checks")
    assert drawings.diagnostics().caption not in page.section("Figures")


def test_a_picture_without_words_beside_it_is_shown_all_the_same(made, tmp_path):
    picture = tmp_path / "montage.png"
    shutil.copy(next(iter(made.drawings.values())).with_suffix(".png"), picture)
    picture.with_suffix(".json").write_text('{"Kind": "montage"}')
    page = page_of(made, tmp_path, drawings={"montage": picture})
    (image,) = page.images
    assert image["alt"]
    # A brain on black is not turned over in the dark, as plots are.
    assert "class" not in image


def test_of_very_many_figures_the_last_ones_are_left_to_their_folder(made, tmp_path):
    one = next(iter(made.drawings.values()))
    many = page_of(made, tmp_path, drawings={f"figure_{i}": one for i in range(30)})
    assert len(many.images) == 24
    assert many.section("Figures").count("Not on this page") == 6


def test_methods_model_and_versions_can_be_copied(made, page):
    methods = page.section("Methods")
    assert all(" ".join(part.split()) in methods for part in METHODS.split("\n\n"))
    settings = page.section("Settings and versions")
    assert " ".join(made.text.split()) in settings
    assert "lifelines 0.30.0" in settings


def test_a_fit_that_did_not_converge_is_the_first_thing_said(made, tmp_path):
    fits = dict(made.fits) | {"putamen": fitted(1, converged=False)}
    page = page_of(made, tmp_path, fits=fits)
    assert "not converged" in page.headings[0][2]
    first = page.section("Summary").split("The sites differ")[0]
    assert "The fit did not converge in putamen: its numbers are no answer." in first
    assert "Converged yes (1), no (1)" in page.section("Summary")


def test_notes_of_some_regions_name_them(made):
    fits = {"a": fitted(0, "too few events."), "b": fitted(1), "c": fitted(2, "too few events.")}
    assert gathered_notes(replace(made, fits=fits, notes=())) == ["a, c: too few events."]


def test_a_model_without_anything_still_has_a_page(made, tmp_path):
    empty = Fitted(estimates(0), {}, "")
    page = page_of(made, tmp_path, fits={"": empty}, estimates=empty.estimates, drawings={},
                   methods="", notes=(), facts={}, versions={}, files=(), formula="",
                   description="", excluded=made.excluded.iloc[:0])  # fmt: skip
    assert "no notes" in page.headings[0][2]
    assert not page.images


def test_intervals_are_named_by_their_confidence(made, tmp_path):
    page = page_of(made, tmp_path, confidence=0.9)
    assert page.table("Estimates of all terms")[0][3] == "90 % CI"
    assert "95 % CI" not in page.text
    svg = write_drawing(drawings.forest(), tmp_path, "forest", confidence=0.9)
    assert (
        json.loads(svg.with_suffix(".json").read_text("utf-8"))["Labels"]["confidence"] == "90 %"
    )


def test_a_long_table_says_how_much_of_it_is_shown(made, tmp_path):
    table = pd.DataFrame({"term": "x", "value": np.arange(500.0)})
    fit = replace(made.fits["putamen"], tables={"predictions": table})
    page = page_of(made, tmp_path, fits={"": fit})
    assert len(page.table("Predictions; the first 200 of 500 rows")) == 201


def test_cells_are_words_numbers_and_gaps():
    table = pd.DataFrame({"name": ["a", None], "kept": [True, False], "n": [3, 1200],
                          "mean": [0.12345, np.nan], "mean_low": [-1.0, np.nan],
                          "mean_high": [2.0, np.nan], "empty": [np.nan, np.nan]})  # fmt: skip
    told = shown(table)
    assert [name for name, _ in told.heads] == ["Name", "Kept", "n", "Mean", "Mean, 95 % CI"]
    assert told.rows == (("a", "yes", "3", "0.12", "[−1.00, 2.00]"),
                         ("n/a", "no", "1200", "n/a", "n/a"))  # fmt: skip


def test_the_page_can_be_used_without_eyes_without_a_mouse_and_without_a_network(made, tmp_path):
    text = write_model_page(tmp_path, made).read_text("utf-8")
    assert_loads_nothing(text)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert page.links[0] == "#main"  # past the contents
    assert {link for link in page.links if not link.startswith("#")} <= set(made.files)
    assert all(image["alt"] for image in page.images)
    assert all(head.get("scope") in ("col", "row") for head in page.heads)
    assert all(table["caption"] for table in page.tables)
    # What scrolls can be reached and has a name.
    boxes = re.findall(r'<div class="(?:scroll|picture)[^>]*>', text)
    assert all('tabindex="0"' in box and "aria-label=" in box for box in boxes)
    assert '<html lang="en">' in text
    levels = [level for level, _, _ in page.headings]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_text_of_the_data_is_escaped_wherever_it_comes_from(made, tmp_path):
    table = made.estimates.assign(term=NASTY, region=NASTY)
    fit = Fitted(estimates(0), {NASTY: NASTY}, NASTY, {NASTY: pd.DataFrame({NASTY: [NASTY]})},
                 notes=(NASTY,))  # fmt: skip
    shutil.copytree(next(iter(made.drawings.values())).parent, tmp_path / "figures")
    told = {"Caption": NASTY, "Kind": "forest"}
    (tmp_path / "figures/hazard_ratios.json").write_text(json.dumps(told))
    text = write_model_page(tmp_path, replace(
        made, name=NASTY, kind=NASTY, description=NASTY, formula=NASTY, text=NASTY,
        fits={NASTY: fit, "b": fit}, estimates=table, methods=NASTY, notes=(NASTY,),
        drawings={NASTY: tmp_path / "figures/hazard_ratios.svg"},
        excluded=pd.DataFrame({"reason": [NASTY]}), facts={NASTY: NASTY},
        versions={NASTY: NASTY}, files=(NASTY,),
    )).read_text("utf-8")  # fmt: skip
    assert NASTY not in text
    assert text.count("&lt;script&gt;") > 20
    assert_loads_nothing(text)
    Page(text)


def test_the_page_of_the_group_lists_models_with_their_first_result(made):
    rows = models_section([made, replace(made, name="second", fits={"": fitted(3)})])
    assert [row["href"] for row in rows] == [
        "models/entorhinal-mci/index.html",
        "models/second/index.html",
    ]
    assert (rows[0]["n"], rows[1]["n"]) == ("179 to 180, by region", 177)
    assert rows[0]["headline"] == headline(made.estimates)
    assert rows[0]["notes"] == 2
    wrap = '{% from "models.html" import models %}<h1>x</h1>{{ models(rows) }}'
    template = Path(__file__).parents[1] / "qsmprep/data/models.html"
    environment = Environment(
        loader=DictLoader({"page": wrap, "models.html": template.read_text("utf-8")}),
        autoescape=True,
    )
    environment.filters["plain"] = str
    html = environment.get_template("page").render(rows=rows)
    assert Page(html).table("Models that were run")[1][:3] == [
        "entorhinal-mci", "cox", "179 to 180, by region",
    ]  # fmt: skip


def test_notes_that_differ_in_the_value_of_a_test_are_one(tmp_path):
    made = model_page(tmp_path)
    first, second, *_ = made.fits
    fits = {
        name: replace(fitted, notes=(f"Shapiro-Wilk p = {value}: residuals are not normal.",))
        for (name, fitted), value in zip(made.fits.items(), ("0.0312", "8e-07"), strict=False)
    }
    fits["elsewhere"] = replace(made.fits[first], notes=())
    (note,) = gathered_notes(replace(made, fits=fits, notes=()))
    told = "Shapiro-Wilk p = 8e-07 to 0.0312: residuals are not normal."
    assert note == f"{first}, {second}: {told}"


def test_the_headline_of_a_family_is_the_highest_interaction():
    table = estimates(1)[["estimate", "ci_low", "ci_high", "p_value"]].assign(p_holm=0.02)
    terms = ["scale(chi)", "time:scale(chi)", "time:age", "scale(chi):age"]
    both = pd.concat([table.assign(term=terms, region=name) for name in "ab"])
    assert headline(both).startswith("time:scale(chi): 2 of 2 regions")


def test_a_difference_of_groups_with_volume_is_no_term_of_the_volume():
    table = estimates(1)[["estimate", "ci_low", "ci_high", "p_value"]].assign(p_holm=0.02)
    terms = ["MS - HC", "MS - HC, with volume", "SP - HC", "SP - HC, with volume"]
    both = pd.concat([table.assign(term=terms, region=name) for name in "ab"])
    assert headline(both).startswith("MS - HC: 2 of 2 regions")
