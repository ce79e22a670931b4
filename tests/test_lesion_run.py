"""Lesions of a simulated head that is seen twice, from masks on its T1w and FLAIR to tables."""

from dataclasses import replace
import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from qsmprep.bids.lesion_columns import COLUMNS, PROFILE_COLUMNS, SERIES_COLUMNS
from qsmprep.bids.status import read_status
from qsmprep.errors import InputError
from qsmprep.interfaces.lesion_series import MatchLesions, read_lesions, series_table
from qsmprep.interfaces.lesions import MeasureLesions, NumberLesions, readings_of, sides
from qsmprep.simulate.acquisition import SessionSpec
from qsmprep.simulate.dataset import ParticipantSpec, write_atlas, write_dataset
from qsmprep.simulate.lesions import CHANGE, Ball

QUICK = [
    *("--protocol", "fast", "--set", "normalisation.spacing=6", "--set", "segmentation.spacing=6"),
    *("--set", "inversion.method=tkd", "--set", "lesions.rim=2.0"),
    *("--atlas", "simulated", "--longitudinal"),
]
EDITED = "sub-01_space-baseline_label-lesion_dseg.nii.gz"
BALLS = (Ball(20.0, radius=9.0), Ball(30.0, radius=9.0, hemisphere="R", sessions=("02",)))


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    """
    Return a head with a lesion, and with a second one when it is seen again, moved.

    Lesions of the first session are drawn on the T1w, those of the second on the FLAIR.
    """
    root = tmp_path_factory.mktemp("lesions") / "bids"
    first = SessionSpec(
        label="01", voxel_size=(3.0, 3.0, 3.0), skull=False, echo_times=(0.008, 0.02)
    )
    again = replace(first, label="02", motion=(-2, 1, -3, -1, 2, 3), changes={CHANGE: 10.0})
    write_dataset(root, [ParticipantSpec("01", 1, (first, again), BALLS)], resolution=3.0)
    write_atlas(root / "derivatives/atlas-simulated", resolution=3.0)
    for path in (root / "derivatives/lesions").glob("sub-01/ses-02/anat/*_space-T1w_*"):
        path.rename(path.with_name(path.name.replace("space-T1w", "space-FLAIR")))
    (root / "sub-01/sub-01_sessions.tsv").write_text(
        "session_id\tyears_from_baseline\nses-01\t0\nses-02\t2\n", encoding="utf-8"
    )
    (root / "derivatives/lesions/sub-01/ses-02/anat/sub-01_ses-02_lesions.tsv").write_text(
        "lesion_id\trim\tenhancement\treader\n1\tno\tnodular\tA\n2\tyes\tnone\tA\n",
        encoding="utf-8",
    )
    draw_veins(root / "derivatives/lesions/sub-01/ses-02/anat/sub-01_ses-02_space-FLAIR")
    edit_regions(root)
    return root


def draw_veins(stem):
    """Draw a line through the middle of the lesion on the right."""
    image = nb.load(f"{stem}_label-lesion_mask.nii.gz")
    mask = image.get_fdata() > 0
    at = np.argwhere(mask)
    right = at[nb.affines.apply_affine(image.affine, at)[:, 0] > 0]
    veins = np.zeros(image.shape, dtype=np.uint8)
    x, y, _ = np.rint(right.mean(axis=0)).astype(int)
    veins[x, y] = mask[x, y]
    nb.Nifti1Image(veins, image.affine).to_filename(f"{stem}_label-vein_mask.nii.gz")


def edit_regions(root):
    """Take the uppermost slice off the lesion of the first session."""
    path = "derivatives/truth/sub-01/ses-01/anat/sub-01_ses-01_desc-lesions_dseg.nii.gz"
    image = nb.load(root / path)
    edited = (image.get_fdata() > 0).astype(np.int16)
    edited[:, :, np.argwhere(edited)[:, 2].max()] = 0
    folder = root / "derivatives/lesions/sub-01/anat"
    folder.mkdir()
    nb.Nifti1Image(edited, image.affine).to_filename(folder / EDITED)


