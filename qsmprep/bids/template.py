"""The template that maps are carried to: nilearn's, one of TemplateFlow's, or a user's own."""

from __future__ import annotations

from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import re

from qsmprep.bids.headers import grid_difference, read_header
from qsmprep.errors import RequestError

BUNDLED = "MNI152NLin2009aSym"
"""The template that nilearn carries in its wheel."""

SUFFIXES = {
    "t1w": "T1w",
    "mask": "desc-brain_mask",
    "csf": "label-CSF_probseg",
    "gm": "label-GM_probseg",
    "wm": "label-WM_probseg",
}
"""What a template holds, by its name in the graph: the end of a file name of TemplateFlow."""

RESOLUTIONS = ("res-01_", "res-1_", "", "res-02_", "res-2_")
"""Grids of a template, in the order of preference."""


@dataclass(frozen=True)
class Template:
    """
    A T1w of many heads, with its tissues.

    Parameters
    ----------
    name
        The X of ``tpl-X``, by which outputs call its space.
    files
        Images by the names in `SUFFIXES`; none for the bundled template.
    digest
        Twelve characters that change with any image; empty for the bundled template.
    """

    name: str = BUNDLED
    files: tuple[tuple[str, Path], ...] = ()
    digest: str = ""

    @property
    def setting(self) -> str:
        """What the protocol calls it: the same wherever it lies."""
        return f"{self.name}@{self.digest}" if self.digest else self.name

    @property
    def folder(self) -> Path | None:
        """Folder ``tpl-X``, None for the bundled template."""
        return dict(self.files)["t1w"].parent if self.files else None

    @property
    def reference(self) -> str:
        """What sidecars call its image, empty if the name of the space says it."""
        if self.folder is None:
            return ""
        return f"bids:templates:{self.folder.name}/{dict(self.files)['t1w'].name}"


MNI = Template()
"""The bundled template."""


def read_template(wanted: str) -> Template:
    """
    Return the template that a protocol asks for.

    Parameters
    ----------
    wanted
        `BUNDLED`; the name of a template that lies in ``$TEMPLATEFLOW_HOME``, which is not asked
        for over the network; or a folder ``tpl-X``.

    Raises
    ------
    RequestError
        If an image of it is missing, empty, or on another grid.
    """
    if wanted == BUNDLED:
        return MNI
    folder = _folder_of(wanted)
    name = folder.name.removeprefix("tpl-")
    if not folder.is_dir():
        raise RequestError(
            f"normalisation.template = {wanted}: there is no folder {folder}; fetch it with "
            f"TemplateFlow, give a folder tpl-X, or use {BUNDLED}, which is always there"
        )
    if not folder.name.startswith("tpl-") or not re.fullmatch("[A-Za-z0-9]+", name):
        raise RequestError(
            f"normalisation.template = {wanted}: the folder of a template is called tpl-X, with "
            "letters and digits for X, by which outputs call its space"
        )
    files = _find(folder)
    _check_grids(files)
    digest = hashlib.sha256(name.encode())
    for path in files.values():
        digest.update(path.read_bytes())
    return Template(name, tuple(files.items()), digest.hexdigest()[:12])


def templateflow_home() -> Path:
    """Return where TemplateFlow keeps its files, whether or not there is a home."""
    home = os.environ.get("TEMPLATEFLOW_HOME") or os.path.expanduser("~/.cache/templateflow")
    return Path(home).absolute()


def is_fetched(path: Path) -> bool:
    """Tell a file from the empty ones that TemplateFlow puts where it has not fetched anything."""
    return path.is_file() and path.stat().st_size > 0


def _folder_of(wanted: str) -> Path:
    """Return where a template lies, given its folder or its name."""
    if "/" in wanted or wanted.startswith("tpl-"):
        return Path(wanted).expanduser().absolute()  # steps run in folders of their own
    return templateflow_home() / f"tpl-{wanted}"


def _find(folder: Path) -> dict[str, Path]:
    """Return the images of the first grid that is complete."""
    lacking = []
    for resolution in RESOLUTIONS:
        files = {
            name: folder / f"{folder.name}_{resolution}{suffix}.nii.gz"
            for name, suffix in SUFFIXES.items()
        }
        missing = [path.name for path in files.values() if not is_fetched(path)]
        if not missing:
            return files
        lacking.append(missing)
    fewest = min(lacking, key=len)
    raise RequestError(
        f"{folder}: not there, or empty: {', '.join(fewest)}; registration and tissues need all "
        f"of them on one grid. Fetch them with TemplateFlow, add them, or use {BUNDLED}, which is "
        "always there"
    )


def _check_grids(files: dict[str, Path]) -> None:
    """Refuse images that cannot be read or are not on one grid."""
    headers = []
    for path in files.values():
        header, faults = read_header(path)
        if header is None:
            path, fact, remedy = faults[0]
            raise RequestError(f"{path}: {fact}; {remedy}")
        headers.append(header)
    for header in headers[1:]:
        if difference := grid_difference(headers[0], header):
            raise RequestError(f"{header.path}: {difference}; resample it")
