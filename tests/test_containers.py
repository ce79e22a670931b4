"""What can be said of the container image without building it."""

from fnmatch import fnmatch
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from qsmprep import cli
from qsmprep.errors import RequestError
from qsmprep.scratch import ensure_temporary_folder, room_to_write

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
SCRIPTS = sorted((ROOT / "containers").glob("*.sh"))


def test_what_is_copied_into_the_image_is_there_and_not_ignored():
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert "*" in ignore, "everything is ignored but what is named"
    kept = [line[1:] for line in ignore if line.startswith("!")]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in kept), f"{source} is ignored"


def test_extras_that_the_image_installs_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    asked = re.findall(r"'\.\[(\w+)\]'|optional-dependencies'\]\['(\w+)'\]", DOCKERFILE)
    assert asked
    assert {a or b for a, b in asked} <= extras.keys()


def test_the_image_says_what_it_is():
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", DOCKERFILE))
    assert labels >= {"title", "description", "licenses", "source", "version", "revision"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'image.licenses="{project["license"]}"' in DOCKERFILE


def test_the_image_does_not_run_as_root():
    last = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)[-1]
    assert last not in ("root", "0")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_have_no_mistakes_of_syntax(script):
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-x", script], check=True, cwd=ROOT)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):  # noqa: ARG001 - pytest itself makes the folder before
    """Nothing can be written to but mounts, as under `docker run --read-only`."""

    def refuse():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", refuse)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("TMPDIR", "")
    monkeypatch.setenv("MPLCONFIGDIR", "")


@pytest.mark.usefixtures("nowhere")
def test_temporary_files_go_to_the_work_folder_where_there_is_no_other_place(tmp_path):
    ensure_temporary_folder(tmp_path)
    assert os.environ["TMPDIR"] == str(tmp_path / "tmp")
    assert (tmp_path / "tmp").is_dir()


def test_temporary_files_stay_where_they_belong(tmp_path):
    ensure_temporary_folder(tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("nowhere")
def test_figures_find_room_among_the_outputs_and_leave_nothing(tmp_path):
    with room_to_write(tmp_path):
        (made,) = tmp_path.iterdir()
        assert os.environ["MPLCONFIGDIR"] == str(made)
    assert not any(tmp_path.iterdir())
    assert not os.environ.get("MPLCONFIGDIR")


@pytest.mark.usefixtures("nowhere")
def test_no_room_at_all_is_said_in_a_sentence(tmp_path, capsys):
    missing = tmp_path / "missing"
    with pytest.raises(RequestError, match="cannot be written to"), room_to_write(missing):
        pass
    assert cli.main([str(tmp_path), str(missing), "group"]) == 2
    assert "missing: cannot be written to" in capsys.readouterr().err


def test_tables_that_differ_are_told_apart(tmp_path):
    """The comparison of `containers/check.sh` fails where it has to."""

    def compare(inside):
        return subprocess.run(
            [sys.executable, ROOT / "containers/compare_tables.py", tmp_path / "outside", inside],
            capture_output=True,
            text=True,
        )

    for name, mean in {"outside": 50.0, "rounding": 50.00001, "other": 51.0}.items():
        (tmp_path / name / "group").mkdir(parents=True)
        table = f"name\tmean\nputamen\t{mean}\npallidum\tn/a\n"
        (tmp_path / name / "group/regions.tsv").write_text(table)
    assert compare(tmp_path / "outside").stdout == "regions.tsv: equal byte for byte\n"
    assert compare(tmp_path / "rounding").returncode == 0
    assert "2.0e-07" in compare(tmp_path / "rounding").stdout
    assert compare(tmp_path / "other").returncode == 1
