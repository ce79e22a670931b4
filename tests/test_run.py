"""The program as a BIDS App: what it makes, what it tells, and how it ends."""

import json
from pathlib import Path
import re
import shlex
import shutil
import subprocess
import sys

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from runs import CHI, FAST, load, statuses

from qsmprep import cli
from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.derivatives import sidecar_path
from qsmprep.bids.outcome import expected_of
from qsmprep.methods.referencing import REFERENCES
from qsmprep.protocol import Protocol
from qsmprep.provenance import code_digest
from qsmprep.simulate import cli as simulate_cli
from qsmprep.workflows.sharing import MARK

VALIDATOR = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)


def files_below(*folders):
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


# a complete run without an atlas


def test_a_run_without_an_atlas_makes_every_map(maps, simulated):
    assert maps.status == 0, maps.stderr
    (acquisition,) = read_plan(simulated, need_t1w=False).acquisitions
    assert [p for p in expected_of(acquisition, "") if not (maps.out / p).exists()] == []
    assert statuses(maps.out)["sub-01"].status == "done"


def test_progress_is_told_once_in_plain_words_and_kept(maps):
    lines = maps.stderr.splitlines()
    steps = [line for line in lines if "sub-01_MEGRE  " in line]
    assert len(steps) == len({line.split("  ", 1)[1] for line in steps})  # nothing twice
    assert all(
        re.fullmatch(r"\d\d:\d\d:\d\d  sub-01_MEGRE  [\w *:]+: (started|done after .+)", line)
        for line in steps
    )
    assert any("inversion: invert: done after" in line for line in steps)
    assert len(lines) - len(steps) <= 7  # head (3), plan, computed, number of steps, outcome
    (log,) = (maps.out / "logs").glob("qsmprep_*.log")
    assert log.read_text() == maps.stderr
    assert maps.stdout == ""


def test_the_log_says_which_program_ran_where_by_which_command(maps, simulated):
    (log,) = (maps.out / "logs").glob("qsmprep_*.log")
    told = log.read_text()
    command = re.search(r"command: (.*)", told)[1]
    options = cli.parser().parse_args(shlex.split(command)[1:])
    assert (options.bids_dir, options.output_dir) == (simulated, maps.out)
    assert f"qsmprep {code_digest()}, protocol " in told
    assert re.search(r"on \S+, 2 processes of 1 threads, \d+ MB, cpu; work folder ", told)


