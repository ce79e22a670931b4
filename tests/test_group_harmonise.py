"""What harmonisation of a cohort writes, says and refuses."""

import json

from harmonise_cohorts import tiny_cohort
import numpy as np
import pandas as pd
import pytest

from qsmprep.errors import InputError, RequestError
from qsmprep.group.harmonise import run_harmonise
from qsmprep.simulate.cohorts.sites import sites, travellers, upgrade
from qsmprep.statistics import combat

COMBAT = {"method": "combat", "batch": "site"}
SMALL = {"batch": "site", "maps": ["Chimap"], "references": ["csf"]}


@pytest.fixture(scope="module")
def cohort():
    made = tiny_cohort(sites(15)["cohort"], ("csf", "whole-brain"))
    for table in made.tables.values():
        table["putamen_L"] = table["putamen"] + 1
    made.tables["R2starmap", "n/a"] = made.tables["Chimap", "csf"].abs() / 2
    return made


@pytest.fixture(scope="module")
def written(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return run_harmonise(cohort, COMBAT, out), out / "group"


def read(path):
    return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False,
                       float_precision="round_trip")  # fmt: skip


def test_models_get_what_combat_gives(cohort, written):
    chi = cohort.values("Chimap", "whole-brain", "cerebra", "mean")
    rows = cohort.acquisitions
    covariates = rows[["age", "sex", "group"]]
    learnt = combat.fit(chi.to_numpy(), rows["site"], covariates)
    expected = combat.apply(learnt, chi.to_numpy(), rows["site"], covariates)
    found = written[0].values("Chimap", "whole-brain", "cerebra", "mean")
    assert list(found) == list(chi)
    assert found.index.equals(chi.index)
    assert np.array_equal(found.to_numpy(), expected)
    assert written[0].label == "combat"
    assert "10.1093/biostatistics/kxj037" in written[0].method


def test_the_table_has_every_value_before_and_after(cohort, written):
    table = read(written[1] / "desc-combat_regions.tsv")
    assert len(table) == 180 * 11 * 3
    one = table.query("map == 'Chimap' and reference == 'csf' and name == 'putamen'")
    left = one[one["hemisphere"] == "L"].set_index("participant_id")
    chi = cohort.values("Chimap", "csf", "cerebra", "mean")["putamen_L"]
    assert np.array_equal(left["mean"], chi)  # not a digit is lost of what was measured
    after = written[0].values("Chimap", "csf", "cerebra", "mean")["putamen_L"]
    np.testing.assert_allclose(left["mean_combat"], after, rtol=1e-7)
    assert set(table["units"]) == {"ppb", "1/s"}
    sidecar = json.loads((written[1] / "desc-combat_regions.json").read_text())
    assert set(table) < set(sidecar)
    assert sidecar["Covariates"] == ["age", "sex", "group"]


def test_the_table_of_batches_tells_what_went(written):
    table = read(written[1] / "desc-combat_sitevariance.tsv")
    assert (table["partial_r2_after"] < 0.02).all()
    assert (table["partial_r2_before"] > table["partial_r2_after"]).all()
    assert (table["p_after"] > 0.05).all()
    offsets = table[["offset_site1", "offset_site2", "offset_site3"]]
    # Before they are drawn together, three batches of equal size have offsets that add to nothing.
    np.testing.assert_allclose(offsets.sum(axis=1), 0, atol=0.15 * np.abs(offsets).max(axis=None))
    sidecar = json.loads((written[1] / "desc-combat_sitevariance.json").read_text())
    assert set(table) < set(sidecar)


def test_a_reference_that_shifts_all_shifts_all(written):
    """Every reference is harmonised by itself, and a constant is no business of ComBat."""
    found, _ = written
    csf, brain = (
        found.values("Chimap", name, "cerebra", "mean") for name in ("csf", "whole-brain")
    )
    np.testing.assert_allclose(brain - csf, 10, atol=1e-9)


def test_the_page_says_method_notes_and_batches(written):
    page = (written[1] / "harmonisation.html").read_text()
    for words in ("site2", "Covariates were not named", "volumes", "each by itself"):
        assert words in page
    assert "://" not in page  # it loads nothing
    figure = written[1] / "figures/desc-combat_seg-cerebra_Chimap_batches.tsv"
    assert list(read(figure)) == ["region", "batch", "before", "after", "partial_r2"]
    assert figure.with_suffix(".svg").is_file()
    assert figure.with_suffix(".png").is_file()


