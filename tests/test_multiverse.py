"""Several protocols in one run."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from runs import CHI, load

from qsmprep import cli
from qsmprep.group.multiverse import compare
from qsmprep.protocol import Protocol
from qsmprep.reports.multiverse import draw


@pytest.fixture
def custom(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(Protocol.read("consensus", ["inversion.method=tikhonov"]).to_toml())
    return path


def table(values, name="putamen"):
    """Return rows as in ``regions.tsv``: a region on the left side, a value for each reference."""
    rows = {
        "participant_id": "sub-01", "session_id": "n/a", "acquisition": "n/a", "run": "n/a",
        "atlas": "x", "index": 1, "name": name, "hemisphere": "L", "map": "Chimap",
        "reference": list(values), "units": "ppb", "mean": list(values.values()),
    }  # fmt: skip
    relaxation = {"map": "R2starmap", "reference": "n/a", "mean": 30.0, "units": "1/s"}
    chi = pd.DataFrame(rows)
    return pd.concat([chi, chi.head(1).assign(**relaxation)], ignore_index=True)


def test_regions_of_all_protocols_stand_side_by_side():
    wide = compare(
        {
            "one": table({"whole-brain": 40.0, "csf": 45.0}),
            "two": table({"whole-brain": 34.0, "none": 30.0}),
        }
    ).set_index("reference")
    assert list(wide.loc["whole-brain", ["one", "two", "range"]]) == [40, 34, 6]
    assert np.isnan(wide.loc["csf", "two"])
    assert set(wide.index) == {"whole-brain", "csf", "none"}
    assert set(wide["units"]) == {"ppb"}  # no R2* among them


def test_the_figure_has_a_dot_for_each_protocol_and_acquisition():
    tables = {"one": table({"whole-brain": 40.0}), "two": table({"whole-brain": 34.0})}
    both = compare({k: t.assign(hemisphere="B") for k, t in tables.items()})
    (axes,) = draw(both, ["one", "two"]).axes
    drawn = [x for line in axes.lines for x in np.atleast_1d(line.get_xdata())]
    assert drawn.count(40.0) == drawn.count(34.0) == 2  # the acquisition, and the mean


def test_protocols_share_what_they_have_in_common(simulated, heads, qsmprep, complete, custom):
    run = qsmprep(
        simulated, simulated.parent / "multiverse", "--atlas", heads,
        "--set", "segmentation.spacing=4", "--set", "normalisation.spacing=4",
        "--protocol", "consensus", "--protocol", custom,
        work=complete.work,
    )  # fmt: skip
    assert run.status == 0, run.stderr
    names = ("consensus", "mine")
    fields = [load(run.out / name, CHI.replace("Chimap", "desc-local_fieldmap")) for name in names]
    np.testing.assert_array_equal(*fields)
    assert not np.array_equal(*(load(run.out / name) for name in names))
    # The run before has left all but the other inversion, and what comes after it.
    assert "inversion: invert" in run.steps
    assert not [step for step in run.steps if step.startswith(("field", "background", "n4"))]
    rows = pd.read_csv(run.out / "multiverse_regions.tsv", sep="\t", keep_default_na=False)
    for name in names:
        (path,) = (run.out / name).rglob("*_regions.tsv")
        own = pd.read_csv(path, sep="\t", keep_default_na=False)
        own = own[own["map"] == "Chimap"]
        assert list(rows[name]) == pytest.approx(list(own["mean"]))
    described = json.loads((run.out / "multiverse_regions.json").read_text())
    assert set(described) == set(rows.columns)
    assert described["mine"]["Parameters"]["inversion"]["method"] == "tikhonov"
    assert (run.out / "multiverse_regions.svg").read_text().count("putamen")


def test_a_dry_run_plans_every_protocol_and_writes_nothing(simulated, tmp_path, capsys):
    out = tmp_path / "out"
    call = [str(simulated), str(out), "participant", "--atlas", "none", "--dry-run"]
    assert cli.main([*call, "--protocol", "fast", "--protocol", "consensus"]) == 0
    printed = capsys.readouterr().out
    assert "protocol fast, digest" in printed
    assert "protocol consensus, digest" in printed
    assert not out.exists()


@pytest.mark.parametrize(
    ("protocols", "sentence"),
    [
        (["fast", "fast"], "--protocol fast: given twice"),
        (["fast", "same.toml"], "--protocol same: the same as fast, setting by setting"),
        (["fast", "nowhere"], "nowhere: neither a protocol file"),
    ],
)
def test_protocols_that_cannot_be_told_apart_are_refused(
    simulated, tmp_path, capsys, monkeypatch, protocols, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "same.toml").write_text(Protocol.read("fast").to_toml())
    chosen = [word for protocol in protocols for word in ("--protocol", protocol)]
    call = [str(simulated), str(tmp_path / "out"), "participant", "--atlas", "none", *chosen]
    assert cli.main(call) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
