"""Sessions as they come: named badly, acquired otherwise, on one day, far from each other."""

import json

from bids_skeleton import AFFINE, change, write_gre, write_image
import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from report_folder import regions

from qsmprep import cli
from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.left_out import plan_longitudinal
from qsmprep.errors import InputError
from qsmprep.interfaces.change import change_table
from qsmprep.interfaces.longitudinal import CommonMask
from qsmprep.protocol import Protocol
from qsmprep.reports import pages
from qsmprep.reports.longitudinal import trajectories
from qsmprep.reports.plots import draw
from qsmprep.workflows.base import build
from qsmprep.workflows.study import Study


@pytest.fixture
def bids(tmp_path):
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    return root


def add(root, session, *, t1w=True, entities="", **options):
    start = f"sub-01_ses-{session}"
    folder = write_gre(root, f"{start}{entities}", **options)
    if t1w:
        write_image(folder / f"{start}_T1w.nii.gz")
    return folder


def seen(root):
    plan = read_plan(root)
    return plan, *plan_longitudinal(plan, root)


def graph_of(root, atlas):
    plan, found = seen(root)
    study = Study(root, root, Protocol.read("fast"), read_atlas(atlas), longitudinal=(found,))
    return found, build(study, plan.acquisitions, root / "work")


def test_numbers_in_names_of_sessions_are_read_as_numbers(bids):
    for session in ("10", "2", "1"):
        add(bids, session)
    _, found = seen(bids)
    assert found.series[0].sessions == ("1", "2", "10")
    (bids / "sub-01/sub-01_sessions.tsv").write_text(
        "session_id\tacq_time\nses-1\t2020-01-01\nses-2\t2020-01-01\nses-10\t2020-01-01\n"
    )
    _, found = seen(bids)
    assert found.series[0].sessions == ("1", "2", "10"), "on one day, too"
    assert found.series[0].years == (0.0, 0.0, 0.0)


def test_runs_and_suffixes_have_tables_of_their_own(bids, atlas):
    for session in ("1", "2"):
        for number in ("1", "2"):
            add(bids, session, entities=f"_run-{number}")
        add(bids, session, suffix="T2starw", entities="_run-1")
        add(bids, session, entities="_acq-a+b")
        add(bids, session, entities="_acq-ab")
    found, graph = graph_of(bids, atlas)
    stems = [series.stem for series in found.series]
    assert len(set(stems)) == len(found.series) == 5
    assert {"sub-01_acq-MEGRE_run-1", "sub-01_acq-T2starw_run-1"} < set(stems)
    saved = [name for name in graph.list_node_names() if ".save_change_" in name]
    assert len(saved) == 5


def test_a_name_that_only_one_session_has_to_make_longer_loses_no_change():
    first, later = regions(), regions(session="ses-2", shift=7.5).assign(acquisition="MEGRE")
    table = change_table([first, later], [first, later], [0, 2])
    alike = [first, later.assign(acquisition="n/a")]
    expected = change_table(alike, alike, [0, 2])
    pd.testing.assert_frame_equal(table, expected)


def test_sessions_that_differ_in_how_they_were_acquired_are_told(bids, capsys, tmp_path, atlas):
    add(bids, "1")
    add(bids, "2", times=(0.005, 0.01, 0.02), t1w=False)
    folder = add(bids, "3")
    for path in folder.glob("*.json"):
        change(path, MagneticFieldStrength=1.5)
    for path in folder.glob("*MEGRE.nii"):
        write_image(path, affine=AFFINE * [2, 1, 1, 1])
    found, graph = graph_of(bids, atlas)
    notes = found.series[0].notes
    assert notes == (
        "echo times differ: 5, 10, 15 ms in ses-1, ses-3; 5, 10, 20 ms in ses-2",
        "field strengths differ: 3 T in ses-1, ses-2; 1.5 T in ses-3",
        "voxel sizes differ: 1×1×2 mm in ses-1, ses-2; 2×1×2 mm in ses-3",
        "sub-01_ses-1_T1w.nii.gz stands for ses-1, ses-2: it cannot show what changed in the T1w",
    )
    known = graph.get_node("sub_01_longitudinal.save_change_sub_01").inputs.known
    assert known["Notes"] == list(notes)
    call = [str(bids), str(tmp_path / "out"), "participant", "--dry-run", "--longitudinal"]
    cli.main([*call, "--atlas", str(atlas)])
    assert "sub-01_longitudinal: echo times differ" in capsys.readouterr().out


def test_equal_sessions_have_nothing_to_be_told(bids):
    add(bids, "1")
    add(bids, "2")
    _, found = seen(bids)
    assert found.series[0].notes == ()


def test_who_came_twice_but_for_other_images_is_told(bids, capsys, tmp_path, atlas):
    add(bids, "1", entities="_run-1")
    add(bids, "2")
    call = [str(bids), str(tmp_path / "out"), "participant", "--dry-run", "--longitudinal"]
    cli.main([*call, "--atlas", str(atlas)])
    told = capsys.readouterr().out
    assert (
        "sub-01_longitudinal: not compared: sub-01_ses-1_run-1_MEGRE, sub-01_ses-2_MEGRE differ "
        "in more than the session"
    ) in told


def test_sessions_without_a_voxel_in_common_are_told(tmp_path):
    paths = []
    for number in range(2):
        mask = np.zeros((4, 4, 4), dtype=np.uint8)
        mask[number] = 1
        paths.append(str(tmp_path / f"{number}.nii.gz"))
        nb.Nifti1Image(mask, np.eye(4)).to_filename(paths[-1])
    with pytest.raises(InputError, match="no voxel in common"):
        CommonMask(masks=paths).run(cwd=str(tmp_path))


def test_sessions_of_one_day_are_drawn_beside_each_other():
    tables = {"ses-1": regions(), "ses-2": regions(session="ses-2", shift=7.5)}
    drawn = trajectories(tables, {"ses-1": 0.0, "ses-2": 0.0}, "whole-brain")
    assert set(drawn.data["x"]) == {1, 2}
    assert "session: 1 ses-1, 2 ses-2" in json.dumps(drawn.labels, default=str)
    assert all(tick % 1 == 0 for tick in draw(drawn).axes[0].get_xticks())


def test_every_session_is_a_point_on_the_line_of_its_region():
    times = {"ses-1": 0.0, "ses-2": 0.3, "ses-3": 5.0}
    tables = {name: regions(session=name) for name in times}
    figure = draw(trajectories(tables, times, "whole-brain"))
    marks = [line for line in figure.axes[0].lines if line.get_marker() not in ("None", "")]
    assert marks
    assert all(list(line.get_xdata()) == list(times.values()) for line in marks)


def test_a_change_of_nothing_has_no_sign():
    assert [pages.number(value) for value in (-0.04, 0.0, -0.06)] == ["0.0", "0.0", "−0.1"]
