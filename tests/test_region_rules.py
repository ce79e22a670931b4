"""Which voxels of a label speak for its region."""

from dataclasses import fields
import math
import os
from pathlib import Path

import nibabel as nb
import numpy as np
from phantoms import OBLIQUE, ball
import pytest
from scipy import ndimage
from scipy.ndimage import gaussian_filter

from qsmprep.errors import ProtocolError
from qsmprep.geometry import Geometry
from qsmprep.methods.dipole import dipole_kernel
from qsmprep.methods.fft import irfftn, rfftn
from qsmprep.methods.regions import (
    WHOLE_BRAIN,
    Head,
    Region,
    Rules,
    Sample,
    errors_of_means,
    regional_statistics,
    select_voxels,
)
from qsmprep.methods.regions.cortex import is_cortex
from qsmprep.methods.regions.selection import Counts
from qsmprep.protocol import Protocol

VOXEL = Geometry((1.2, 1.2, 1.2))
NUCLEUS, CORTEX, WHITE = 1, 2, 3
REGIONS = [
    Region(NUCLEUS, "putamen", "L"),
    Region(CORTEX, "entorhinal", "L"),
    Region(WHITE, "cerebral-white-matter", "L"),
]
NONE = Rules(partial_volume="none", vessels=False)
VEINS = Rules(partial_volume="none")
VEIN = 0.2  # ppm


@pytest.fixture(scope="module")
def head():
    """Return a ball of white matter with an iron-rich nucleus and a folded sheet of cortex."""
    shape = (60, 60, 50)
    x, y, z = (np.arange(n, dtype="f4") * 1.2 for n in shape)
    x, y, z = x[:, None, None], y[:, None], z
    brain = ball(shape, VOXEL.voxel_size, 32)
    nucleus = ((x - 30) / 7) ** 2 + ((y - 38) / 11) ** 2 + ((z - 30) / 8) ** 2 <= 1
    depth = z - 44 - 4 * np.sin(x / 8) - 0 * y  # mm above a folded surface
    cortex = (depth > 0) & (depth < 3.2) & ~nucleus & brain  # thick as entorhinal cortex
    labels = np.where(nucleus, NUCLEUS, np.where(cortex, CORTEX, np.where(brain, WHITE, 0)))
    chi = np.select([nucleus, cortex, depth > 0, brain], [0.05, 0.012, 0.015, -0.03], 0.0)
    rng = np.random.default_rng(0)
    chi = gaussian_filter(chi, 0.5) + 0.004 * rng.standard_normal(shape)  # of a good acquisition
    grey = gaussian_filter((nucleus | cortex).astype("f4"), 0.7)
    return Head(labels.astype(np.int32), brain, brain, VOXEL, chi.astype("f4"), None, grey)


def changed(head, **parts):
    return Head(**{f.name: getattr(head, f.name) for f in fields(Head)} | parts)


def rows_of(head, rules, regions=REGIONS):
    samples = select_voxels(head, regions, rules)
    rows = regional_statistics(1e3 * head.chi, samples, voxel_volume=1.0)  # ppb
    return {(row.name, row.hemisphere): row for row in rows}


def tube(shape, voxel_size, centre, direction, radius, length):
    """Return the share of each voxel inside a tube, in mm."""
    direction = np.array(direction) / np.linalg.norm(direction)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * np.array(voxel_size)
    share = np.zeros(shape, dtype="f4")
    steps = (np.arange(3) + 0.5) / 3 - 0.5
    for step in np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3) * voxel_size:
        off = grid + step - centre
        along = off @ direction
        across = (off**2).sum(-1) - along**2
        share += (across < radius**2) & (np.abs(along) < length / 2)
    return share / steps.size**3


def veins_along(body, voxel_size, diameter):
    """Return veins of `diameter` mm that raise the mean over `body` by 5 ppb and more."""
    box = ndimage.find_objects(body.astype(int))[0]
    wide = np.zeros(body.shape, dtype="f4")
    body = body[box]
    places = np.argwhere(body) * np.array(voxel_size)
    axes = np.linalg.svd(places - places.mean(0), full_matrices=False)[2]
    share = np.zeros(body.shape, dtype="f4")
    rng = np.random.default_rng(0)
    while 1e3 * VEIN * share[body].mean() < 5.2:
        centre = places[rng.integers(len(places))]
        # Along the region, as veins of the cortex and of nuclei run, and a little across.
        direction = axes[0] * rng.normal() + axes[1] * rng.normal() + 0.2 * axes[2]
        one = tube(body.shape, voxel_size, centre, direction, diameter / 2, 60)
        share = np.maximum(share, one)
    wide[box] = share
    return wide


