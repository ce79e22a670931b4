"""What a table says about regions."""

from dataclasses import asdict
import math

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from qsmprep.geometry import Geometry
from qsmprep.interfaces.regions import COLUMNS, LEGACY, RegionTable
from qsmprep.methods.regions import (
    WHOLE_BRAIN,
    Head,
    Region,
    Rules,
    regional_statistics,
    select_voxels,
)

REGIONS = [
    Region(36, "caudate", "R"),
    Region(37, "caudate", "L"),
    Region(35, "brainstem", "M"),
    Region(116, "entorhinal", "R"),
]
VOXEL = 2.5  # mm³
GEOMETRY = Geometry((1.0, 1.25, 2.0))
NO_RULES = Rules(partial_volume="none", vessels=False)


@pytest.fixture
def head():
    """Return a map, labels, brain and trusted mask; labels reach beyond both masks."""
    rng = np.random.default_rng(0)
    chi = rng.normal(0.01, 0.05, (12, 10, 8)).astype(np.float32)
    labels = np.zeros(chi.shape, dtype=np.int32)
    labels[1:5, 2:6, 2:6] = 36
    labels[7:10, 2:6, 2:6] = 37
    labels[5:7, 7:9, 2:6] = 35
    brain = np.zeros(chi.shape, dtype=bool)
    brain[1:11, 1:9, 1:7] = True
    trusted = brain.copy()
    trusted[:, :, 5:] = False
    return chi, labels, brain, trusted


def rows_of(head, **options):
    chi, labels, brain, trusted = head
    measured = brain & trusted & np.isfinite(chi)
    samples = select_voxels(Head(labels, brain, measured, GEOMETRY, chi), REGIONS, NO_RULES)
    rows = regional_statistics(chi, samples, voxel_volume=VOXEL, **options)
    return {(row.name, row.hemisphere): row for row in rows}


def test_rows_come_in_the_order_of_the_atlas_and_end_with_the_brain(head):
    assert list(rows_of(head)) == [
        ("caudate", "R"),
        ("caudate", "L"),
        ("caudate", "B"),
        ("brainstem", "M"),
        ("entorhinal", "R"),
        (WHOLE_BRAIN, "B"),
    ]


def test_both_sides_pool_their_voxels_not_their_means(head):
    chi, labels, _, trusted = head
    row = rows_of(head)["caudate", "B"]
    values = chi[np.isin(labels, (36, 37)) & trusted].astype(np.float64)
    assert row.n_voxels == values.size
    assert row.mean == pytest.approx(values.mean(), rel=1e-12)
    assert row.median == pytest.approx(np.median(values), rel=1e-12)
    assert row.std == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert row.p05 == pytest.approx(np.percentile(values, 5), rel=1e-12)
    assert row.sem == pytest.approx(row.std / math.sqrt(row.n_voxels), rel=1e-12)
    assert row.volume_mm3 == VOXEL * np.isin(labels, (36, 37)).sum()
    assert row.index is None


def test_coverage_counts_before_any_mask(head):
    rows = rows_of(head)
    assert rows["caudate", "R"].coverage == 3 / 4  # the last of four slices is not trusted
    assert rows["caudate", "R"].n_voxels == 4 * 4 * 3
    assert rows[WHOLE_BRAIN, "B"].coverage == 4 / 6


def test_a_region_without_voxels_is_a_row(head):
    row = rows_of(head)["entorhinal", "R"]
    assert (row.n_voxels, row.volume_mm3, row.flag) == (0, 0.0, "no voxels")
    assert all(math.isnan(value) for value in (row.coverage, row.mean, row.std, row.sem))


def test_flags_name_what_is_lost(head):
    chi, labels, brain, trusted = head
    trusted[:, :, 3:] = False
    rows = rows_of(head, expected_mm3={36: 160.0, 37: 300.0, 35: 40.0, 116: 500.0})
    # 16 voxels are in one of four slices, 48 in a body of three voxels across; 120 of 300 mm³.
    assert rows["caudate", "R"].flag == "low coverage; few voxels; thin"
    assert rows["caudate", "L"].flag.startswith("cut by the field of view; low coverage; ")
    assert rows_of((chi, labels, brain, brain))["caudate", "R"].flag == "thin"
    assert rows["entorhinal", "R"].flag == "outside the field of view"
    trusted[:] = False
    assert rows_of((chi, labels, brain, trusted))["caudate", "R"].flag == "not measured"


def test_values_that_are_not_finite_are_not_measured(head):
    chi, *_ = head
    chi[1, 2, 2] = np.nan
    row = rows_of(head)["caudate", "R"]
    assert row.n_voxels == 4 * 4 * 3 - 1
    assert math.isfinite(row.mean)


