"""Lesions of a cohort: one table, and models that have a row per lesion."""

import json

import pandas as pd
import pytest
from studies import write_study, write_table

from qsmprep import cli

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
    sidecar = json.loads((study[1] / "group/lesions.json").read_text("utf-8"))
    assert sidecar.keys() >= set(table), "every column is explained"
    assert "human reading" in sidecar["Description"]


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