@pytest.mark.parametrize("diameter", [1.2, 1.8, 2.4])  # one voxel to two
@pytest.mark.parametrize("name", ["putamen", "entorhinal"])
def test_a_vein_biases_a_region_only_without_the_rule(head, name, diameter):
    index = next(region.index for region in REGIONS if region.name == name)
    veins = veins_along(head.labels == index, VOXEL.voxel_size, diameter)
    spoiled = changed(head, chi=head.chi + VEIN * veins)
    truth = rows_of(head, NONE)[name, "L"].mean
    assert rows_of(spoiled, NONE)[name, "L"].mean - truth > 5
    assert abs(rows_of(spoiled, VEINS)[name, "L"].mean - truth) < 1


def test_what_has_no_vein_keeps_its_mean(head):
    before, after = rows_of(head, NONE), rows_of(head, VEINS)
    for key, row in before.items():
        assert abs(after[key].mean - row.mean) < 0.3
        assert after[key].n_vessel < 0.002 * row.n_voxels


@pytest.mark.parametrize("size", [(12, 12, 12), (4, 10, 12), (6, 6, 6)])
def test_iron_keeps_its_tail_in_bodies_and_sheets(head, size):
    # A red nucleus or a substantia nigra inside the label: 100 ppb more, far beyond the spread.
    x, y, z = (np.arange(n) * 1.2 - c for n, c in zip(head.chi.shape, (30, 38, 30), strict=True))
    a, b, c = np.array(size) / 2
    core = (x[:, None, None] / a) ** 2 + (y[:, None] / b) ** 2 + (z / c) ** 2 <= 1
    rich = changed(head, chi=head.chi + np.where(core, np.float32(0.1), 0))
    # The sharp tips of a sheet are narrow, too.
    assert rows_of(rich, VEINS)["putamen", "L"].n_vessel < 0.1 * core.sum()


def test_what_decays_slower_than_its_region_is_no_vein(head):
    veins = veins_along(head.labels == NUCLEUS, VOXEL.voxel_size, 2.4)
    spoiled = changed(head, chi=head.chi + VEIN * veins)
    for rate, taken in ((40.0, True), (5.0, False)):
        r2star = 20 + (rate - 20) * veins
        row = rows_of(changed(spoiled, r2star=r2star), VEINS)["putamen", "L"]
        assert (row.n_vessel > 50) == taken


def test_veins_are_found_whatever_the_scale_of_noise_and_thickness_of_slices():
    geometry = Geometry((0.8, 0.8, 3.0))
    rng = np.random.default_rng(1)
    labels = np.zeros((40, 44, 20), dtype=np.int32)
    labels[5:35, 5:39, 3:17] = NUCLEUS
    chi = 0.02 * rng.standard_normal(labels.shape).astype("f4")
    veins = tube(labels.shape, geometry.voxel_size, (16, 17, 30), (1, 1, 0), 0.8, 90)
    head = Head(labels, labels > 0, labels > 0, geometry, chi + VEIN * veins)
    (sample, _) = select_voxels(head, REGIONS[:1], VEINS)
    left = np.zeros(labels.size, dtype=bool)
    left[sample.voxels] = True
    assert not left[(veins.ravel() > 0.7) & (labels.ravel() > 0)].any()
    assert sample.counts.n_vessel < 3 * (veins[labels > 0] > 0).sum()


DATA = Path(os.environ.get("QSMPREP_TEST_DATA", Path(__file__).parents[2] / "shared/data"))
TRUTH = DATA / "bids/derivatives/truth/sub-1000/anat/sub-1000_"
LABELS = {"caudate": 36, "putamen": 57, "thalamus": 59, "pallidum": 55, "entorhinal": 116}
LABELS |= {"posterior-cingulate": 166, "precuneus": 168, "hippocampus": 47}


@pytest.fixture(scope="module")
def real_anatomy():
    if not TRUTH.with_name("sub-1000_dseg.nii.gz").exists():
        pytest.skip(f"no {TRUTH}dseg.nii.gz; set QSMPREP_TEST_DATA")
    image, labels, brain = (
        nb.load(f"{TRUTH}{name}.nii.gz") for name in ("Chimap", "dseg", "desc-brain_mask")
    )
    mask = np.asarray(brain.dataobj) > 0
    numbers = np.asarray(labels.dataobj).astype(np.int32)
    chi = image.get_fdata(dtype=np.float32)
    return Head(numbers, mask, mask, Geometry.from_affine(image.affine), chi)


