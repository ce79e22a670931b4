"""Simulated datasets, and runs of the program on them that several tests look at."""

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest
from runs import Ended, copy_participant

from qsmprep.bids.template import SUFFIXES
from qsmprep.interfaces.registration import TemplateFiles
from qsmprep.simulate.acquisition import SessionSpec
from qsmprep.simulate.dataset import ParticipantSpec, write_atlas, write_dataset


@pytest.fixture(scope="session")
def caches(tmp_path_factory):
    """Compiled loops, shared by all runs: compiling them takes longer than running them."""
    return {"NUMBA_CACHE_DIR": str(tmp_path_factory.mktemp("numba"))}


@pytest.fixture(scope="session")
def program(caches):
    """Start the program in a process of its own, the leader of a group."""

    def start(*arguments, cwd=None, env=None, **options):
        return subprocess.Popen(
            [sys.executable, "-m", "qsmprep.cli", *map(str, arguments)],
            cwd=cwd,
            env=os.environ | caches if env is None else env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )

    return start


def pytest_collection_modifyitems(items):
    """Put what looks at the outputs of all other tests behind them."""
    items.sort(key=lambda item: item.path.name == "test_bids_validity.py")


@pytest.fixture(scope="session")
def made():
    """Collect the output folders of all runs."""
    return []


@pytest.fixture
def outputs(made, simulated, request):
    """Return every dataset that there is, each once; a run of its own if there is none."""
    if not made:
        request.getfixturevalue("maps")
    folders = {folder for out in made for folder in (out, *out.glob("*/"))}
    derivatives = (simulated / "derivatives").glob("*/")
    return sorted(
        folder
        for folder in {*folders, simulated, *derivatives}
        if (folder / "dataset_description.json").exists()
    )


@pytest.fixture(scope="session")
def qsmprep(program, made):
    """Run the program on the participant level to its end."""

    def run(bids, out, *arguments, work=None, level="participant", **options):
        work = work or out.with_name(f"{out.name}-work")
        settings = ["-w", work, "--nprocs", "2", "-v", *arguments]
        process = program(bids, out, level, *settings, **options)
        stdout, stderr = process.communicate(timeout=580)
        made.append(out)
        return Ended(out, work, process.returncode, stdout, stderr)

    return run


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Return a dataset of one small head, with T1w, truth and atlas; not to be changed."""
    root = tmp_path_factory.mktemp("simulated") / "bids"
    # Voxels so large that a map takes seconds, and no skull, which takes a registration to find.
    session = SessionSpec(voxel_size=(3.0, 3.0, 3.0), skull=False)
    write_dataset(root, [ParticipantSpec("01", 1, (session,))], resolution=2.5)
    write_atlas(root / "derivatives/atlas-simulated", resolution=2.5)
    return root


@pytest.fixture(scope="session")
def atlas(simulated):
    return simulated / "derivatives/atlas-simulated"


@pytest.fixture
def dataset(simulated, tmp_path):
    """Return a copy of the dataset that a test may spoil."""
    return copy_participant(simulated, tmp_path / "bids", "01")


@pytest.fixture(scope="session")
def maps(simulated, qsmprep, tmp_path_factory):
    """Return a complete run without an atlas."""
    return qsmprep(simulated, tmp_path_factory.mktemp("maps") / "out", "--atlas", "none")


@pytest.fixture(scope="session")
def heads(atlas):
    """Return an atlas of two heads, alike, so that the majority is known."""
    folder = atlas.with_name("atlas-heads")
    shutil.copytree(atlas, folder, ignore=shutil.ignore_patterns("tpl-*"))
    for label in ("sub-a", "sub-b"):
        (folder / label / "anat").mkdir(parents=True)
        for kind in ("T1w.nii.gz", "T1w.json", "dseg.nii.gz"):
            source = atlas / f"tpl-simulated/anat/tpl-simulated_{kind}"
            shutil.copy(source, folder / label / "anat" / f"{label}_{kind}")
    return folder


@pytest.fixture(scope="session")
def template_folder(tmp_path_factory):
    """Return nilearn's template at 4 mm, named as one of a user's own."""
    folder = tmp_path_factory.mktemp("templates") / "tpl-Toy"
    folder.mkdir()
    written = TemplateFiles(resolution=4).run(cwd=str(folder)).outputs
    for kind, suffix in SUFFIXES.items():
        Path(getattr(written, kind)).rename(folder / f"tpl-Toy_{suffix}.nii.gz")
    return folder


@pytest.fixture(scope="session")
def complete(simulated, heads, qsmprep):
    """Return a complete run with an atlas: the only one, because registrations take minutes."""
    root = simulated.parent
    # As most people type it: relative. Coarse registrations will do for a head of large voxels.
    return qsmprep(
        Path("bids"), root / "complete", "--atlas", heads.relative_to(root),
        "--set", "segmentation.spacing=4", "--set", "normalisation.spacing=4", cwd=root,
    )  # fmt: skip
