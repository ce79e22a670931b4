import numpy as np
from phantoms import OBLIQUE, ball
import pytest

from qsmprep.errors import RequestError
from qsmprep.methods.referencing import REFERENCES, reference_regions, take_references
from qsmprep.methods.referencing.regions import central_csf
from qsmprep.methods.regions import Region
from qsmprep.protocol import Protocol, Referencing
from qsmprep.request import Request, resolve
from qsmprep.resources import Resources

SHAPE = (60, 60, 36)
MASK = ball(SHAPE, OBLIQUE.voxel_size, 28)
VENTRICLES = ball(SHAPE, OBLIQUE.voxel_size, 5, (6, 0, 0)) | ball(
    SHAPE, OBLIQUE.voxel_size, 5, (-6, 0, 0)
)
WHITE = ball(SHAPE, OBLIQUE.voxel_size, 8, (0, 16, 0))


@pytest.fixture
def chi():
    noise = 0.01 * np.random.default_rng(0).standard_normal(SHAPE)
    return np.where(MASK, noise + 0.02 * VENTRICLES - 0.03 * WHITE + 0.005, 0).astype("f4")


@pytest.fixture
def regions():
    r2star = np.where(VENTRICLES, 2.0, 20.0).astype("f4")
    return reference_regions(MASK, OBLIQUE, r2star=r2star, white_matter=WHITE.astype("f4"))


@pytest.mark.parametrize("name", REFERENCES)
def test_the_mean_of_the_reference_becomes_zero_and_all_else_follows(name, chi, regions):
    referenced, references, facts = take_references(chi, MASK, regions, name)
    shift = (chi - referenced)[MASK]
    np.testing.assert_allclose(shift, references[name]["mean_ppm"], atol=1e-7)
    assert not referenced[~MASK].any()
    assert facts["name"] == name
    if name != "none":
        assert referenced[regions[name]].mean(dtype=float) == pytest.approx(0, abs=1e-7)


def test_every_reference_is_told_against_the_whole_brain(chi, regions):
    _, references, facts = take_references(chi, MASK, regions, "csf")
    gap = references["csf"]["mean_ppm"] - references["whole-brain"]["mean_ppm"]
    assert facts["mean_ppm"] == pytest.approx(gap)
    assert facts["against"] == "whole-brain"
    # Planted: fluid 20 ppb above tissue that is the bulk of the brain.
    assert gap == pytest.approx(0.02, abs=0.003)


def test_a_reference_that_cannot_be_found_is_replaced_and_named(chi):
    regions = reference_regions(MASK, OBLIQUE)
    referenced, references, facts = take_references(chi, MASK, regions, "csf")
    assert references["csf"] is None
    assert references["white-matter"] is None
    assert facts["name"] == "whole-brain"
    assert facts["instead_of"].startswith("csf, which has 0 voxels")
    assert referenced[MASK].mean(dtype=float) == pytest.approx(0, abs=1e-7)


def test_a_map_without_voxels_is_refused(chi):
    nothing = np.zeros(SHAPE, bool)
    with pytest.raises(ValueError, match="0 voxels"):
        take_references(chi, nothing, {"whole-brain": nothing}, "none")


def test_iron_that_looks_like_white_matter_is_kept_out():
    pallidum = ball(SHAPE, OBLIQUE.voxel_size, 4, (0, 16, 0))
    regions = reference_regions(MASK, OBLIQUE, white_matter=WHITE.astype("f4"), elsewhere=pallidum)
    assert regions["white-matter"].any()
    assert not (regions["white-matter"] & pallidum).any()


def test_fluid_is_sought_at_the_centre_only():
    rim = MASK & ~ball(SHAPE, OBLIQUE.voxel_size, 26)
    r2star = np.where(VENTRICLES | rim, 2.0, 20.0).astype("f4")
    wide = central_csf(r2star, MASK, OBLIQUE, half_width=14)
    np.testing.assert_array_equal(wide, VENTRICLES)


def test_the_t1w_keeps_what_decays_slowly_and_is_no_fluid_out():
    slow = VENTRICLES | ball(SHAPE, OBLIQUE.voxel_size, 6, (0, -20, 0))
    r2star = np.where(slow, 2.0, 20.0).astype("f4")
    vein = ball(SHAPE, OBLIQUE.voxel_size, 2, (6, 0, 0))
    r2star[vein] = 60.0
    fluid = np.where(ball(SHAPE, OBLIQUE.voxel_size, 11), 0.95, 0.2).astype("f4")
    both = reference_regions(MASK, OBLIQUE, r2star=r2star, fluid=fluid)["csf"]
    np.testing.assert_array_equal(both, VENTRICLES & ~vein)
    alone = reference_regions(MASK, OBLIQUE, r2star=r2star)["csf"]
    assert alone.sum() > 1.5 * both.sum()


def test_a_single_echo_has_csf_where_the_t1w_shows_it():
    csf = reference_regions(MASK, OBLIQUE, fluid=VENTRICLES.astype("f4"))["csf"]
    np.testing.assert_array_equal(csf, VENTRICLES)


def test_any_region_may_be_the_reference(chi, regions):
    regions["label-pons"] = ball(SHAPE, OBLIQUE.voxel_size, 6, (0, -16, 0))
    referenced, references, facts = take_references(chi, MASK, regions, "label-pons")
    assert facts["name"] == "label-pons"
    assert references.keys() == {*REFERENCES, "label-pons"}
    assert referenced[regions["label-pons"]].mean(dtype=float) == pytest.approx(0, abs=1e-7)
    regions["label-pons"] = ball(SHAPE, OBLIQUE.voxel_size, 2)
    _, references, facts = take_references(chi, MASK, regions, "label-pons")
    assert references["label-pons"] is None
    assert facts["name"] == "whole-brain"
    assert facts["instead_of"] == "label-pons, which has 15 voxels where 50 are needed"


@pytest.mark.parametrize(
    ("hemisphere", "name", "indices"),
    [("B", "label-thalamus", [1, 2]), ("L", "label-thalamus-L", [1]),
     ("R", "label-thalamus-R", [2])],
)  # fmt: skip
def test_a_region_is_known_by_name_and_side(hemisphere, name, indices):
    rows = [(1, "thalamus", "L"), (2, "thalamus", "R"), (3, "putamen", "L"), (4, "pons", "M")]
    reference = Referencing("label", "thalamus", hemisphere)
    assert reference.name == name
    assert reference.labels(rows) == indices
    assert Referencing("label", "pons").labels(rows) == [4]
    assert Referencing().labels(rows) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["region=thalmus"], "has no region thalmus; the nearest is thalamus"),
        (["region=thalamus", "hemisphere=R"], "has no thalamus in hemisphere R"),
    ],
)
def test_a_region_that_the_atlas_has_not_is_refused(tmp_path, monkeypatch, changes, told):
    class Toy:
        name, digest = "toy", "0"
        regions = (Region(1, "thalamus", "L"), Region(2, "putamen", "R"))

    monkeypatch.setattr("qsmprep.request.find_atlas", lambda *_: Toy)
    settings = ["segmentation.atlas=toy", "referencing.method=label"]
    protocol = Protocol.read(changes=[*settings, *(f"referencing.{change}" for change in changes)])
    request = Request(tmp_path, tmp_path, protocol, Resources(tmp_path))
    with pytest.raises(RequestError, match=f"atlas toy {told}"):
        resolve(request)
