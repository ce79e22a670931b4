"""Regions out of order, and images that do not lie on one another, are seen."""

import numpy as np
from phantoms import ball, smooth_noise
import pytest

from qsmprep.bids.windows import read_windows
from qsmprep.geometry import Geometry
from qsmprep.methods.quality_alignment import dice, offset_mm, similarity
from qsmprep.methods.quality_regions import DEEP, measure_regions
from qsmprep.methods.verdicts import judge, judge_all

SHAPE = (48, 48, 48)
GRID = Geometry((1.0, 1.0, 1.0))
BALL = ball(SHAPE, GRID.voxel_size, 20)


NORMAL = {"caudate": 44, "putamen": 38, "pallidum": 130, "thalamus": 20, "substantia-nigra": 111}


def regions_of(values, **changed):
    means = {(name, side): float(value) for name, value in values.items() for side in "LRB"}
    means |= {("cerebral-cortex", "B"): 20.0, ("cerebral-white-matter", "B"): -30.0}
    means |= {tuple(key.rsplit("_", 1)): value for key, value in changed.items()}
    tissues = {name: "white" if "white" in name else "grey" for name, _ in means}
    values, missing = measure_regions(means, dict.fromkeys(means, 1.0), tissues)
    found = judge_all(values, read_windows("regions"), missing)["figures"]
    return {name: figure["verdict"] for name, figure in found.items()}


def test_the_regions_of_the_phantom_are_in_order():
    assert set(regions_of(NORMAL).values()) == {"pass"}


def test_a_wrong_sign_or_unit_of_regions_is_caught():
    inverted = {name: -value for name, value in NORMAL.items()}
    for wrong in (inverted, {name: 1e3 * v for name, v in NORMAL.items()}):
        assert regions_of(wrong)["pallidum_minus_thalamus_ppb"] == "fail"
        assert regions_of(wrong)["caudate_minus_thalamus_ppb"] == "fail"


def test_regions_are_told_apart_from_an_offset():
    # The order of regions needs no reference; that of the map is judged by whole_brain_mean_ppb.
    shifted = {name: value + 500 for name, value in NORMAL.items()}
    assert regions_of(shifted)["pallidum_minus_putamen_ppb"] == "pass"


def test_one_sided_iron_is_seen():
    assert regions_of(NORMAL, putamen_L=110.0)["left_right_difference_percent"] == "fail"


def test_regions_that_dropped_out_are_counted():
    coverage = {(name, side): 1.0 for name in DEEP for side in "LR"} | {("caudate", "L"): 0.1}
    values, missing = measure_regions({}, coverage, {})
    assert values == {"deep_nuclei_coverage": 0.1, "regions_lost_percent": 12.5}
    assert missing["putamen_minus_thalamus_ppb"] == "putamen and thalamus are not both measured"


def test_overlap_is_that_of_dice():
    other = np.roll(BALL, 10, axis=0)
    both = (BALL & other).sum()
    assert dice(BALL, other) == pytest.approx(2 * both / (2 * BALL.sum()))
    assert dice(BALL, BALL) == 1


@pytest.mark.parametrize("shift", [(0, 0, 0), (10, 0, 0), (0, -6, 8)])
def test_a_misregistration_is_measured_in_mm(shift):
    # Another contrast, as that of the T1w: dark where the other is bright.
    anatomy = smooth_noise(SHAPE, 2)
    other = np.exp(-np.roll(anatomy, shift, (0, 1, 2)))
    found = offset_mm(anatomy, other, ball(SHAPE, GRID.voxel_size, 12), GRID)
    assert found == pytest.approx(np.linalg.norm(shift), abs=2)
    window = read_windows("regions")["t1w_offset_mm"]
    assert judge(found, window)["verdict"] == ("fail" if any(shift) else "pass")


def test_similarity_runs_from_one_to_two():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, *SHAPE))
    assert similarity(one, one, BALL) == pytest.approx(2)
    # 30,000 voxels in 1024 bins leave a little by chance.
    assert similarity(one, other, BALL) == pytest.approx(1, abs=0.01)
