"""Lesions of a cohort: one table, and models that have a row per lesion."""

import json

from docs_blocks import ROOT
import numpy as np
import pandas as pd
import pytest
from studies import write_scan, write_study, write_table

from qsmprep import cli
from qsmprep.simulate.cohorts.lesions import AGES, MEANS, growth_means

COLUMNS = "participant_id\tsession_id\tacquisition\trun\tlesion_id\tvolume_mm3\tdifference\trim\n"
MODEL = """
[model.volume]
kind = "ols"
formula = "difference ~ volume_mm3 + sex"
rows = "lesions"
"""


@pytest.fixture
def study(tmp_path):
    """Write lesions of two people, of one followed through time."""
    bids, out = write_study(tmp_path)
    for label, session, count in (("01", "1", 2), ("02", "1", 4), ("02", "2", 1)):
        rows = "".join(
            f"sub-{label}\tses-{session}\tn/a\tn/a\t{n}\t{10 * n}\t{n + int(label)}\tno\n"
            for n in range(1, count + 1)
        )
        stem = f"sub-{label}/ses-{session}/anat/sub-{label}_ses-{session}"
        write_table(out / f"{stem}_lesions.tsv", COLUMNS + rows)
    followed = "".join(
        f"sub-01\tses-{session}\tn/a\tn/a\t{n}\t{20 * n}\t{n}\tn/a\n"
        for n in (1, 2)
        for session in (1, 2)
    )
    write_table(out / "sub-01/anat/sub-01_lesions.tsv", COLUMNS + followed)
    return bids, out


def group(study, *arguments):
    bids, out = study
    assert cli.main([str(bids), str(out), "group", *arguments]) == 0
    return pd.read_csv(out / "group/lesions.tsv", sep="\t", keep_default_na=False)


def test_lesions_that_were_followed_are_not_counted_twice(study):
    table = group(study)
    counts = table.groupby(["participant_id", "session_id"]).size()
    assert dict(counts) == {
        ("sub-01", "ses-1"): 2, ("sub-01", "ses-2"): 2, ("sub-02", "ses-1"): 4,
        ("sub-02", "ses-2"): 1,
    }  # fmt: skip
    mine = table[table["participant_id"] == "sub-01"]
    assert set(mine["volume_mm3"]) == {20, 40}, "of the table through time"
    assert sorted(set(mine["lesion"])) == ["sub-01_1", "sub-01_2"]
    others = table[table["participant_id"] == "sub-02"]
    assert others["lesion"].is_unique, "numbers of two sessions may be of other lesions"
    assert set(others["volume_change"]) == {"n/a"}
    sidecar = json.loads((study[1] / "group/lesions.json").read_text("utf-8"))
    assert sidecar.keys() >= set(table), "every column is explained"
    assert "human reading" in sidecar["Description"]


def test_a_rim_in_any_session_is_a_rim_and_readers_may_differ(study):
    said = {  # ses-2 came before ses-1
        1: (["no", "yes"], [100, 90], "yes", [0, -10]),
        2: (["no", "Rim-"], [50, 70], "no", [0, 20]),
        3: (["yes|no", "no"], [80, 80], "n/a", [0, 0]),
        4: (["yes|yes|no", "no"], [0, 60], "yes", ["n/a", 0]),
        5: (["n/a", "n/a"], [40, 0], "n/a", [0, -40]),
    }
    rows = "".join(
        f"sub-01\tses-{session}\tn/a\tn/a\t{lesion}\t{volumes[i]}\t1\t{words[i]}\n"
        for lesion, (words, volumes, _, _) in said.items()
        for i, session in enumerate((2, 1))
    )
    write_table(study[1] / "sub-01/anat/sub-01_lesions.tsv", COLUMNS + rows)
    table = group(study)
    for lesion, (_, _, ever, change) in said.items():
        mine = table[table["lesion"] == f"sub-01_{lesion}"].set_index("session_id")
        assert set(mine["rim_ever"]) == {ever}
        for session, value in zip((2, 1), change, strict=True):
            told = mine.loc[f"ses-{session}", "volume_change"]
            assert told == value if value == "n/a" else float(told) == value


