"""Sessions of one participant, all the way: maps, tables, page, group level and what jobs need."""

from dataclasses import replace
import json

from bids_skeleton import write_gre, write_image
from cohorts import label, status, write_acquisition
import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from report_folder import Page, assert_loads_nothing, regions
from runs import load
from scipy.spatial.transform import Rotation

from qsmprep import cli
from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.longitudinal import (
    expected_of_longitudinal,
    find_longitudinal,
    judge_longitudinal,
)
from qsmprep.bids.status import StatusRow, read_status, update_status
from qsmprep.group.outputs import find_outputs
from qsmprep.interfaces.change import change_table
from qsmprep.interfaces.longitudinal import to_matrix, write_matrix
from qsmprep.interfaces.registration import LPS, CarryMap, seeded_ants
from qsmprep.methods.rigid import distance
from qsmprep.protocol import Protocol
from qsmprep.reports.longitudinal import write_longitudinal_page
from qsmprep.reports.participant import write_participant_page
from qsmprep.simulate.acquisition import SessionSpec
from qsmprep.simulate.dataset import ParticipantSpec, write_dataset
from qsmprep.workflows import cost
from qsmprep.workflows.base import build
from qsmprep.workflows.steps import (
    steps_of_anatomy,
    steps_of_maps,
    steps_of_regions,
    steps_through_time,
)
from qsmprep.workflows.study import Study

DEEP = ("caudate", "putamen", "pallidum", "thalamus")
SPACE = "space-participant"

MOVE = np.eye(4)
"""How the head lies in the second T1w, seen from the first, mm."""
MOVE[:3, :3] = Rotation.from_euler("xyz", (4, -3, 5), degrees=True).as_matrix()
MOVE[:3, 3] = (4, -6, 3)


# a whole run


@pytest.fixture(scope="module")
def sessions(atlas, template_folder, qsmprep, tmp_path_factory):
    """Return a run on one head, seen again: it lies differently, and its putamen has more iron."""
    root = tmp_path_factory.mktemp("sessions")
    first = SessionSpec(
        label="1", voxel_size=(2.5, 2.5, 2.5), skull=False, tilt=(4.0, -3.0, 2.0),
        motion=(3.0, -2.0, 4.0, 2.5, -3.0, 1.5),
    )  # fmt: skip
    again = replace(
        first, label="2", tilt=(2.0, 3.0, -2.0), motion=(-2.0, 1.0, -3.0, -1.0, 2.0, 3.0),
        changes={"putamen": 10.0},
    )  # fmt: skip
    bids = root / "bids"
    write_dataset(bids, [ParticipantSpec("01", 1, (first, again))], resolution=2.5)
    _turn(bids / "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz")
    (bids / "sub-01/sub-01_sessions.tsv").write_text(
        "session_id\tacq_time\nses-1\t2020-01-01T10:00:00\nses-2\t2022-01-01T10:00:00\n"
    )
    # A third one without phase, which must not keep the others from being compared.
    write_gre(bids, "sub-01_ses-3", parts=("mag",))
    settings = ["normalisation.spacing=4", "segmentation.spacing=4",
                f"normalisation.template={template_folder}"]  # fmt: skip
    return qsmprep(
        bids, root / "out", "--longitudinal", "--protocol", "fast", "--atlas", atlas,
        *(word for setting in settings for word in ("--set", setting)),
    )  # fmt: skip


def _turn(path):
    """Lay the head of an image differently, without interpolation."""
    image = nb.load(path)
    nb.Nifti1Image(np.asanyarray(image.dataobj), MOVE @ image.affine).to_filename(path)


def table(run, name):
    return pd.read_csv(run.out / name, sep="\t", na_values="n/a", keep_default_na=False)


def chi_of(rows):
    rows = rows[(rows["map"] == "Chimap") & (rows["reference"] == "whole-brain")]
    return rows[rows["hemisphere"] == "B"].set_index("name")


