"""Memory, files and scale: what steps need is known, told, kept to, and cleaned up."""

from pathlib import Path
import time

from bids_skeleton import DATA, write_dataset, write_gre
import pytest
from runs import FAST

from qsmprep import cli, run
from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.outcome import expected_of
from qsmprep.bids.status import read_status
from qsmprep.bids.template import Template
from qsmprep.errors import RequestError
from qsmprep.protocol import ALGORITHMS, Protocol, presets
from qsmprep.resources import Resources
from qsmprep.workflows import cost
from qsmprep.workflows.base import build
from qsmprep.workflows.study import Study


@pytest.fixture
def skeleton(tmp_path):
    """Return a dataset of three participants, the first with a T1w."""
    root = tmp_path / "bids"
    root.mkdir()
    write_dataset(root)
    for label in ("07", "08"):
        write_gre(root, f"sub-{label}")
    return root


def acquisitions_of(root, *labels):
    return read_plan(root, participants=labels).acquisitions


# what steps need


@pytest.mark.skipif(DATA is None, reason="there is no data for tests")
@pytest.mark.parametrize("name", presets())
def test_a_job_is_asked_for_what_its_graph_holds(skeleton, name):
    protocol = Protocol.read(name)
    atlas = read_atlas(DATA / "atlas-OASIS")
    placed = {member.label: member.t1w for member in atlas.members}
    acquisitions = acquisitions_of(skeleton, "01")
    study = Study(skeleton, skeleton, protocol, atlas, placed=placed)
    graph = build(study, acquisitions, skeleton / "work")
    made = [
        (cost.kind_of(node), part if (part := cost.part_of(node)) in cost.GRIDS else "")
        for node in cost.nodes_of(graph)
        if cost.kind_of(node).split(".")[0] not in cost.LIGHT
    ]
    # The heads have been aligned to the template in a graph of their own.
    told = [
        *cost.steps_of_maps(protocol, 3),
        *cost.steps_of_regions(protocol),
        *(s for s in cost.steps_of_anatomy(protocol, 8) if s[1] != "place"),
    ]
    assert sorted(made) == sorted(told)
    assert all(cost.cost_of(kind) is not cost.UNKNOWN for kind, _ in made)
    needs = {cost.kind_of(node): node._mem_gb for node in cost.nodes_of(graph)}
    assert needs["FuseLabels.joint"] > needs["Merge"] == cost.FIXED_MB / 1024


def test_the_cost_of_every_method_is_known():
    interfaces = {
        "masking": "FindBrain", "offset": "RemoveOffset", "unwrapping": "Unwrap",
        "field": "FitField", "relaxometry": "FitR2star", "background": "RemoveBackground",
        "inversion": "Invert",
    }  # fmt: skip
    for stage, interface in interfaces.items():
        for method in ALGORITHMS[stage]:
            assert cost.cost_of(f"{interface}.{method}") is not cost.UNKNOWN


def test_needs_grow_with_the_grid_and_the_number_of_images():
    small, large, many = (
        cost.Size(gre=voxels, echoes=echoes)
        for voxels, echoes in ((10**6, 4), (10**7, 4), (10**6, 12))
    )
    for kind in ("ReadEchoes", "Unwrap.romeo"):
        assert small.need_mb(kind) < many.need_mb(kind) < large.need_mb(kind)
    assert small.need_mb("Invert.wtv") == many.need_mb("Invert.wtv")
    # Stacks in single precision that are read, and written again.
    assert many.need_mb("ReadEchoes") - small.need_mb("ReadEchoes") > 2 * 8 * 4e6 / 2**20


@pytest.mark.parametrize(("nprocs", "mem_mb"), [(8, 16000), (4, 6000), (8, 2500)])
def test_all_that_may_run_at_once_fits_into_the_memory_given(skeleton, nprocs, mem_mb):
    study = Study(skeleton, skeleton, Protocol.read("fast", ["segmentation.atlas=none"]), None)
    graph = build(study, acquisitions_of(skeleton), skeleton / "work")
    resources = Resources(skeleton, nprocs=nprocs, mem_mb=mem_mb)
    workers, memory_gb = cost.schedule(graph, resources)
    assert 1 <= workers <= nprocs
    assert cost.PROGRAM_MB + workers * cost.WORKER_MB + 1024 * memory_gb <= mem_mb
    assert 1024 * memory_gb >= max(1024 * node._mem_gb for node in cost.nodes_of(graph)) - 1e-6


def test_too_little_memory_is_told_before_anything_runs(skeleton, tmp_path, capsys):
    out = tmp_path / "out"
    call = [str(skeleton), str(out), "participant", *FAST, "-w", str(tmp_path / "work")]
    for extra in ([], ["--dry-run"]):
        assert cli.main([*call, "--mem-mb", "700", *extra]) == 2
        told = capsys.readouterr().err
        assert "--mem-mb 700" in told
        assert "give as much, or more" in told
    assert not out.exists()
    least = int(told.split("about ")[1].split(",")[0])
    given = {"template": Template(), "heads": 0}
    arguments = acquisitions_of(skeleton), Protocol.read("fast", ["segmentation.atlas=none"])
    cost.check_memory(*arguments, **given, resources=Resources(tmp_path, mem_mb=least))
    with pytest.raises(RequestError):
        cost.check_memory(*arguments, **given, resources=Resources(tmp_path, mem_mb=least - 1))


