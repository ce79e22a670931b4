"""Figures hold what they promise; the page of a group says everything and survives gaps."""

import nibabel as nb
import numpy as np
from PIL import Image
import pytest
from report_folder import regions

from qsmprep.reports import figures
from qsmprep.reports.overlays import label_overlay
from qsmprep.reports.pictures import description
from qsmprep.reports.regions import read_regions, region_dots

SHAPE, VOXEL = (24, 30, 16), (1.0, 1.0, 2.5)


@pytest.fixture
def ball():
    grid = np.indices(SHAPE, dtype=float)
    centre = np.array(SHAPE).reshape(3, 1, 1, 1) / 2
    return (((grid - centre) / (centre - 2)) ** 2).sum(axis=0) < 1


@pytest.fixture
def volume(ball):
    noise = np.random.default_rng(0).normal(size=SHAPE)
    return np.where(ball, noise, 0).astype("f4")


@pytest.fixture
def labels(ball):
    left = np.arange(SHAPE[0])[:, None, None] < SHAPE[0] // 2
    return np.where(ball, np.where(left, 1, 2), 0)


def images(figure):
    return [image for panel in figure.axes for image in panel.images]


def texts(figure):
    written = [text.get_text() for text in figure.texts]
    written += [text.get_text() for panel in figure.axes for text in panel.texts]
    return written + [panel.get_ylabel() for panel in figure.axes]


def test_chi_is_shown_in_ppb_in_a_window_symmetric_about_zero(volume, ball):
    figure = figures.chi_planes(volume, ball, VOXEL, window_ppb=(-80, 80), title="χ of sub-01")
    assert {image.get_clim() for image in images(figure)} == {(-80, 80)}
    assert "χ (ppb)" in texts(figure)
    # The window is stated, too, not only drawn.
    assert "χ of sub-01, black −80 ppb, white +80 ppb" in texts(figure)
    shown = np.concatenate([image.get_array().compressed() for image in images(figure)])
    # The slices hold voxels of the map, ppm, and nothing else.
    assert np.isin(shown, (volume[ball] * 1e3).astype("f4")).all()


def test_what_is_outside_the_mask_is_not_drawn(volume, ball):
    for image in images(figures.chi_planes(volume + 1, ball, VOXEL)):
        assert np.ma.getmaskarray(image.get_array()).any()


def test_panels_follow_the_voxel_size(volume, ball):
    figure = figures.chi_planes(volume, ball, VOXEL)
    extents = {tuple(image.get_extent()) for image in images(figure)}
    x, y, z = (n * size for n, size in zip(SHAPE, VOXEL, strict=True))
    assert extents == {(0, x, 0, y), (0, x, 0, z), (0, y, 0, z)}
    assert {panel.get_aspect() for panel in figure.axes if panel.images} == {1.0}


@pytest.mark.parametrize("axcodes", [("L", "P", "S"), ("P", "S", "R"), ("A", "R", "I")])
def test_the_participants_left_is_on_the_left_however_the_axes_lie(volume, ball, axcodes):
    turn = nb.orientations.axcodes2ornt(axcodes)
    back = nb.orientations.ornt_transform(nb.orientations.axcodes2ornt("RAS"), turn)
    turned = [nb.orientations.apply_orientation(array, back) for array in (volume, ball)]
    size = [VOXEL[int(axis)] for axis in turn[:, 0]]
    expected = images(figures.chi_planes(volume, ball, VOXEL))
    found = images(figures.chi_planes(*turned, size, axcodes))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.get_array(), other.get_array())
        assert one.get_extent() == other.get_extent()


