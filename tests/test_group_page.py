"""The page of a cohort says of everybody what the tables say, loads nothing, and bears gaps."""

from base64 import b64encode
from hashlib import sha256
import json
import os
import re
import shutil
import subprocess

from cohorts import (
    COUNT,
    GROUPS,
    SITES,
    label,
    quality,
    regions,
    status,
    wave,
    write_acquisition,
    write_cohort,
)
from pages import Page
import pandas as pd
import pytest

from qsmprep import cli
from qsmprep.bids.status import update_status

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NASTY = '"><script>alert("x")</script>'


def build(out):
    """Run the group level, and return its page."""
    assert cli.main([str(out), str(out), "group"]) in (0, 1)
    return Page((out / "group" / "index.html").read_text("utf-8"))


def read(out, name):
    return pd.read_csv(out / "group" / f"{name}.tsv", sep="\t", na_values="n/a")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    out = write_cohort(tmp_path_factory.mktemp("cohort") / "out")
    build(out)
    return out


@pytest.fixture(scope="module")
def page(cohort):
    return Page((cohort / "group" / "index.html").read_text("utf-8"))


@pytest.fixture
def two(tmp_path):
    """Return an output folder of two participants, which a test may spoil."""
    for number in (1, 2):
        write_acquisition(tmp_path, number)
    update_status(tmp_path, [status(1), status(2)])
    return tmp_path


def notes(page):
    return " ".join(
        item.text for item in page.all("ul") if item.attributes.get("class") == "notes"
    )


def test_everybody_in_the_status_is_on_the_page_with_status_reason_and_link(cohort, page):
    rows = page.part("participants").all("table")[0].all("tr")[1:]
    known = pd.read_csv(cohort / "status.tsv", sep="\t", keep_default_na=False)
    assert [row.all("th")[0].text for row in rows] == list(known["participant_id"])
    for row, what in zip(rows, known.to_dict("records"), strict=True):
        assert row.attributes["data-status"] == what["status"]
        assert what["status"] in row.text
        if what["status"] == "done":
            assert (
                row.all("a")[0].attributes["href"].startswith(f"../{what['participant_id']}.html")
            )
    assert "echo <3> is missing" in rows[-1].text
    assert not rows[-1].all("a")  # of whom there is no page
    assert "24 done" in page.part("counts").text
    assert "1 failed" in page.part("counts").text


def test_everybody_has_a_place_in_the_mosaic_with_a_worded_verdict(cohort, page):
    tiles = page.part("mosaic").all("li")
    assert [tile.text.split()[0] for tile in tiles[:-1]] == [label(n) for n in range(1, 25)]
    for tile in tiles[:-1]:
        (image,) = tile.all("img")
        assert image.attributes["loading"] == "lazy"
        assert image.attributes["alt"].startswith("Susceptibility of sub-")
        assert (cohort / "group" / image.attributes["src"]).is_file()
    assert "look" in tiles[4].text
    assert "pass" in tiles[5].text
    assert "there is no Chimap" in tiles[-1].text
    assert "−100 ppb" in page.part("mosaic").text
    assert "100 ppb (white)" in page.part("mosaic").text


def test_quality_figures_are_those_of_the_table(cohort, page):
    table = read(cohort, "qc").set_index("acquisition_name")
    header, *rows = page.part("quality").all("table")[0].rows()
    place = next(i for i, name in enumerate(header) if name.startswith("χ SD"))
    assert "ppb" in header[place]
    shown = {row[0]: float(row[place].split()[0]) for row in rows if row[place] != "n/a"}
    assert len(shown) == 2 * COUNT
    for name, value in shown.items():
        # Three digits are shown.
        assert value == pytest.approx(table.loc[name, "chi_sd_ppb"], rel=5e-3)


def test_the_planted_outlier_is_marked_in_words_and_listed_and_nothing_else_is(cohort, page):
    marked = [cell for cell in page.all("td") if "out" in cell.attributes.get("class", "").split()]
    assert len(marked) == 1
    assert "150 look outlier, z" in marked[0].text
    (found,) = read(cohort, "outliers").to_dict("records")
    assert (found["participant_id"], found["name"], found["kind"]) == (
        label(5),
        "chi_sd_ppb",
        "figure",
    )
    assert (found["site"], found["compared_with"]) == ("South", "site")
    here = [60 + 5 * wave(n) if n != 5 else 150.0 for n in range(1, 2 * COUNT, 2)]
    median = pd.Series(here).median()
    mad = (pd.Series(here) - median).abs().median()
    assert found["z"] == pytest.approx((150 - median) / (1.4826 * mad), abs=0.006)
    told = page.part("participants").all("table")[0].all("tr")[5].text
    assert "expected 0 to 100 ppb; outliers: chi_sd_ppb" in told
    assert "3.5" in page.part("quality").text  # the rule is stated


