"""Lesions that somebody else has marked: where they are, and which space they are in."""

from __future__ import annotations

from collections.abc import Sequence
import csv
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import nibabel as nb
import numpy as np

from qsmprep.bids.entities import folder_of, parse_name, split_entities
from qsmprep.bids.headers import Header, grid_difference, read_header
from qsmprep.bids.label_images import LabelImage, reach_beyond, read_labels
from qsmprep.bids.models import Acquisition, Fault, GivenLesions, Issue, LesionImage, Plan
from qsmprep.bids.needs import select
from qsmprep.errors import RequestError
from qsmprep.geometry import Geometry
from qsmprep.methods.lesions import find_lesions

EXTENSIONS = (".nii.gz", ".nii", ".mgz")

LABELS = {
    "lesions": ("lesion", "lesions"),
    "veins": ("vein", "veins", "vessel", "vessels"),
    "enhancing": ("gd", "gadolinium", "enhancing", "enhancement"),
}
"""What the entity ``label`` of a mask may say, in small letters."""

NAMES = {"lesions": "lesions", "veins": "veins", "enhancing": "enhancing lesions"}

NOT_COMPARED = ("space", "label", "seg", "atlas", "desc", "res", "den")
"""Entities that a mask may have beside those of the image that it was drawn on."""

READINGS = ("lesion_id", "rim", "enhancement", "reader")
"""Columns of a reader's table; the first has to be there."""

Space = Literal["FLAIR", "T1w", "GRE"]


def check_folder(folder: Path) -> None:
    """Raise an error unless there is a folder with lesions of somebody."""
    if not folder.is_dir():
        raise RequestError(f"-d lesions={folder}: there is no such folder; check it")
    if not any(kind_of(path) == "lesions" for path in folder.glob("sub-*/**/*")):
        raise RequestError(
            f"-d lesions={folder}: holds no sub-*/**/*_label-lesion_mask.nii.gz or "
            "*_label-lesion_dseg.nii.gz; give a folder of derivatives in BIDS"
        )


def kind_of(path: Path) -> str | None:
    """Return what an image shows by its name: `lesions`, `veins`, `enhancing` or nothing."""
    if not path.name.endswith(EXTENSIONS):
        return None
    try:
        entities, suffix = parse_name(path)
    except ValueError:
        return None
    if suffix == "mask":
        label = entities.get("label", "").lower()
        return next((kind for kind, labels in LABELS.items() if label in labels), None)
    said = {entities[name].lower() for name in ("label", "seg", "atlas", "desc")
            if name in entities}  # fmt: skip
    return "lesions" if suffix == "dseg" and said <= set(LABELS["lesions"]) else None


def with_lesions(plan: Plan, folder: Path, bids_dir: Path, minimum_mm3: float) -> Plan:
    """
    Return the plan with the lesions of each acquisition, without those whose lesions are broken.

    An acquisition of whose lesions nothing is told is processed without them, with a warning: a
    control has none, but then an empty mask says so.

    Parameters
    ----------
    plan
        What would be processed.
    folder
        Derivatives in BIDS.
    bids_dir
        The dataset, which has the FLAIR images.
    minimum_mm3
        Least volume of a lesion of a mask, mm³.
    """
    plan = select(
        plan, lambda acquisition: _with_lesions(acquisition, folder, bids_dir, minimum_mm3)
    )
    lacking = [
        Issue(
            *(one.participant, one.session, one.key, "warning", None),
            f"no lesions of it in {folder}, so that none are measured",
            "add a mask, an empty one if there are none",
        )
        for one in plan.acquisitions
        if one.t1w and one.lesions is None
    ]
    return replace(plan, issues=(*plan.issues, *lacking))