def test_the_convention_is_written_on_the_figure_and_letters_agree_with_it(ball):
    right = np.zeros(SHAPE, "f4")
    right[SHAPE[0] // 2 :] = 1
    figure = figures.r2star_planes(right, ball, VOXEL)
    assert any("left is on the left" in text for text in texts(figure))
    axial = figure.axes[0]
    assert [text.get_text() for text in axial.texts] == ["L", "R", "P", "A"]
    pixels = axial.images[0].get_array()
    assert pixels[:, -8:].mean() == 1
    assert pixels[:, :8].mean() == 0


def test_both_masks_are_outlined_and_named(volume, ball):
    trusted = ball.copy()
    trusted[:, :15] = False
    figure = figures.mask_contour(np.abs(volume), ball, trusted, VOXEL)
    assert [text.get_text() for text in figure.legends[0].texts] == ["brain", "trusted phase"]
    assert max(len(panel.collections) for panel in figure.axes) == 2


def test_each_field_has_its_own_scale_and_unit(volume, ball):
    figure = figures.field_maps(volume * 50, np.abs(volume), ball, VOXEL)
    assert {"total field (Hz)", "noise (Hz)"} <= set(texts(figure))
    windows = {image.get_clim() for image in images(figure)}
    assert {low for low, _ in windows} == {0.0, min(low for low, _ in windows)}
    local = figures.local_field_planes(volume * 0.02, ball, VOXEL)
    assert "local field (ppb)" in texts(local)
    assert all(low == -high for low, high in {image.get_clim() for image in images(local)})


def test_phase_is_shown_from_minus_to_plus_pi_at_its_echo_times(ball):
    phase = [np.full(SHAPE, value, "f4") for value in (0.5, -3.0)]
    figure = figures.phase_echoes(phase, [0.006, 0.022], ball, VOXEL)
    assert {image.get_clim() for image in images(figure)} == {(-np.pi, np.pi)}
    assert {"rad, at 6 ms", "rad, at 22 ms"} <= set(texts(figure))
    assert {float(image.get_array().max()) for image in images(figure)} == {0.5, -3.0}


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_says_in_words_and_numbers_what_is_seen(volume, ball, tmp_path, ending):
    chi = np.where(ball, 0.0125, 0).astype("f4")
    path = figures.save_figure(figures.chi_planes(chi, ball, VOXEL), tmp_path / f"x.{ending}")
    told = description(path)
    assert "from −100 to 100 ppb" in told
    assert "Median 12.5 ppb" in told
    # Half of the ball is trusted: every second voxel of (1, 1, 2.5) mm.
    half = ball & (np.indices(SHAPE).sum(axis=0) % 2 == 0)
    masks = figures.mask_contour(np.abs(volume), ball, half, VOXEL).get_label()
    assert f"{ball.sum() * 2.5 / 1e3:.0f} ml" in masks
    assert f"{100 * half.sum() / ball.sum():.0f} % of it" in masks


def test_fewer_bytes_do_not_make_steps_of_a_scale(volume, ball, tmp_path):
    """A table of 256 colours is used only where nobody sees it."""
    for name, figure in (
        ("grey", figures.chi_planes(volume * 0.03, ball, VOXEL)),
        ("colour", figures.r2star_planes(volume * 20 + 30, ball, VOXEL)),
    ):
        path = figures.save_figure(figure, tmp_path / f"{name}.png")
        figure.savefig(tmp_path / "full.png", dpi=96)
        with Image.open(path) as thin, Image.open(tmp_path / "full.png") as full:
            off = np.abs(
                np.asarray(thin.convert("RGB"), int) - np.asarray(full.convert("RGB"), int)
            )
        # 4 of 255 steps in all but a thousandth of the pixels.
        assert np.percentile(off, 99.9) <= 4


@pytest.mark.parametrize("kind", ["magnitude", "chi"])
def test_left_and_right_of_a_region_share_its_colour_and_its_name(volume, labels, kind):
    figure = label_overlay(
        volume, labels, {1: "pallidum", 2: "pallidum"}, VOXEL, background_kind=kind
    )
    assert [text.get_text() for text in figure.legends[0].texts] == ["pallidum"]
    overlays = [panel.images[1].get_array() for panel in figure.axes if len(panel.images) == 2]
    colours = np.concatenate([overlay[overlay[..., 3] > 0][:, :3] for overlay in overlays])
    assert len(np.unique(colours, axis=0)) == 1
    assert ("χ (ppb)" in texts(figure)) == (kind == "chi")


def test_tissue_borders_lie_between_the_tissues():
    values = np.repeat([100.0, 200.0, 300.0], [50, 300, 300])
    lower, upper = figures._class_borders(values)
    assert 100 < lower < 200 < upper < 300


def test_flicker_frames_show_the_same_slices(volume, ball):
    t1w = np.where(ball, 1 + volume**2, 0)
    assert figures.registration_check(t1w, np.abs(volume), ball, VOXEL).axes
    frames = figures.registration_frames(t1w, np.abs(volume), ball, VOXEL)
    assert frames[0].get_size_inches() == pytest.approx(frames[1].get_size_inches())
    boxes = [[panel.get_position().bounds for panel in frame.axes] for frame in frames]
    assert boxes[0] == boxes[1]


def test_an_empty_mask_makes_no_figure(volume):
    with pytest.raises(ValueError, match="at least one voxel"):
        figures.chi_planes(volume, np.zeros(SHAPE, bool), VOXEL)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_equal_figures_are_equal_files_and_no_half_file_stays(volume, ball, tmp_path, ending):
    paths = [tmp_path / name / f"a_desc-chi_figure.{ending}" for name in ("one", "two")]
    for path in paths:
        figures.save_figure(figures.chi_planes(volume, ball, VOXEL), path)
        assert list(path.parent.iterdir()) == [path]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_largest_figure_is_below_600_kilobytes(tmp_path):
    # Noise compresses worst.
    shape = (160, 200, 160)
    noise = np.random.default_rng(0).random(shape, dtype="f4")
    everywhere = np.ones(shape, bool)
    figure = figures.mask_contour(noise, everywhere, everywhere, (1, 1, 1))
    assert figures.save_figure(figure, tmp_path / "noise.png").stat().st_size < 600e3


def test_dots_stand_at_the_means(tmp_path):
    path = tmp_path / "regions.tsv"
    regions().to_csv(path, sep="\t", index=False)
    table = read_regions(path)
    (axes,) = region_dots(table, "csf").axes
    means = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o")
    assert means == [89.5, 94.5, 99.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pallidum"]
    assert "ppb" in axes.get_xlabel()
    assert "pallidum left 89.5, right 99.5, both 94.5" in region_dots(table, "csf").get_label()
