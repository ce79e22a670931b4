"""Figures hold what they promise; pages say everything, load nothing and survive gaps."""

import json
import re
import shutil

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from qsmprep.reports import figures
from qsmprep.reports.group import write_group_page
from qsmprep.reports.overlays import label_overlay
from qsmprep.reports.participant import FIGURES, write_participant_page
from qsmprep.reports.regions import cohort_dots, read_regions, region_dots

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
    assert "χ of sub-01" in texts(figure)
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
    figure = figures.field_maps(volume * 50, volume * 0.02, np.abs(volume), ball, VOXEL)
    assert {"total field (Hz)", "local field (ppb)", "noise (Hz)"} <= set(texts(figure))
    windows = {image.get_clim() for image in images(figure)}
    assert len(windows) == 3
    assert sum(low == -high for low, high in windows) == 2
    without = figures.field_maps(volume, volume, None, ball, VOXEL)
    assert "noise (Hz)" not in texts(without)


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


def regions(participant="sub-01", session="ses-1", shift=0.0, names=("pallidum", "precuneus")):
    common = {
        "participant_id": participant, "session_id": session, "acquisition": "n/a", "run": "n/a",
        "atlas": "OASIS", "index": "n/a", "n_voxels": 400, "volume_mm3": 1600.0,
        "coverage": 0.97, "median": 1.0, "mad": 1.0, "p05": 0.0, "p95": 2.0, "sem": 0.5,
    }  # fmt: skip
    rows = []
    for name in names:
        for side, mean in (("L", 101.5), ("R", 111.5), ("B", 106.5)):
            row = common | {"name": name, "hemisphere": side, "std": 21.0, "flag": ""}
            for reference, offset in (("whole-brain", 0.0), ("csf", 12.0)):
                chi = {"map": "Chimap", "reference": reference, "units": "ppb"}
                rows.append(row | chi | {"mean": mean + shift - offset})
            rate = {"map": "R2starmap", "reference": "n/a", "units": "1/s", "mean": 37.5}
            rows.append(row | rate | {"std": 4.5, "flag": "low-coverage"})
    return pd.DataFrame(rows)


def status(session, what, reason, acquisition="n/a", suffix="MEGRE"):
    return {
        "participant_id": "sub-01", "session_id": session, "acquisition": acquisition,
        "run": "n/a", "suffix": suffix, "status": what, "reason": reason,
    }  # fmt: skip


@pytest.fixture
def out(tmp_path, volume, ball):
    """Return an output folder with one complete acquisition of sub-01."""
    stem = "sub-01_ses-1"
    anat, pictures = (tmp_path / "sub-01" / part for part in ("ses-1/anat", "figures"))
    anat.mkdir(parents=True)
    drawn = tmp_path / "drawn.png"
    figures.save_figure(figures.chi_planes(volume, ball, VOXEL), drawn)
    pictures.mkdir()
    for what in [kind.what for kind in FIGURES] + ["registrationT1w", "registrationMagnitude"]:
        shutil.copy(drawn, pictures / f"{stem}_desc-{what}_figure.png")
    regions().to_csv(anat / f"{stem}_seg-OASIS_regions.tsv", sep="\t", index=False)
    sidecar = {
        "Units": "ppm",
        "Reference": {"name": "csf", "mean_ppm": 0.0121, "sd_ppm": 0.034, "n_voxels": 900},
        "Sources": ["bids:raw:sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"],
        "EchoTimes": [0.006, 0.0145],
        "MagneticFieldStrength": 3,
        "PhaseCoding": "integers -4096..4095",
        "PhaseSign": "kept",
        "InversionConvergence": {"iterations": 87, "residual": 9e-4, "converged": True},
        "Notes": ["T1w of another session"],
    }
    (anat / f"{stem}_Chimap.json").write_text(json.dumps(sidecar))
    (anat / f"{stem}_space-MNI_Chimap.json").write_text("{}")
    figure = {"value": 31.5, "unit": "ppb", "verdict": "look"}
    (anat / f"{stem}_desc-qc.json").write_text(json.dumps({"figures": {"chi_sd_ppb": figure}}))
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "protocol.toml").write_text('[inversion]\nmethod = "tkd"\nthreshold = 0.19\n')
    made_by = {
        "Name": "qsmprep",
        "Version": "9.8.7",
        "Protocol": {"Name": "x", "Digest": "abc123"},
    }
    (tmp_path / "dataset_description.json").write_text(json.dumps({"GeneratedBy": [made_by]}))
    return tmp_path


