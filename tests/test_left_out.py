"""A session that fails: the others are compared, it is named, and nothing old is left beside."""

from dataclasses import replace
import json
from pathlib import Path

from bids_skeleton import write_gre, write_image
import pytest

from qsmprep import cli, through_time
from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.left_out import (
    forget_others,
    not_compared,
    plan_longitudinal,
    rests_on,
    without,
)
from qsmprep.bids.longitudinal import expected_of_longitudinal, judge_longitudinal
from qsmprep.bids.models import Issue
from qsmprep.bids.outcome import expected_of
from qsmprep.bids.outputs import output_metadata
from qsmprep.bids.status import StatusRow, update_status
from qsmprep.interfaces.derivatives import write_json
from qsmprep.protocol import Protocol
from qsmprep.request import Request
from qsmprep.resources import Resources
from qsmprep.run import _unfinished
from qsmprep.workflows.base import build
from qsmprep.workflows.study import Study

NAMES = {"atlas": "x", "template": "y"}


@pytest.fixture
def four(tmp_path):
    """Return a dataset of one participant with four sessions."""
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    for session in ("1", "2", "3", "4"):
        folder = write_gre(root, f"sub-01_ses-{session}", times=(0.005, 0.01))
        write_image(folder / f"sub-01_ses-{session}_T1w.nii.gz")
    return root


def spoil(root, *sessions):
    """Take the phase away, without which a session fails its checks."""
    for session in sessions:
        for path in (root / f"sub-01/ses-{session}/anat").glob("*part-phase*"):
            path.unlink()
    return read_plan(root)


def finish(found, out, root):
    """Leave what a run leaves, as far as it tells what it rests on."""
    t1w = [f"bids:raw:{a.path.relative_to(root).as_posix()}" for a in found.anatomies]
    for path in expected_of_longitudinal(found, **NAMES):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(str(found.sessions))
    write_json(
        (out / found.image).with_name("sub-01_space-participant_T1w.json"), {"Sources": t1w}
    )
    for series in found.series:
        sources = [
            f"bids:raw:{a.files[0].relative_to(root).as_posix()}" for a in series.acquisitions
        ]
        name = f"{series.stem}_space-participant_seg-x_change.json"
        write_json(out / f"sub-01/anat/{name}", {"Sources": sources})


def test_the_others_are_compared_and_the_broken_one_is_named(four, tmp_path):
    (found,) = plan_longitudinal(spoil(four, "3"), four)
    assert found.sessions == ("1", "2", "4")
    (reason,) = found.left_out
    assert reason.startswith("sub-01_ses-3_MEGRE is left out: ")
    assert "phase" in reason
    finish(found, tmp_path / "out", four)
    row = judge_longitudinal(found, tmp_path / "out", **NAMES, crashes={})
    assert (row.status, row.reason) == ("partial", reason)


def test_outputs_tell_which_sessions_they_rest_on(four, atlas):
    plan = spoil(four, "3")
    found = plan_longitudinal(plan, four)
    study = Study(four, four, Protocol.read("fast"), read_atlas(atlas), longitudinal=found)
    graph = build(study, plan.acquisitions, four / "work").get_node(found[0].name_safe)
    for name in ("save", "save_change_sub_01"):
        sink = graph.get_node(name)
        told = output_metadata(
            sink.interface.inputs.kind, "t1w" if name == "save" else "change",
            protocol=study.protocol.stages, digest="", sources=["bids:raw:x"],
            facts=sink.inputs.known,
        )  # fmt: skip
        assert told["Sessions"] == ["ses-1", "ses-2", "ses-4"]
        assert told["LeftOut"] == list(found[0].left_out)


def test_where_one_session_is_left_nothing_is_compared_and_that_is_said(four):
    plan = spoil(four, "1", "3", "4")
    (row,) = not_compared(plan, four)
    assert (row.participant_id, row.suffix, row.status) == ("sub-01", "longitudinal", "skipped")
    assert row.reason.count("is left out") == 3
    assert row.reason.endswith("fewer than two sessions are left to be compared")


def test_faults_that_concern_no_comparison_are_not_told_of_it(four):
    # Only one session has it, so nobody would compare it.
    write_gre(four, "sub-01_ses-2_acq-once", parts=("mag",))
    plan = read_plan(four)
    (found,) = plan_longitudinal(plan, four)
    assert plan.errors
    assert found.left_out == ()
    assert not_compared(plan, four) == []


def test_a_dry_run_names_both_kinds(four, atlas, capsys):
    spoil(four, "3")
    call = [str(four), str(four.parent / "out"), "participant", "--dry-run", "--longitudinal"]
    assert cli.main([*call, "--atlas", str(atlas)]) == 1
    told = capsys.readouterr().out
    assert "sub-01_longitudinal: ses-1, ses-2, ses-4 of sub-01" in told
    assert "sub-01_longitudinal: sub-01_ses-3_MEGRE is left out: " in told
    spoil(four, "1", "2")
    assert cli.main([*call, "--atlas", str(atlas)]) == 1
    assert "sub-01_longitudinal: skipped: " in capsys.readouterr().out


def test_a_session_that_may_not_be_read_is_left_out_by_its_folder(four):
    plan = read_plan(four)
    closed = four / "sub-01/ses-5"
    issue = Issue("01", None, None, "error", closed, "may not be read", "allow it by chmod")
    (found,) = plan_longitudinal(replace(plan, issues=(*plan.issues, issue)), four)
    assert found.left_out == (f"ses-5 is left out: {closed}: may not be read; allow it by chmod",)
    other = replace(issue, path=four / "sub-01/ses-2/anat/odd_MEGRE.nii.gz")
    (found,) = plan_longitudinal(replace(plan, issues=(other,)), four)
    assert found.left_out == (), "the session has what is compared all the same"