@pytest.fixture(scope="module")
def run(bids, qsmprep):
    folder = bids / "derivatives/lesions"
    done = qsmprep(bids, bids.with_name("out"), *QUICK, "-d", f"lesions={folder}")
    assert done.status == 0, done.stderr
    return done


def table(run, session):
    return read_lesions(run.out / f"sub-01/ses-{session}/anat/sub-01_ses-{session}_lesions.tsv")


def volumes(bids, session):
    """Return the volumes of the lesions as they were drawn, mm³, the largest first."""
    truth = bids / f"derivatives/truth/sub-01/ses-{session}/anat/sub-01_ses-{session}_lesions.tsv"
    return sorted(pd.read_csv(truth, sep="\t")["volume_mm3"], reverse=True)


def test_every_lesion_has_a_row(bids, run):
    first, later = table(run, "01"), table(run, "02")
    assert list(first) == list(later) == list(COLUMNS)
    for rows, session in ((first, "01"), (later, "02")):
        # Exact: nothing is interpolated on the way to a volume.
        np.testing.assert_allclose(rows["volume_mm3"], volumes(bids, session), rtol=1e-6)
    assert set(later["hemisphere"]) == {"L", "R"}
    assert set(first["reference"]) == {"whole-brain"}


def test_lesions_lie_where_they_were_planted(bids, run):
    path = "sub-01/ses-02/anat/sub-01_ses-02"
    image = nb.load(run.out / f"{path}_label-lesion_dseg.nii.gz")
    truth = nb.load(bids / f"derivatives/truth/{path}_desc-lesions_dseg.nii.gz").get_fdata() > 0
    found = image.get_fdata() > 0
    # Two registrations (FLAIR to T1w, T1w to echoes) of voxels of 3 mm: a sixth of a voxel.
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice > 0.8
    assert set(np.unique(image.get_fdata())) == {0, 1, 2}


def test_readings_stand_beside_the_figures(run):
    later = table(run, "02").set_index("lesion_id")
    assert list(later["rim"]) == ["no", "yes"]
    assert table(run, "01")["rim"].isna().all()


def test_sidecars_ask_for_a_human_reading_and_name_what_was_drawn(run):
    path = run.out / "sub-01/ses-01/anat/sub-01_ses-01_lesions.json"
    sidecar = json.loads(path.read_text(encoding="utf-8"))
    assert "human reading" in sidecar["Lesions"]["Purpose"]
    assert sidecar["GeneratedBy"]["Parameters"]["lesions"]["rim"] == 2.0
    (image,) = sidecar["LesionImages"]
    assert image.startswith("bids:lesions:sub-01/ses-01/anat/")
    assert sidecar.keys() >= COLUMNS.keys()
    later = json.loads(Path(str(path).replace("ses-01", "ses-02")).read_text(encoding="utf-8"))
    assert "bids:raw:sub-01/ses-02/anat/sub-01_ses-02_FLAIR.nii.gz" in later["Sources"]


def test_profiles_have_a_row_per_depth(run):
    profile = pd.read_csv(
        run.out / "sub-01/ses-02/anat/sub-01_ses-02_desc-profile_lesions.tsv", sep="\t"
    )
    assert list(profile) == list(PROFILE_COLUMNS)
    assert set(profile["lesion_id"]) == {1, 2}
    np.testing.assert_allclose(profile["depth_to"] - profile["depth_from"], 1)


def test_lesions_are_followed(bids, run):
    series = read_lesions(run.out / "sub-01/anat/sub-01_lesions.tsv")
    assert list(series) == list(SERIES_COLUMNS)
    assert list(series["state"]) == ["baseline", "persistent", "absent", "new"]
    assert list(series["years"]) == [0, 2, 0, 2]
    assert series["volume_mm3"][2] == 0
    drawn = [*volumes(bids, "01"), *volumes(bids, "02")]
    np.testing.assert_allclose(sorted(series["volume_mm3"])[1:], sorted(drawn), rtol=1e-6)
    # The second session planted 10 ppb more. At 1 mm, 2 ppb are asked for; here are voxels of
    # 3 mm, TKD, and a field of two echoes, which takes 2 of what the true field would give.
    change = series["difference"][1] - series["difference"][0]
    assert change == pytest.approx(10, abs=4)
    # Voxels are the same in all sessions, for each lesion.
    for column in ("n_label", "n_vessel", "n_voxels", "vein_fraction", "coverage"):
        first, later = series[column][::2], series[column][1::2]
        np.testing.assert_array_equal(first, later, err_msg=column)
    old = series.loc[series["lesion_id"] == "1", "own_ids"]
    enhancing = series["enhancement"] == "nodular"
    assert old.notna().all()
    assert list(series["lesion_age"][enhancing]) == [0]


