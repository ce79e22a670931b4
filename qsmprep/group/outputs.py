"""What lies in an output folder, found in one walk and sorted by acquisition."""

from __future__ import annotations

from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import re

from qsmprep.bids.entities import split_entities
from qsmprep.bids.longitudinal import SPACE
from qsmprep.bids.models import table_labels

# The space of a participant's own is not that of the template.
_NAME = re.compile(
    r"(?P<stem>sub-[a-zA-Z0-9+]+(?:_(?!space-)[a-z]+-[a-zA-Z0-9+]+)*?)_(?P<ending>"
    rf"Chimap\.json|Chimap\.nii\.gz|R2starmap\.nii\.gz|space-(?!{SPACE}_)[^_]+_Chimap\.nii\.gz|"
    rf"(?P<space>space-{SPACE}_)?seg-[^_]+_regions\.tsv|"
    r"desc-(?:acquisition_|regions_)?qc\.json|desc-chi_figure\.png)"
)

Identity = tuple[str, ...]
"""`participant_id`, `session_id`, `acquisition` and `run`, as in all tables."""


@dataclass(frozen=True)
class Outputs:
    """
    The outputs of one acquisition that the group level reads.

    Parameters
    ----------
    stem
        How their names begin.
    folder
        Where they lie.
    files
        Paths by what follows the stem, ``Chimap.json``; a space and an atlas are left out of it.
    tables
        All tables of regions in the space asked for, one per atlas.
    """

    stem: str
    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)

    @property
    def identity(self) -> Identity:
        """Whom they are of."""
        return tuple(table_labels(split_entities(self.stem)).values())

    def sidecar(self) -> dict:
        """Return what the sidecar of the map says; nothing where it is missing or broken."""
        try:
            content = json.loads(self.files["Chimap.json"].read_text("utf-8"))
        except (KeyError, OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def find_outputs(out_dir: Path, space: str = "") -> dict[Identity, Outputs]:
    """
    Return the outputs of all acquisitions, by whom they are of.

    Folders are walked once, because a study may have a hundred thousand files.

    Parameters
    ----------
    out_dir
        An output folder of the participant level.
    space
        Where regions were measured: ``participant`` for the space of all sessions; that of the
        echoes where empty.
    """
    of_space = f"space-{space}_" if space else None
    found: dict[str, Outputs] = {}
    for participant in sorted(out_dir.glob("sub-*/")):
        for folder, folders, names in os.walk(participant):
            # Figures last: they lie beside the sessions, and the folder is that of the maps.
            folders.sort(key=lambda name: (name == "figures", name))
            if Path(folder).name not in ("anat", "figures"):
                continue
            for name in sorted(names):
                if match := _NAME.fullmatch(name):
                    stem, ending = match["stem"], _kind(match["ending"])
                    if ending == "seg_regions.tsv" and match["space"] != of_space:
                        continue
                    of_it = found.setdefault(stem, Outputs(stem, Path(folder)))
                    of_it.files.setdefault(ending, Path(folder, name))
                    if ending == "seg_regions.tsv":
                        of_it.tables.append(Path(folder, name))
    return {outputs.identity: outputs for outputs in found.values()}


def _kind(ending: str) -> str:
    """Return an ending without the labels of space and atlas."""
    ending = ending.removeprefix(f"space-{SPACE}_")
    return re.sub(r"^(space|seg)-[^_]+_", lambda found: f"{found[1]}_", ending)
