"""What labels mean: look-up tables, and one vocabulary for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
import csv
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
import re

from qsmprep.errors import RequestError
from qsmprep.methods.regions import Region

LOOKUPS = ("freesurfer", "synthseg", "mricloud", "cerebra")
"""Tables that come with qsmprep; docs/input.md says where each was taken from."""

_INDEX = ("index", "id", "label", "no.", "key")
_NAME = ("name", "labelname", "label name", "label")
_HEMISPHERE = ("hemisphere", "hemi")

_SIDE = re.compile(
    r"^(?:ctx[-_.])?(?P<before>left|right|lh|rh|l|r)[-_. ]|[-_. ](?P<after>left|right|lh|rh|l|r)$",
    re.IGNORECASE,
)


@cache
def _vocabulary() -> dict[str, tuple[str, str]]:
    """Return name and tissue of each region by all that it is called."""
    known = {}
    for row in _rows(files("qsmprep.data").joinpath("regions.tsv").read_text("utf-8")):
        also = [] if row["also"] == "n/a" else row["also"].split(", ")
        for name in (row["name"], *also):
            known[_bare(name)] = row["name"], row["tissue"]
    return known


def tissue_of(name: str) -> str | None:
    """Return `grey`, `white`, `fluid` or `mixed` for a region of the vocabulary, else None."""
    return _vocabulary().get(_bare(name), (None, None))[1]


def shipped_lookup(name: str) -> tuple[Region, ...]:
    """Return one of the tables that come with qsmprep."""
    text = files("qsmprep.data").joinpath(f"lookups/{name}.tsv").read_text("utf-8")
    return tuple(Region(int(row["index"]), row["name"], row["hemisphere"]) for row in _rows(text))


def read_lookup(path: Path) -> tuple[Region, ...]:
    """
    Return what somebody else's table says, in their words.

    Tables of BIDS (``.tsv``), with commas (``.csv``), and look-up tables of FreeSurfer (``.txt``:
    index and name, then colours) are read. The side comes from a column ``hemisphere`` or
    ``hemi``, else from the name, as in ``Left-Putamen``; what has none counts as midline.

    Raises
    ------
    RequestError
        If it cannot be read, or has no column of indices or names.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read as a table ({error}); correct it") from error
    pairs = _colour_table(text) if path.suffix == ".txt" else _table(path, text)
    # BIDS and FreeSurfer list the background, too.
    regions = tuple(Region(index, *_name_and_side(*rest)) for index, *rest in pairs if index)
    twice = [str(i) for i, n in Counter(region.index for region in regions).items() if n > 1]
    if twice:
        raise RequestError(f"{path}: the index {', '.join(twice)} stands there twice; keep one")
    if not regions:
        raise RequestError(f"{path}: lists no region; add a line for each label")
    return regions


def harmonise(regions: Iterable[Region]) -> tuple[Region, ...]:
    """
    Return the regions under the names of the vocabulary.

    What it does not know keeps its name, and so do regions of one side that would share one.
    """
    given = tuple(regions)
    known = _vocabulary()
    renamed = [
        replace(region, name=known.get(_bare(region.name), (region.name, None))[0])
        for region in given
    ]
    count = Counter((region.name, region.hemisphere) for region in renamed)
    return tuple(
        old if count[new.name, new.hemisphere] > 1 else new
        for old, new in zip(given, renamed, strict=True)
    )


def _bare(name: str) -> str:
    """Return the letters and digits of a name, which are all that tables agree on."""
    return "".join(character for character in name.lower() if character.isalnum())


def _rows(text: str, delimiter: str = "\t") -> Iterator[dict[str, str]]:
    return csv.DictReader(text.splitlines(), delimiter=delimiter)


def _table(path: Path, text: str) -> Iterator[tuple[int, str, str]]:
    rows = [
        {(name or "").strip().lower(): (value or "") for name, value in row.items() if name}
        for row in _rows(text, "," if path.suffix == ".csv" else "\t")
    ]
    columns = list(rows[0]) if rows else []
    index = next((name for name in _INDEX if name in columns), None)
    name = next((name for name in _NAME if name in columns and name != index), None)
    if index is None or name is None:
        raise RequestError(
            f"{path}: has no columns index and name; give index, name and hemisphere, "
            "separated by tabs"
        )
    side = next((name for name in _HEMISPHERE if name in columns), "")
    for row in rows:
        if not _is_index(row[index].strip()):
            raise RequestError(f"{path}: the index {row[index]!r} is no whole number; correct it")
        yield int(row[index]), row[name].strip(), row.get(side, "").strip()


def _is_index(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


def _colour_table(text: str) -> Iterator[tuple[int, str, str]]:
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and _is_index(words[0]):
            yield int(words[0]), words[1], ""


def _name_and_side(name: str, side: str) -> tuple[str, str]:
    """Return a name without its side, and the side that is said or in the name."""
    found = _SIDE.search(name)
    inside = found and (found["before"] or found["after"])
    plain = name.replace(found[0], "") if found else name
    # ``B`` of midline structures, ``n/a`` and an empty cell leave it to the name.
    said = side[:1].upper() if side[:1].upper() in ("L", "R", "M") else ""
    return _kebab(plain), said or (inside[0].upper() if inside else "M")


def _kebab(name: str) -> str:
    """Return a name as tables write it: no blanks or underscores, and small but for acronyms."""
    words = re.sub(r"[\s_]+", "-", name.strip())
    return words if words.isupper() else words.lower()
