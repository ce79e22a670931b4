"""docs/known-complaints.md names tests that exist."""

from pathlib import Path
import re

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/known-complaints.md").read_text("utf-8").splitlines()
    if re.match(r"\| \d", line)
]


def test_every_complaint_has_its_row_and_its_thread():
    assert [int(row[0]) for row in ROWS] == list(range(1, 33))
    assert all("https://github.com/" in row[1] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_tests_that_are_named_exist(row):
    *_, answer, tests = row
    if tests == "none":
        assert "not" in answer  # then it says what is not done
        return
    for name in tests.split(", "):
        file, _, test = name.strip("`").partition("::")
        text = (ROOT / "tests" / file).read_text("utf-8")
        assert not test or f"def {test}(" in text, name