def _with_lesions(
    acquisition: Acquisition, folder: Path, bids_dir: Path, minimum_mm3: float
) -> Acquisition | Fault:
    if acquisition.t1w is None:  # has no white matter to compare with, and says so
        return acquisition
    paths, flairs = _of_session(acquisition, folder), _flairs(acquisition, bids_dir)
    images: dict[str, LesionImage] = {}
    for kind in LABELS:
        found = _choose(acquisition, kind, paths, flairs)
        if isinstance(found, Fault):
            return found
        if found is not None:
            fault = _check(found, kind, acquisition, flairs)
            if fault:
                return fault
            images[kind] = found
    if "lesions" not in images:
        return acquisition
    image = images["lesions"]
    readings = _read_readings(paths, image, minimum_mm3)
    if isinstance(readings, Fault):
        return readings
    on_flair = [one.path for one in images.values() if one.space == "FLAIR"]
    given = GivenLesions(
        image,
        _is_numbered(image.path),
        _flair_of(on_flair[0], flairs)[0] if on_flair else None,
        images.get("veins"),
        images.get("enhancing"),
        readings,
    )
    if len({_flair_of(path, flairs)[0] for path in on_flair}) > 1:
        fact = "was drawn on another FLAIR image than other masks of the session"
        return Fault(on_flair[-1], fact, "give all in the space of one image")
    return replace(acquisition, lesions=given)


def _of_session(acquisition: Acquisition, folder: Path) -> list[Path]:
    """Return everything in the folder that is of the session of an acquisition."""
    who = acquisition.participant, acquisition.session
    participant = folder / f"sub-{acquisition.participant}"
    paths = []
    for path in sorted(participant.glob("**/*")):
        try:
            entities, _ = parse_name(path)
        except ValueError:
            continue
        if (entities.get("sub"), entities.get("ses")) == who:
            paths.append(path)
    return paths


def _flairs(acquisition: Acquisition, bids_dir: Path) -> list[Path]:
    folder = bids_dir / folder_of(acquisition.stem) / "anat"
    return sorted(path for path in folder.glob("*_FLAIR.nii*") if path.name.endswith(EXTENSIONS))


def _own(path: Path) -> dict[str, str]:
    """Return the entities that an image shares with the one it was drawn on."""
    return {name: label for name, label in parse_name(path)[0].items() if name not in NOT_COMPARED}


def _flair_of(path: Path, flairs: Sequence[Path]) -> list[Path]:
    """Return the FLAIR images that a mask may be of: the one of its name, or all with more."""
    own = _own(path).items()
    exact = [flair for flair in flairs if parse_name(flair)[0].items() == own]
    return exact or [flair for flair in flairs if own <= parse_name(flair)[0].items()]


def _space(path: Path, acquisition: Acquisition) -> Space | Literal["other"] | None:
    """Return which image a mask is of by its name, `other` if of none, None if of another's."""
    space = parse_name(path)[0].get("space")
    if space == "FLAIR":
        return "FLAIR"
    if space == "T1w" and acquisition.t1w:
        own = _own(path) | {"ses": acquisition.t1w.session or ""}  # it may be of another session
        of_t1w = {"ses": ""} | split_entities(acquisition.t1w.stem)
        return "T1w" if own.items() <= of_t1w.items() else None
    if space == acquisition.suffix:
        return "GRE" if _own(path) == split_entities(acquisition.stem) else None
    return "other"


def _choose(
    acquisition: Acquisition, kind: str, paths: Sequence[Path], flairs: Sequence[Path]
) -> LesionImage | Fault | None:
    """Return the one image of a kind that can be used, None where there is nothing."""
    of_kind = [path for path in paths if kind_of(path) == kind]
    found: list[LesionImage] = []
    for path in of_kind:
        space = _space(path, acquisition)
        if space == "other" or space is None:
            continue
        if space == "FLAIR" and (fault := _flair_fault(path, flairs)):
            return fault
        found.append(LesionImage(path, space))
    # Numbers tell more than a mask, and tools write both.
    numbered = [one for one in found if _is_numbered(one.path)]
    found = numbered or found
    if len(found) > 1:
        names = ", ".join(one.path.name for one in found[1:])
        fact = f"is one of several images of {NAMES[kind]} of {acquisition.key}, with {names}"
        return Fault(found[0].path, fact, "give a folder with one of them")
    others = [path for path in of_kind if _space(path, acquisition) == "other"]
    if not found and others:
        named = parse_name(others[0])[0].get("space")
        fact = f"is in the space {named}" if named else "does not say which image it was drawn on"
        remedy = (
            f"carry it to space-FLAIR, space-T1w or space-{acquisition.suffix}, and name it so"
        )
        return Fault(others[0], fact, remedy)
    return found[0] if found else None