@pytest.mark.parametrize("name", LABELS)
def test_on_real_anatomy_the_bias_of_veins_is_gone_and_none_added(real_anatomy, name):
    head, regions = real_anatomy, [Region(LABELS[name], name, "R")]
    truth = rows_of(head, NONE, regions)[name, "R"].mean
    assert abs(rows_of(head, VEINS, regions)[name, "R"].mean - truth) < 0.3
    body = head.labels == LABELS[name]
    veins = veins_along(body, head.geometry.voxel_size, 2.0)
    spoiled = changed(head, chi=head.chi + VEIN * veins)
    assert rows_of(spoiled, NONE, regions)[name, "R"].mean - truth > 5
    assert abs(rows_of(spoiled, VEINS, regions)[name, "R"].mean - truth) < 1


def test_every_voxel_of_a_label_is_accounted_for(head):
    rng = np.random.default_rng(2)
    brain = head.brain & (rng.random(head.brain.shape) > 0.02)
    measured = head.measured & (rng.random(head.brain.shape) > 0.03)
    rules = Rules(erosion=1.2, partial_volume="threshold", vessel_outlier=2, vessel_contrast=0)
    spoiled = changed(head, brain=brain, measured=measured & brain)
    samples = select_voxels(spoiled, [*REGIONS, Region(9, "insula", "L")], rules)
    rows = regional_statistics(head.chi, samples, voxel_volume=2.0)
    for row in rows:
        taken = row.n_outside_mask + row.n_untrusted + row.n_eroded
        assert row.n_label == row.n_voxels + taken + row.n_partial_volume + row.n_vessel
        assert row.volume_mm3 == 2.0 * row.n_label
    putamen, entorhinal, *_ = rows
    assert putamen.n_eroded > 0 == putamen.n_partial_volume
    assert entorhinal.n_partial_volume > 0 == entorhinal.n_eroded
    assert putamen.n_vessel > 0
    assert putamen.coverage == pytest.approx(0.98 * 0.97, abs=0.02)  # of some 1500 voxels


def test_the_whole_brain_is_subject_to_no_rule(head):
    plain, ruled = (rows_of(head, rules)[WHOLE_BRAIN, "B"] for rules in (NONE, Rules(erosion=3)))
    assert plain == ruled
    assert plain.mean == pytest.approx(1e3 * head.chi[head.brain].mean(dtype=float), rel=1e-5)


def test_erosion_takes_a_rim_of_its_width(head):
    labels = np.where(ball(head.labels.shape, VOXEL.voxel_size, 12), NUCLEUS, 0)
    solid = changed(head, labels=labels.astype(np.int32))
    for width in (1.0, 1.2, 3.6):
        row = rows_of(solid, Rules(erosion=width, vessels=False))["putamen", "L"]
        radius = 12 if width < 1.2 else 12 - width  # less than a voxel takes nothing
        # The surface of so small a ball is uncertain by a fifth of a voxel.
        expected = 4 / 3 * math.pi * radius**3 / VOXEL.voxel_volume
        assert row.n_voxels == pytest.approx(expected, rel=3 * 0.25 / radius)


def test_a_label_eroded_away_is_a_row_that_says_so(head):
    row = rows_of(head, Rules(cortex_erosion=10.0))["entorhinal", "L"]
    assert (row.n_voxels, row.n_eroded, row.flag) == (0, row.n_label, "nothing left by the rules")
    assert math.isnan(row.mean)


def test_grey_matter_counts_for_cortex_only(head):
    fluid = changed(head, grey=np.full_like(head.grey, 0.2))
    rows = rows_of(fluid, Rules(partial_volume="threshold", vessels=False))
    assert rows["entorhinal", "L"].n_voxels == 0
    assert rows["putamen", "L"].n_partial_volume == 0
    assert rows["cerebral-white-matter", "L"].n_partial_volume == 0


def test_either_rule_brings_cortex_closer_to_grey_matter(head):
    # The label reaches a voxel too far on both sides, as registered labels do.
    depth = gaussian_filter((head.labels == CORTEX).astype("f4"), 1.0)
    wide = np.where((depth > 0.15) & (head.labels != NUCLEUS) & head.brain, CORTEX, head.labels)
    broad = changed(head, labels=wide.astype(np.int32))
    errors = {
        rule: abs(rows_of(broad, Rules(partial_volume=rule, vessels=False))["entorhinal", "L"].mean
                  - 12)
        for rule in ("none", "threshold", "weight")
    }  # fmt: skip
    assert errors["threshold"] < 0.5 * errors["none"]
    assert errors["weight"] < 0.6 * errors["none"]


def test_weights_that_are_equal_change_nothing_and_whole_numbers_count_voxels():
    rng = np.random.default_rng(3)
    values, times = rng.normal(5, 2, 500), rng.integers(1, 4, 500)
    places = np.arange(500)

    def row(voxels, weights):
        sample = Sample("insula", "L", (1,), voxels, weights, Counts(voxels.size))
        return regional_statistics(values, [sample], voxel_volume=1.0)[0]

    assert row(places, np.full(500, 0.3)).std == pytest.approx(row(places, None).std, rel=1e-12)
    assert row(places, np.full(500, 0.3)).p05 == pytest.approx(row(places, None).p05, rel=1e-12)
    weighted, repeated = row(places, times / 4), row(np.repeat(places, times), None)
    assert weighted.mean == pytest.approx(repeated.mean, rel=1e-12)
    # Degrees of freedom and the place within a step differ.
    for name in ("std", "median", "mad", "p05", "p95"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=0.01)


