"""Labels that somebody else has made: where they are, what they mean, which space they are in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.derivatives import derivative_path
from qsmprep.bids.entities import folder_of, parse_name, split_entities
from qsmprep.bids.headers import Header, grid_difference, read_header
from qsmprep.bids.label_images import LabelImage, reach_beyond, read_labels
from qsmprep.bids.lookups import LOOKUPS, harmonise, read_lookup, shipped_lookup
from qsmprep.bids.models import Acquisition, Anatomy, ExistingLabels, Fault, Plan
from qsmprep.bids.needs import select
from qsmprep.errors import RequestError
from qsmprep.methods.regions import Region

IMAGES = ("_dseg.nii.gz", "_dseg.nii", "_dseg.mgz")

NOT_COMPARED = ("space", "seg", "atlas", "desc", "res", "den")
"""Entities that a segmentation may have beside those of the image that it is of."""

WHOLE = ("aparcaseg", "aparcDKTaseg", "aparcDKTatlasaseg")
"""What segmentations of cortex and nuclei are called, where there are those of either, too."""

CORE = frozenset((10, 11, 12, 13, 17, 18, 49, 50, 51, 52, 53, 54))
"""Nuclei of FreeSurfer's numbering: what has all of them and nothing unknown to it, is of it."""


def find_images(folder: Path) -> list[Path]:
    """Return all segmentations in a folder of derivatives."""
    return sorted(
        path
        for path in folder.glob("sub-*/**/*_dseg.*")
        if path.name.endswith(IMAGES) and split_name(path) is not None
    )


def split_name(path: Path) -> dict[str, str] | None:
    """Return the entities of a file, or None if BIDS does not name files so."""
    try:
        return parse_name(path)[0]
    except ValueError:
        return None


@cache
def read_segmentations(folder: Path, lookup: str) -> Atlas:
    """
    Return what the labels in a folder mean, as an atlas without heads.

    It has a region for every label that any image in the folder has, so that all tables of a
    study have the same rows, whoever of it is processed.

    Parameters
    ----------
    folder
        Derivatives in BIDS.
    lookup
        ``freesurfer``, ``synthseg``, ``mricloud``, ``cerebra``, a table, or empty: then the
        ``*_dseg.tsv`` in the folder, or the numbering if that can be nothing but FreeSurfer's.

    Raises
    ------
    RequestError
        If there is nothing, or nobody says what the labels mean.
    """
    if not folder.is_dir():
        raise RequestError(f"-d segmentation={folder}: there is no such folder; check it")
    paths = find_images(folder)
    if not paths:
        raise RequestError(
            f"-d segmentation={folder}: holds no sub-*/**/*_dseg.nii.gz, .nii or .mgz; "
            "give a folder of derivatives in BIDS"
        )
    paths = _preferred(paths)
    images = [image for path in paths if isinstance(image := read_labels(path), LabelImage)]
    labels = frozenset().union(*(image.labels for image in images))
    table, name = _meaning(folder, lookup, labels)
    known = {region.index: region for region in table}
    unknown = [Region(index, f"label-{index}", "M") for index in sorted(labels - known.keys())]
    kept = [region for region in table if region.index in labels]
    regions = _unique(harmonise([*kept, *unknown]))
    text = "".join(f"{r.index}\t{r.name}\t{r.hemisphere}\n" for r in regions)
    return Atlas(
        name=_common_name(paths) or name,
        folder=folder,
        license="",
        reference="",
        members=(),
        regions=regions,
        digest=sha256(text.encode()).hexdigest()[:12],
        source=f"segmentations in {folder}, labels by {name}",
    )


def with_segmentations(plan: Plan, folder: Path) -> Plan:
    """Return the plan with the labels of each acquisition, without those that have none."""
    return select(plan, lambda acquisition: _with_labels(acquisition, folder))


def _meaning(folder: Path, lookup: str, labels: frozenset[int]) -> tuple[tuple[Region, ...], str]:
    """Return what labels mean, and by what."""
    if lookup in LOOKUPS:
        return shipped_lookup(lookup), lookup
    if lookup and not Path(lookup).is_file():
        raise RequestError(
            f"segmentation.lookup = {lookup}: neither a table nor one of {', '.join(LOOKUPS)}; "
            "check it"
        )
    if lookup:
        return read_lookup(Path(lookup)), Path(lookup).stem
    tables = sorted({*folder.glob("*dseg.tsv"), *folder.glob("sub-*/**/*_dseg.tsv")})
    if tables:
        return _join(_preferred(tables)), "dseg.tsv"
    freesurfer = shipped_lookup("freesurfer")
    if labels >= CORE and labels <= {region.index for region in freesurfer}:
        return freesurfer, "freesurfer"
    raise RequestError(
        f"-d segmentation={folder}: has no *_dseg.tsv (index, name, hemisphere) that says what "
        "its labels mean; add one beside the images, or name a table by "
        f"--set segmentation.lookup=FILE, or {' or '.join(LOOKUPS)}"
    )


