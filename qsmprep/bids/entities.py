"""File names as BIDS spells them: entities in their order, then a suffix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import re

# fmt: off
ORDER = (
    "sub", "ses", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec",
    "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split",
    "recording", "chunk", "from", "to", "mode", "seg", "res", "den", "label", "desc",
)
# fmt: on
"""The order of the specification; ``from to mode`` stand where other BIDS Apps put them."""

_ENTITY = "[a-z]+-[a-zA-Z0-9+]+"
_NAME = re.compile(rf"((?P<entities>{_ENTITY}(_{_ENTITY})*)_)?(?P<suffix>[a-zA-Z0-9+]+)")


def parse_name(path: Path) -> tuple[dict[str, str], str]:
    """
    Return the entities and the suffix of a file name, values as they are written.

    Raises
    ------
    ValueError
        If the name is not built as BIDS builds names.
    """
    match = _NAME.fullmatch(path.name.partition(".")[0])
    if match is None:
        raise ValueError(path.name)
    return split_entities(match["entities"] or ""), match["suffix"]


def split_entities(stem: str) -> dict[str, str]:
    """Return the entities of a name without suffix."""
    return {} if not stem else dict(pair.split("-", 1) for pair in stem.split("_"))


def sort_entities(entities: Mapping[str, str]) -> dict[str, str]:
    """Return entities in the order of the specification, unknown ones last."""
    known = [name for name in ORDER if name in entities]
    other = sorted(entities.keys() - set(ORDER))
    return {name: entities[name] for name in known + other}


def join_entities(entities: Mapping[str, str]) -> str:
    """Return a name without suffix, entities in the order of the specification."""
    return "_".join(f"{name}-{label}" for name, label in sort_entities(entities).items())


def folder_of(stem: str) -> Path:
    """Return the folder, ``sub-01/ses-1`` or ``sub-01``, that files named `stem` belong to."""
    entities = split_entities(stem)
    return Path(*(f"{name}-{entities[name]}" for name in ("sub", "ses") if name in entities))
