"""Whatever the documentation tells people to type works: every command, file and example."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

from docs_blocks import PAGES, ROOT, blocks, commands, normal
import nibabel as nb
import numpy as np
import pytest

from qsmprep import cli
from qsmprep.bids.dataset import SUFFIXES
from qsmprep.geometry import Geometry
from qsmprep.group.model_files import read_plan
from qsmprep.methods.inversion import INVERSIONS
from qsmprep.protocol import Protocol
from qsmprep.simulate import cli as simulate_cli
from qsmprep.statistics.kinds import KINDS

LANGUAGES = {"sh", "python", "toml", "json", "", "{eval-rst}"}

ELSEWHERE = {
    r"make demo": ".github/workflows/tests.yml",
    r"make test": ".ci/run",
    r"make check": "Makefile",
    r"make docs": "Makefile",
    r"make literature": "Makefile",
    r"qsmprep-simulate BIDS --preset demo": "Makefile",
    r"(docker|podman|buildah|apptainer|singularity) ": "containers/check.sh",
    r"(sbatch|squeue|sacct|scancel|srun|qsmprep-slurm) ": "containers/slurm-check.sh",
}
"""Commands that are too big for a test here, and the script in which the same command is run."""

NOT_RUN = {
    r"(python -m )?pip install ": "fetches packages; `make test` itself begins with such a line",
    r"python3 -m venv \.venv": "the Makefile does the same before each test",
    r"\. \.venv/bin/activate": "changes the shell it is typed in",
    r"python -c from templateflow\.api import get; ": "fetches a template",
    r"\.venv/bin/pytest ": "would run these tests in themselves",
    r"make format": "changes the sources of who runs the tests",
}
"""Commands that no test can run, and why."""

IN_FULL = "--protocol fast --atlas none -w WORK"
"""Ending of the one command that computes maps here; others that do get `--dry-run`."""


def matching(command, table):
    """Return what the table says of a command, None if nothing."""
    plain = command.replace('"', "")
    return next((says for pattern, says in table.items() if re.match(pattern, plain)), None)


HERE = [c for c in commands() if matching(c, NOT_RUN) is None and matching(c, ELSEWHERE) is None]


@pytest.fixture(scope="module")
def sandbox(complete, simulated, heads, tmp_path_factory):
    """Return a folder in which the placeholders of the documentation are names of folders."""
    root = tmp_path_factory.mktemp("typed")
    shutil.copytree(simulated, root / "BIDS")
    shutil.copytree(complete.out, root / "OUT")
    shutil.copytree(complete.out, root / "BIDS/derivatives/masks")
    shutil.copytree(heads, root / "ATLAS")
    mine = next(b for b in blocks("toml") if b.page == "docs/protocols.md")
    (root / "mine.toml").write_text(mine.content)
    (root / "models.toml").write_text('[model.people]\nkind = "describe"\ncolumns = ["years"]\n')
    return root


def test_all_blocks_are_of_a_known_language():
    unknown = [
        f"{block}: {block.language}" for block in blocks() if block.language not in LANGUAGES
    ]
    assert unknown == []


def test_no_rule_is_left_over():
    for table in (ELSEWHERE, NOT_RUN):
        for pattern in table:
            shown = any(re.match(pattern, c.replace('"', "")) for c in commands())
            script = ELSEWHERE.get(pattern)
            # Scripts that come with a page of their own are waited for.
            assert shown or (script and not (ROOT / script).exists()), pattern


@pytest.mark.parametrize("command", [c for c in commands() if matching(c, ELSEWHERE)])
def test_what_is_run_elsewhere_is_run_there(command):
    script = ROOT / matching(command, ELSEWHERE)
    text = script.read_text(encoding="utf-8")
    if command.startswith("make "):
        name = command.removeprefix("make ")
        assert re.search(rf"\bmake {name}\b|^{name}:", text, re.MULTILINE)
    else:
        assert normal(command) in normal(text.replace("$(BIN)/", ""))


@pytest.mark.parametrize("command", HERE)
def test_commands_that_are_shown_work(command, sandbox, program, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(sandbox)
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "NIPYPE_CONFIG_DIR", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # the program sets them for itself
    first, *arguments = shlex.split(re.sub(r"^(\w+=\S+ )+", "", command))
    if first == "qsmprep":
        run_qsmprep(arguments, program, capsys)
    elif first == "qsmprep-simulate" and arguments[0] == "cohort":
        assert simulate_cli.main([*arguments[:2], str(tmp_path / "new")]) == 0
    elif first == "qsmprep-simulate":  # heads take minutes: see that they can be asked for
        assert simulate_cli.plan(simulate_cli.parser().parse_args(arguments))
    elif first == "python" and arguments[0].startswith("benchmarks/"):
        run_help_of(ROOT / arguments[0])
    elif first == "python" and arguments == ["docs/generate.py"]:
        pass  # it would write into the sources; tests/test_docs.py compares what
    else:
        pytest.fail(f"{commands()[command]}: no rule for {command}")


def run_qsmprep(arguments, program, capsys):
    """Run the program as it was typed, or plan what would take minutes."""
    if " ".join(arguments).endswith(IN_FULL):
        process = program(*arguments, "--nprocs", "2")
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
        return
    cheap = {"methods", "group", "--dry-run", "--reports-only", "--help", "--version"}
    if not cheap & set(arguments):
        arguments = [arguments[0], "NEW", *arguments[2:], "--dry-run"]
    elif "--dry-run" in arguments:
        arguments[1] = "NEW"
    assert cli.main(arguments) == 0, capsys.readouterr()


def run_help_of(benchmark):
    """See that a benchmark, which takes hours, starts and knows its options."""
    subprocess.run([sys.executable, benchmark, "--help"], check=True, capture_output=True)


def settings():
    """Return what is shown behind `--set`; settings that stand beside each other in one piece."""
    shown = set()
    for path in PAGES:
        if path.name != "add-a-method.md":  # whose method is added below
            text = path.read_text(encoding="utf-8")
            shown |= set(re.findall(r"(?:--set [a-z]+\.[a-z0-9_]+=[\w.-]+ ?)+", text))
    return sorted({one.strip() for one in shown})


@pytest.mark.parametrize("shown", settings())
def test_settings_that_are_shown_are_understood(shown):
    Protocol.read(changes=shown.removeprefix("--set ").split(" --set "))


def test_a_method_is_added_in_the_steps_that_are_shown(monkeypatch):
    code = next(b.content for b in blocks("python") if b.page == "docs/add-a-method.md")
    namespace: dict = {}
    exec(code, namespace)
    monkeypatch.setitem(INVERSIONS, "mine", namespace["mine"])
    shown = ["inversion.method=mine", "inversion.strength=0.2"]
    text = (ROOT / "docs/add-a-method.md").read_text(encoding="utf-8")
    assert "--set " + " --set ".join(shown) in text
    stage = Protocol.read(changes=shown).inversion
    ball = np.linalg.norm(np.indices((16, 16, 16)) - 8, axis=0) < 6
    chi = namespace["mine"](ball * 0.01, ball, Geometry.from_affine(np.eye(4)), **stage.params)
    assert chi.shape == ball.shape
    assert chi[ball].std() > 0


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_protocols_and_models_that_are_shown_are_understood(block, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(block.content, encoding="utf-8")
    if "[model." in block.content:
        assert read_plan([path], KINDS).models
    else:
        Protocol.read(path)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_files_that_are_shown_are_understood(block, dataset, tmp_path, capsys):
    content = json.loads(block.content)
    path = tmp_path / "shown.json"
    path.write_text(block.content, encoding="utf-8")
    call = [str(dataset), str(tmp_path / "out"), "participant", "--atlas", "none"]
    if content.keys() <= SUFFIXES.keys():
        # It asks for acquisitions that this dataset has not, which is told; it is understood.
        assert cli.main([*call, "--bids-filter-file", str(path), "--dry-run"]) in (0, 2)
        assert "filter file:" not in capsys.readouterr().err
    elif content.keys() == {"plugin", "plugin_args"}:
        from qsmprep.workflows.execution import check_plugin

        check_plugin(content, ROOT)
    else:
        pytest.fail(f"{block}: JSON of no known kind")


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_examples_in_python_run(block, sandbox, tmp_path):
    prepare(sandbox, tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", block.content], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def prepare(sandbox, folder):
    """Put the files that examples name where they look for them."""
    (folder / "OUT").symlink_to(sandbox / "OUT")
    anat = sandbox / "OUT/sub-01/anat"
    for path in anat.glob("*_xfm.*"):
        shutil.copy(path, folder)
    shutil.copy(anat / "sub-01_R2starmap.nii.gz", folder / "sub-01_desc-mine_R2starmap.nii.gz")
    shutil.copy(next(anat.glob("*space-MNI*_R2starmap.nii.gz")), folder / "template.nii.gz")
    head = sandbox / "ATLAS/sub-a/anat"
    for kind, name in (("T1w", "T1_icbm152_2009c_sym"), ("dseg", "CerebrA_in_t1")):
        image = nb.load(head / f"sub-a_{kind}.nii.gz")
        nb.save(
            nb.MGHImage(image.get_fdata(dtype="float32"), image.affine), folder / f"{name}.mgz"
        )