def test_stored_parameters_give_the_same_again_and_to_some(cohort, written, tmp_path):
    found, folder = written
    stored = {"parameters": str(folder / "desc-combat_parameters.json")}
    csf = {"maps": ["Chimap"], "references": ["csf"]}
    whole = run_harmonise(cohort, {**stored, **csf}, tmp_path / "whole")
    expected = found.values("Chimap", "csf", "cerebra", "mean")
    assert whole.values("Chimap", "csf", "cerebra", "mean").equals(expected)
    few = sites(15)["cohort"].iloc[[3, 70, 71, 150]]
    some = run_harmonise(tiny_cohort(few), {**stored, "method": "combat"}, tmp_path / "some")
    got = some.values("Chimap", "csf", "cerebra", "mean")
    common = [name for name in expected if name in got]
    np.testing.assert_allclose(got[common], expected.loc[got.index, common], atol=1e-9)
    assert "had been learnt before" in some.method
    kept = (tmp_path / "some/group/desc-combat_parameters.json").read_bytes()
    assert kept == (folder / "desc-combat_parameters.json").read_bytes()


def test_stored_parameters_say_whom_they_are_from(written):
    content = json.loads((written[1] / "desc-combat_parameters.json").read_text())
    batch = content["Cohort"]["Batches"]["site1"]
    assert batch["Participants"] == 60
    assert 55 < batch["age"]["mean"] < 60
    assert sum(batch["sex"].values()) == 60
    assert content["GeneratedBy"]["Version"]


def test_unknown_batches_need_a_new_fit(written, tmp_path):
    other = sites(15)["cohort"].replace({"site": {"site3": "site9"}})
    stored = {"parameters": str(written[1] / "desc-combat_parameters.json")}
    with pytest.raises(RequestError, match="batch site9 was not there when"):
        run_harmonise(tiny_cohort(other), stored, tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"Options": {"method": "combat"}}', None])
def test_files_that_hold_no_parameters_are_refused(cohort, tmp_path, content):
    path = tmp_path / "some.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"some\.json: (cannot be read|does not hold)"):
        run_harmonise(cohort, {"parameters": str(path)}, tmp_path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "has no method; there are combat, combat-gam"),
        ({"method": "combatt"}, "did you mean combat?"),
        ({"methods": "combat"}, "did you mean method?"),
        ({"method": "combat", "covariate": ["age"]}, "did you mean covariates?"),
        ({"method": "combat", "covariates": "age"}, "must be a list of texts"),
        ({"method": "combat", "mean_only": "yes"}, "must be true or false"),
        ({"method": "combat", "knots": True, "smooth": ["age"]}, "must be a whole number"),
        ({"method": "combat", "batch": 3}, "must be a text"),
        ({"method": "combat", "batch": "cite"}, "did you mean site?"),
        ({**COMBAT, "covariates": ["agee"]}, "did you mean age?"),
        ({**COMBAT, "knots": 4}, 'add smooth = ["age"]'),
        ({**COMBAT, "smooth": ["age"], "knots": 2}, "at least 3 knots"),
        ({**COMBAT, "smooth": ["sex"]}, "sex cannot be smooth"),
        (
            {"method": "travelling", "batch": "site", "mean_only": True},
            "travelling has no such key",
        ),
        ({**COMBAT, "references": ["csff"]}, "no table has csff; there are csf, whole-brain"),
        ({**COMBAT, "maps": ["T2"]}, "no table has T2; there are Chimap, R2starmap"),
        ({**COMBAT, "leave_out": ["site7"]}, "no batch site7"),
        ({**COMBAT, "reference_batch": "site7"}, "reference_batch site7 is none of the batches"),
        ({**COMBAT, "covariates": ["age", "site"]}, "site cannot be told from the batches"),
        ({"method": "longitudinal-combat", "batch": "site"}, "nobody was seen twice"),
        ({"method": "travelling", "batch": "site"}, "on another scanner too"),
        ({"parameters": "x.json", "mean_only": True}, "stored parameters say it"),
        ({"method": "combat", "batch": "session_id"}, "are of one batch"),
    ],
)
def test_every_mistake_has_a_sentence(cohort, tmp_path, table, said):
    with pytest.raises(RequestError) as caught:
        run_harmonise(cohort, table, tmp_path)
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_who_has_no_batch_or_covariate_or_is_left_out_is_missing_and_named(tmp_path):
    simulated = sites(2)["cohort"]
    simulated.loc[5, "age"] = np.nan
    simulated.loc[100, "site"] = None
    extra = simulated.iloc[:1].assign(participant_id="sub-9999", site="odd")
    cohort = tiny_cohort(pd.concat([simulated, extra], ignore_index=True))
    found = run_harmonise(cohort, {**COMBAT, "leave_out": ["odd"]}, tmp_path)
    gone = found.values("Chimap", "csf", "cerebra", "mean").isna()
    assert list(np.flatnonzero(gone.any(axis=1))) == [5, 100, 180]
    assert gone.iloc[[5, 100, 180]].all(axis=None)
    notes = " ".join(found.notes)
    assert "No age is known of sub-0006_n/a" in notes
    assert "No site is known of sub-0101_n/a" in notes
    assert "Left out as asked: batch odd, 1 acquisition" in notes
    table = read(tmp_path / "group/desc-combat_regions.tsv")
    assert table["mean"].notna().all()
    assert table["mean_combat"].isna().sum() == 3 * 10


