"""
Write docs/reference from the code: every stage, its algorithms and their parameters.

The tables say what `qsmprep methods` prints. ``python docs/generate.py`` after a change of a
parameter or a docstring; `tests/test_docs.py` fails until then.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
import re
import sys

from qsmprep.protocol import ALGORITHMS, SETTINGS, Protocol, Value, parameters, presets
from qsmprep.reports.docstrings import Description, Paper, describe, unit_of

FOLDER = Path(__file__).parent / "reference"
HEAD = "<!-- Written by docs/generate.py from the code: change that, not this. -->\n"


def pages() -> dict[str, str]:
    """Return the content of every page, by its name."""
    stages = Protocol.read().stages
    return {
        "index.md": _index(list(stages)),
        "protocols.md": _protocols(),
        **{f"{stage}.md": _stage(stage) for stage in stages},
    }


def _index(stages: list[str]) -> str:
    lines = [
        f"{HEAD}\n# All settings",
        "",
        "Every table of a protocol, in the order of the flow. `qsmprep methods` prints the same;",
        "[methods](../methods.md) says in words what is computed, and with what result.",
        "",
        "| table | what it is | methods |",
        "|---|---|---|",
    ]
    for stage in stages:
        names = ", ".join(f"`{name}`" for name in ALGORITHMS.get(stage, {}))
        lines.append(f"| [`[{stage}]`]({stage}.md) | {_summary(stage)} | {names} |")
    lines += ["", "What the protocols that come with qsmprep set: [side by side](protocols.md)."]
    return "\n".join(lines) + "\n"


def _stage(stage: str) -> str:
    lines = [f"{HEAD}\n# `[{stage}]`", "", _summary(stage)]
    if stage in SETTINGS:
        lines += ["", *_table(describe(SETTINGS[stage]), vars(SETTINGS[stage]()))]
    for name, algorithm in ALGORITHMS.get(stage, {}).items():
        default = " (default)" if name == Protocol.read().stages[stage]["method"] else ""
        description = describe(algorithm)
        taken = parameters(algorithm)
        lines += ["", f"## `{name}`{default}", "", _escaped(description.summary)]
        lines += ["", *(_table(description, taken) if taken else ["It has no parameters."])]
        if description.papers:
            lines += ["", *(f"- {_cited(paper)}" for paper in description.papers)]
    lines += ["", f"In words: [methods](../methods.md#{_anchor(stage)})."]
    return "\n".join(lines) + "\n"


def _anchor(stage: str) -> str:
    """Return the anchor of a stage in docs/methods.md, as GitHub makes it of the heading."""
    methods = FOLDER.with_name("methods.md").read_text(encoding="utf-8")
    heading = re.search(rf"^## (`\[{stage}\]`.*)$", methods, re.MULTILINE)
    if heading is None:
        raise SystemExit(f"docs/methods.md has no section on [{stage}]; write one")
    return re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")


def _summary(stage: str) -> str:
    """Return what a stage is, in one paragraph."""
    if stage in SETTINGS:
        return _escaped(describe(SETTINGS[stage]).summary)
    module = next(iter(ALGORITHMS[stage].values())).__module__.rpartition(".")[0]
    return _escaped(describe(sys.modules[module]).summary)


def _table(description: Description, defaults: Mapping[str, object]) -> list[str]:
    """Return a table of parameters; the unit is that of `qsmprep methods`."""
    lines = ["| parameter | default | unit | meaning |", "|---|---|---|---|"]
    for name, value in defaults.items():
        meaning = description.parameters[name]
        unit = unit_of(meaning) if isinstance(value, float) else ""
        lines.append(f"| `{name}` | `{json.dumps(value)}` | {unit} | {_escaped(meaning)} |")
    return lines


def _protocols() -> str:
    """Return the settings of all protocols, but for what they all leave to the same default."""
    names = ["consensus", *(name for name in presets() if name != "consensus")]
    settings = {name: _settings(Protocol.read(name)) for name in names}
    order = list(Protocol.read().stages)
    keys = sorted(
        dict.fromkeys(key for flat in settings.values() for key in flat),
        key=lambda key: order.index(key.split(".")[0]),
    )
    lines = [
        f"{HEAD}\n# Protocols, side by side",
        "",
        "All settings in which the protocols that come with qsmprep differ; – where a method",
        "has no such parameter. What is not listed is alike in all: see [all settings](index.md).",
        "[Protocols](../protocols.md) tells where they come from.",
        "",
        "| setting | " + " | ".join(f"`{name}`" for name in names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for key in keys:
        values = [settings[name].get(key) for name in names]
        if any(value != values[0] for value in values):
            cells = ["–" if value is None else f"`{json.dumps(value)}`" for value in values]
            lines.append(f"| `{key}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _settings(protocol: Protocol) -> dict[str, Value]:
    return {
        f"{stage}.{name}": value
        for stage, table in protocol.stages.items()
        for name, value in table.items()
    }


def _cited(paper: Paper) -> str:
    who = ", ".join(filter(None, (paper.who, paper.year))) or f"doi:{paper.doi}"
    return f"[{who}](https://doi.org/{paper.doi})"


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, code in backquotes included."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([*_|<>\\\[\]])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def main() -> None:
    """Write all pages, and remove those of stages that there are no more."""
    FOLDER.mkdir(exist_ok=True)
    written = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in written:
            path.unlink()
    for name, content in written.items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
