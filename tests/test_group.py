"""The tables of all participants in one."""

import json
import shutil

import pandas as pd
import pytest

from qsmprep import cli
from qsmprep.bids.status import StatusRow, update_status
from qsmprep.errors import InputError
from qsmprep.group.tables import join_quality, join_regions

TABLE = "sub-{0}/anat/sub-{0}_seg-x_regions.tsv"


def write_table(out, label, mean, columns=("participant_id", "run", "index", "name", "mean")):
    path = out / TABLE.format(label)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        (f"sub-{label}", "01", "1", "putamen", mean),
        (f"sub-{label}", "01", "n/a", "b", "n/a"),
    ]
    pd.DataFrame(rows, columns=columns).to_csv(path, sep="\t", index=False)
    return path


def group(out, *arguments):
    return cli.main(["bids", str(out), "group", *arguments])


@pytest.fixture
def cohort(complete, tmp_path):
    """Return an output folder of two participants, one of them lacking its table."""
    out = tmp_path / "out"
    shutil.copytree(complete.out, out)
    update_status(out, [StatusRow("sub-02", "n/a", "n/a", "n/a", "MEGRE", "partial", "no T1w")])
    return out


def test_tables_are_joined_without_a_word_lost(tmp_path):
    paths = [write_table(tmp_path, "01", 12.25), write_table(tmp_path, "02", -3.5)]
    joined = join_regions(paths)
    assert list(joined["participant_id"]) == ["sub-01", "sub-01", "sub-02", "sub-02"]
    assert list(joined["run"]) == ["01"] * 4  # words stay words, zeros in front of them included
    assert joined["mean"].dropna().tolist() == [12.25, -3.5]
    assert joined["index"].isna().tolist() == [False, True] * 2


def test_tables_that_do_not_fit_are_named(tmp_path):
    good = write_table(tmp_path, "01", 1.0)
    other = write_table(tmp_path, "02", 1.0, ("participant_id", "run", "index", "name", "median"))
    with pytest.raises(
        InputError, match=r"sub-02.*other columns than sub-01.*run its participant"
    ):
        join_regions([good, other])
    other.write_text("")
    with pytest.raises(InputError, match=r"sub-02.*cannot be read as a table"):
        join_regions([good, other])


def test_quality_is_one_row_per_acquisition():
    figures = {
        "snr": {"value": 20.0, "verdict": "pass"},
        "readout": {"value": None, "verdict": "absent"},
    }
    said = {"acquisition": {"verdict": "pass", "figures": figures}}
    said |= {
        "maps": {"verdict": "look", "figures": {"chi_sd_ppb": {"value": 90, "verdict": "look"}}}
    }
    assert join_quality({"sub-01": said}).to_dict("records") == [
        {
            "acquisition_name": "sub-01", "verdict": "look",
            "acquisition_verdict": "pass", "maps_verdict": "look", "regions_verdict": "absent",
            "snr": 20.0, "snr_verdict": "pass", "readout": None, "readout_verdict": "absent",
            "chi_sd_ppb": 90, "chi_sd_ppb_verdict": "look",
        }
    ]  # fmt: skip


def test_without_results_there_is_nothing_to_join(tmp_path, capsys):
    assert group(tmp_path) == 2
    assert "holds no map and no table; run the participants first" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_complete_cohort_is_joined(complete, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(complete.out, out)
    assert group(out) == 0
    assert "1 table joined" in capsys.readouterr().out
    own = pd.read_csv(out / "sub-01/anat/sub-01_seg-simulated_regions.tsv", sep="\t", dtype=str)
    joined = pd.read_csv(out / "group/regions.tsv", sep="\t", dtype=str)
    # With nothing but themselves and what is joined behind them.
    assert list(joined.columns[: len(own.columns)]) == list(own.columns)
    pd.testing.assert_frame_equal(joined[own.columns], own)
    quality = pd.read_csv(out / "group/qc.tsv", sep="\t")
    assert quality["acquisition_name"].tolist() == ["sub-01"]
    for about in ("acquisition_", "", "regions_"):
        said = json.loads((out / f"sub-01/anat/sub-01_desc-{about}qc.json").read_text())
        assert set(quality.columns) > {
            c for name in said["figures"] for c in (name, f"{name}_verdict")
        }
    assert "sub-01" in (out / "group/index.html").read_text()


def test_those_without_a_table_are_named(cohort, capsys):
    assert group(cohort) == 1
    assert "sub-02_MEGRE: partial: no T1w" in capsys.readouterr().err
    assert group(cohort, "--participant-label", "01") == 0
    assert group(cohort, "--participant-label", "sub-07") == 2
    assert "holds no results of sub-07" in capsys.readouterr().err


def test_a_dry_run_names_the_tables_and_writes_nothing(cohort, capsys):
    assert group(cohort, "--dry-run") == 1
    assert "sub-01_seg-simulated_regions.tsv" in capsys.readouterr().out
    assert not (cohort / "group").exists()