def _flair_fault(path: Path, flairs: Sequence[Path]) -> Fault | None:
    matching = _flair_of(path, flairs)
    if not matching:
        fact = "is in the space of a FLAIR image that the session does not have"
        return Fault(path, fact, "add *_FLAIR.nii.gz to its anat folder, or give it on the T1w")
    if len(matching) > 1:
        names = " and ".join(flair.name for flair in matching)
        return Fault(path, f"may be of {names}", "name it with the entities of one of them")
    return None


def _check(
    image: LesionImage, kind: str, acquisition: Acquisition, flairs: Sequence[Path]
) -> Fault | None:
    """Return what is wrong with an image of lesions, or None."""
    labels = read_labels(image.path, may_be_empty=True)
    if isinstance(labels, Fault):
        return labels
    if image.space == "GRE":
        first = acquisition.files[0]
        echo, faults = read_header(first, n_volumes=None)
        if echo is None:
            return faults[0]
        echo = replace(echo, shape=echo.shape[:3])
        difference = grid_difference(echo, labels.header)
        remedy = "resample it to the echoes, labels as they are"
        return Fault(image.path, difference, remedy) if difference else None
    if image.space == "T1w" and acquisition.t1w:
        path = acquisition.t1w.path
    else:
        path = _flair_of(image.path, flairs)[0]
    other, faults = read_header(path)
    return faults[0] if other is None else _beyond(labels, other, NAMES[kind])


def _beyond(labels: LabelImage, other: Header, what: str) -> Fault | None:
    if not (beyond := reach_beyond(labels, other)):
        return None
    fact = f"its {what} reach {beyond:.0f} mm beyond {other.path.name}"
    return Fault(labels.header.path, fact, "bring them into the world of that image, on any grid")


def _numbers(path: Path, minimum_mm3: float) -> set[int]:
    """Return the numbers that lesions of an image have, or get, which has been read before."""
    image = cast(nb.Nifti1Image, nb.load(path))
    array = np.asarray(image.dataobj)
    array = np.rint(array.reshape(array.shape[:3])).astype(np.int32)
    drawn = array if _is_numbered(path) else array > 0
    geometry = Geometry.from_affine(image.affine)
    return {*find_lesions(drawn, geometry, minimum_mm3=minimum_mm3).volumes_mm3}


def _is_numbered(path: Path) -> bool:
    return parse_name(path)[1] == "dseg"


def _read_readings(
    paths: Sequence[Path], image: LesionImage, minimum_mm3: float
) -> tuple[dict[str, str], ...] | Fault:
    """Return the rows of the reader's table of a session, none if there is no table."""
    tables = [path for path in paths if path.name.endswith("_lesions.tsv")]
    tables = [path for path in tables if "desc" not in parse_name(path)[0]]
    if len(tables) > 1:
        fact = f"is one of several tables of a session, with {tables[1].name}"
        return Fault(tables[0], fact, "keep one, with a row per lesion and reader")
    return _rows(tables[0], image, minimum_mm3) if tables else ()


def _rows(
    path: Path, image: LesionImage, minimum_mm3: float
) -> tuple[dict[str, str], ...] | Fault:
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = list(csv.DictReader(text.splitlines(), delimiter="\t", strict=True))
    except (OSError, ValueError, csv.Error) as error:
        return Fault(path, f"cannot be read as a table ({error})", "write it as TSV in UTF-8")
    if table and READINGS[0] not in table[0]:
        return Fault(path, "has no column lesion_id", f"give {', '.join(READINGS)}")
    rows = [{name: (row.get(name) or "n/a").strip() for name in READINGS} for row in table]
    if wrong := [row["lesion_id"] for row in rows if not row["lesion_id"].isdecimal()]:
        return Fault(path, f"has the lesion_id {wrong[0]}", "give the number in the image")
    keys = [(int(row["lesion_id"]), row["reader"]) for row in rows]
    if twice := [key for key in keys if keys.count(key) > 1]:
        fact = f"has two rows of lesion {twice[0][0]} by the same reader"
        return Fault(path, fact, "keep one, or name the readers")
    if unknown := sorted({number for number, _ in keys} - _numbers(image.path, minimum_mm3)):
        fact = f"has a lesion {unknown[0]}, which {image.path.name} has not"
        return Fault(path, fact, "correct either")
    return tuple(row | {"lesion_id": str(int(row["lesion_id"]))} for row in rows)