def participant_page(out, rows, command="qsmprep in out participant"):
    return write_participant_page(out, "01", status=rows, command=command).read_text()


def assert_loads_nothing(page):
    assert not re.findall(r"<(?:script|link|iframe|object|embed)\b", page)
    assert not re.findall(r"\bon\w+\s*=\s*\"", page)
    sources = re.findall(r"(?:src|srcset|poster)\s*=\s*\"([^\"]{0,20})", page)
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.findall(r"url\(|@import|https?://", page)


def test_the_page_states_what_was_found_and_decided(out):
    page = participant_page(out, [status("ses-1", "done", "n/a")])
    for fact in (
        "sub-01_ses-1_T1w.nii.gz", "6.00, 14.50 ms", "3 T", "integers -4096..4095", "kept",
        "csf: 12.1 ± 34.0 ppb", "900 voxels", "converged after 87 iterations",
        "T1w of another session", "chi_sd_ppb", "31.5 ppb (look)", "inversion.threshold", "0.19",
        "9.8.7", "abc123", "numpy", np.__version__, "qsmprep in out participant",
    ):  # fmt: skip
        assert fact in page, fact
    assert page.count("Not there.") == 0
    assert_loads_nothing(page)


def test_the_page_warns_of_open_fringes(out):
    path = out / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_Chimap.json"
    sidecar = json.loads(path.read_text())
    for lines, warned in ((0, False), (2, True)):
        path.write_text(json.dumps(sidecar | {"OpenFringes": {"lines": lines, "voxels": 90}}))
        page = participant_page(out, [status("ses-1", "done", "n/a")])
        assert ("at 2 lines" in page) is warned


def test_the_table_is_under_the_reference_of_the_protocol(out):
    page = participant_page(out, [status("ses-1", "done", "n/a")])
    # The pallidum of both sides: 106.5 ppb against the whole brain, 12 ppb less against CSF.
    assert "94.5 ± 21.0" in page
    assert "106.5 ± 21.0" not in page
    assert "37.5 ± 4.5" in page


def test_every_picture_is_described(out):
    page = participant_page(out, [status("ses-1", "done", "n/a")])
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) == len(FIGURES) + 2
    assert all(re.search(r'alt="[^"]{20,}"', picture) for picture in pictures)


def test_every_reason_is_stated(out):
    reasons = ("no T1w image was found", "echo 3 has another shape", "the phase is missing")
    rows = [
        status(f"ses-{i}", what, reason)
        for i, what, reason in zip("123", ("partial", "failed", "skipped"), reasons, strict=True)
    ]
    page = participant_page(out, rows)
    assert all(reason in page for reason in reasons)
    assert all(f'badge {what}"' in page for what in ("partial", "failed", "skipped"))


def test_what_is_put_into_a_page_is_escaped(out):
    nasty = '<script>alert("x")</script>'
    (out / "logs" / "crash-1.txt").write_text(f"in sub-01: {nasty}")
    page = participant_page(out, [status("ses-1", "failed", nasty)], command=nasty)
    assert nasty not in page
    assert page.count("&lt;script&gt;") >= 3
    assert_loads_nothing(page)


