"""Files of models: what is asked is understood, and mistakes are named before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest

from qsmprep.errors import RequestError
from qsmprep.group.model_files import read_plan


def fit(
    data: pd.DataFrame,
    *,
    formula: str,
    levels: Sequence[str] = (),
    confidence: float = 0.95,
    permutations: int = 1000,
    firth: bool = False,
):
    """Stand for the function of a kind; only its signature counts here."""


KINDS = {"line": (fit, "participants"), "visits": (fit, "acquisitions")}
GOOD = """
[data]
reference = "csf"

[harmonise]
method = "combat"

[model.one]  # the first
kind = "line"
formula = "chi ~ age"   # as it was typed
for = ["putamen", "caudate"]

[model.two]
kind = "visits"
formula = "chi_putamen ~ age"
levels = ["HC", "MS"]
reference = "whole-brain"
where = "age > 50"
"""


@pytest.fixture
def plan(tmp_path):
    def read(text, **others):
        path = tmp_path / "models.toml"
        path.write_text(text, encoding="utf-8")
        return read_plan([path], KINDS, **others)

    return read


def test_a_file_says_all_that_is_computed(plan):
    read = plan(GOOD)
    one, two = read.models
    assert (one.name, one.kind, one.rows) == ("one", "line", "participants")
    assert one.keys == {"formula": "chi ~ age"}
    assert one.regions == ("putamen", "caudate")
    assert one.measure.reference == "csf"
    assert two.rows == "acquisitions", "what its kind says"
    assert two.keys["levels"] == ("HC", "MS")
    assert two.measure.reference == "whole-brain", "its own goes before that of [data]"
    assert two.where == "age > 50"
    assert read.harmonise == {"method": "combat"}


def test_the_page_gets_the_lines_as_they_were_typed(plan):
    one, two = plan(GOOD).models
    assert one.text.splitlines()[0] == "[model.one]  # the first"
    assert "# as it was typed" in one.text
    assert 'for = ["putamen", "caudate"]' in one.text
    assert "visits" not in one.text
    assert two.text.splitlines()[-1] == 'where = "age > 50"'


def test_the_method_of_the_command_line_goes_before_that_of_the_file(plan):
    assert plan(GOOD, method="scanner").harmonise == {"method": "scanner"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model.a]\nkind = 'line'", "models.toml: [model.a] lacks the key formula"),
        ("[model.a]\nkind = 'lime'\nformula = 'x'", "does not exist; there are line, visits"),
        ("[model.a]\nformula = 'x'", "[model.a] has no kind; there are line, visits"),
        ("[model.a]\nkind = 'line'\nformla = 'x'", "no key \"formla\"; did you mean formula?"),
        ("[model.a]\nkind = 'line'\nformula = 3", "formula = 3: give text, in quotes"),
        (
            "[model.a]\nkind = 'line'\nformula = 'x'\nlevels = 'HC'",
            'levels = "HC": give a list',
        ),
        (
            "[model.a]\nkind = 'line'\nformula = 'x'\npermutations = 9.5",
            "permutations = 9.5: give a whole number",
        ),
        (
            "[model.a]\nkind = 'line'\nformula = 'x'\nfirth = 1",
            "firth = 1: give true or false",
        ),
        (
            "[model.a]\nkind = 'line'\nformula = 'x'\nfor = ['a', 'a']",
            "for: a stands there more than once",
        ),
        ("[model.a]\nkind = 'line'\nformula = 'x'\nfor = 3", "for: give names of regions"),
        ("[model.'a b']\nkind = 'line'\nformula = 'x'", "a folder gets this name"),
        ("[models.a]\nkind = 'line'", 'no table "models"; did you mean model?'),
        ("[model]\na = 3", "[model] a: give the model a name"),
        ("model = 3", "model is no table"),
        ("[model.a\n", "cannot be read as TOML"),
        ("", "asks for nothing"),
        (
            "[dat]\natlas = 'x'\n[model.a]\nkind = 'line'\nformula = 'x'",
            'no table "dat"; did you mean data?',
        ),
        (
            "[data]\nreferenc = 'x'\n[model.a]\nkind = 'line'\nformula = 'x'",
            "[data] there is no key \"referenc\"; did you mean reference?",
        ),
        (
            "[model.a]\nkind = 'line'\nformula = 'x'\nchi_from = 'last'",
            "chi_from: choose first or session",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_is_right(plan, text, said):
    with pytest.raises(RequestError) as caught:
        plan(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_models_of_one_name_are_refused(plan, tmp_path):
    plan(GOOD)
    other = tmp_path / "more.toml"
    other.write_text("[model.one]\nkind = 'line'\nformula = 'x'\n", encoding="utf-8")
    with pytest.raises(RequestError, match=r"more\.toml: \[model\.one\] there is another"):
        read_plan([tmp_path / "models.toml", other], KINDS)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RequestError, match="there is no such file"):
        read_plan([tmp_path / "none.toml"], KINDS)


def test_text_that_is_no_utf8_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes("[model.a]\nkind = 'liné'\n".encode("latin-1"))
    with pytest.raises(RequestError, match="line 2 is not in UTF-8"):
        read_plan([path], KINDS)
