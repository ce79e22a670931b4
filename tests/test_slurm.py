"""Arrays of SLURM: what their scripts start, for whom, and what is refused."""

import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

from bids_skeleton import write_dataset, write_gre
import pytest

from qsmprep import slurm
from qsmprep.bids.output import write_output_files
from qsmprep.bids.status import StatusRow, read_status, update_status
from qsmprep.errors import RequestError
from qsmprep.protocol import Protocol
from qsmprep.workflows.execution import check_plugin

ROOT = Path(__file__).parents[1]
MAPS = ("--atlas", "none")

RECORD = f"""#!{sys.executable}
import json, os, pathlib, sys
pathlib.Path(os.environ["RECORD"]).write_text(json.dumps(sys.argv[1:]))
sys.exit(int(os.environ.get("STATUS", "0")))
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Return a dataset of three participants in a folder whose name shells do not like."""
    root = tmp_path / "Ünser $tudy; rm 'it'"
    for label in ("01", "02", "03"):
        write_gre(root / "bids", f"sub-{label}")
    write_dataset(root / "bids")
    # A phase is missing for good.
    for path in (root / "bids/sub-03/anat").glob("*part-phase*"):
        path.unlink()
    monkeypatch.chdir(root)
    for name in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "QSMPREP_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def stub(tmp_path):
    """Return a program that notes its arguments, to be started instead of qsmprep."""
    path = tmp_path / "stub"
    path.write_text(RECORD)
    path.chmod(0o755)
    return path


def words(script, tmp_path, task=0, status=0, **environment):
    """Return what a task of a script starts, and check its exit status."""
    record = tmp_path / "record.json"
    ended = subprocess.run(
        ["bash", str(script)],
        env=os.environ
        | {"SLURM_ARRAY_TASK_ID": str(task), "RECORD": str(record), "STATUS": str(status)}
        | environment,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    return json.loads(record.read_text())


def directives(script):
    lines = script.read_text().splitlines()
    return [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]


def script_of(study):
    return study / "out/logs/slurm/participants.sbatch"


def test_every_option_is_documented():
    page = (ROOT / "docs/hpc.md").read_text()
    for action in slurm.parser()._actions:
        for name in action.option_strings:
            assert re.search(rf"`{name}\b", page), name


def test_a_task_starts_qsmprep_for_its_participant(study, stub, tmp_path):
    assert slurm.main(["bids", "out", "--command", str(stub), "--", *MAPS]) == 0
    head = [str(study / "bids"), str(study / "out"), "participant", *MAPS]
    for task, name in enumerate(["sub-01", "sub-02"]):
        started = words(script_of(study), tmp_path, task)
        assert started[:5] == head
        assert started[-2:] == ["--participant-label", name]
        assert started[started.index("-w") + 1] == str(study / "work")
    assert (study / "work").is_dir()
    assert "array=0-1" in "".join(directives(script_of(study)))


def test_its_exit_status_is_that_of_qsmprep(study, stub, tmp_path):
    slurm.main(["bids", "out", "--command", str(stub), "--", *MAPS])
    words(script_of(study), tmp_path, status=1)


def test_its_log_is_found_by_the_name_of_the_participant(study, stub, tmp_path):
    slurm.main(["bids", "out", "--command", str(stub), "--", *MAPS])
    words(script_of(study), tmp_path, 1, SLURM_ARRAY_JOB_ID="77")
    link = study / "out/logs/slurm/sub-02.log"
    assert os.readlink(link) == "77_1.log"
    (output,) = [d for d in directives(script_of(study)) if d.startswith("--output")]
    assert output == f'--output="{study}/out/logs/slurm/%A_%a.log"'


def test_a_task_that_there_is_nobody_for_fails(study, stub):
    slurm.main(["bids", "out", "--command", str(stub), "--", *MAPS])
    call = ["bash", str(script_of(study))]
    beyond = subprocess.run(call, env=os.environ | {"SLURM_ARRAY_TASK_ID": "9"}, check=False)
    assert beyond.returncode != 0
    outside = subprocess.run(call, capture_output=True, text=True, check=False)
    assert outside.returncode != 0
    assert "submit this script by sbatch" in outside.stderr


def test_who_cannot_be_processed_is_named_at_once_and_in_the_status(study, stub, capsys):
    slurm.main(["bids", "out", "--command", str(stub), "--", *MAPS])
    told = capsys.readouterr().out
    assert "2 participants to process, 0 done before" in told
    assert "sub-03" in told
    (row,) = read_status(study / "out")
    assert (row.participant_id, row.status) == ("sub-03", "skipped")
    assert "phase" in row.reason or "magnitude only" in row.reason


def test_who_is_done_is_left_out_unless_all_are_wanted(study, stub, tmp_path, capsys):
    call = ["bids", "out", "--command", str(stub)]
    rows = [StatusRow(f"sub-{n}", *3 * ["n/a"], "MEGRE", s) for n, s in
            (("01", "done"), ("02", "failed"))]  # fmt: skip
    update_status(study / "out", rows)
    assert slurm.main([*call, "--", *MAPS]) == 0
    assert "1 participant to process, 1 done before" in capsys.readouterr().out
    assert words(script_of(study), tmp_path)[-1] == "sub-02"
    slurm.main([*call, "--all", "--", *MAPS])
    assert words(script_of(study), tmp_path)[-1] == "sub-01"


def test_there_may_be_nothing_left_to_do(study, stub, capsys):
    rows = [StatusRow(f"sub-{n}", *3 * ["n/a"], "MEGRE", "done") for n in ("01", "02")]
    update_status(study / "out", rows)
    assert slurm.main(["bids", "out", "--command", str(stub), "--", *MAPS]) == 0
    assert "0 participants to process, 2 done before" in capsys.readouterr().out
    assert not script_of(study).exists()


def test_results_of_another_protocol_are_refused_before_a_job_finds_them(study, capsys):
    write_output_files(
        study / "out",
        bids_dir=study / "bids",
        derivatives={},
        protocol_name="other",
        protocol_digest="0" * 12,
    )
    assert slurm.main(["bids", "out", "--", *MAPS]) == 2
    assert "holds results of the protocol 000000000000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--", "--atlsa", "none"], "unrecognized arguments: --atlsa none"),
        (["--", *MAPS, "--protocol", "fastest"], "neither a protocol file nor one of"),
        (["--", *MAPS, "--dry-run"], "--dry-run: is nothing for jobs"),
        (["--", *MAPS, "--clean-workdir"], "would take from each job what the others"),
        (["--", *MAPS, "--participant-label", "99"], "99"),
        (["--image", "none.sif", "--", *MAPS], "--image none.sif: there is no such file"),
        (["--time", "soon", "--", *MAPS], "soon is no time"),
        (["--mem", "much", "--", *MAPS], "much is no amount of memory"),
        (["--script", "bids/README/x", "--", *MAPS], "cannot be written"),
        (["--submit", "--", *MAPS], "there is no sbatch here"),
        (["--image", "a", "--command", "b", "--", *MAPS], "does not go with --image"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    arguments, sentence, study, capsys, monkeypatch
):
    (study / "bids/README").write_text("a file")
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    try:
        status = slurm.main(["bids", "out", *arguments])
    except SystemExit as end:  # what argparse refuses
        status = end.code
    assert status == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


