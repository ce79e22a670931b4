"""A work folder after a power cut: nothing that is half-written is taken for done."""

import gzip
import shutil

import nibabel as nb
import numpy as np
import pytest
from runs import FAST, Ended, cut, load

from qsmprep.workflows.repair import forget_broken_loops, forget_broken_steps, is_whole

QUICK = (*FAST, "--set", "inversion.method=tkd")


@pytest.fixture(scope="module")
def finished(simulated, qsmprep, tmp_path_factory):
    """Return a complete run with its work folder; not to be changed."""
    return qsmprep(simulated, tmp_path_factory.mktemp("finished") / "out", *QUICK)


@pytest.fixture
def again(simulated, qsmprep, finished, tmp_path):
    """Return what runs the same again, after something was done to the work folder."""

    def run(damage) -> Ended:
        work = tmp_path / "work"
        shutil.copytree(finished.work, work)  # times and all, as after the machine has started
        damage(work)
        return qsmprep(simulated, tmp_path / "out", *QUICK, work=work)

    return run


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("result_*.pklz", cut),
        ("_inputs.pklz", empty),
        ("_node.pklz", cut),
        ("_0x*.json", empty),
        ("*.nii.gz", cut),
        ("*.nii", empty),
        ("*.nbi", empty),
        ("*.nbc", cut),
    ],
)
def test_broken_files_are_found_whatever_they_are(pattern, damage, finished, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(finished.work, work)
    found = next(iter(work.rglob(pattern)), None)
    if found is None:  # numba keeps its loops elsewhere in these tests
        found = tmp_path / pattern.replace("*", "x")
        found.write_bytes(b"some pickle.")
    assert is_whole(found)
    damage(found)
    assert not is_whole(found)


def test_all_files_of_a_finished_run_are_whole(finished):
    checked = [p for p in finished.work.rglob("*.*") if p.is_file() and "_wf" in str(p)]
    assert [path for path in checked if not is_whole(path)] == []
    assert forget_broken_steps([finished.work]) == 0


def test_only_the_step_of_a_broken_file_is_forgotten(finished, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(finished.work, work)
    steps = {path.parent for path in work.rglob("_node.pklz")}
    broken = next(work.rglob("*inversion_wf*/**/*.nii.gz"))
    cut(broken)
    assert forget_broken_steps([work]) == 1
    assert {path.parent for path in work.rglob("_node.pklz")} == steps - {broken.parent}


def test_half_written_steps_are_done_again_and_the_map_is_the_same(again, finished):
    def power_cut(work):
        cut(next(work.rglob("*background_wf*/**/local.nii.gz")))
        cut(next(work.rglob("result_quality.pklz")))
        empty(next(work.rglob("*relaxometry_wf*/**/_inputs.pklz")))

    ended = again(power_cut)
    assert ended.status == 0, ended.stderr
    assert "left half-written, and are done again: 3" in ended.stderr
    steps = " ".join(ended.steps)
    assert "invert" in steps  # as it follows on the background
    assert "echoes" not in steps  # as nothing before them was lost
    assert np.array_equal(load(ended.out), load(finished.out))


def test_compiled_loops_that_are_cut_off_are_forgotten(tmp_path):
    for name, content in (("a.nbi", b"pickle."), ("b.nbi", b""), ("c.nbc", b"pick")):
        (tmp_path / name).write_bytes(content)
    forget_broken_loops(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.nbi"]


def test_an_image_of_several_volumes_is_known_to_be_whole(tmp_path):
    path = tmp_path / "a.nii.gz"
    nb.Nifti1Image(np.ones((5, 6, 7, 3), np.int16), np.eye(4)).to_filename(path)
    assert is_whole(path)
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:-10]))  # a whole gzip file, but not a whole image
    assert not is_whole(path)
