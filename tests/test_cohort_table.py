"""The table of a cohort holds what its tables hold, each number with whom it belongs to."""

import json

import numpy as np
import pandas as pd
import pytest
from studies import SCANNER, mean, rows, write_scan, write_study, write_table

from qsmprep import cli
from qsmprep.errors import RequestError
from qsmprep.group.acquisition_keys import Acquired, acquisition_keys, read_acquired
from qsmprep.group.cohort_table import read_cohort
from qsmprep.group.outputs import find_outputs


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path)


def read(study, sites=None, **options):
    bids, out = study
    return read_cohort(out, bids, sites or {}, **options)


def told(cohort, word):
    """Return the one note that has a word."""
    (note,) = [note for note in cohort.notes if word in note]
    return note


def test_every_acquisition_has_the_covariates_of_its_participant_and_session(study):
    table = read(study).acquisitions
    assert list(table.index) == ["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1", "sub-02_ses-2"]
    assert table["sex"].tolist() == ["F", "F", "M", "M"]  # 02 without sub- is the same person
    assert table["age"].tolist() == [60.5, 62.5, 60.5, 62.5]
    assert table["e4"].tolist() == [0, 0, 1, 1]
    # U+2212 is a minus: the published 27.5 for -7.5 came from one that was lost.
    assert table["score"].tolist()[:3] == [-7.5, 8, 9]
    assert np.isnan(table["score"].iloc[3])
    # 730 days of 365.25.
    assert table["years"].tolist() == pytest.approx([0, 730 / 365.25] * 2)


def test_values_stand_where_their_region_and_acquisition_are(study):
    cohort = read(study)
    assert cohort.atlases == ("x",)
    assert cohort.maps == ("Chimap", "R2starmap")
    assert cohort.references == ("whole-brain", "csf")
    assert cohort.reference == "csf"
    assert cohort.regions == (
        "putamen_L", "putamen_R", "putamen", "cuneus_L", "cuneus_R", "cuneus",
    )  # fmt: skip
    for quantity, reference in (
        ("Chimap", "csf"),
        ("Chimap", "whole-brain"),
        ("R2starmap", "n/a"),
    ):
        values = cohort.values(quantity, reference, "x", "mean")
        assert list(values.columns) == list(cohort.regions)
        for number in (1, 2):
            for session in (1, 2):
                row = values.loc[f"sub-{number:02d}_ses-{session}"]
                for region in ("putamen", "cuneus"):
                    truth = mean(number, session, region, reference)
                    own = row[[f"{region}_L", region, f"{region}_R"]].tolist()
                    assert own == [truth - 1, truth, truth + 1]
    assert (cohort.values("Chimap", "csf", "x", "volume_mm3") == 800.5).all(axis=None)


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        (("T1map", "csf", "x", "mean"), "Chimap, R2starmap"),
        (("Chimap", "pons", "x", "mean"), "whole-brain, csf"),
        (("Chimap", "csf", "y", "mean"), "x"),
        (("Chimap", "csf", "x", "name"), "volume_mm3, mean"),
    ],
)
def test_values_that_there_are_not_are_refused_with_those_there_are(study, asked, there):
    with pytest.raises(RequestError, match=f"there are {there}"):
        read(study).values(*asked)


def test_rows_of_the_long_table_are_those_of_the_participants_to_the_letter(study):
    bids, out = study
    assert cli.main([str(bids), str(out), "group"]) == 0
    header, *lines = (out / "group/regions.tsv").read_text("utf-8").splitlines()
    own = [line for label in ("01", "02") for session in ("1", "2")
           for line in rows(label, session).splitlines()[1:]]  # fmt: skip
    first = rows("01", "1").splitlines()[0]
    assert header.startswith(f"{first}\toutput_folder\tacquisition_key\t")
    assert len(lines) == len(own)
    width = first.count("\t") + 1
    assert ["\t".join(line.split("\t")[:width]) for line in lines] == own
    table = pd.read_csv(out / "group/regions.tsv", sep="\t", na_values="n/a")
    assert set(table.loc[table["participant_id"] == "sub-02", "sex"]) == {"M"}
    assert set(table["age"]) == {60.5, 62.5}