def test_a_container_is_shown_all_that_it_needs_and_nothing_of_its_own(
    study, stub, tmp_path, monkeypatch
):
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    shutil.copy(stub, bin_dir / "apptainer")
    (study / "q.sif").touch()
    (study / "mine.toml").write_text(Protocol.read("fast").to_toml())
    (study / "masks").mkdir()
    (study / "templates").mkdir()
    monkeypatch.setenv("TEMPLATEFLOW_HOME", "templates")
    slurm.main([
        "bids", "out", "--image", "q.sif", "--", *MAPS, "--protocol", "mine.toml",
        "-w", "scratch/work", "--bids-database-dir", "index",
    ])  # fmt: skip
    path = f"{bin_dir}:{os.environ['PATH']}"
    started = words(script_of(study), tmp_path, PATH=path)
    assert started[:2] == ["run", "--cleanenv"]
    binds = {started[n + 1] for n, word in enumerate(started) if word == "-B"}
    own = {"out", "scratch/work", "index"}
    assert binds == {f"{study / n}:{study / n}" for n in own} | {
        f"{study / n}:{study / n}:ro" for n in ("bids", "mine.toml", "templates")
    }
    assert f"TEMPLATEFLOW_HOME={study / 'templates'}" in started
    image = started.index(str(study / "q.sif"))
    assert started[image + 1 : image + 4] == [
        str(study / "bids"),
        str(study / "out"),
        "participant",
    ]
    assert started[started.index("--protocol") + 1] == str(study / "mine.toml")


def test_inside_of_an_image_the_jobs_start_the_same_image(study, monkeypatch):
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/qsmprep.sif")
    assert slurm.main(["bids", "out", "--", *MAPS]) == 0
    text = script_of(study).read_text()
    assert "exec apptainer run" in text
    assert "/images/qsmprep.sif" in text
    assert sys.prefix not in text  # where Python lies in here is of no use outside