def test_missing_pieces_leave_a_sentence(out):
    for path in (out / "sub-01").rglob("*.*"):
        if "desc-labels" in path.name or path.name.endswith("regions.tsv"):
            path.unlink()
    (out / "logs" / "protocol.toml").unlink()
    (out / "sub-01/ses-1/anat/sub-01_ses-1_Chimap.json").write_text("{}")
    page = participant_page(out, [status("ses-1", "partial", "there is no T1w image")])
    # Labels on both backgrounds, and the table.
    assert page.count("Not there. there is no T1w image") == 3
    assert "there is no logs/protocol.toml" in page


def test_a_page_can_be_made_of_nothing(tmp_path):
    page = participant_page(tmp_path, [])
    assert "No acquisition of this participant was found." in page
    assert_loads_nothing(page)


def test_only_crashes_of_the_participant_are_shown(tmp_path):
    (tmp_path / "logs").mkdir()
    for name, text in (("a", "node of sub-01_ses-1 fell"), ("b", "node of sub-012 fell")):
        (tmp_path / "logs" / f"{name}.txt").write_text(text)
    page = participant_page(tmp_path, [])
    assert "node of sub-01_ses-1 fell" in page
    assert "sub-012" not in page


def test_acquisitions_that_differ_in_their_suffix_find_their_files(out):
    anat = out / "sub-01/ses-1/anat"
    sidecar = {"MagneticFieldStrength": 7, "EchoTimes": [0.02]}
    (anat / "sub-01_ses-1_acq-T2starw_Chimap.json").write_text(json.dumps(sidecar))
    rows = [status("ses-1", "done", "n/a", suffix=suffix) for suffix in ("MEGRE", "T2starw")]
    rows.append(status("ses-2", "done", "n/a", acquisition="high_rec-norm"))
    page = participant_page(out, rows)
    sections = re.findall(r'<section id="(sub-[^"]+)"', page)
    expected = ["acq-MEGRE", "acq-T2starw"]
    assert {f"sub-01_ses-1_{name}" for name in expected} <= set(sections)
    assert "sub-01_ses-2_acq-high_rec-norm" in sections
    after = page.split('<section id="sub-01_ses-1_acq-T2starw"')[1]
    assert "7 T" in after


def test_dots_stand_at_the_means(tmp_path):
    path = tmp_path / "regions.tsv"
    regions().to_csv(path, sep="\t", index=False)
    table = read_regions(path)
    (axes,) = region_dots(table, "csf").axes
    means = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o")
    assert means == [89.5, 94.5, 99.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pallidum"]
    assert "ppb" in axes.get_xlabel()
    assert cohort_dots(table, "none").axes


def test_the_group_page_counts_links_and_shows_gaps(out):
    participant_page(out, [status("ses-1", "done", "n/a")])
    rows = [
        status("ses-1", "done", "n/a"),
        status("ses-2", "failed", "echo <3> is missing"),
        status("ses-1", "done", "n/a") | {"participant_id": "sub-02"},
    ]
    both = pd.concat([regions(), regions("sub-02", shift=10, names=("pallidum", "caudate"))])
    path = write_group_page(out, both, pd.DataFrame(rows))
    assert path == out / "group" / "index.html"
    page = path.read_text()
    assert "echo &lt;3&gt; is missing" in page
    assert re.search(r"<b>2</b><span class=\"badge done\"", page)
    assert '<a href="../sub-01.html">sub-01</a>' in page
    assert "../sub-02.html" not in page
    # Under CSF, the protocol's reference: 94.5 and 104.5 ppb.
    assert re.search(r"<th>pallidum</th><td class=\"n\">2</td>\s*<td class=\"n\">99.5</td>", page)
    # sub-01 lacks the caudate, and its second session everything.
    assert page.count('aria-label="missing"') == 3
    assert_loads_nothing(page)


def test_the_group_page_can_be_made_of_nothing(tmp_path):
    page = write_group_page(tmp_path, pd.DataFrame(), pd.DataFrame()).read_text()
    assert "There is no regional table" in page
    assert_loads_nothing(page)