# what rests on other sessions


def test_what_rests_on_other_sessions_is_removed_whole(four, tmp_path):
    out = tmp_path / "out"
    everybody = read_plan(four)
    (all_four,) = plan_longitudinal(everybody, four)
    finish(all_four, out, four)
    ordinary = out / "sub-01/ses-3/anat/sub-01_ses-3_Chimap.nii.gz"
    ordinary.write_text("of this session alone")
    figure = out / "sub-01/figures/sub-01_space-baseline_desc-lesions_figure.png"
    figure.parent.mkdir()
    figure.write_text("of all sessions")
    assert forget_others(all_four, out, four) == 0, "they are of these very sessions"
    (three,) = plan_longitudinal(spoil(four, "3"), four)
    assert not rests_on(three, out, four)
    assert forget_others(three, out, four) > 0
    assert [p.name for p in out.glob("**/*") if p.is_file()] == [ordinary.name]
    assert forget_others(three, out, four) == 0, "nothing is left to be removed"


def test_the_session_that_was_mended_has_all_made_anew(four, tmp_path):
    out = tmp_path / "out"
    mended = read_plan(four)
    (three,) = plan_longitudinal(without(mended, {"sub-01_ses-3_MEGRE": "broken"}), four)
    finish(three, out, four)
    (all_four,) = plan_longitudinal(mended, four)
    assert not rests_on(all_four, out, four)
    assert forget_others(all_four, out, four) > 0
    assert not (out / all_four.image).exists()


def test_another_t1w_is_another_space(four, tmp_path):
    (found,) = plan_longitudinal(read_plan(four), four)
    finish(found, tmp_path, four)
    (four / "sub-01/ses-3/anat/sub-01_ses-3_T1w.nii.gz").unlink()  # that of ses-1 takes its place
    (other,) = plan_longitudinal(read_plan(four), four)
    assert other.sessions == found.sessions
    assert not rests_on(other, tmp_path, four)


# a session that fails as it is computed


@pytest.fixture
def asked(four, tmp_path, atlas):
    """Return a request for four sessions, its plan and its atlas."""
    request = Request(
        four, tmp_path / "out", Protocol.read("fast"), Resources(1, 1, 4000, tmp_path / "work"),
        longitudinal=True,
    )  # fmt: skip
    return request, read_plan(four), replace(read_atlas(atlas), name="x")


def broken(plan, session):
    (found,) = [one for one in plan.acquisitions if one.session == session]
    return found


def test_the_rest_is_compared_where_a_session_fails_on_the_way(asked, monkeypatch):
    request, plan, heads = asked
    computed = []

    def compute(request, plan, *_):
        computed.append([one.session for one in plan.acquisitions])
        (found,) = through_time.longitudinal_of(request, plan)
        finish(found, request.out_dir, request.bids_dir)
        return {}

    monkeypatch.setattr(through_time, "compute", compute)
    monkeypatch.setattr(through_time, "_is_complete", lambda *given: len(given[1].sessions) == 3)
    crashes = {broken(plan, "2").name_safe: ["inversion failed"]}
    failed, crashes = through_time.compare_the_rest(request, plan, heads, Path("work"), crashes)
    assert computed == [["1", "3", "4"]]
    assert failed == {"sub-01_ses-2_MEGRE": "inversion failed"}
    request = replace(request, template=replace(request.template, name="y"))
    (row,) = through_time.judge_through_time(request, without(plan, failed), heads, crashes)
    assert row.status == "partial"
    assert row.reason == (
        "sub-01_ses-2_MEGRE is left out: inversion failed; the others are compared without it"
    )


@pytest.mark.parametrize("compared", [True, False])
def test_sessions_are_never_computed_again_without_the_others(asked, compared):
    request, plan, heads = asked
    request = replace(
        request, template=replace(request.template, name="y"), longitudinal=compared,
        discard_work=True,
    )  # fmt: skip
    (found,) = plan_longitudinal(plan, request.bids_dir)
    finish(found, request.out_dir, request.bids_dir)
    done = [one for one in plan.acquisitions if one.session in ("3", "4")]
    for one in done:
        for path in expected_of(one, "x", "y"):
            (request.out_dir / path).parent.mkdir(parents=True, exist_ok=True)
            (request.out_dir / path).touch()
    update_status(request.out_dir, [StatusRow.of(one, "done") for one in done])
    todo = _unfinished(request, plan, heads)
    assert [one.session for one in todo.acquisitions] == ["1", "2", "3", "4"][
        : 4 if compared else 2
    ]


@pytest.mark.parametrize("sessions", [("1", "2", "3"), ()])
def test_nothing_is_computed_again_for_less_than_two_or_for_faults_of_all(
    asked, monkeypatch, sessions
):
    request, plan, heads = asked
    monkeypatch.setattr(through_time, "compute", pytest.fail)
    crashes = {broken(plan, session).name_safe: ["failed"] for session in sessions}
    crashes |= {} if sessions else {"sub_01_longitudinal": ["cannot be aligned"]}
    assert through_time.compare_the_rest(request, plan, heads, Path("work"), crashes) == (
        {},
        crashes,
    )


def test_the_sidecar_is_what_tells(four, tmp_path):
    (found,) = plan_longitudinal(read_plan(four), four)
    finish(found, tmp_path, four)
    sidecar = tmp_path / "sub-01/anat/sub-01_space-participant_T1w.json"
    sidecar.write_text("{")
    assert not rests_on(found, tmp_path, four), "what tells nothing is made anew"
    sidecar.write_text(json.dumps({"Sources": None}))
    assert not rests_on(found, tmp_path, four)
