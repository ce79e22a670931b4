"""What the documentation says is what the program does."""

from dataclasses import fields
import json
import re
import runpy
import shutil
from typing import get_args

from docs_blocks import ROOT
import pytest

from qsmprep import cli
from qsmprep.bids.outputs import output_path, output_table
from qsmprep.bids.status import Status, StatusRow
from qsmprep.interfaces.regions import COLUMNS
from qsmprep.methods.referencing import REFERENCES
from qsmprep.protocol import ALGORITHMS, SETTINGS, Protocol, parameters, presets
from qsmprep.run import Exit
from qsmprep.simulate import cli as simulate_cli
from qsmprep.simulate.cohorts.studies import STUDIES
from qsmprep.statistics.kinds import KINDS

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def options(parser):
    """Return all spellings of all options, those with underscores left out."""
    spellings = {name for action in parser._actions for name in action.option_strings}
    return sorted(name for name in spellings if "_" not in name)


def ticked(content):
    """Return what stands between backquotes, with them."""
    return set(re.findall(r"`[^`\n]+`", content))


def methods_section(stage):
    """Return what docs/methods.md says of a stage."""
    found = re.search(
        rf"^## `\[{stage}\]`.*?(?=^## |\Z)", text("docs/methods.md"), re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/methods.md has no section on [{stage}]"
    return found[0]


def reference(stage):
    """Return the page with the parameters of a stage."""
    return text(f"docs/reference/{stage}.md")


def row(parameter, default):
    return rf"^\| `{parameter}` \| `{re.escape(json.dumps(default))}` \| .* \| \S.+ \|$"


@pytest.mark.parametrize("option", options(cli.parser()))
def test_every_option_is_documented(option):
    assert re.search(rf"`{option}\b", text("docs/usage.md"))


@pytest.mark.parametrize("option", options(simulate_cli.parser()))
def test_every_option_of_the_simulator_is_documented(option):
    _, section = text("docs/usage.md").split("## Simulated datasets")
    assert re.search(rf"`{option}\b", section)


@pytest.mark.parametrize("name", [*simulate_cli.PRESETS, *simulate_cli.CODINGS])
def test_every_choice_of_the_simulator_is_documented(name):
    assert f"`{name}`" in text("docs/usage.md").split("## Simulated datasets")[1]


@pytest.mark.parametrize("name", presets())
def test_every_protocol_is_documented(name):
    assert f"## `{name}`" in text("docs/protocols.md")
    assert f"`{name}`" in text("docs/usage.md")


@pytest.mark.parametrize(
    ("stage", "name"), [(stage, name) for stage in ALGORITHMS for name in ALGORITHMS[stage]]
)
def test_every_algorithm_is_documented_with_its_parameters_and_defaults(stage, name):
    assert f"`{name}`" in methods_section(stage)  # in words
    section = re.search(
        rf"^## `{name}`.*?(?=^## |^In words|\Z)", reference(stage), re.MULTILINE | re.DOTALL
    )[0]
    for parameter, default in parameters(ALGORITHMS[stage][name]).items():
        assert re.search(row(parameter, default), section, re.MULTILINE)
    assert f"autofunction:: {ALGORITHMS[stage][name].__module__}." in text("docs/api.md")


@pytest.mark.parametrize("stage", SETTINGS)
def test_every_other_setting_is_documented_with_its_default(stage):
    assert methods_section(stage)
    for parameter, default in vars(SETTINGS[stage]()).items():
        assert re.search(row(parameter, default), reference(stage), re.MULTILINE)


def test_documented_parameters_exist():
    stages = Protocol.read().stages
    for stage in stages:
        names = set(re.findall(r"^\| `(\w+)` \| `", reference(stage), re.MULTILINE))
        known = set(vars(SETTINGS[stage]())) if stage in SETTINGS else set()
        known |= {p for f in ALGORITHMS.get(stage, {}).values() for p in parameters(f)}
        assert names == known


def test_the_reference_is_what_the_code_says():
    generate = runpy.run_path(str(ROOT / "docs/generate.py"))
    written = {path.name: path.read_text("utf-8") for path in generate["FOLDER"].iterdir()}
    assert written == generate["pages"](), "run: python docs/generate.py"


def test_every_kind_of_model_is_in_the_table_with_its_rows_and_a_page():
    for kind, (_, rows) in KINDS.items():
        found = re.search(rf"^\| \[`{kind}`\]\((models/[\w-]+\.md)[^|]*\|.* \| {rows} \|$",
                          text("docs/models.md"), re.MULTILINE)  # fmt: skip
        assert found, f"docs/models.md: no row for {kind} of {rows}"
        assert f"`{kind}`" in text(f"docs/{found[1]}")


@pytest.mark.parametrize("study", STUDIES)
def test_every_simulated_study_is_documented(study):
    assert f"`{study}`" in text("docs/usage.md").split("## Simulated datasets")[1]


def test_every_reference_is_documented():
    for name in REFERENCES:
        assert f"`{name}`" in text("docs/outputs.md")
        assert f"`{name}`" in reference("referencing")


def test_every_output_is_documented():
    given = {"atlas": "X", "template": "MNI152NLin2009aSym", "suffix": "MEGRE"}
    for kind, table in output_table().items():
        for port, spec in table.items():
            extension = spec.get("extension", "")
            path = output_path(kind, port, "sub-1", extension=extension, **given)
            assert f"`{path.name.removeprefix('sub-1_')}`" in text("docs/outputs.md")


@pytest.mark.parametrize("column", [*COLUMNS, *(field.name for field in fields(StatusRow))])
def test_every_column_of_the_tables_is_documented(column):
    assert re.search(rf"^\|.*`{column}`.*\|.*\|$", text("docs/outputs.md"), re.MULTILINE)


def test_every_column_of_the_table_of_quality_is_documented(complete, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(complete.out, out)
    cli.main(["bids", str(out), "group"])
    columns = (out / "group/qc.tsv").read_text("utf-8").splitlines()[0].split("\t")
    pages = [ROOT / "docs/outputs.md", *(ROOT / "docs").glob("quality.md")]
    documented = "".join(page.read_text("utf-8") for page in pages)
    names = {column: column.removesuffix("_verdict") for column in columns}
    missing = [c for c, n in names.items() if not {f"`{c}`", f"`{n}`"} & ticked(documented)]
    assert missing == []


def test_every_file_of_a_run_is_documented(complete):
    documented = text("docs/outputs.md")
    for path in complete.out.iterdir():
        name = path.name.replace("sub-01", "sub-X")
        assert path.name == "sub-01" or f"`{name}" in documented or name.startswith("."), name


@pytest.mark.parametrize("status", get_args(Status))
def test_every_status_is_documented(status):
    assert f"`{status}`" in text("docs/outputs.md")


@pytest.mark.parametrize("status", Exit)
def test_every_exit_status_is_documented(status):
    assert f"| {status.value} |" in text("docs/usage.md")
    assert re.search(rf"\b{status.value}\b", text("README.md").split("exit status")[1])


def test_the_make_targets_that_are_shown_exist():
    targets = set(re.findall(r"^([\w-]+):", text("Makefile"), re.MULTILINE))
    for page in PAGES:
        shown = re.findall(r"(?:^|`)make ([\w-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(shown) <= targets, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^( *)```.*?^\1```$", "", text(page), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", prose)
    for target, anchor in links:
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{page.name} links to {target}#{anchor}"