def test_sites_and_groups_are_those_of_the_participants(cohort, page):
    assert "column site of participants.tsv" in page.part("sites").text
    known = pd.read_csv(cohort / "participants.tsv", sep="\t").set_index("participant_id")
    for row in page.part("participants").all("table")[0].all("tr")[1:]:
        who = row.all("th")[0].text
        assert row.attributes["data-site"] == known.loc[who, "site"]
        assert row.attributes["data-group"] == known.loc[who, "group"]
    names = [text.text for text in page.part("sites").all("text") if "(n =" in text.text]
    # Twelve each; of the one who failed there is no figure.
    assert {name.partition(",")[0].rstrip(")") for name in names} == {
        f"{site} (n = {COUNT}" for site in SITES
    }


def test_regional_values_are_those_of_the_table_by_group_and_site(cohort, page):
    table = read(cohort, "regions")  # with site and group of participants.tsv
    # The reference of the maps, not that of whole brain.
    table = table[table["reference"] == "csf"]
    part = page.part("regions")
    assert "against csf in ppb" in part.text
    rows = {(row[0], row[1]): row[2:] for row in part.all("table")[0].rows()[1:]}
    for name, of_region in table.groupby("name"):
        count, mean, deviation = rows[name, "all"][:3]
        assert int(count) == 2 * COUNT
        assert float(mean.replace("−", "-")) == pytest.approx(of_region["mean"].mean(), abs=0.05)
        assert float(deviation) == pytest.approx(of_region["mean"].std(), abs=0.05)
    pallidum = table[table["name"] == "pallidum"]
    for (group, site), of_both in pallidum.groupby(["group", "site"]):
        count, mean = rows["pallidum", f"{group}, {site}"][:2]
        assert int(count) == len(of_both)
        assert float(mean) == pytest.approx(of_both["mean"].mean(), abs=0.05)
    charts = part.all("svg")
    assert len(charts) == 2  # the main regions of this atlas
    for chart in charts:
        dots = [path.attributes["d"].count("h0") for path in chart.all("path")
                if path.attributes["class"] == "dots"]  # fmt: skip
        assert sum(dots) == 2 * COUNT
        assert len(dots) == len(SITES) * len(GROUPS)
        assert "χ (ppb)" in chart.text


def test_what_is_missing_is_shown(two):
    path = two / "sub-02/anat/sub-02_seg-OASIS_regions.tsv"
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    table.loc[table["name"] == "caudate", "mean"] = "n/a"
    table.loc[table["name"] == "pallidum", "flag"] = "low coverage"
    table.to_csv(path, sep="\t", index=False)
    update_status(two, [status(3, "skipped", "there is no phase")])
    page = build(two)
    header, *rows = page.part("missing").all("table")[0].rows()
    shown = {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}
    caudate = next(name for name in header if name.startswith("caudate"))
    pallidum = next(name for name in header if name.startswith("pallidum"))
    assert "2 missing" in caudate
    assert [shown[label(n)][caudate] for n in (1, 2, 3)] == ["yes", "no", "no"]
    assert [shown[label(n)][pallidum] for n in (1, 2, 3)] == ["yes", "flag", "no"]
    assert set(shown[label(3)].values()) == {"no"}
    assert any(name.startswith("χ map") for name in header)
    # What nobody has is no gap of anybody, and told once.
    assert "Nobody has: R2* map, χ on the template" in page.part("missing").text


