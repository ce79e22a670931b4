"""Names of outputs."""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path

from qsmprep.bids.entities import ORDER, folder_of, join_entities, split_entities
from qsmprep.files import atomic_write_text


def derivative_path(
    stem: str,
    *,
    suffix: str,
    extension: str = ".nii.gz",
    from_: str | None = None,
    to: str | None = None,
    **entities: str | None,
) -> Path:
    """
    Return where an output goes, below the output folder.

    Parameters
    ----------
    stem
        Name of the outputs of an acquisition or anatomy, ``sub-01_ses-1_acq-x``.
    suffix
        What it is, ``Chimap``.
    extension
        With its dot.
    from_, to
        Spaces that a transform connects, or None.
    **entities
        ``desc``, ``space``, ``seg``, ``label``, ``res`` ...; None leaves one out.
    """
    if from_ is not None or to is not None:
        entities |= {"from": from_, "to": to, "mode": "image"}
    return folder_of(stem) / "anat" / _name(stem, suffix, extension, entities)


def figure_path(
    stem: str, *, suffix: str, extension: str = ".svg", **entities: str | None
) -> Path:
    """Return where a figure of a report goes, below the output folder."""
    participant = folder_of(stem).parts[0]
    return Path(participant) / "figures" / _name(stem, suffix, extension, entities)


def _name(stem: str, suffix: str, extension: str, entities: Mapping[str, str | None]) -> str:
    given = {name: label for name, label in entities.items() if label is not None}
    if unknown := given.keys() - set(ORDER):
        raise ValueError(f"no BIDS entity: {', '.join(sorted(unknown))}")
    return f"{join_entities(split_entities(stem) | given)}_{suffix}{extension}"


def sidecar_path(path: Path) -> Path:
    """Return the name of the sidecar of an output."""
    return path.with_name(path.name.partition(".")[0] + ".json")


def bids_uri(path: str | Path, bids_dir: str | Path) -> str:
    """Return how outputs name a file of the dataset they were made from, ``bids:raw:sub-01/…``."""
    # Not resolved: the files of a DataLad dataset are links out of it.
    return f"bids:raw:{Path(path).absolute().relative_to(Path(bids_dir).absolute()).as_posix()}"


def write_json(path: str | Path, content: Mapping[str, object]) -> Path:
    """Write a sidecar, and return its path."""
    # BIDS readers are strict: NaN is not JSON.
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return atomic_write_text(path, text + "\n")
