"""What the documentation of a method says, taken apart: one reader for all who tell it."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import getdoc
import re
from typing import NamedTuple

UNITS = ("mm", "mm²", "mm³", "mm⁴", "ppm", "ppb", "1/s", "1/mm", "1/ppm", "ms", "s", "Hz", "rad",
         "rad/ppm", "degrees", "T", "voxels", "standard deviations", "%", "relative",
         "Relative")  # fmt: skip
"""How docstrings write the unit of a parameter; numbers without one are relative."""

_DOI = r"doi:(?P<doi>10\.\d{4,}/[^\s),;]+[^\s),;.])"
_AUTHORS = r"(?P<who>[^\W\d_][\w'’-]+(?: and [^\W\d_][\w'’-]+| et al\.)?)"
# Written as (Liu et al., 2013, doi:...), or as Liu et al. (2013, doi:...); or the DOI alone.
_PAPER = re.compile(rf"(?:{_AUTHORS},? \(?(?P<year>\d{{4}})[a-z]?, )?{_DOI}")
_UNIT = re.compile(rf"(?<![^\s,(])({'|'.join(map(re.escape, UNITS))})(?![^\s,.;:)])")


class Paper(NamedTuple):
    """A paper that a docstring cites; authors and year are empty where it gives the DOI alone."""

    who: str
    year: str
    doi: str

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.who, self.year, f"https://doi.org/{self.doi}")))


@dataclass(frozen=True)
class Description:
    """
    What a docstring in numpydoc's style says.

    Parameters
    ----------
    summary
        Its first paragraph, without DOIs.
    parameters
        Meaning of every parameter, by name.
    papers
        What it cites, in order, each once.
    """

    summary: str
    parameters: dict[str, str]
    papers: tuple[Paper, ...]


def describe(documented: object) -> Description:
    """Return what the docstring of a function, class or module says."""
    text = getdoc(documented) or ""
    first = _join(text.split("\n\n")[0])
    papers: dict[str, Paper] = {}
    for cite in _PAPER.finditer(_join(text)):
        papers.setdefault(cite["doi"], Paper(cite["who"] or "", cite["year"] or "", cite["doi"]))
    return Description(
        summary=re.sub(rf"(, | \()?{_DOI}", "", first),
        parameters=_parameters(text),
        papers=tuple(papers.values()),
    )


def unit_of(meaning: str) -> str:
    """Return the unit that the meaning of a parameter names, empty if it names none."""
    found = _UNIT.search(meaning)
    return found[1].replace("Relative", "relative") if found else ""


def _parameters(text: str) -> dict[str, str]:
    """Return the meaning of every entry of the section on parameters."""
    found = re.search(
        r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", text, re.MULTILINE | re.DOTALL
    )
    section = found[1] if found else ""
    entries = re.findall(r"^(\S.*)\n((?:[ \t]+.*\n?|\n)*)", section, re.MULTILINE)
    return {
        name.strip(" *"): _join(meaning)
        for names, meaning in entries
        for name in names.split(" : ")[0].split(",")
    }


def _join(text: str) -> str:
    """Return text in one line, without the marks of code and mathematics."""
    return " ".join(re.sub(r":math:`([^`]*)`", r"\1", text).replace("``", "`").split())