def test_the_page_is_whole_html_with_no_address_outside_the_folder(cohort, page):
    text = (cohort / "group" / "index.html").read_text("utf-8")
    assert not re.search(r"https?://|url\(|@import|\bon\w+\s*=\s*\"", text)
    addresses = [
        e.attributes.get(k) for e in page.all("img") + page.all("a") for k in ("src", "href")
    ]
    identifiers = [e.attributes["id"] for tag in ("section", "form", "p", "output")
                   for e in page.all(tag) if "id" in e.attributes]  # fmt: skip
    assert len(identifiers) == len(set(identifiers))
    for address in filter(None, addresses):
        if address.startswith("#"):
            assert address[1:] in identifiers
        else:
            assert (cohort / "group" / address.partition("#")[0]).resolve().is_file(), address
    for table in page.all("table"):
        assert len({len(row) for row in table.rows()}) == 1
        assert table.all("caption")
    assert all(svg.attributes.get("aria-label") for svg in page.all("svg"))
    asked = page.all("input") + page.all("select")
    assert all(any(one in named.all(one.tag) for named in page.all("label")) for one in asked)


def test_only_our_own_script_may_run(cohort):
    text = (cohort / "group" / "index.html").read_text("utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


def test_what_data_say_is_escaped(two):
    people = [f"participant_id\tsite\tgroup\nsub-01\t{NASTY}\t{NASTY}\nsub-02\ta\tb\n"]
    (two / "participants.tsv").write_text("".join(people))
    said = quality(1, phase_coding=NASTY)
    said["reasons"] = [NASTY]
    said["verdict"] = "fail"
    (two / "sub-01/anat/sub-01_desc-qc.json").write_text(json.dumps(said))
    update_status(two, [status(2, "partial", NASTY)])
    page = build(two)
    assert NASTY not in (two / "group" / "index.html").read_text("utf-8")
    assert len(page.all("script")) == 1
    assert page.part("participants").text.count(NASTY) >= 4


def test_without_participants_the_acquisition_tells_the_site(two):
    scanner = {"Manufacturer": "Siemens", "ManufacturersModelName": "Prisma"}
    write_acquisition(two, 3, Scanner=scanner)
    update_status(two, [status(3)])
    page = build(two)
    assert "There is no participants.tsv" in notes(page)
    names = [row.attributes["data-site"] for row in page.part("participants").all("tr")[1:]]
    assert names[0] == names[1] == "3 T, 2 echoes 6.0–14.5 ms, 2 × 2 × 3 mm"
    assert names[2] == "Siemens Prisma, 3 T, 2 echoes 6.0–14.5 ms, 2 × 2 × 3 mm"
    assert "manufacturer" in page.part("sites").text


def test_participants_that_tell_neither_site_nor_group_are_named(two):
    (two / "participants.tsv").write_text("participant_id\tage\nsub-01\t4\nsub-02\t5\n")
    told = notes(build(two))
    assert "none of the columns site" in told
    assert "none of the columns group" in told


def test_outputs_of_an_older_version_still_give_a_page(two):
    for number in (1, 2):
        path = two / f"{label(number)}/anat/{label(number)}_desc-qc.json"
        path.write_text(json.dumps({"snr": {"caudate": 31.5}}))
    page = build(two)
    assert "2 of 2 acquisitions have no quality figures with a verdict" in notes(page)
    assert page.part("mosaic").text.count("not judged") == 2
    assert "no quality figures with verdicts" in page.part("quality").text


def test_maps_without_an_atlas_have_a_page_too(two):
    for path in two.rglob("*_regions.tsv"):
        path.unlink()
    (two / "sub-01/anat/sub-01_Chimap.json").write_text("{")  # the rest of it is lost
    page = build(two)
    assert "There is no regional table" in page.part("regions").text
    assert len(page.part("mosaic").all("img")) == 2
    assert "Nobody has: R2* map, table of regions" in page.part("missing").text
    assert not read(two, "regions").size


def test_tables_alone_are_enough(two):
    # As a site sends them that keeps everything else.
    for path in [*two.rglob("*.nii.gz"), *two.rglob("*.html"), *two.rglob("*_Chimap.json")]:
        path.unlink()
    (two / "status.tsv").unlink()
    page = build(two)
    assert "There is no status.tsv" in notes(page)
    assert [row[0] for row in page.part("missing").all("table")[0].rows()[1:]] == [
        "sub-01",
        "sub-02",
    ]
    assert page.part("mosaic").text.count("there is no Chimap") == 2
    assert page.part("regions").all("svg")


def test_broken_quality_is_named(two, capsys):
    (two / "sub-02/anat/sub-02_desc-qc.json").write_text('{"verdict": ')
    assert cli.main([str(two), str(two), "group"]) == 2
    assert re.search(
        r"sub-02_desc-qc\.json.*is no JSON.*run its participant", capsys.readouterr().err
    )


def test_a_map_that_cannot_be_drawn_leaves_a_reason(two):
    path = two / "sub-01/anat/sub-01_Chimap.nii.gz"
    path.write_bytes(path.read_bytes()[:200])
    (two / "sub-02/anat/sub-02_Chimap.nii.gz").unlink()
    (two / "sub-02/figures").mkdir()
    (two / "sub-02/figures/sub-02_desc-chi_figure.png").touch()
    tiles = build(two).part("mosaic").all("li")
    assert "sub-01_Chimap.nii.gz cannot be drawn" in tiles[0].text
    # The figure of the participant's page stands in for the map.
    assert (
        tiles[1].all("img")[0].attributes["src"] == "../sub-02/figures/sub-02_desc-chi_figure.png"
    )


def test_pictures_are_drawn_anew_only_for_new_maps(two):
    build(two)
    folder = two / "group" / "figures"
    first, second = (folder / f"{label(n)}_desc-mosaic_figure.png" for n in (1, 2))
    for path in (first, second):
        path.write_bytes(b"old")
    later = first.stat().st_mtime + 10
    os.utime(two / "sub-01/anat/sub-01_Chimap.nii.gz", (later, later))
    build(two)
    assert first.read_bytes()[1:4] == b"PNG"
    assert second.read_bytes() == b"old"


def test_sessions_runs_and_atlases_are_told_apart(two):
    for session in ("1", "2"):
        write_acquisition(two, 4, session=session)
    update_status(two, [status(4, session=f"ses-{session}") for session in ("1", "2")])
    for ending in ("space-MNI152_Chimap.json", "space-MNI152_Chimap.nii.gz", "desc-x_mask.json"):
        (two / f"sub-01/anat/sub-01_{ending}").touch()  # none of these is an acquisition
    other = regions(label(1), 1, atlas="CerebrA", names=("thalamus",))
    other.to_csv(two / "sub-01/anat/sub-01_seg-CerebrA_regions.tsv", sep="\t", index=False)
    page = build(two)
    labels = [row[0] for row in page.part("missing").all("table")[0].rows()[1:]]
    assert labels == ["sub-01", "sub-02", "sub-04 ses-1", "sub-04 ses-2"]
    links = [a.attributes["href"] for a in page.part("participants").all("a")]
    assert links[2:] == ["../sub-04.html#sub-04_ses-1", "../sub-04.html#sub-04_ses-2"]
    assert "shows OASIS (4 acquisitions)" in notes(page)
    assert "CerebrA (1)" in notes(page)
    assert "thalamus" not in page.part("regions").text


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_tables_sort_and_everything_filters_in_a_browser(cohort, tmp_path):
    copy = tmp_path / "page.html"
    text = (cohort / "group" / "index.html").read_text("utf-8")
    doing = """
      const head = [...document.querySelectorAll("#quality th")].find(
        (th) => th.textContent.startsWith("χ SD"));
      head.querySelector("button").click();
      head.querySelector("button").click();
      const form = document.getElementById("filter");
      form.elements.site.value = "South";
      form.dispatchEvent(new Event("input"));
    """
    # Our policy would rightly forbid the test's own script.
    text = re.sub(r"<meta http-equiv[^>]*>", "", text)
    copy.write_text(text.replace("</body>", f"<script>{doing}</script></body>"), "utf-8")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/p",
         "--dump-dom", copy.as_uri()],
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    page = Page(done.stdout)
    table = page.part("quality").all("table")[0]
    heads = {cell.text: cell for cell in table.all("th", scope="col")}
    (sorted_by,) = [cell for cell in heads.values() if "aria-sort" in cell.attributes]
    assert sorted_by.attributes["aria-sort"] == "descending"
    assert all(len(cell.all("button")) == 1 for cell in heads.values())
    place = list(heads.values()).index(sorted_by)
    shown = [row[place].split()[0] for row in table.rows()[1:]]
    assert shown[-1] == "n/a"  # of the one who failed; the missing stay below
    numbers = [float(value) for value in shown[:-1]]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] == 150
    for part, tag in (("mosaic", "li"), ("participants", "tr"), ("missing", "tr")):
        visible = [
            e
            for e in page.part(part).all(tag)
            if "data-i" in e.attributes and "hidden" not in e.attributes
        ]
        assert len(visible) == COUNT + 1
    assert f"{COUNT + 1} of {2 * COUNT + 1} shown" in page.all("output")[0].text