def test_the_methods_section_is_written_without_computing(simulated, maps, tmp_path, capsys):
    call = [str(simulated), str(tmp_path), "participant", "--atlas", "none"]
    assert cli.main([*call, "--boilerplate-only", "--skip-bids-validation"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "CITATION.md")
    assert [path.name for path in tmp_path.iterdir()] == ["CITATION.md"]
    # The same as a run writes.
    assert (tmp_path / "CITATION.md").read_text() == (maps.out / "CITATION.md").read_text()


def test_a_second_run_recomputes_nothing_and_brings_back_what_was_deleted(
    maps, simulated, qsmprep
):
    names = [CHI, "sub-01/figures/sub-01_desc-chi_figure.png", "sub-01.html"]
    before = {name: (maps.out / name).read_bytes() for name in names}
    for name in names:
        (maps.out / name).unlink()
    results = {path: path.stat().st_mtime_ns for path in maps.work.rglob("result_*.pklz")}
    again = qsmprep(simulated, maps.out, "--atlas", "none", work=maps.work)
    assert again.status == 0
    # Saving costs nothing and is done each time; all else lies in the work folder.
    assert set(again.steps) == {
        "save", "save chi", "save acquisition quality", "save quality", "save swi",
    }  # fmt: skip
    recomputed = {p for p, mtime in results.items() if p.stat().st_mtime_ns != mtime}
    assert {MARK.sub("", path.parent.name) for path in recomputed} <= {
        "save", "save_chi", "save_acquisition_quality", "save_quality", "save_swi", "keep",
        "facts", "acquisition_facts",
    }  # fmt: skip
    for name in names[:2]:
        assert (maps.out / name).read_bytes() == before[name]
    assert (maps.out / "sub-01.html").exists()


def test_equal_maps_are_equal_files(maps, simulated, qsmprep, tmp_path):
    other = qsmprep(simulated, tmp_path / "out", "--atlas", "none", "--nprocs", "1")
    assert other.status == 0
    for name in (CHI, "sub-01/anat/sub-01_R2starmap.nii.gz"):
        assert (other.out / name).read_bytes() == (maps.out / name).read_bytes()


def test_results_of_another_protocol_are_not_mixed(maps, simulated, capsys):
    call = [str(simulated), str(maps.out), "participant", *FAST]
    before = files_below(maps.out)
    for extra in ([], ["--dry-run"]):
        assert cli.main([*call, *extra]) == 2
        sentence = capsys.readouterr().err
        assert "one folder holds one protocol, so give another folder" in sentence
        assert Protocol.read("fast", ["segmentation.atlas=none"]).digest() in sentence
    assert files_below(maps.out) == before


def test_pages_are_written_anew_from_what_is_there(maps, capsys):
    page = maps.out / "sub-01.html"
    before = page.read_bytes()
    page.unlink()
    call = ["nowhere", str(maps.out), "participant", "--reports-only"]
    assert cli.main(call) == 0
    assert page.stat().st_size > 0.9 * len(before)
    assert cli.main([*call, "--participant-label", "07"]) == 2
    assert "holds no results of sub-07" in capsys.readouterr().err


# a complete run with an atlas


def test_every_output_exists_with_a_sidecar(complete, simulated):
    assert complete.status == 0, complete.stderr
    (acquisition,) = read_plan(simulated).acquisitions
    expected = [complete.out / path for path in expected_of(acquisition, "simulated")]
    general = "dataset_description.json README.md .bidsignore status.tsv sub-01.html"
    assert [p for p in expected if not p.exists()] == []
    assert [name for name in general.split() if not (complete.out / name).exists()] == []
    digest = json.loads((complete.out / "dataset_description.json").read_text())["GeneratedBy"][0][
        "Protocol"
    ]["Digest"]
    assert digest in (complete.out / "CITATION.md").read_text()
    page = (complete.out / "sub-01.html").read_text()
    assert re.search(rf"Protocol digest</dt>\s*<dd>\s*{digest}", page)
    for path in expected:
        if path.suffix == ".json":
            continue
        sidecar = json.loads(sidecar_path(path).read_text())
        assert sidecar["GeneratedBy"]["ProtocolDigest"] == digest
        assert sidecar["Sources"]
        assert all(source.startswith("bids:raw:sub-01/anat/") for source in sidecar["Sources"])
        assert sidecar["GeneratedBy"]["Parameters"]
    chi = json.loads(sidecar_path(complete.out / CHI).read_text())
    assert chi["Units"] == "ppm"
    assert chi["Reference"]["name"] == "whole-brain"
    assert chi["GeneratedBy"]["Parameters"]["inversion"]["method"] == "wtv"


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed")
def test_the_validator_accepts_what_a_run_leaves(complete):
    run = subprocess.run(
        [VALIDATOR, "--format", "json", complete.out], capture_output=True, text=True, check=False
    )
    issues = json.loads(run.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_the_map_is_in_ppm_and_its_reference_is_zero(complete):
    chi = load(complete.out)
    trusted = load(complete.out, "sub-01/anat/sub-01_desc-trusted_mask.nii.gz") > 0
    assert abs(chi[trusted].mean()) < 1e-6
    assert (chi[~trusted] == 0).all()
    assert 0.01 < chi[trusted].std() < 0.1  # tissue spreads over some ten ppb


def test_maps_on_the_template_are_the_maps(complete):
    def carried(name):
        return load(complete.out, f"sub-01/anat/sub-01_space-MNI152NLin2009aSym_{name}.nii.gz")

    chi, known = carried("Chimap"), carried("desc-trusted_mask") > 0
    assert (chi[~known] == 0).all()
    white = carried("label-WM_probseg") > 0.9
    assert known[white].mean() > 0.9
    # What the two masks hold is the same tissue, whatever the template's size.
    trusted = load(complete.out, "sub-01/anat/sub-01_desc-trusted_mask.nii.gz") > 0
    own = load(complete.out)[trusted]
    assert abs(chi[known].mean() - own.mean()) < 0.2 * own.std()
    assert 0.8 < chi[known].std() / own.std() < 1.2
    assert (carried("R2starmap") >= 0).all()
    total = sum(carried(f"label-{tissue}_probseg") for tissue in ("CSF", "GM", "WM"))
    np.testing.assert_allclose(total[white], 1, atol=1e-3)


@pytest.fixture(scope="module")
def regions(complete):
    path = complete.out / "sub-01/anat/sub-01_seg-simulated_regions.tsv"
    return pd.read_csv(path, sep="\t", na_values="n/a", keep_default_na=False)


def test_the_table_holds_all_regions_under_all_references(regions):
    chi = regions[regions["map"] == "Chimap"]
    assert set(chi["reference"]) == set(REFERENCES)
    assert set(chi["units"]) == {"ppb"}
    assert set(regions.loc[regions["map"] == "R2starmap", "units"]) == {"1/s"}
    putamen = regions[regions["name"] == "putamen"]
    # Left, right and both, of two maps, one of them under four references.
    assert sorted(putamen["hemisphere"]) == sorted("LRB" * 5)
    assert len(chi[chi["name"] == "whole-brain"]) == len(REFERENCES)
    whole = chi[(chi["name"] == "whole-brain") & (chi["reference"] == "whole-brain")]
    assert abs(whole["mean"].item()) < 1e-3
    means = chi[(chi["name"] == "putamen") & (chi["hemisphere"] == "B")].set_index("reference")
    # One reference differs from another by a shift, the same for all regions.
    thalamus = chi[(chi["name"] == "thalamus") & (chi["hemisphere"] == "B")]
    shift = means["mean"] - thalamus.set_index("reference")["mean"]
    assert np.ptp(shift.dropna()) < 1e-3


def test_regions_are_as_planted(regions, simulated):
    path = simulated / "derivatives/truth/sub-01/anat/sub-01_regions.tsv"
    truth = pd.read_csv(path, sep="\t").rename(columns={"region": "name", "hemi": "hemisphere"})
    chi = regions[(regions["map"] == "Chimap") & (regions["reference"] == "whole-brain")]
    both = chi.merge(truth, on=["name", "hemisphere"])
    nuclei = both[both["name"].isin(["caudate", "putamen", "pallidum", "thalamus"])]
    assert len(nuclei) == 8
    # Automatic labels on voxels of 3 mm: neighbours mix into small nuclei, and dilute them.
    assert np.corrcoef(nuclei["mean"], nuclei["mean_ppb"])[0, 1] > 0.8
    means = nuclei.groupby("name")["mean"].mean()
    assert means["pallidum"] > means["putamen"] > means["thalamus"]
    expected = nuclei.groupby("name")["mean_ppb"].mean() - truth["whole_brain_mean_ppb"].iloc[0]
    assert (abs(means - expected) < 0.4 * abs(expected["pallidum"])).all()


def test_the_page_holds_everything_itself(complete):
    page = (complete.out / "sub-01.html").read_text()
    links = re.findall(r"(?:src|href)=[\"']([^\"']+)", page)
    assert [link for link in links if not link.startswith(("data:", "#"))] == []
    assert page.count("data:image/") >= 8
    assert "putamen" in page


# without a home


def test_nothing_is_written_but_the_work_and_the_output_folder(simulated, tmp_path):
    cwd, temporary = tmp_path / "cwd", tmp_path / "tmp"
    cwd.mkdir()
    temporary.mkdir()
    run = subprocess.run(
        [sys.executable, "-m", "qsmprep.cli", simulated, cwd / "out", "participant", *FAST],
        cwd=cwd,
        # No home, no user name, no locale; the path of this project instead of an installation.
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(Path(cli.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert not Path("/nonexistent").exists()
    assert {path.name for path in cwd.iterdir()} == {"out", "work"}
    assert list(temporary.iterdir()) == []


# options


def test_one_head_in_four_codings_gives_one_map(qsmprep, tmp_path):
    bids = tmp_path / "bids"
    small = ["--voxel-size", "3", "3", "3", "--resolution", "2.5"]
    assert simulate_cli.main([str(bids), "--preset", "codings", *small]) == 0
    run = qsmprep(bids, tmp_path / "out", "--atlas", "none")
    assert run.status == 0, run.stderr

    def read(coding):
        stem = f"sub-01/anat/sub-01_acq-{coding}"
        trusted = load(run.out, f"{stem}_desc-trusted_mask.nii.gz") > 0
        return load(run.out, f"{stem}_Chimap.nii.gz"), trusted

    chi, trusted = read("radians")
    for coding in ("sint4096", "uint4096", "realimag"):
        other, also_trusted = read(coding)
        difference = abs(other - chi)[trusted & also_trusted]
        # Storing in integers adds a noise of its own, most where a dark voxel is coded by the few
        # steps of its real and imaginary part; and it may end an iteration some steps earlier.
        assert np.median(difference) < 5e-4
        assert np.quantile(difference, 0.99) < 5e-3
        assert difference.max() < 3e-2
        assert np.count_nonzero(trusted != also_trusted) <= 5


def test_options_on_how_to_run_do_what_they_say(simulated, qsmprep, tmp_path):
    plugin = tmp_path / "plugin.json"
    plugin.write_text('{"plugin": "MultiProc", "plugin_args": {"n_procs": 1}}')
    out = tmp_path / "out"
    first = qsmprep(simulated, out, *FAST, "--use-plugin", plugin, "--write-graph", "--mem", "2G")
    assert first.status == 0, first.stderr
    assert "inversion: invert: done after" in first.stderr
    if shutil.which("dot"):
        assert list((out / "logs").glob("graph*.svg"))
    else:
        assert "the graph is not drawn: there is no `dot`; install graphviz" in first.stderr
    again = qsmprep(simulated, out, *FAST, "--clean-workdir", work=first.work)
    assert again.status == 0
    assert set(again.steps) == set(first.steps)
    assert "inversion: invert" in again.steps


@pytest.mark.parametrize(
    ("changes", "waiting"),
    [
        (["referencing.method=whole-brain"], set()),
        (["referencing.method=none"], set()),
        (["referencing.method=csf"], {"save_chi", "save_quality", "keep"}),
        (["referencing.method=white-matter"], {"save_chi", "save_quality", "keep"}),
        (
            ["referencing.method=label", "referencing.region=putamen"],
            {"save_chi", "save_quality", "keep"},
        ),
        (["masking.method=t1w"], {"save", "save_chi", "save_quality", "keep"}),
        (["trust.two_pass=true", "masking.method=phase_quality"], set()),
    ],
)
def test_a_map_waits_for_the_t1w_only_if_it_takes_something_from_it(
    simulated, atlas, tmp_path, changes, waiting
):
    from qsmprep.workflows.base import Study, build

    (acquisition,) = read_plan(simulated).acquisitions
    protocol = Protocol.read("fast", changes)
    study = Study(simulated, tmp_path, protocol, read_atlas(atlas))
    graph = build(study, (acquisition,), tmp_path)._create_flat_graph()
    nodes = {
        ".".join(MARK.sub("", name) for name in node.fullname.split(".")[1:]): node
        for node in graph.nodes
    }
    before = {
        sink: nx.ancestors(graph, nodes[f"sub_01_MEGRE.{sink}"])
        for sink in ("save", "save_chi", "save_quality", "keep", "save_regions")
    }
    t1w = nodes["sub_01_T1w.anatomy_wf.n4"]
    waits = {sink for sink, ancestors in before.items() if t1w in ancestors}
    assert waits == {"save_regions"} | waiting