def test_veins_of_one_session_are_left_out_in_all(run):
    series = read_lesions(run.out / "sub-01/anat/sub-01_lesions.tsv").set_index("lesion_id")
    # A line of 18 mm in voxels of 3 mm, that the second session drew; the first is the same.
    assert list(series["session_id"]["2"]) == ["ses-01", "ses-02"]
    assert series["n_vessel"]["2"].min() >= 5
    assert set(series["n_vessel"]["1"]) == {0}


def test_edited_regions_stand_for_those_that_were_drawn(bids, run):
    edited = nb.load(bids / "derivatives/lesions/sub-01/anat" / EDITED).get_fdata()
    used = nb.load(run.out / "sub-01/anat" / EDITED).get_fdata()
    np.testing.assert_array_equal(used == 1, edited == 1)
    series = read_lesions(run.out / "sub-01/anat/sub-01_lesions.tsv").set_index("lesion_id")
    assert set(series["n_label"]["1"]) == {np.count_nonzero(edited)}
    assert not series["flag"]["1"].fillna("").str.contains("region not edited").any()
    assert series["flag"]["2"].str.contains("region not edited").all()
    sidecar = json.loads((run.out / "sub-01/anat/sub-01_lesions.json").read_text("utf-8"))
    assert sidecar["EditedRegions"] == f"bids:lesions:sub-01/anat/{EDITED}"


def test_pages_show_the_lesions(run):
    page = (run.out / "sub-01.html").read_text(encoding="utf-8")
    assert page.count("Squares around each lesion") + page.count("lesions in axial squares") == 2
    later = (run.out / "sub-01_longitudinal.html").read_text(encoding="utf-8")
    assert "T1w ses-01, FLAIR ses-02, magnitude, χ ses-01, χ ses-02." in later


def test_all_of_it_was_expected(run):
    rows = read_status(run.out)
    assert [row.status for row in rows] == ["done"] * 3


def write(path, array, affine=None):
    nb.Nifti1Image(array, np.eye(4) if affine is None else affine).to_filename(path)
    return str(path)


def test_the_side_of_a_voxel_is_that_of_the_nearest_label():
    dseg = np.zeros((9, 1, 1), dtype=int)
    dseg[1], dseg[7], dseg[4] = 12, 51, 16
    brain = np.ones_like(dseg, dtype=bool)
    brain[0] = False
    regions = [(12, "putamen", "L"), (51, "putamen", "R"), (16, "brain-stem", "M")]
    assert list(sides(dseg, regions, brain)[:, 0, 0][[0, 1, 3, 5, 8]]) == [0, 1, 1, 2, 2]
    assert sides(dseg, [(16, "brain-stem", "M")], brain) is None


def test_readers_who_differ_are_both_quoted():
    rows = [
        {"lesion_id": "1", "rim": "yes", "enhancement": "n/a", "reader": "A"},
        {"lesion_id": "1", "rim": "no", "enhancement": "n/a", "reader": "B"},
        {"lesion_id": "2", "rim": "no", "enhancement": "shell", "reader": "A"},
    ]
    assert readings_of(rows, 1) == {"rim": "yes|no", "enhancement": None, "reader": "A|B"}
    assert readings_of(rows, 2) == {"rim": "no", "enhancement": "shell", "reader": "A"}
    assert set(readings_of(rows, 3).values()) == {None}