def _join(tables: Sequence[Path]) -> tuple[Region, ...]:
    """Return the rows of all tables, which must not contradict each other."""
    rows: dict[int, tuple[Region, Path]] = {}
    for path in tables:
        for region in read_lookup(path):
            first, where = rows.setdefault(region.index, (region, path))
            if region != first:
                raise RequestError(
                    f"{path}: label {region.index} is {region.name} {region.hemisphere}, but "
                    f"{first.name} {first.hemisphere} in {where}; a study has one numbering"
                )
    return tuple(region for region, _ in rows.values())


def _unique(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Return the regions with the index behind a name that two of them have on one side."""
    keys = [(region.name, region.hemisphere) for region in regions]
    return tuple(
        replace(region, name=f"{region.name}-{region.index}") if keys.count(key) > 1 else region
        for region, key in zip(regions, keys, strict=True)
    )


def _common_name(paths: Sequence[Path]) -> str:
    """Return what all segmentations call themselves."""
    for entity in ("seg", "atlas", "desc"):
        names = {(split_name(path) or {}).get(entity, "") for path in paths}
        if len(names) == 1 and (name := names.pop()):
            return name
    return ""


def _preferred(paths: Sequence[Path]) -> list[Path]:
    """Return the segmentations, less those that have one of cortex and nuclei beside them."""
    whole = [path for path in paths if (split_name(path) or {}).get("desc") in WHOLE]
    folders = {path.parent for path in whole}
    return [path for path in paths if path in whole or path.parent not in folders]


def _with_labels(acquisition: Acquisition, folder: Path) -> Acquisition | Fault:
    if acquisition.t1w is None:  # has no regions anyway, and says so
        return acquisition
    first = acquisition.files[0]
    echo, broken = read_header(first, n_volumes=None)
    t1w, faults = read_header(acquisition.t1w.path)
    if echo is None or t1w is None:
        return (*broken, *faults)[0]
    echo = replace(echo, shape=echo.shape[:3])
    found: list[tuple[LabelImage, str]] = []
    for path in _of_participant(acquisition, folder):
        space = _space(path, acquisition, acquisition.t1w)
        if space is None:
            continue
        image = read_labels(path)
        if isinstance(image, Fault):
            return image
        if space == "either":
            on_echo, on_t1w = (not grid_difference(grid, image.header) for grid in (echo, t1w))
            if on_echo and on_t1w:
                fact = "lies on the grid of the echoes and of the T1w, and does not say of which"
                return Fault(path, fact, f"name it with space-T1w or space-{acquisition.suffix}")
            space = "GRE" if on_echo else "T1w"
        found.append((image, space))
    return _choose(acquisition, folder, found, echo, t1w)


def _choose(
    acquisition: Acquisition,
    folder: Path,
    found: Sequence[tuple[LabelImage, str]],
    echo: Header,
    t1w: Header,
) -> Acquisition | Fault:
    """Return the acquisition with its labels: those in its own space if there are any."""
    here = [image for image, space in found if space == "GRE"]
    images = here or [image for image, _ in found]
    if not images:
        stem = acquisition.t1w.stem if acquisition.t1w else acquisition.stem
        path = folder / derivative_path(stem, suffix="dseg", space="T1w")
        fact = f"is missing, the segmentation of {acquisition.key}"
        return Fault(path, fact, "add it, or leave the participant out")
    if len(images) > 1:
        names = ", ".join(image.header.path.name for image in images[1:])
        fact = f"is one of several segmentations of {acquisition.key}, with {names}"
        return Fault(images[0].header.path, fact, "give a folder with one of them")
    (image,) = images
    path = image.header.path
    if here:
        if difference := grid_difference(echo, image.header):
            return Fault(path, difference, "resample it to the echoes, labels as they are")
        return replace(acquisition, labels_given=ExistingLabels(path, "GRE"))
    if beyond := reach_beyond(image, t1w):
        fact = f"its labels reach {beyond:.0f} mm beyond the T1w {t1w.path.name}"
        return Fault(path, fact, "bring them into the world of that image, on any grid")
    return replace(acquisition, labels_given=ExistingLabels(path, "T1w"))


def _of_participant(acquisition: Acquisition, folder: Path) -> list[Path]:
    participant = folder / folder_of(acquisition.stem).parts[0]
    paths = sorted(participant.glob("**/*_dseg.*"))
    return _preferred([p for p in paths if p.name.endswith(IMAGES) and split_name(p) is not None])


def _space(path: Path, acquisition: Acquisition, t1w: Anatomy) -> str | None:
    """Return which image a file is of by its name: `GRE`, `T1w`, `either` or none."""
    entities = split_name(path) or {}
    space = entities.get("space")
    own = {name: label for name, label in entities.items() if name not in NOT_COMPARED}
    of_echoes = own == split_entities(acquisition.stem) and space in (None, acquisition.suffix)
    of_t1w = own == split_entities(t1w.stem) and space in (None, "T1w")
    if of_echoes and of_t1w:
        return "either"
    return "GRE" if of_echoes else "T1w" if of_t1w else None