def test_the_wide_table_has_a_row_per_acquisition_and_a_column_per_region(study):
    bids, out = study
    cli.main([str(bids), str(out), "group"])
    wide = pd.read_csv(out / "group/cohort.tsv", sep="\t", na_values="n/a").set_index("name")
    assert wide.loc["sub-02_ses-1", "chi_putamen"] == mean(2, 1, "putamen", "csf")
    assert wide.loc["sub-02_ses-1", "chi_putamen_L"] == mean(2, 1, "putamen", "csf") - 1
    assert wide.loc["sub-01_ses-2", "r2star_cuneus"] == mean(1, 2, "cuneus", "n/a")
    assert (wide["volume_cuneus"] == 800.5).all()
    assert wide["score"].tolist()[:3] == [-7.5, 8, 9]


@pytest.mark.parametrize("name", ["regions", "cohort"])
def test_every_column_is_described_beside_the_table(study, name):
    bids, out = study
    words = {"score": {"Description": "motor part", "Units": "points"}}
    (bids / "phenotype/updrs.json").write_text(json.dumps(words))
    cli.main([str(bids), str(out), "group"])
    with (out / f"group/{name}.tsv").open(encoding="utf-8") as file:
        columns = file.readline().strip().split("\t")
    sidecar = json.loads((out / f"group/{name}.json").read_text("utf-8"))
    assert all(sidecar[column]["Description"] for column in columns)
    assert sidecar["score"]["Description"] == "motor part"
    assert sidecar["age"]["Units"] == "year"
    assert sidecar["field_strength"]["Units"] == "T"
    if name == "cohort":
        assert sidecar["chi_putamen"]["Units"] == "ppb"
        assert sidecar["volume_putamen"]["Units"] == "mm^3"
        assert sidecar["r2star_putamen"]["Units"] == "1/s"
        assert sidecar["Reference"] == "csf"


# several folders


@pytest.fixture
def sites(study, tmp_path):
    """Return the study with a third person at another site."""
    bids, _ = study
    write_scan(tmp_path / "b", "03", "1")
    with (bids / "participants.tsv").open("a") as file:
        file.write("sub-03\tF\tMS\n")
    return study, {"B": tmp_path / "b"}


def test_several_folders_are_one_cohort_that_tells_them_apart(sites):
    study, others = sites
    cohort = read(study, others)
    assert cohort.acquisitions["output_folder"].tolist() == ["out"] * 4 + ["B"]
    assert cohort.acquisitions.loc["sub-03_ses-1", "sex"] == "F"
    values = cohort.values("Chimap", "csf", "x", "mean")
    assert values.loc["sub-03_ses-1", "putamen"] == mean(3, 1, "putamen", "csf")


def test_the_output_folder_need_not_hold_participants_itself(sites, tmp_path, capsys):
    (bids, out), others = sites
    call = [str(bids), str(tmp_path / "new"), "group", "-d", f"A={out}", "-d", f"B={others['B']}"]
    assert cli.main([*call, "--dry-run"]) == 0
    assert "5 tables of 5 acquisitions of 3 participants" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()
    assert cli.main(call) == 0
    wide = pd.read_csv(tmp_path / "new/group/cohort.tsv", sep="\t")
    assert wide["output_folder"].tolist() == ["A"] * 4 + ["B"]
    assert (tmp_path / "new/group/index.html").is_file()


def test_people_who_travelled_are_one_person_and_named(sites):
    study, others = sites
    write_scan(others["B"], "01", "3")
    cohort = read(study, others)
    own = cohort.acquisitions[cohort.acquisitions["participant_id"] == "sub-01"]
    assert own["output_folder"].tolist() == ["out", "out", "B"]
    assert "sub-01" in told(cohort, "several folders")


def test_labels_select_among_all_folders(sites):
    study, others = sites
    assert list(read(study, others, participants=["03"]).acquisitions.index) == ["sub-03_ses-1"]
    # What came first is known whether it was asked for or not.
    later = read(study, others, sessions=["ses-2"]).acquisitions
    assert later["years"].tolist() == pytest.approx([730 / 365.25] * 2)


def test_several_protocols_are_told_apart_where_they_are_allowed(sites):
    study, others = sites
    write_scan(others["B"], "03", "1", GeneratedBy={"ProtocolDigest": "b" * 12})
    table = read(study, others, allow_protocols=True).acquisitions
    assert table["protocol"].tolist() == ["a" * 12] * 4 + ["b" * 12]
    assert "protocol" not in read(study).acquisitions


# how they were acquired


def acquired(tmp_path, label, **changes):
    write_scan(tmp_path, label, **changes)
    return read_acquired(find_outputs(tmp_path)[f"sub-{label}", "n/a", "n/a", "n/a"])


