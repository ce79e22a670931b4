"""How Sphinx makes a site of the Markdown that also reads well on GitHub."""

from __future__ import annotations

from pathlib import Path
import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import qsmprep

# The source is the whole repository, so that links are the same here and on GitHub.
INDEX = Path(__file__).with_name("index.md")

project = "qsmprep"
author = copyright = "The qsmprep developers"  # noqa: A001 - Sphinx's name for it
version = release = qsmprep.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md", "examples/**.md", "README.md", "CONTRIBUTING.md", "CHANGELOG.md",
]  # fmt: skip
exclude_patterns = [".*", "demo", "work", "build", "dist", "docs/_build", "**/__pycache__"]

myst_heading_anchors = 4
highlight_language = "text"

autodoc_typehints = "none"  # the docstrings say shapes and units
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_title = f"qsmprep {version}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}


def _contents() -> str:
    """Return the contents of the site, one list for every heading of the index."""
    lists = []
    for section in INDEX.read_text(encoding="utf-8").split("\n## ")[1:]:
        pages = re.findall(r"\]\(([^):]+)\.md\)", section)
        caption = section.partition("\n")[0]
        lists.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages,
                                "```"]))  # fmt: skip
    return "\n\n".join(lists)


def _reference() -> str:
    pages = sorted(path.stem for path in (INDEX.parent / "reference").glob("*.md"))
    return "\n".join(["```{toctree}", ":hidden:", "", *(p for p in pages if p != "index"), "```"])


def _add_contents(_app, name: str, source: list[str]) -> None:
    """Add what Sphinx needs and GitHub would show as code."""
    if name == root_doc:
        source[0] += f"\n\n{_contents()}\n"
    if name == "docs/reference/index":
        source[0] += f"\n\n{_reference()}\n"


def _add_front(app, error) -> None:
    """Lead from the top of the site to its first page."""
    if error is None and app.builder.name == "html":
        front = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">\n'
        (Path(app.outdir) / "index.html").write_text(front, encoding="utf-8")


def _write_mathml(translator, node: nodes.Element) -> None:
    """Write a formula as browsers draw it themselves; MathJax would come from the network."""
    as_block = isinstance(node, nodes.math_block)
    translator.body.append(tex2mathml(node.astext(), as_block=as_block))
    raise nodes.SkipNode


def setup(app) -> None:
    """Connect the above."""
    app.add_html_math_renderer("mathml", (_write_mathml, None), (_write_mathml, None))
    app.connect("source-read", _add_contents)
    app.connect("build-finished", _add_front)
