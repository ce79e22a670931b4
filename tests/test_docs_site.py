"""The site that is made of the documentation."""

import os
import re
import subprocess
import sys

from docs_blocks import ROOT
import pytest

pytest.importorskip("sphinx", reason="needs pip install '.[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the site, built with all warnings as errors and no network to ask."""
    out = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", out / "doctrees",
         "-c", "docs", ".", out / "html"],
        cwd=ROOT, env=os.environ | nowhere, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out / "html"


def test_every_page_is_in_the_site(site):
    for path in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]:
        assert (site / path.relative_to(ROOT)).with_suffix(".html").exists(), path


def test_the_site_fetches_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", path.read_text("utf-8")):
            assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", tag), (path.name, tag)
    for path in site.rglob("*.css"):
        assert not re.search(r"""@import|url\(["']?(?:https?:)?//""", path.read_text("utf-8")), (
            path
        )