def test_a_folder_that_apptainer_cannot_be_told_of_is_refused(study, capsys):
    (study / "q.sif").touch()
    assert slurm.main(["bids", "out:1", "--image", "q.sif", "--", *MAPS]) == 2
    assert "no folder with : or , in its name" in capsys.readouterr().err


def test_what_slurm_is_asked_for_is_what_was_said(study, stub, tmp_path):
    slurm.main([
        "bids", "out", "--command", str(stub), "--account", "a", "--partition", "p",
        "--mem", "10G", "--time", "1-00:00:00", "--cpus-per-task", "8", "--max-running", "5",
        "--sbatch=--qos=long", "--setup", "export GREETING=hello", "--script", "here.sbatch",
        "--", *MAPS, "--omp-nthreads", "2",
    ])  # fmt: skip
    script = study / "here.sbatch"
    asked = {
        "--array=0-1%5", "--cpus-per-task=8", "--mem=10240M", "--time=1-00:00:00",
        "--account=a", "--partition=p", "--qos=long", "--signal=B:TERM@60",
    }  # fmt: skip
    assert asked <= set(directives(script))
    assert "export GREETING=hello" in script.read_text().splitlines()
    started = words(script, tmp_path)
    assert started[started.index("--nprocs") + 1] == "4"  # of two threads each
    assert int(started[started.index("--mem-mb") + 1]) < 10240  # some is left for the rest


def test_an_array_that_is_too_long_is_submitted_in_parts(
    study, monkeypatch, capsys, stub, tmp_path
):
    monkeypatch.setattr(slurm, "ARRAY_LIMIT", 1)
    slurm.main(["bids", "out", "--command", str(stub), "--group", "--", *MAPS])
    told = capsys.readouterr().out
    assert "--array=0-0" in told
    assert "--array=0-0" in directives(script_of(study))
    assert "afterany:JOB:JOB" in told
    shifted = tmp_path / "shifted"
    shifted.write_text(f'set -- 1; . "{script_of(study)}"'.replace("$", r"\$"))
    assert words(shifted, tmp_path)[-1] == "sub-02"


def test_several_protocols_make_one_array_and_one_group_job(study, stub, tmp_path):
    both = ("--protocol", "fast", "--protocol", "consensus")
    slurm.main(["bids", "out", "--command", str(stub), "--group", "--", *MAPS, *both])
    started = words(script_of(study), tmp_path)
    assert [started[n + 1] for n, word in enumerate(started) if word == "--protocol"] == [
        "fast", "consensus",
    ]  # fmt: skip
    group = (study / "out/logs/slurm/group.sbatch").read_text()
    for name in ("fast", "consensus"):
        assert f"out/{name}' group || status=$?" in group


def test_the_group_job_comes_after_the_others(study, stub, tmp_path, monkeypatch, capsys):
    sbatch = tmp_path / "bin/sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/sh\necho "$@" >> "$RECORD"; wc -l < "$RECORD"\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("RECORD", str(tmp_path / "calls"))
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    slurm.main(["bids", "out", "--command", str(stub), "--group", "--submit", "--", *MAPS])
    first, second = (tmp_path / "calls").read_text().splitlines()
    assert first == f"--parsable {script_of(study)}"
    assert second.startswith("--parsable --dependency=afterany:1 ")
    assert capsys.readouterr().out.endswith("submitted: 1 2\n")


@pytest.mark.parametrize("name", ["SLURMGraph", "SGEGraph", "PBSGraph", "CondorDAGMan"])
def test_a_plugin_that_does_not_wait_is_refused(name):
    with pytest.raises(Exception, match="choose the plugin that waits"):
        check_plugin({"plugin": name}, Path("work"))


@pytest.mark.skipif(
    not (shutil.which("slurmctld") and os.environ.get("QSMPREP_TEST_SLURM")),
    reason="takes minutes and root; asked for by QSMPREP_TEST_SLURM=1 where SLURM is installed",
)
def test_six_participants_on_a_real_cluster():
    subprocess.run([ROOT / "containers/slurm-check.sh"], check=True, timeout=1200)


def test_a_work_folder_that_nipype_cannot_submit_from_is_refused():
    with pytest.raises(RequestError, match="SLURM cannot submit from a path with a space"):
        check_plugin({"plugin": "SLURM"}, Path("/my work"))
    check_plugin({"plugin": "SLURM"}, Path("/work"))
    check_plugin({"plugin": "MultiProc"}, Path("/my work"))