def test_a_job_costs_more_with_more_to_do(skeleton):
    protocol = Protocol.read("consensus")
    (one,) = acquisitions_of(skeleton, "01")
    plain = cost.job_cost([one], protocol, heads=0, nprocs=1)
    multi = cost.job_cost([one], protocol, heads=8, nprocs=1)
    assert plain.minutes >= cost.LEAST_MINUTES
    assert multi.minutes > plain.minutes
    assert multi.mem_mb >= plain.mem_mb  # both are rounded up
    assert cost.job_cost([one], protocol, heads=8, nprocs=4).mem_mb > multi.mem_mb
    assert cost.job_cost([one], protocol, heads=8, nprocs=2).minutes < multi.minutes
    # What a job is given is enough to start it.
    cost.check_memory(
        [one],
        protocol,
        template=Template(),
        heads=8,
        resources=Resources(skeleton, mem_mb=multi.mem_mb),
    )


def held_mb(group):
    """Return what all processes of a group hold together, shared pages divided among them."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[2]) == group:
                lines = (stat.parent / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:  # it has ended meanwhile
            continue
    return total / 1024


def test_a_run_keeps_to_the_memory_given(simulated, program, tmp_path):
    arguments = [*FAST, "-w", tmp_path / "work", "--nprocs", "4", "--mem-mb", "1500"]
    process = program(simulated, tmp_path / "out", "participant", *arguments)
    held = []
    while process.poll() is None:
        held.append(held_mb(process.pid))
        time.sleep(0.1)
    told = process.stderr.read()
    process.communicate()
    assert process.returncode == 0, told
    assert "2 steps at once, not 4, for 1500 MB are given" in told
    assert 100 < max(held) < 1500


# what stays, and what goes


@pytest.fixture
def pretended(monkeypatch):
    """Have nothing computed: outputs of all but sub-08 appear, and intermediate results."""
    batches = []

    def execute(request, plan, _, work_dir):
        batches.append([acquisition.participant for acquisition in plan.acquisitions])
        for acquisition in plan.acquisitions:
            kept = work_dir / "qsmprep_wf" / acquisition.name_safe / "step/result.pklz"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.touch()
            if acquisition.participant != "08":
                for path in expected_of(acquisition, ""):
                    (request.out_dir / path).parent.mkdir(parents=True, exist_ok=True)
                    (request.out_dir / path).touch()
        return {}

    monkeypatch.setattr(run, "compute", execute)
    monkeypatch.setattr(run, "_write_pages", lambda *_: [])
    return batches


@pytest.fixture
def call(skeleton, tmp_path):
    """Run the program, and return for whom there are intermediate results."""

    def run_cli(*arguments):
        out, work = tmp_path / "out", tmp_path / "work"
        cli.main([str(skeleton), str(out), "participant", *FAST, "-w", str(work), *arguments])
        return {path.name.split("_")[1] for path in work.glob("*/qsmprep_wf/sub_*")}

    return run_cli


@pytest.mark.usefixtures("pretended")
def test_only_results_of_those_asked_for_are_forgotten(call, monkeypatch):
    assert call() == {"01", "07", "08"}
    monkeypatch.setattr(run, "compute", lambda *_: {})
    assert call("--clean-workdir", "--participant-label", "07") == {"01", "08"}
    assert call("--clean-workdir") == set()


def test_what_is_done_is_discarded_and_not_done_again(call, pretended, tmp_path):
    assert call("--discard-workdir") == {"08"}
    assert call("--discard-workdir") == {"08"}
    assert pretended == [["01", "07", "08"], ["08"]]
    chi = tmp_path / "out/sub-01/anat/sub-01_Chimap.nii.gz"
    chi.unlink()
    call("--discard-workdir")
    assert chi.exists()
    assert pretended[2:] == [["01", "08"]]


def test_large_studies_are_done_in_batches(call, pretended, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "BATCH", 1)
    assert call("--nprocs", "1", "--mem-mb", "16000") == {"01", "07", "08"}
    assert pretended == [["01", "07", "08"]]  # four for every core, or some would be idle
    plan = read_plan(tmp_path / "bids")
    assert [len(part.acquisitions) for part in plan.batches(2)] == [2, 1]
    assert [part.issues for part in plan.batches(2)] == [plan.issues] * 2


@pytest.mark.usefixtures("pretended")
def test_what_is_wrong_with_a_participant_is_kept_beside_what_was_done(call, skeleton, tmp_path):
    folder = skeleton / "sub-07/anat"
    (folder / "sub-99_echo-1_part-mag_MEGRE.nii").write_bytes(
        (folder / "sub-07_echo-1_part-mag_MEGRE.nii").read_bytes()
    )
    call()
    rows = [row for row in read_status(tmp_path / "out") if row.participant_id == "sub-07"]
    assert [row.status for row in rows] == ["done", "skipped"]
    assert "is not named for the folder sub-07" in rows[1].reason