def test_a_side_that_is_missing_leaves_the_other_as_both(head):
    sides = [Region(CORTEX, "entorhinal", "L"), Region(9, "entorhinal", "R")]
    rows = rows_of(head, Rules(partial_volume="weight"), sides)
    assert rows["entorhinal", "R"].flag == "no voxels"
    for name in ("n_voxels", "mean", "std", "p95"):
        both, left = (getattr(rows["entorhinal", side], name) for side in "BL")
        assert both == left > 0


def test_a_single_voxel_has_a_mean_and_no_spread(head):
    labels = np.zeros_like(head.labels)
    labels[30, 30, 25] = NUCLEUS
    row = rows_of(changed(head, labels=labels), VEINS)["putamen", "L"]
    assert row.mean == row.median == pytest.approx(1e3 * head.chi[30, 30, 25])
    assert math.isnan(row.std)
    assert math.isnan(row.sem)
    assert row.flag == "few voxels; thin"


def test_the_error_of_a_mean_is_the_scatter_that_noise_of_the_field_leaves():
    shape = (40, 36, 30)
    mask = ball(shape, OBLIQUE.voxel_size, 17)
    rng = np.random.default_rng(4)
    labels = np.zeros(shape, dtype=np.int32)
    labels[ball(shape, OBLIQUE.voxel_size, 5, (5, 2, 0))] = 1
    labels[ball(shape, OBLIQUE.voxel_size, 4, (-6, 0, 3))] = 2
    labels[ball(shape, OBLIQUE.voxel_size, 7, (0, -6, -4)) & (labels == 0)] = 3
    regions = [Region(1, "putamen", "R"), Region(2, "putamen", "L"), Region(3, "insula", "R")]
    head = Head(labels, mask, mask, OBLIQUE, np.zeros(shape, "f4"))
    samples = select_voxels(head, regions, NONE)
    noise = (0.002 * (1 + rng.random(shape))).astype("f4") * mask
    errors = np.array(errors_of_means(samples, noise, mask, OBLIQUE, damping=0.02))
    # The same inversion, written out, of many fields of noise.
    wide = tuple(n + 26 for n in shape)
    kernel = dipole_kernel(np.zeros(wide, "f4"), OBLIQUE)
    inverse = kernel / (kernel**2 + 0.02)
    means = []
    for _ in range(400):
        field = np.zeros(wide, "f4")
        field[:40, :36, :30] = noise * rng.standard_normal(shape)
        chi = irfftn(rfftn(field) * inverse, wide)[:40, :36, :30].ravel()
        means.append([chi[sample.voxels].mean() for sample in samples])
    scatter = np.std(means, axis=0, ddof=1)
    # The standard deviation of 400 values is known to 3.5 %; four rows, and another box.
    np.testing.assert_allclose(scatter[:4], errors[:4], rtol=0.13)
    assert errors[-1] > 0


def test_the_error_of_nothing_is_not_known(head):
    samples = select_voxels(head, [Region(9, "insula", "L")], NONE)
    noise = np.full(head.chi.shape, 0.001, "f4")
    assert math.isnan(errors_of_means(samples, noise, head.measured, VOXEL)[0])
    assert math.isnan(errors_of_means(samples, noise, head.measured & False, VOXEL)[1])


@pytest.mark.parametrize(
    ("name", "cortex"),
    [
        ("entorhinal", True), ("precuneus", True), ("angular-gyrus", True), ("insula", True),
        ("ctx-lh-superiorfrontal", True), ("cerebellum-cortex", True), ("cerebral-cortex", True),
        ("pallidum", False), ("thalamus", False), ("hippocampus", False), ("amygdala", False),
        ("cerebral-white-matter", False), ("precentral-white-matter", False),
        ("lateral-ventricle", False), ("brainstem", False), ("substantia-nigra", False),
    ],
)  # fmt: skip
def test_cortex_is_known_by_its_name(name, cortex):
    assert is_cortex(name) == cortex


@pytest.mark.parametrize(
    "change",
    ["erosion=-1", "grey_matter=1.5", "vessel_width=0", "partial_volume=some", "vessels=1"],
)
def test_rules_without_sense_are_refused(change):
    with pytest.raises(ProtocolError, match=rf"\[regions\] {change.partition('=')[0]}"):
        Protocol.read(changes=[f"regions.{change}"])
