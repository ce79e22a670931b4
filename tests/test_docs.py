"""What the documentation says is what the program does."""

from pathlib import Path
import re
import shlex

import pytest

from qsmprep import cli
from qsmprep.bids.outputs import output_path, output_table
from qsmprep.interfaces.regions import COLUMNS
from qsmprep.methods.referencing import REFERENCES
from qsmprep.protocol import ALGORITHMS, SETTINGS, Protocol, parameters, presets
from qsmprep.run import Exit
from qsmprep.simulate import cli as simulate_cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def options(parser):
    """Return all spellings of all options, those with underscores left out."""
    spellings = {name for action in parser._actions for name in action.option_strings}
    return sorted(name for name in spellings if "_" not in name)


def methods_section(stage):
    """Return what docs/methods.md says of a stage."""
    found = re.search(
        rf"^## `\[{stage}\]`.*?(?=^## |\Z)", text("docs/methods.md"), re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/methods.md has no section on [{stage}]"
    return found[0]


def written(value):
    """Return a value as tables of parameters write it."""
    return f'"{value}"' if isinstance(value, str) else str(value)


def row(parameter, default):
    return f"| `{parameter}` | `{written(default)}` |"


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
    assert f"`{name}`" in text("docs/methods.md")
    assert f"`{name}`" in text("docs/usage.md")


@pytest.mark.parametrize(
    ("stage", "name"), [(stage, name) for stage in ALGORITHMS for name in ALGORITHMS[stage]]
)
def test_every_algorithm_is_documented_with_its_parameters_and_defaults(stage, name):
    section = methods_section(stage)
    assert row("method", name) in section
    for parameter, default in parameters(ALGORITHMS[stage][name]).items():
        assert row(parameter, default) in section


@pytest.mark.parametrize("stage", SETTINGS)
def test_every_other_setting_is_documented_with_its_default(stage):
    for parameter, default in vars(SETTINGS[stage]()).items():
        assert row(parameter, default) in methods_section(stage)


def test_documented_parameters_exist():
    stages = Protocol.read().stages
    for stage in stages:
        names = set(re.findall(r"^\| `(\w+)` \| `", methods_section(stage), re.MULTILINE))
        known = {"method"} if stage in ALGORITHMS else set(vars(SETTINGS[stage]()))
        known |= {p for f in ALGORITHMS.get(stage, {}).values() for p in parameters(f)}
        assert names == known


def test_every_reference_is_documented():
    for name in REFERENCES:
        assert f"`{name}`" in text("docs/outputs.md")
        assert name in methods_section("referencing")


def test_every_output_is_documented():
    given = {"atlas": "X", "template": "MNI152NLin2009aSym", "suffix": "MEGRE"}
    for kind, table in output_table().items():
        for port, spec in table.items():
            extension = spec.get("extension", "")
            path = output_path(kind, port, "sub-1", extension=extension, **given)
            assert f"`{path.name.removeprefix('sub-1_')}`" in text("docs/outputs.md")


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_of_the_table_is_documented(column):
    assert re.search(rf"^\|.*`{column}`.*\|.*\|$", text("docs/outputs.md"), re.MULTILINE)


@pytest.mark.parametrize("status", Exit)
def test_every_exit_status_is_documented(status):
    assert f"| {status.value} |" in text("docs/usage.md")
    assert re.search(rf"\b{status.value}\b", text("README.md").split("exit status")[1])


@pytest.mark.parametrize("name", ["README.md"])
def test_commands_that_are_shown_are_understood(name):
    commands = []
    for block in re.findall(r"```sh\n(.*?)```", text(name), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            call = re.search(
                r"(?<![\w-])qsmprep(?:\.sif)? (/?\w+ /?\w+ (?:participant|group).*)", line
            )
            if call:
                commands.append(call[1])
    assert commands
    for command in commands:
        cli.parser().parse_args(shlex.split(command))


def test_the_make_targets_that_are_shown_exist():
    targets = set(re.findall(r"^(\w+):", text("Makefile"), re.MULTILINE))
    for page in PAGES:
        shown = re.findall(r"(?:^|`)make (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(shown) <= targets, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8"))
    for target, anchor in links:
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{page.name} links to {target}#{anchor}"