def test_what_was_planted_is_found_and_nothing_else(sessions):
    assert sessions.status == 1, sessions.stderr[-3000:]
    rows = table(sessions, f"sub-01/anat/sub-01_{SPACE}_seg-simulated_change.tsv")
    change = chi_of(rows)["change"]
    # Truth: 8.8 ppb in the nucleus as voxels of 2.5 mm see it. A map of this protocol has about
    # two thirds of the contrast of a nucleus (docs/accuracy.md).
    assert 4.5 < change["putamen"] < 11
    others = change.loc[[name for name in DEEP if name != "putamen"]]
    assert others.abs().max() < 2
    alone = [
        chi_of(table(sessions, f"sub-01/ses-{n}/anat/sub-01_ses-{n}_seg-simulated_regions.tsv"))
        for n in (1, 2)
    ]
    same = [name for name in (*DEEP, "accumbens", "amygdala", "hippocampus") if name != "putamen"]
    spread = ((alone[1]["mean"] - alone[0]["mean"])[same] ** 2).mean()
    assert (change[same] ** 2).mean() < spread, "that of each session on its own"
    assert rows["years"].unique() == pytest.approx([2.0], abs=0.01)
    per_year = chi_of(rows)["change_per_year"]
    assert per_year["putamen"] == pytest.approx(change["putamen"] / 2, rel=0.01)