def test_a_batch_of_one_is_refused_with_a_way_out(tmp_path):
    simulated = sites(2)["cohort"]
    simulated.loc[0, "site"] = "odd"
    with pytest.raises(RequestError, match=r"batch odd \(1\): at least 3 .* leave_out"):
        run_harmonise(tiny_cohort(simulated), COMBAT, tmp_path)


def test_a_map_that_one_site_has_alone_does_not_stop_the_others(cohort, tmp_path):
    some = tiny_cohort(sites(15)["cohort"])
    rate = cohort.values("R2starmap", "n/a", "cerebra", "mean").copy()
    rate[some.acquisitions["site"] != "site1"] = np.nan
    some.tables["R2starmap", "n/a"] = rate
    found = run_harmonise(some, COMBAT, tmp_path)
    assert any("R2starmap (cerebra) is not harmonised: all 60" in note for note in found.notes)
    with pytest.raises(RequestError, match="all 60 acquisitions are of one batch"):
        found.values("R2starmap", "csf", "cerebra", "mean")
    with pytest.raises(RequestError, match="median of regions is not harmonised"):
        found.values("Chimap", "csf", "cerebra", "median")
    with pytest.raises(RequestError, match="Chimap against none"):
        found.values("Chimap", "none", "cerebra", "mean")


def test_repeated_sessions_are_told_to_who_takes_combat(tmp_path):
    cohort = tiny_cohort(upgrade(1)["cohort"])
    settings = {"batch": "scanner", "covariates": ["age"]}
    found = run_harmonise(cohort, {**settings, "method": "combat"}, tmp_path)
    assert any("take longitudinal-combat" in note for note in found.notes)
    found = run_harmonise(cohort, {**settings, "method": "longitudinal-combat"}, tmp_path)
    assert not any("longitudinal" in note or "Neither" in note for note in found.notes)
    found = run_harmonise(cohort, {"method": "longitudinal-combat", "batch": "scanner"}, tmp_path)
    assert found.options.covariates == ("age", "years")
    assert (tmp_path / "group/desc-longitudinalcombat_regions.tsv").is_file()


def test_travellers_of_many_years_are_told(tmp_path):
    simulated = travellers(1)["cohort"]
    cohort = tiny_cohort(
        simulated, years=simulated["scanner"].map({"A": 0, "B": 1, "C": 3.5}).to_numpy()
    )
    found = run_harmonise(cohort, {"method": "travelling", "batch": "scanner"}, tmp_path)
    assert any("up to 3.5 years apart" in note for note in found.notes)
    table = read(tmp_path / "group/desc-travelling_sitevariance.tsv")
    assert (table[["se_A", "se_B", "se_C"]] > 0).all(axis=None)


def test_curves_of_age_are_kept_where_asked(cohort, tmp_path):
    found = run_harmonise(cohort, {**SMALL, "method": "combat-gam", "knots": 4}, tmp_path)
    assert "age as natural cubic splines of 4 knots" in found.method
    assert (tmp_path / "group/desc-combatgam_parameters.json").is_file()


def test_a_region_nobody_can_harmonise_is_named(tmp_path):
    cohort = tiny_cohort(sites(4)["cohort"])
    cohort.tables["Chimap", "csf"]["amygdala"] = 1.5
    found = run_harmonise(cohort, COMBAT, tmp_path)
    assert any("amygdala could not be harmonised" in note for note in found.notes)
    after = found.values("Chimap", "csf", "cerebra", "mean")
    assert list(after.columns[after.isna().all()]) == ["amygdala"]


def test_names_of_scanners_are_drawn_as_they_stand(tmp_path):
    simulated = sites(4)["cohort"]
    simulated["site"] = simulated["site"].map(lambda name: f"${name[-1]}^ <b>&{{x}} {'long ' * 5}")
    run_harmonise(tiny_cohort(simulated), COMBAT, tmp_path)
    assert "<b>" not in (tmp_path / "group/harmonisation.html").read_text().partition("<main>")[2]


def test_equal_input_gives_equal_files(cohort, written, tmp_path):
    run_harmonise(cohort, COMBAT, tmp_path)
    for path in sorted(written[1].rglob("*.*")):
        assert (
            tmp_path / "group" / path.relative_to(written[1])
        ).read_bytes() == path.read_bytes()