def test_a_reference_shifts_the_centre_and_nothing_else(head):
    row = rows_of(head)["caudate", "R"]
    shifted = row.shifted(0.0123)
    moved = {"mean", "median", "p05", "p95"}
    assert {n for n in vars(row) if getattr(row, n) != getattr(shifted, n)} == moved
    assert all(getattr(shifted, n) == getattr(row, n) + 0.0123 for n in moved)
    # The same numbers come out of the map shifted itself; it is in single precision.
    chi, *rest = head
    direct = rows_of((chi.astype(np.float64) + 0.0123, *rest))["caudate", "R"]
    assert direct.mean == pytest.approx(shifted.mean, abs=1e-12)
    assert direct.mad == pytest.approx(row.mad, abs=1e-12)


def write_table(head, tmp_path, **rules):
    """Return the table of a head on an oblique grid, with R2*."""
    chi, labels, brain, trusted = head
    turn = nb.eulerangles.euler2mat(0.1, 0.2, 0.3)
    affine = nb.affines.from_matvec(turn @ np.diag([1.0, 1.25, 2.0]), [5, -7, 9])
    files = {
        "chi": chi,
        "r2star": 20 + 100 * chi,
        "noise": np.full(chi.shape, 0.001, np.float32),
        "gm": np.full(chi.shape, 0.9, np.float32),
        "dseg": labels.astype(np.int16),
        "brain_mask": brain.astype(np.uint8),
        "trusted_mask": trusted.astype(np.uint8),
    }
    for name, array in files.items():
        nb.Nifti1Image(array, affine).to_filename(tmp_path / f"{name}.nii.gz")
    write = RegionTable(
        **{name: str(tmp_path / f"{name}.nii.gz") for name in files},
        references={"whole-brain": {"mean_ppm": 0.01}, "csf": {"mean_ppm": float("nan")}},
        atlas="OASIS",
        rules=asdict(Rules(**rules)),
        regions=[(r.index, r.name, r.hemisphere) for r in REGIONS],
        labels={"participant_id": "sub-01", "session_id": "n/a", "acquisition": "n/a", "run": "2"},
    )
    return write.run(cwd=str(tmp_path)).outputs.table


@pytest.fixture
def table(head, tmp_path):
    return write_table(head, tmp_path)


def test_the_table_is_tidy_and_says_n_a(table):
    with open(table, "rb") as file:
        text = file.read()
    assert b"\r" not in text
    rows = pd.read_csv(table, sep="\t", keep_default_na=False, dtype=str)
    assert list(rows) == [column for column in COLUMNS if column != LEGACY]
    assert len(rows) == 6 * 4  # whole brain, csf, none; R2*
    assert set(rows["participant_id"]) == {"sub-01"}
    assert set(rows["session_id"]) == {"n/a"}
    assert set(rows["run"]) == {"2"}
    assert set(rows.loc[rows["map"] == "R2starmap", "units"]) == {"1/s"}
    assert set(rows.loc[rows["map"] == "R2starmap", "reference"]) == {"n/a"}
    assert set(rows.loc[rows["map"] == "Chimap", "units"]) == {"ppb"}
    assert rows["index"].tolist()[:6] == ["36", "37", "n/a", "35", "116", "n/a"]
    assert set(rows.loc[rows["name"] == "entorhinal", "mean"]) == {"n/a"}


def test_every_reference_stands_side_by_side(table, head):
    rows = pd.read_csv(table, sep="\t").set_index(["map", "reference", "name", "hemisphere"])
    by_reference = rows["mean"].loc["Chimap"]
    # 0.01 ppm are 10 ppb; the file carries eight digits.
    np.testing.assert_allclose(
        by_reference["none"] - by_reference["whole-brain"], [10, 10, 10, 10, np.nan, 10], rtol=1e-5
    )
    assert by_reference["csf"].isna().all()  # a reference that could not be taken leaves no number
    assert rows["std"].loc["Chimap"]["csf"].notna().sum() == 5
    chi, _, _, trusted = head
    assert by_reference["none"][WHOLE_BRAIN, "B"] == pytest.approx(
        1e3 * chi[trusted].astype(float).mean(), rel=1e-6
    )


def test_volumes_are_those_of_the_oblique_grid(table):
    rows = pd.read_csv(table, sep="\t")
    assert rows.loc[rows["name"] == "brainstem", "volume_mm3"].tolist() == pytest.approx(
        4 * [16 * 2.5], rel=1e-6
    )


def test_an_old_series_gets_its_column_and_no_other_number_changes(head, tmp_path, table):
    plain = pd.read_csv(table, sep="\t")
    (tmp_path / "old").mkdir()
    old = pd.read_csv(write_table(head, tmp_path / "old", legacy=True), sep="\t")
    pd.testing.assert_frame_equal(old.drop(columns=LEGACY), plain)
    assert list(old)[-1] == LEGACY
    chi, labels, _, trusted = head
    values = 1e3 * chi[(labels == 36) & trusted].astype(float) - 10  # ppb against whole brain
    values = values[(values > 0) & (values < np.percentile(values, 97))]
    row = old[(old["reference"] == "whole-brain") & (old["index"] == 36)]
    assert row[LEGACY].item() == pytest.approx(values.mean(), rel=1e-5)  # eight digits, single