def test_both_sessions_are_measured_in_the_same_voxels(sessions):
    first, second = (
        table(sessions, f"sub-01/ses-{n}/anat/sub-01_ses-{n}_{SPACE}_seg-simulated_regions.tsv")
        for n in (1, 2)
    )
    taken = ["n_label", "n_outside_mask", "n_untrusted", "n_eroded", "n_partial_volume",
             "n_vessel", "n_voxels", "volume_mm3"]  # fmt: skip
    pd.testing.assert_frame_equal(first[taken], second[taken])
    masks = [
        load(sessions.out, f"sub-01/ses-{n}/anat/sub-01_ses-{n}_{SPACE}_desc-trusted_mask.nii.gz")
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(*masks)


def test_the_sessions_lie_in_one_place(sessions):
    ants, flip = seeded_ants(0), np.diag([*np.diag(LPS), 1.0])
    first, second = (
        to_matrix(
            ants.read_transform(
                str(
                    sessions.out / f"sub-01/ses-{n}/anat"
                    f"/sub-01_ses-{n}_from-T1w_to-participant_mode-image_xfm.txt"
                )
            )
        )
        for n in (1, 2)
    )
    # A fifth of a voxel of 2.5 mm, over a whole head.
    assert distance(flip @ MOVE @ flip @ first, second) < 0.5
    from_middle = [distance(matrix, np.eye(4)) for matrix in (first, second)]
    assert from_middle[0] == pytest.approx(from_middle[1], rel=0.1), "half-way between them"


def test_the_run_says_whom_it_brings_together_and_what_became_of_it(sessions):
    assert "sub-01_longitudinal: ses-1, ses-2 of sub-01" in sessions.stderr
    rows = [row for row in read_status(sessions.out) if row.status != "done"]
    assert [(row.session_id, row.suffix, row.status) for row in rows] == [
        ("n/a", "longitudinal", "partial"), ("ses-3", "MEGRE", "skipped"),
    ]  # fmt: skip
    assert rows[0].reason.startswith("sub-01_ses-3_MEGRE is left out: ")
    told = json.loads(
        (sessions.out / f"sub-01/anat/sub-01_{SPACE}_seg-simulated_change.json").read_text()
    )
    assert told["Sessions"] == ["ses-1", "ses-2"]
    assert told["LeftOut"] == [rows[0].reason]
    assert (sessions.out / "sub-01_longitudinal.html").is_file()


# who is brought together


@pytest.fixture
def twice(tmp_path):
    """Return a dataset of one participant with two sessions."""
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    for session in ("a", "b"):
        folder = write_gre(root, f"sub-01_ses-{session}")
        write_image(folder / f"sub-01_ses-{session}_T1w.nii.gz")
    return root


def through(root):
    plan = read_plan(root)
    (found,) = find_longitudinal(plan.acquisitions, root)
    return plan, found


def test_one_session_is_nothing_to_bring_together_and_that_is_said(
    dataset, atlas, tmp_path, capsys
):
    call = [str(dataset), str(tmp_path / "out"), "participant", "--dry-run", "--longitudinal"]
    assert cli.main([*call, "--atlas", str(atlas)]) == 0
    assert "--longitudinal: nothing was acquired" in capsys.readouterr().out


def test_a_session_that_fails_is_named(twice, tmp_path):
    plan, found = through(twice)
    names = {"atlas": "x", "template": "y"}
    second = plan.acquisitions[1]
    row = judge_longitudinal(
        found, tmp_path, **names, crashes={second.name_safe: ["echo 2 is broken"]}
    )
    assert (row.participant_id, row.suffix, row.status) == ("sub-01", "longitudinal", "failed")
    assert row.reason == "sub-01_ses-b_MEGRE: echo 2 is broken"
    for path in expected_of_longitudinal(found, **names):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert judge_longitudinal(found, tmp_path, **names, crashes={}).status == "done"
    own = {found.name_safe: ["template: average: cannot be aligned"]}
    row = judge_longitudinal(found, tmp_path, **names, crashes=own)
    assert (row.status, row.reason) == ("partial", own[found.name_safe][0])


def test_swapped_sessions_change_the_sign_alone():
    first, later = regions(), regions(session="ses-2", shift=7.5)
    there, back = (change_table(pair, pair, [0, 2]) for pair in ([first, later], [later, first]))
    pd.testing.assert_series_equal(there["change"], -back["change"])
    pd.testing.assert_series_equal(there["change_per_year"], -back["change_per_year"])
    pd.testing.assert_series_equal(there["sem"], back["sem"])


def test_smaller_voxels_do_not_make_a_mean_more_certain(tmp_path):
    paths = {}
    for name, values, edge in (("noise", 0.5, 3.0), ("mask", 1.0, 3.0), ("fine", 0.0, 1.5)):
        paths[name] = str(tmp_path / f"{name}.nii.gz")
        count = int(36 / edge)
        image = np.full((count,) * 3, values, dtype="f4")
        nb.Nifti1Image(image, np.diag([edge, edge, edge, 1.0])).to_filename(paths[name])
    unmoved = write_matrix(seeded_ants(0), np.eye(4), tmp_path / "unmoved.txt")
    result = CarryMap(
        image=paths["noise"], mask=paths["mask"], reference=paths["fine"], transforms=[unmoved],
        noise=True,
    ).run(cwd=str(tmp_path))  # fmt: skip
    noise = nb.load(result.outputs.resampled).get_fdata()
    # Eight voxels that share the noise of one: their mean is as uncertain as it was.
    assert noise[12, 12, 12] / np.sqrt(8) == pytest.approx(0.5, rel=1e-5)


# what a job needs


def test_a_job_is_asked_for_what_the_common_space_takes(twice, atlas):
    protocol, heads = Protocol.read("fast"), read_atlas(atlas)
    plan, found = through(twice)
    study = Study(twice, twice, protocol, heads, longitudinal=(found,))
    graph = build(study, plan.acquisitions, twice / "work")
    made = sorted(
        cost.kind_of(node)
        for node in cost.nodes_of(graph)
        if cost.kind_of(node).split(".")[0] not in cost.LIGHT
    )
    told = [kind for kind, _ in steps_through_time(found, protocol, 1)]
    told.remove("ParticipantTemplate")  # one step for all sessions, as long as one for each
    for _ in plan.acquisitions:
        told += [k for k, _ in (*steps_of_maps(protocol, 3), *steps_of_regions(protocol),
                                *steps_of_anatomy(protocol, 1))]  # fmt: skip
    assert made == sorted(told)
    assert all(cost.cost_of(kind) is not cost.UNKNOWN for kind in made)
    given = {"heads": 1, "nprocs": 2}
    plain = cost.job_cost(plan.acquisitions, protocol, **given)
    assert cost.job_cost(plan.acquisitions, protocol, **given, through=[found]) >= plain


# the page


@pytest.fixture
def seen(tmp_path):
    """Return the outputs of two sessions, a bright cube brighter in the second."""
    tables = []
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    mask = np.zeros((20, 24, 18), "f4")
    mask[3:-3, 3:-3, 3:-3] = 1
    for number, session in enumerate(("ses-1", "ses-2")):
        folder = tmp_path / "sub-01" / session / "anat"
        folder.mkdir(parents=True)
        start = f"sub-01_{session}_{SPACE}"
        tables.append(regions(session=session, shift=10.0 * number))
        path = folder / f"{start}_seg-OASIS_regions.tsv"
        tables[-1].to_csv(path, sep="\t", index=False, na_rep="n/a")
        (folder / f"{start}_Chimap.json").write_text(json.dumps({"Reference": {"name": "csf"}}))
        chi = 0.02 * mask
        chi[8:12, 8:12, 8:12] += 0.05 + 0.03 * number
        for name, values in (("Chimap", chi), ("T1w", mask), ("desc-trusted_mask", mask)):
            nb.Nifti1Image(values, affine).to_filename(folder / f"{start}_{name}.nii.gz")
    change = change_table(tables, tables, [0.0, 2.0])
    path = tmp_path / f"sub-01/anat/sub-01_{SPACE}_seg-OASIS_change.tsv"
    path.parent.mkdir(parents=True)
    change.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return tmp_path


def rows_through_time(what="done", reason="n/a"):
    row = {"participant_id": "sub-01", "session_id": "n/a", "acquisition": "n/a", "run": "n/a"}
    return [row | {"suffix": "longitudinal", "status": what, "reason": reason}]


def test_the_page_shows_change_its_error_and_both_sessions(seen):
    page = write_longitudinal_page(seen, "01", status=rows_through_time()).read_text()
    assert_loads_nothing(page)
    read = Page(page)
    shown = read.table("Change of the main regions, ses-1 to ses-2")
    (row,) = [row for row in shown if row[:2] == ["pallidum", "B"]]
    # Against the csf; the error of both means, 0.5 each, in squares.
    assert row[2:7] == ["94.5", "104.5", "10.0 ± 0.7", "10.0", "5.0"]
    assert "ses-2 (2.00 years)" in page
    assert page.count("<img") == 6, "over time, χ and T1w of two sessions, and the difference"
    assert 'alt=""' not in page
    assert "Note" not in page
    sidecar = seen / f"sub-01/anat/sub-01_{SPACE}_seg-OASIS_change.json"
    sidecar.write_text(json.dumps({"Notes": ["field strengths differ: 3 T in ses-1 …"]}))
    page = write_longitudinal_page(seen, "01", status=rows_through_time()).read_text()
    assert "field strengths differ: 3 T in ses-1" in page
    assert "The same slices of the T1w image, ses-2." in page


def test_the_page_of_the_participant_leads_to_it_and_has_no_acquisition_more(seen):
    write_longitudinal_page(seen, "01", status=rows_through_time())
    page = write_participant_page(seen, "01", status=rows_through_time(), command="x").read_text()
    assert 'href="sub-01_longitudinal.html"' in page
    assert "There are no results of this acquisition" not in page


def test_what_went_wrong_through_time_is_on_both_pages(seen):
    rows = rows_through_time("partial", "sub-01_ses-2_T1w: is broken")
    (seen / f"sub-01/ses-2/anat/sub-01_ses-2_{SPACE}_T1w.nii.gz").unlink()
    page = write_longitudinal_page(seen, "01", status=rows).read_text()
    assert "sub-01_ses-2_T1w: is broken" in page
    assert "Maps are not shown" in page
    (seen / f"sub-01/ses-2/anat/sub-01_ses-2_{SPACE}_seg-OASIS_regions.tsv").unlink()
    page = write_longitudinal_page(seen, "01", status=rows).read_text()
    assert "Not drawn" in page
    page = write_participant_page(seen, "01", status=rows, command="x").read_text()
    assert "sub-01_ses-2_T1w: is broken" in page


def test_who_has_no_change_has_no_page(tmp_path):
    former = tmp_path / "sub-01_longitudinal.html"
    former.write_text("of what was removed")
    assert write_longitudinal_page(tmp_path, "01", status=[]) is None
    assert not former.exists()


# the group level


@pytest.fixture
def cohort(tmp_path):
    """Return an output folder of three participants, two of them seen through time."""
    out = tmp_path / "out"
    rows = []
    for number in (1, 2, 3):
        tables = []
        for session in ("1", "2"):
            start = write_acquisition(out, number, session=session)
            ordinary = start.with_name(f"{start.name}_seg-OASIS_regions.tsv")
            rows.append(status(number, session=f"ses-{session}"))
            if number == 3:
                continue
            for name in ("Chimap.nii.gz", "Chimap.json"):
                source = start.with_name(f"{start.name}_{name}")
                copy = start.with_name(f"{start.name}_{SPACE}_{name}")
                copy.write_bytes(source.read_bytes())
            own = pd.read_csv(ordinary, sep="\t", keep_default_na=False, dtype=str)
            own["mean"] = own["mean"].astype(float) + 1000 + int(session)
            own.to_csv(
                start.with_name(f"{start.name}_{SPACE}_seg-OASIS_regions.tsv"),
                sep="\t", index=False,
            )  # fmt: skip
            tables.append(own.assign(sem=0.5, n_voxels=own["n_voxels"].astype(int)))
        if tables:
            path = out / label(number) / f"anat/{label(number)}_{SPACE}_seg-OASIS_change.tsv"
            path.parent.mkdir(exist_ok=True)
            change_table(tables, tables, [0.0, None]).to_csv(
                path, sep="\t", index=False, na_rep="n/a"
            )
    who = StatusRow(label(2), "n/a", "n/a", "n/a", "longitudinal", "partial", "ses-2 is broken")
    update_status(out, [*rows, who])
    return out


def group(out, *arguments):
    status = cli.main(["bids", str(out), "group", *arguments])
    return status, pd.read_csv(out / "group/regions.tsv", sep="\t", keep_default_na=False)


def test_the_two_kinds_of_tables_never_mix(cohort, capsys):
    _, ordinary = group(cohort)
    assert ordinary["mean"].max() < 1000
    assert ordinary["participant_id"].nunique() == 3
    _, through = group(cohort, "--space", "participant")
    assert through["mean"].min() > 900
    assert set(through["participant_id"]) == {label(1), label(2)}
    told = capsys.readouterr().err
    assert "--space participant" in told
    assert f"no table of regions of {label(3)}_ses-1" in told


def test_maps_in_a_space_of_ones_own_are_not_on_the_template(cohort):
    for outputs in find_outputs(cohort).values():
        assert "space_Chimap.nii.gz" not in outputs.files


def test_changes_are_joined_and_told(cohort):
    group(cohort)
    joined = pd.read_csv(cohort / "group/change.tsv", sep="\t", keep_default_na=False)
    assert set(joined["participant_id"]) == {label(1), label(2)}
    assert set(joined["change"]) == {1.0}
    assert set(joined["output_folder"]) == {"out"}
    described = json.loads((cohort / "group/change.json").read_text())
    assert set(joined) <= set(described)
    group(cohort, "--participant-label", "01")
    joined = pd.read_csv(cohort / "group/change.tsv", sep="\t", keep_default_na=False)
    assert set(joined["participant_id"]) == {label(1)}


def test_the_row_of_a_participant_through_time_is_no_acquisition(cohort, capsys):
    code, _ = group(cohort)
    assert code == 1
    assert "sub-02_longitudinal: partial: ses-2 is broken" in capsys.readouterr().err
    page = (cohort / "group/index.html").read_text()
    assert "Sessions of sub-02 are not all brought together: ses-2 is broken." in page