def test_parts_of_a_mask_are_numbered_by_size_and_specks_are_told(tmp_path):
    mask = np.zeros((9, 9, 9), dtype=np.uint8)
    mask[0, 0, 0], mask[2:4, 2:4, 2:4], mask[6:9, 6:9, 6:9] = 1, 1, 1
    done = NumberLesions(image=write(tmp_path / "mask.nii", mask), numbered=False, minimum_mm3=3.0)
    found = done.run(cwd=str(tmp_path)).outputs
    assert found.volumes == {"1": 27.0, "2": 8.0}
    assert found.dropped == [1.0]
    more = NumberLesions(image=done.inputs.image, numbered=False, minimum_mm3=10.0)
    assert more.run(cwd=str(tmp_path)).outputs.dropped == [8.0, 1.0]


@pytest.fixture
def measured_inputs(tmp_path):
    """Return a ball of 20 ppb in white matter of -30, with one lesion unseen."""
    place = np.indices((30, 30, 30)) - 14.5
    away = np.sqrt((place**2).sum(axis=0))
    rng = np.random.default_rng(0)
    chi = np.where(away < 6, 0.02, -0.03) + 0.001 * rng.normal(size=away.shape)
    labels = np.where(away < 6, 7, 0)
    gadolinium = labels.astype(bool) & (place[0] > 0)
    brain = np.ones(away.shape)
    files = {
        "labels": labels.astype(np.int16), "chi": chi, "brain_mask": brain, "wm": brain,
        "trusted_mask": brain, "dseg": brain, "enhancing": gadolinium.astype(np.uint8),
    }  # fmt: skip
    return {name: write(tmp_path / f"{name}.nii", array) for name, array in files.items()} | {
        "volumes": {"7": 900.0, "9": 2.0},
        "references": {"csf": {"mean_ppm": 0.005}},
        "referenced": {"Reference": {"name": "csf"}},
        "regions": [(1, "cerebral-white-matter", "L")],
        "rules": {},
        "vessels": {},
        "ids": {"participant_id": "sub-01", "session_id": "ses-01"},
    }


@pytest.fixture
def measured(measured_inputs, tmp_path):
    """Return what is measured there, by number, and by which rules."""
    done = MeasureLesions(**measured_inputs).run(cwd=str(tmp_path))
    return read_lesions(done.outputs.table).set_index("lesion_id"), done.outputs.facts


def test_figures_are_in_ppb_against_the_reference(measured):
    row = measured[0].loc["7"]
    # Means of 900 voxels of 1 ppb of noise: a standard error of 0.03.
    assert row["chi_mean"] == pytest.approx(20 - 5, abs=0.2)
    assert row["nawm_mean"] == pytest.approx(-30 - 5, abs=0.2)
    assert row["difference"] == pytest.approx(50, abs=0.3)
    assert row["volume_mm3"] == 900, "as drawn, not as carried"
    assert row["gd_fraction"] == 0.5
    assert row["hemisphere"] == "L"
    assert row["appearance"] == "solid"


def test_a_lesion_that_the_echoes_do_not_see_keeps_its_row(measured):
    row = measured[0].loc["9"]
    assert row["volume_mm3"] == 2
    assert row["flag"] == "no voxel on the grid of the echoes"
    assert np.isnan(row["chi_mean"])


def test_thresholds_of_the_protocol_are_used(measured, measured_inputs, tmp_path):
    default = measured[0].loc["7"]
    rules = {"rim": 2.0, "white_outer": 4.0, "white_probability": 0.5, "rim_completeness": 0.0}
    done = MeasureLesions(**measured_inputs | {"rules": rules}).run(cwd=str(tmp_path))
    row = read_lesions(done.outputs.table).set_index("lesion_id").loc["7"]
    assert row["n_rim"] > default["n_rim"]
    assert row["nawm_n_voxels"] < default["nawm_n_voxels"]
    assert row["chi_mean"] == default["chi_mean"]
    strict = measured_inputs | {"rules": {"white_probability": 0.9}}
    half = np.full((30, 30, 30), 0.6)
    strict["wm"] = write(tmp_path / "half.nii", half)
    done = MeasureLesions(**strict).run(cwd=str(tmp_path))
    assert set(read_lesions(done.outputs.table)["nawm_n_voxels"].dropna()) == {0}
    assert "human reading" in measured[1]["Lesions"]["Purpose"]