def test_scans_of_one_protocol_have_one_key(tmp_path):
    # As real ones differ: frequency-derived field, TE adapted to the tilt, rounded edges, names.
    one = acquired(tmp_path, "01", EchoTimes=[0.00465, 0.00931, 0.01396])
    other = acquired(
        tmp_path, "02", EchoTimes=[0.004649, 0.009304, 0.013964], edges=(1.0000001, 1, 1.4999),
        MagneticFieldStrength=2.89362, Scanner=SCANNER | {"Manufacturer": "Siemens Healthineers"},
    )  # fmt: skip
    assert one != other
    assert len(set(acquisition_keys([one, other]))) == 1
    assert acquisition_keys([one]) == [
        "Siemens Prisma, syngo MR E11, 3 T, 3 echoes 4.7–14.0 ms, 1 × 1 × 1.5 mm"
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"EchoTimes": [0.006, 0.012, 0.0185]},
        {"EchoTimes": [0.006, 0.012]},
        {"EchoTimes": [0.006, 0.0125, 0.018]},
        {"MagneticFieldStrength": 1.5},
        {"edges": (1, 1, 2)},
        {"Scanner": SCANNER | {"ManufacturersModelName": "Skyra"}},
        {"Scanner": SCANNER | {"SoftwareVersions": "syngo MR XA30"}},
        {"Scanner": SCANNER | {"Manufacturer": "Philips Medical Systems"}},
    ],
)
def test_another_protocol_has_another_key(tmp_path, change):
    keys = acquisition_keys([acquired(tmp_path, "01"), acquired(tmp_path, "02", **change)])
    assert len(set(keys)) == 2


def test_keys_do_not_depend_on_the_order_of_files():
    scans = [Acquired(echo_times=(first, 12.0)) for first in (4.0, 4.08, 4.16, 4.24, 4.08)]
    keys = acquisition_keys(scans)
    turned = acquisition_keys(scans[::-1])[::-1]
    assert keys == turned


def test_what_nobody_tells_is_missing(study):
    bids, out = study
    write_scan(out, "01", "1", Scanner="?", EchoTimes="6 ms", MagneticFieldStrength=None)
    (out / "sub-01/ses-1/anat/sub-01_ses-1_Chimap.nii.gz").unlink()
    row = read((bids, out)).acquisitions.loc["sub-01_ses-1"]
    assert row[["acquisition_key", "manufacturer", "echo_times", "voxel_size"]].isna().all()


# times of sessions


@pytest.mark.parametrize(
    ("table", "years"),
    [
        ("session_id\tyears_from_baseline\tacq_time\nses-1\t0.25\t2010-01-01\nses-2\t2\t2013-01-01\n",
         [0.25, 2]),
        ("session_id\tacq_time\tage\nses-2\t1925-01-01T12:00:00\t70\nses-1\t1925-07-02T12:00:00Z\t70\n",
         [0, 182 / 365.25]),
        ("session_id\tage\nses-1\t70\nses-2\t71.5\n", [0, 1.5]),
        ("session_id\tage_at_session\nses-1\t70\nses-2\t71.5\n", [0, 1.5]),
        ("session_id\tmood\nses-1\tgood\nses-2\tbad\n", [np.nan, np.nan]),
    ],
)  # fmt: skip
def test_years_are_told_by_baseline_else_by_date_else_by_age(study, table, years):
    bids, out = study
    write_table(bids / "sub-01/sub-01_sessions.tsv", table)
    own = read((bids, out), participants=["01"]).acquisitions
    np.testing.assert_allclose(own["years"].to_numpy(), years)
    first = "ses-2" if "1925-07" in table else "ses-1"  # the order is that of time
    assert own["session_id"].iloc[0] == first


def test_without_sessions_there_is_one_and_the_age_is_that_of_the_participant(tmp_path):
    write_scan(tmp_path, "01")
    write_table(tmp_path / "participants.tsv", "participant_id\tage\nsub-01\t61\n")
    row = read((tmp_path, tmp_path)).acquisitions.loc["sub-01"]
    assert (row["session_id"], row["age"], row["years"]) == ("n/a", 61, 0)