def test_only_those_asked_for_are_in_it(study):
    table = group(study, "--participant-label", "02", "--session-label", "1")
    assert set(table["session_id"]) == {"ses-1"}
    assert len(table) == 4


def test_a_model_may_have_a_row_per_lesion(study, tmp_path):
    path = tmp_path / "models.toml"
    path.write_text(MODEL, encoding="utf-8")
    group(study, "--model", str(path))
    data = pd.read_csv(study[1] / "group/models/volume/data.tsv", sep="\t")
    assert len(data) == 9
    assert set(data["sex"]) == {"F", "M"}, "covariates are joined"


def test_without_lesions_there_is_no_table(tmp_path):
    bids, out = write_study(tmp_path)
    cli.main([str(bids), str(out), "group"])
    assert not (out / "group/lesions.tsv").exists()


def test_a_broken_table_is_named(study, capsys):
    bids, out = study
    (out / "sub-01/anat/sub-01_lesions.tsv").write_text("lesion_id\n1\n", encoding="utf-8")
    assert cli.main([str(bids), str(out), "group"]) == 2
    assert (
        "sub-01_lesions.tsv: is no table of lesions: it has no participant_id"
        in capsys.readouterr().err
    )


@pytest.fixture
def cohort(tmp_path):
    """Write 19 people whose lesions were followed for six years, with the means of a study."""
    lesions = growth_means(3, patient_sd=1e-3, lesion_sd=1e-3, noise_sd=1e-3)
    bids, out = tmp_path / "bids", tmp_path / "out"
    # A rim is read when the lesion is first seen, and not again.
    first = lesions.groupby("lesion_id")["lesion_age"].transform("min") == lesions["lesion_age"]
    noise = np.random.default_rng(3).normal(0, 1e-3, len(lesions))
    shrunk = 1000 * 0.92 ** lesions["lesion_age"] * np.exp(noise)
    table = pd.DataFrame({
        "participant_id": lesions["participant_id"],
        "session_id": lesions["lesion_age"].map(lambda age: f"ses-{10 * age:.0f}"),
        "acquisition": "n/a", "run": "n/a", "lesion_id": lesions["lesion_id"],
        "lesion_age": lesions["lesion_age"],
        "volume_mm3": shrunk,
        "difference": lesions["chi"],
        "rim": ["yes|no|yes" if rim and seen else "no" for rim, seen
                in zip(lesions["rim"] == "rim+", first, strict=True)],
    })  # fmt: skip
    for who, rows in table.groupby("participant_id"):
        write_table(out / f"{who}/anat/{who}_lesions.tsv", rows.to_csv(sep="\t", index=False))
        for session in set(rows["session_id"]):
            write_scan(out, who.removeprefix("sub-"), session.removeprefix("ses-"))
    write_table(bids / "participants.tsv", "participant_id\n" + "\n".join(set(table.iloc[:, 0])))
    return bids, out


def test_models_of_the_example_find_what_tables_of_participants_hold(cohort):
    group(cohort, "--model", str(ROOT / "examples/lesions.toml"))
    models = cohort[1] / "group/models"
    volumes, curves, change = (
        pd.read_csv(models / f"lesion-{name}.tsv", sep="\t")
        for name in ("volumes/means", "curves/means", "change/estimates")
    )
    for group_of, name in (("yes", "rim+"), ("no", "rim-")):
        of = curves["group"] == group_of
        # Octiles of nine ages begin at the first one alone; noise is a thousandth of a ppb.
        assert curves.loc[of, "estimate"].iloc[0] == pytest.approx(MEANS[name][0], abs=0.01)
        last = volumes[volumes["group"] == group_of].iloc[-1]
        assert last["time"] == max(AGES)
        # A thousandth of noise in each of a few lesions.
        assert last["estimate"] == pytest.approx(1000 * 0.92 ** max(AGES), rel=2e-3)
    assert {"volume_change", "rim_ever[T.yes]:volume_change"} <= set(change["term"])
