"""The quality figures of an acquisition, out of the files that hold them."""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path

from qsmprep.methods.verdicts import worst

FILES = {
    "acquisition": "desc-acquisition_qc.json",
    "maps": "desc-qc.json",
    "regions": "desc-regions_qc.json",
}
"""What each file is about, and how its name ends, in the order in which they are made."""


def read_quality(folder: Path, stem: str) -> dict[str, dict]:
    """
    Return what the files of an acquisition say, by what they are about; those that are there.

    Parameters
    ----------
    folder
        Where its outputs lie.
    stem
        Name of its outputs without suffix.
    """
    paths = {about: folder / f"{stem}_{ending}" for about, ending in FILES.items()}
    return {
        about: json.loads(path.read_text("utf-8"))
        for about, path in paths.items()
        if path.is_file()
    }


def flatten_quality(quality: Mapping[str, Mapping]) -> dict[str, object]:
    """
    Return one row: the worst verdict, that of each file, and of each figure value and verdict.

    Parameters
    ----------
    quality
        As `read_quality` returns it.
    """
    verdicts = {about: str(said["verdict"]) for about, said in quality.items()}
    row: dict[str, object] = {"verdict": worst(verdicts.values())}
    row |= {f"{about}_verdict": verdicts.get(about, "absent") for about in FILES}
    for said in quality.values():
        for name, figure in said["figures"].items():
            row[name] = figure["value"]
            row[f"{name}_verdict"] = figure["verdict"]
    return row