def test_of_a_merged_part_each_lesion_has_its_share(tmp_path):
    first, later = np.zeros((2, 12, 4, 4), dtype=np.int16)
    first[0:4], first[8:12], later[0:12] = 1, 2, 1
    paths = [write(tmp_path / f"{n}.nii", image) for n, image in enumerate((first, later))]
    found = (
        MatchLesions(images=paths, numbered=False, minimum_overlap=0.1)
        .run(cwd=str(tmp_path))
        .outputs
    )
    assert found.volumes == {"1": 64.0, "2": 64.0}
    assert [state["state"] for state in found.states] == ["baseline", "merged"] * 2
    fixed, own = (
        [
            pd.DataFrame({
                "session_id": f"ses-{n}", "lesion_id": ids, "volume_mm3": mm3,
                "gd_fraction": [float(n)] * len(ids), "rim": None, "enhancement": None,
                "reader": None,
            })
            for n, (ids, mm3) in enumerate(sessions)
        ]
        for sessions in (
            [(["1", "2"], [64.0, 64.0])] * 2,
            [(["1", "2"], [70.0, 60.0]), (["1"], [192.0])],
        )
    )  # fmt: skip
    table = series_table(fixed, own, found.states, [0.0, 1.5])
    assert list(table["volume_mm3"]) == [70, 96, 60, 96], "half of 192 each"
    assert list(table["merged_with"]) == [None, "2", None, "1"]
    assert list(table["lesion_age"].fillna(-1)) == [-1, 0, -1, 0], "it enhanced later"


def test_an_edited_region_of_no_lesion_or_on_another_grid_is_named(tmp_path):
    image, edited = np.zeros((2, 8, 4, 4), dtype=np.int16)
    image[0:2], edited[0:1], edited[5:6] = 1, 1, 3
    match = MatchLesions(
        images=[write(tmp_path / "lesions.nii", image)], numbered=False, minimum_overlap=0.1
    )
    match.inputs.edited = write(tmp_path / "edited.nii", edited)
    with pytest.raises(InputError, match=r"edited.nii: has a lesion 3, and .* are 1; number it"):
        match.run(cwd=str(tmp_path))
    match.inputs.edited = write(tmp_path / "moved.nii", image, np.diag([1, 1, 2, 1]))
    with pytest.raises(InputError, match=r"moved.nii: is not on the grid of the first session"):
        match.run(cwd=str(tmp_path))


def test_numbers_that_a_reader_gave_are_kept_through_time(tmp_path):
    first, later = np.zeros((2, 8, 4, 4), dtype=np.int16)
    first[0:2], later[4:6] = 5, 5  # a lesion that moved away is still number 5
    paths = [write(tmp_path / f"{n}.nii", image) for n, image in enumerate((first, later))]
    found = (
        MatchLesions(images=paths, numbered=True, minimum_overlap=0.1)
        .run(cwd=str(tmp_path))
        .outputs
    )
    assert {state["lesion"] for state in found.states} == {5}
    assert [state["state"] for state in found.states] == ["baseline", "persistent"]
    anywhere = nb.load(found.elsewhere).get_fdata()
    assert anywhere.sum() == 2 * 2 * 16, "no lesion of any session is normal white matter"


def test_somebody_without_lesions_has_empty_tables(tmp_path, measured_inputs):
    nothing = write(tmp_path / "nothing.nii", np.zeros((30, 30, 30), dtype=np.int16))
    numbered = (
        NumberLesions(image=nothing, numbered=False, minimum_mm3=3.0)
        .run(cwd=str(tmp_path))
        .outputs
    )
    assert numbered.volumes == {}
    inputs = measured_inputs | {"labels": numbered.labels, "volumes": {}}
    table = read_lesions(MeasureLesions(**inputs).run(cwd=str(tmp_path)).outputs.table)
    assert list(table) == list(COLUMNS)
    assert table.empty
    found = (
        MatchLesions(images=[nothing, nothing], numbered=False, minimum_overlap=0.1)
        .run(cwd=str(tmp_path))
        .outputs
    )
    series = series_table([table, table], [table, table], found.states, [0.0, None])
    assert list(series) == list(SERIES_COLUMNS)
    assert series.empty