def test_the_age_of_a_session_comes_before_that_of_the_participant_and_both_are_kept(study):
    bids, out = study
    write_table(bids / "participants.tsv", "participant_id\tage\nsub-01\t59\nsub-02\t58\n")
    write_table(bids / "sub-02/sub-02_sessions.tsv", "session_id\tage\nses-1\t60\nses-2\tn/a\n")
    table = read((bids, out)).acquisitions
    assert table["age"].tolist() == [60.5, 62.5, 60, 58]
    assert table["participants_age"].tolist() == [59, 59, 58, 58]


# columns whose names are taken


def test_no_column_takes_the_place_of_another(study):
    bids, out = study
    people = (
        "participant_id\tname\tyears\tscore\tmodel\nsub-01\tA\t12\t1\tT\nsub-02\tB\t16\t2\tV\n"
    )
    write_table(bids / "participants.tsv", people)
    table = read((bids, out)).acquisitions
    assert table["score"].tolist() == [1, 1, 2, 2]
    assert table["updrs_score"].tolist()[:2] == [-7.5, 8]
    assert table["participants_years"].tolist() == [12, 12, 16, 16]
    assert table["participants_name"].tolist() == ["A", "A", "B", "B"]
    assert table["participants_model"].tolist() == ["T", "T", "V", "V"]
    assert set(table["model"]) == {"Prisma"}
    assert "score of phenotype/updrs is updrs_score" in told(read((bids, out)), "names")


def test_a_covariate_with_the_name_of_a_regional_value_is_refused(study, capsys):
    bids, out = study
    write_table(bids / "participants.tsv", "participant_id\tchi_putamen\nsub-01\t1\nsub-02\t2\n")
    assert cli.main([str(bids), str(out), "group"]) == 2
    assert "column chi_putamen" in capsys.readouterr().err


def test_tables_with_several_rows_per_person_are_kept_apart(study):
    bids, out = study
    visits = "participant_id\tweek\tscore\nsub-01\t1\t5\nsub-01\t2\t6\nsub-02\t1\t7\n"
    write_table(bids / "phenotype/diary.tsv", visits)
    cohort = read((bids, out))
    assert cohort.phenotype["diary"]["score"].tolist() == [5, 6, 7]
    assert "week" not in cohort.acquisitions
    assert "several rows per participant" in told(cohort, "diary")


# who is missing


def test_people_in_one_table_alone_are_named(study):
    bids, out = study
    write_table(bids / "participants.tsv", "participant_id\tsex\nsub-1\tF\nsub-02\tM\nsub-09\tF\n")
    for path in (bids / "phenotype").iterdir():
        path.unlink()
    cohort = read((bids, out))
    assert told(cohort, "does not have sub-01").endswith("(sub-1 there may be sub-01).")
    assert "sub-09" in told(cohort, "There are no results of")
    assert "sex of 2 (sub-01)" in told(cohort, "Missing")


def test_missing_values_are_counted_and_named_on_the_page_and_in_the_terminal(study, capsys):
    bids, out = study
    assert cli.main([str(bids), str(out), "group"]) == 0
    sentence = "Missing for acquisitions: score of 1 (sub-02)."
    assert sentence in capsys.readouterr().err
    assert sentence in (out / "group/index.html").read_text("utf-8")
    assert sentence in json.loads((out / "group/cohort.json").read_text("utf-8"))["Notes"]


def test_acquisitions_without_a_table_are_named_and_have_no_values(study):
    bids, out = study
    next(out.glob("sub-02/ses-2/anat/*_regions.tsv")).unlink()
    cohort = read((bids, out))
    assert "sub-02_ses-2" in told(cohort, "no table of regions")
    values = cohort.values("Chimap", "csf", "x", "mean")
    assert values.isna().any(axis=1).tolist() == [False, False, False, True]


def test_several_atlases_stand_apart(study):
    bids, out = study
    write_scan(out, "02", "2", atlas="y")
    cohort = read((bids, out))
    assert cohort.atlases == ("x", "y")
    assert cohort.atlas == "x"
    values = cohort.values("Chimap", "csf", "y", "mean")
    assert values.notna().all(axis=1).tolist() == [False, False, False, True]


def test_ages_that_are_hidden_as_bids_asks_are_missing_and_named(study):
    bids, out = study
    write_table(bids / "sub-01/sub-01_sessions.tsv", "session_id\tage\nses-1\t88\nses-2\t89+\n")
    cohort = read((bids, out))
    assert np.isnan(cohort.acquisitions.loc["sub-01_ses-2", "age"])
    assert told(cohort, "89+") == "The age of sub-01 is 89+: it counts as missing."
