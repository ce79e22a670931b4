"""The page of a participant: verdicts first, numbers as in their tables, gaps explained."""

from itertools import pairwise
import json
import re

import numpy as np
import pandas as pd
import pytest
from report_folder import (
    DONE,
    STEM,
    Page,
    assert_loads_nothing,
    make_folder,
    participant_page,
    regions,
    status,
)

from qsmprep.bids.models import Acquisition
from qsmprep.protocol import Protocol
from qsmprep.reports import figures
from qsmprep.reports.pictures import FIGURES
from qsmprep.reports.quality import rows_of
from qsmprep.workflows.study import Study, _known

SECTIONS = {
    "Acquisition": (), "Masks": ("mask",), "Phase and field": ("phase", "field"),
    "Local field": ("localField",), "Susceptibility": ("chi",), "R2*": ("r2star",),
    "Registration": ("registration",), "Labels": ("labels", "labelsChi"),
    "Regional values": ("regions", "iron"), "Quality": (), "Reporting": (),
}  # fmt: skip

ODD = json.dumps(
    {
        "EchoTimes": 3, "Sources": 5, "Notes": None, "Reference": [1], "GeneratedBy": [1],
        "PhaseSign": 3, "Scanner": [], "OpenFringes": {"lines": "x"}, "T1w": {"a": 1},
        "BipolarReadout": {"bipolar": 1}, "InversionConvergence": {}, "MagneticFieldStrength": [],
        "figures": {"a": {"value": [1], "unit": 3, "window": {"pass": "x", "look": [None, 1]}}},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    ball = np.ones((12, 12, 6), bool)
    figure = figures.chi_planes(np.zeros(ball.shape, "f4"), ball, (2.0, 2.0, 4.0))
    return figures.save_figure(figure, tmp_path_factory.mktemp("drawn") / "chi.png")


@pytest.fixture
def out(tmp_path, drawn):
    return make_folder(tmp_path, drawn)


def anat(out, name):
    return out / "sub-01/ses-1/anat" / f"{STEM}_{name}"


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_verdict_and_its_reasons_come_before_everything_else(out):
    page = Page(participant_page(out, DONE))
    assert [name for _, name, _ in page.headings[:3]] == ["sub-01", "Summary", STEM]
    summary = page.section("Summary")
    # Two echoes and 70 ppb of spread are outside of what passes, and within what asks for a look.
    assert "Run done Quality look" in summary
    assert "Figures of quality: 2 look, 3 pass, 1 without a window, 1 not known" in summary
    assert "The number of echoes is 2, expected at least 3" in summary
    assert "The spread of susceptibility is 70 ppb, expected 8 to 60 ppb" in summary
    assert "What to do: suspect a unit" in summary
    assert "Every figure that has a window lies in it" not in summary


@pytest.mark.parametrize("about", ["acquisition", "maps", "regions"])
def test_the_worst_verdict_of_the_three_files_is_that_of_the_acquisition(out, about):
    name = "desc-qc.json" if about == "maps" else f"desc-{about}_qc.json"
    change(anat(out, name), verdict="fail")
    assert "Quality fail" in Page(participant_page(out, DONE)).section("Summary")


def test_every_section_is_there_and_in_the_contents(out):
    page = Page(participant_page(out, DONE))
    names = [name.strip() for level, name, _ in page.headings if level == 3]
    assert names[1 : 1 + len(SECTIONS)] == list(SECTIONS)
    levels = [level for level, _, _ in page.headings]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("section", [name for name, kinds in SECTIONS.items() if kinds])
def test_a_picture_that_is_not_there_is_explained_in_its_place(out, section):
    for what in SECTIONS[section]:
        (out / f"sub-01/figures/{STEM}_desc-{what}_figure.png").unlink()
    page = Page(participant_page(out, [status("ses-1", "partial", "the disk was full")]))
    assert "Not there" in page.section(section)
    assert "The run says of this acquisition: the disk was full" in page.section(section)
    missing = page.section("Summary").split("Missing")[1]
    for kind in FIGURES:
        assert (kind.name in missing) == (kind.what in SECTIONS[section])


def test_what_was_not_asked_for_is_not_missing(out):
    change(anat(out, "Chimap.json"), EchoTimes=[0.02])
    (out / "logs/protocol.toml").write_text('[segmentation]\natlas = "none"\n')
    for path in (out / "sub-01").rglob("*"):
        if re.search(r"r2star|registration|labels|regions|iron", path.name):
            path.unlink()
    page = Page(participant_page(out, DONE))
    assert "Missing" not in page.section("Summary")
    assert "There is one echo; R2* needs two" in page.section("R2*")
    for section in ("Registration", "Labels", "Regional values", "Quality"):
        assert "No regions were asked for" in page.section(section)


def test_without_files_of_quality_the_page_says_so(out):
    """So do outputs of older versions look, and those of a step that failed."""
    for path in (out / "sub-01").rglob("*qc.json"):
        path.unlink()
    page = Page(participant_page(out, DONE))
    assert "Quality not judged" in page.section("Summary")
    for section, about in (
        ("Acquisition", "acquisition_"),
        ("Quality", ""),
        ("Quality", "regions_"),
    ):
        assert f"not judged, there is no desc-{about}qc.json" in page.section(section)
        assert f"not judged, there is no desc-{about}qc.json" in page.section("Summary")


@pytest.mark.parametrize("name", ["Chimap.json", "desc-qc.json", "seg-OASIS_regions.tsv",
                                  "Chimap.nii.gz"])  # fmt: skip
@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"figures": {"a": {}, "b": 3}}', ODD])
def test_a_broken_file_does_not_take_the_page_with_it(out, name, content):
    anat(out, name).write_text(content)
    page = Page(participant_page(out, DONE))
    assert "Versions and command" in [heading for _, heading, _ in page.headings]


def test_the_numbers_of_the_table_are_those_of_the_file(out):
    page = Page(participant_page(out, DONE))
    table = pd.read_csv(anat(out, "seg-OASIS_regions.tsv"), sep="\t", keep_default_na=False)
    chi = table[table["map"] == "Chimap"]
    shown = page.table("Main regions")[1:]
    assert [row[:2] for row in shown] == [["pallidum", side] for side in "LRB"]
    for name, side, means, error, rate, voxels, *_ in shown:
        rows = chi[(chi["name"] == name) & (chi["hemisphere"] == side)].set_index("reference")
        # The reference of the map comes first, and is the one that is seen.
        written = re.findall(r"(\d+\.\d) ± (\d+\.\d)", means)
        assert [float(mean) for mean, _ in written] == list(
            rows.loc[["csf", "whole-brain"], "mean"]
        )
        assert {float(spread) for _, spread in written} == {21.0}
        assert (error, rate, voxels) == ("0.5", "37.5 ± 4.5", "400")
    side_by_side = page.table("Mean χ in ppb under every reference")
    assert side_by_side[0] == ["Region", "Side", "csf", "whole-brain"]
    assert side_by_side[1] == ["pallidum", "L", "89.5", "101.5"]


def test_the_numbers_of_quality_are_those_of_the_files(out):
    page = Page(participant_page(out, DONE))
    for caption, name in (
        ("The acquisition against", "desc-acquisition_qc.json"),
        ("Maps", "desc-qc.json"),
        ("Regions", "desc-regions_qc.json"),
    ):
        said = json.loads(anat(out, name).read_text())["figures"]
        rows = page.table(caption)[1:]
        assert [row[0] for row in rows] == [figure["verdict"] for figure in said.values()]
        for row, figure in zip(rows, said.values(), strict=True):
            if figure["value"] is not None:
                assert float(row[2].split()[0]) == pytest.approx(figure["value"], rel=5e-3)
            assert figure["unit"] in row[2] or figure["value"] is None


@pytest.mark.parametrize(
    ("window", "value", "verdict"),
    [
        ({"pass": [0, 10], "look": [0, 20]}, 5.0, "pass"),
        ({"pass": [0, 10], "look": [0, 20]}, 0.0, "pass"),
        ({"pass": [0, 10], "look": [0, 20]}, 15.0, "look"),
        ({"pass": [0, 10], "look": [0, 20]}, 900.0, "fail"),
        ({"pass": [3, None], "look": [1, None]}, 60.0, "pass"),
        ({"pass": [3, None], "look": [1, None]}, 2.0, "look"),
        ({"pass": [-30, 30], "look": [-60, 60]}, -200.0, "fail"),
        ({"pass": [0, 0], "look": [0, 4]}, 0, "pass"),
    ],
)
def test_the_mark_lies_in_the_window_that_its_verdict_names(window, value, verdict):
    figure = {"value": value, "unit": "ms", "verdict": verdict, "reason": "x is y"}
    (row,) = rows_of({"figures": {"a": figure | {"window": window}}})
    inside = {
        name: start <= row.bar.at <= start + length and not row.bar.beyond
        for name, (start, length) in (("pass", row.bar.good), ("look", row.bar.look))
    }
    # What is too large to be shown passes where its window has no end.
    endless = row.bar.beyond and window["pass"][1] is None
    assert (inside["pass"] or bool(endless)) == (verdict == "pass")
    assert (inside["look"] or bool(endless)) == (verdict != "fail")
    assert 0 <= row.bar.at <= 100


def test_what_was_decided_is_told_with_its_evidence(out):
    told = Page(participant_page(out, DONE)).section("Acquisition")
    for fact in (
        "6.00, 14.50 ms", "3 T", "1 × 1 × 2.5 mm, 10 × 12 × 8", "integers -4096..4095",
        "inverted, as the data say; as it was read, phase gives χ in the depth a skewness of "
        "−0.41, and where R2* is high −52.0 ppb against the rest",
        "csf: 12.1 ± 34.0 ppb, against whole-brain (900 voxels)", "converged after 87 iterations",
        "T1w of another session", "sub-01_ses-1_T1w.nii.gz", "Protocol digest abc123",
    ):  # fmt: skip
        assert fact in told, fact


def test_a_sign_that_the_protocol_sets_against_the_data_is_told(out):
    evidence = {"decided by": "inverted", "skewness": 0.2, "sign": 1, "agree": True}
    for inverted, told in ((True, True), (False, False)):
        change(anat(out, "Chimap.json"), PhaseSign=evidence | {"inverted": inverted})
        page = Page(participant_page(out, DONE))
        assert ("against the data" in page.section("Acquisition")) is told


def test_a_reference_that_stands_in_for_another_is_told(out):
    why = "csf, which has 3 voxels where 50 are needed"
    change(anat(out, "Chimap.json"), Reference={"name": "whole-brain", "instead_of": why})
    page = Page(participant_page(out, DONE))
    assert f"instead of {why}" in page.section("Acquisition")
    assert f"instead of {why}" in page.section("Reporting")


def test_open_fringes_are_warned_of(out):
    for lines, warned in ((0, False), (2, True)):
        change(anat(out, "Chimap.json"), OpenFringes={"lines": lines, "voxels": 90})
        page = Page(participant_page(out, DONE))
        assert ("at 2 lines" in page.section("Acquisition")) is warned


def test_what_the_consensus_asks_for_is_filled_in(out):
    rows = {
        row[0]: row[2] for row in Page(participant_page(out, DONE)).table("What the consensus")
    }
    assert "qsmprep 9.8.7, protocol x, digest abc123" in rows["Toolbox"]
    assert "tkd, threshold 0.19" in rows["Algorithms"]
    assert "converged after 87 iterations" in rows["Algorithms"]
    assert "csf: 12.1 ± 34.0 ppb, against whole-brain" in rows["Referencing"]
    assert "ppm" in rows["Referencing"]
    assert "not resampled" in rows["Further processing"]
    assert "3 pass, 2 ask for a look, 0 fail" in rows["Inclusion and exclusion"]
    assert "6:8.5:14.5 ms" in rows["Echoes"]
    assert "10 × 12 × 20 mm" in rows["Coverage and voxels"]
    assert "0.029 s" in rows["Hardware and sequence"]
    # What is in no sidecar is left to the author by name.
    assert (
        "To add: The sidecars do not tell: flip angle, acceleration"
        in (rows["Hardware and sequence"])
    )


def test_what_the_scanner_wrote_reaches_the_sidecar_of_the_map(tmp_path):
    written = {"FlipAngle": 15, "Manufacturer": "Siemens", "DeviceSerialNumber": "4711"}
    acquisition = Acquisition(
        participant="01", session=None, entities=(), suffix="MEGRE", parts={},
        echo_times=(0.006,), b0=3.0, metadata=written,
    )  # fmt: skip
    study = Study(tmp_path, tmp_path, Protocol.read(), None)
    # What identifies a machine or a person stays where it is.
    assert _known(study, acquisition)["Scanner"] == {"Manufacturer": "Siemens", "FlipAngle": 15}


def test_methods_settings_versions_and_command_are_told(out):
    page = Page(participant_page(out, DONE))
    assert "Inverted by tkd. References tkd: doi:10.1/x" in page.section("Methods")
    assert "inversion.threshold 0.19" in page.section("Settings")
    told = page.section("Versions and command")
    for fact in ("9.8.7", "numpy", np.__version__, "qsmprep in out participant"):
        assert fact in told
    for name in ("CITATION.md", "logs/protocol.toml"):
        (out / name).unlink()
    page = Page(participant_page(out, DONE))
    assert "there is no CITATION.md" in page.section("Methods")
    assert "there is no logs/protocol.toml" in page.section("Settings")


def test_the_page_can_be_used_without_eyes_without_a_mouse_and_without_a_network(out):
    rows = [*DONE, status("ses-2", "failed", "echo 3 has another shape")]
    text = participant_page(out, rows)
    assert_loads_nothing(text)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert set(page.labels) <= set(page.ids)
    assert page.links[0] == "#main"  # past the contents
    assert len(page.images) == len(FIGURES) + 2
    # Each says what its own file says of itself, with numbers.
    assert all("from −100 to 100 ppb" in image["alt"] for image in page.images)
    assert all(head.get("scope") in ("col", "row") for head in page.heads)
    assert all(table["caption"] for table in page.tables)
    assert '<html lang="en">' in text
    assert "prefers-reduced-motion" in text
    assert "prefers-color-scheme: dark" in text


def test_text_of_the_data_is_escaped_wherever_it_comes_from(out):
    nasty = '<script>alert("x")</script>'
    change(anat(out, "Chimap.json"), Notes=[nasty], PhaseCoding=nasty, T1w=nasty,
           Scanner={"Manufacturer": nasty}, Reference={"name": nasty})  # fmt: skip
    figure = {"value": nasty, "unit": nasty, "verdict": "fail", "reason": nasty, "advice": nasty,
              "source": nasty, "window": {"pass": [nasty], "look": []}}  # fmt: skip
    change(anat(out, "desc-qc.json"), figures={nasty: figure})
    table = regions().assign(atlas=nasty, flag=nasty).replace({"name": {"precuneus": nasty}})
    table.to_csv(anat(out, "seg-OASIS_regions.tsv"), sep="\t", index=False)
    (out / "CITATION.md").write_text(f"# {nasty}\n- {nasty}\n")
    (out / "logs/protocol.toml").write_text(f"[inversion]\nmethod = '{nasty}'\n")
    (out / "logs/crash-1.txt").write_text(f"in sub-01: {nasty}")
    text = participant_page(out, [status("ses-1", "failed", nasty)], command=nasty)
    assert nasty not in text
    assert text.count("&lt;script&gt;") >= 15
    assert_loads_nothing(text)
    Page(text)


def test_every_reason_is_stated(out):
    reasons = ("no T1w image was found", "echo 3 has another shape", "the phase is missing")
    rows = [
        status(f"ses-{i}", what, reason)
        for i, what, reason in zip("123", ("partial", "failed", "skipped"), reasons, strict=True)
    ]
    summary = Page(participant_page(out, rows)).section("Summary")
    for row, what in zip(reasons, ("partial", "failed", "skipped"), strict=True):
        assert row in summary
        assert f"Run {what}" in summary


def test_a_page_can_be_made_of_nothing(tmp_path):
    page = participant_page(tmp_path, [])
    assert "No acquisition of this participant was found." in page
    assert_loads_nothing(page)


def test_only_crashes_of_the_participant_are_shown(tmp_path):
    (tmp_path / "logs").mkdir()
    for name, text in (("a", "node of sub-01_ses-1 fell"), ("b", "node of sub-012 fell")):
        (tmp_path / "logs" / f"{name}.txt").write_text(text)
    errors = Page(participant_page(tmp_path, [])).section("Errors")
    assert "node of sub-01_ses-1 fell" in errors
    assert "sub-012" not in errors


def test_acquisitions_that_differ_in_their_suffix_find_their_files(out):
    sidecar = {"MagneticFieldStrength": 7, "EchoTimes": [0.02]}
    anat(out, "acq-T2starw_Chimap.json").write_text(json.dumps(sidecar))
    rows = [status("ses-1", "done", "n/a", suffix=suffix) for suffix in ("MEGRE", "T2starw")]
    rows.append(status("ses-2", "done", "n/a", acquisition="high_rec-norm"))
    page = Page(participant_page(out, rows))
    names = [name.strip() for level, name, _ in page.headings if level == 2]
    assert {f"{STEM}_acq-MEGRE", f"{STEM}_acq-T2starw", "sub-01_ses-2_acq-high_rec-norm"} <= {
        *names
    }
    # The summary names them, too, with headings of level 3.
    at = next(i for i, h in enumerate(page.headings) if h[:2] == [2, f"{STEM}_acq-T2starw"])
    assert "7 T" in page.headings[at + 1][2]


def test_without_an_age_the_page_says_why_there_is_no_curve(out):
    (out / f"sub-01/figures/{STEM}_desc-iron_figure.png").unlink()
    told = Page(participant_page(out, DONE)).section("Regional values")
    assert "The curve of iron over age is not drawn: the dataset gave no age" in told
