"""What an atlas folder holds."""

from __future__ import annotations

from collections.abc import Iterable
import csv
from dataclasses import dataclass
import hashlib
from pathlib import Path

from qsmprep.bids.headers import grid_difference, read_header
from qsmprep.bids.label_images import read_labels
from qsmprep.bids.lookups import harmonise
from qsmprep.bids.models import Fault
from qsmprep.bids.sidecars import read_json
from qsmprep.errors import RequestError
from qsmprep.methods.regions import Region

COLUMNS = ("index", "name", "hemisphere")

INDEX_DIGITS = 6
"""Of the largest index that label images are read with."""


@dataclass(frozen=True)
class AtlasMember:
    """
    One labelled head.

    Parameters
    ----------
    label
        Its participant or template.
    t1w
        T1w image.
    dseg
        Labels, on the same grid or one that `interfaces.atlas.prepare_atlas` brings there.
    mask
        Brain, by which the same takes the skull off the T1w; none if there is nothing to take.
    chi
        Susceptibility on the grid of the T1w, ppm, zero where not known; none if not measured.
    """

    label: str
    t1w: Path
    dseg: Path
    mask: Path | None = None
    chi: Path | None = None


@dataclass(frozen=True)
class Atlas:
    """
    Labelled heads, and what their labels mean.

    Parameters
    ----------
    name
        The X of ``atlas-X``.
    folder
        Where it lies.
    license
        Terms of use, as ``dataset_description.json`` states them.
    reference
        What to cite, as ``dataset_description.json`` states it.
    members
        One template, or several heads; none where the labels are made elsewhere.
    regions
        What the labels mean, in the order of the table.
    digest
        Twelve characters that change with the name, the table or any image.
    source
        Where it comes from, for people.
    """

    name: str
    folder: Path
    license: str
    reference: str
    members: tuple[AtlasMember, ...]
    regions: tuple[Region, ...]
    digest: str
    source: str = ""

    @property
    def credits(self) -> dict[str, str]:
        """What outputs tell of it: name, licence, what to cite and where it comes from."""
        told = {
            "Name": self.name,
            "License": self.license,
            "References": self.reference,
            "Source": self.source,
        }
        return {key: value for key, value in told.items() if value}


def read_atlas(folder: str | Path) -> Atlas:
    """
    Return the atlas in a folder.

    The folder holds ``dataset_description.json``, ``atlas-X_dseg.tsv`` (index, name, hemisphere),
    and either several heads, ``sub-*/**/*_T1w.nii.gz`` with ``*_dseg.nii.gz``, or one template,
    ``tpl-*_T1w.nii.gz`` with ``tpl-*_dseg.nii.gz``, in a folder ``tpl-*`` or not. Beside each T1w
    there may be a susceptibility map, ``*_Chimap.nii.gz``.

    Raises
    ------
    RequestError
        If something is missing or contradicts itself.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such atlas folder; check --atlas")
    tables = sorted(folder.glob("atlas-*_dseg.tsv"))
    if len(tables) != 1:
        raise RequestError(
            f"{folder}: an atlas has one table atlas-X_dseg.tsv, here are {len(tables)}; "
            "add it or remove the others"
        )
    members = _read_members(folder)
    description = _read_description(folder / "dataset_description.json")
    name = tables[0].name.removeprefix("atlas-").removesuffix("_dseg.tsv")
    regions = read_table(tables[0])
    _check_labels(members, tables[0], {region.index for region in regions})
    return Atlas(
        name=name,
        folder=folder,
        license=str(description.get("License", "")),
        reference="; ".join(map(str, description.get("ReferencesAndLinks", []))),
        members=members,
        regions=regions,
        digest=content_digest(name, tables[0].read_bytes(), members),
        source=str(folder),
    )


def _read_description(path: Path) -> dict:
    if not path.exists():
        raise RequestError(f"{path}: missing; an atlas says what it is and its License")
    description = read_json(path)
    if isinstance(description, Fault):
        raise RequestError(f"{path}: {description.fact}; {description.remedy}")
    references = description.get("ReferencesAndLinks", [])
    if not isinstance(references, list):
        raise RequestError(f"{path}: ReferencesAndLinks is no list; give one, in brackets")
    return description


def read_table(path: Path) -> tuple[Region, ...]:
    """Return the rows of the table, checked, under the names of the vocabulary."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{path}: cannot be read as a table ({error}); correct it") from error
    columns = text.splitlines()[0].split("\t") if text else []
    if missing := [column for column in COLUMNS if column not in columns]:
        raise RequestError(
            f"{path}: lacks the column {', '.join(missing)}; "
            f"give {', '.join(COLUMNS)}, separated by tabs"
        )
    rows = [_read_region(f"{path}, line {line}", row) for line, row in enumerate(table, 2)]
    regions = harmonise(rows)
    if not regions:
        raise RequestError(f"{path}: lists no region; add a line for each label")
    for what, keys in (
        ("index", [str(region.index) for region in regions]),
        ("region", [f"{region.name} {region.hemisphere}" for region in regions]),
    ):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise RequestError(
                f"{path}: the {what} {', '.join(twice)} stands there twice; keep one"
            )
    return regions


def _read_region(where: str, row: dict[str, str]) -> Region:
    index = row["index"] or ""
    if not index.isdecimal() or not int(index[:INDEX_DIGITS]) > 0 or len(index) > INDEX_DIGITS:
        raise RequestError(
            f"{where}: index {row['index']!r} is not a whole number above 0 of at most "
            f"{INDEX_DIGITS} digits; correct it"
        )
    if row["hemisphere"] not in ("L", "R", "M"):
        raise RequestError(
            f"{where}: hemisphere {row['hemisphere']!r} is none of L, R and M (midline); "
            "correct it"
        )
    if not row["name"]:
        raise RequestError(f"{where}: the region has no name; give it one")
    return Region(int(index), row["name"], row["hemisphere"])


def _read_members(folder: Path) -> tuple[AtlasMember, ...]:
    """Return the labelled heads, each complete and on one grid."""
    heads = {kind: _find(folder, kind) for kind in ("T1w", "dseg", "Chimap")}
    labels = sorted({*heads["T1w"], *heads["dseg"]})
    if not labels:
        raise RequestError(
            f"{folder}: no labelled head; an atlas holds sub-*/anat/sub-*_T1w.nii.gz or "
            "tpl-*_T1w.nii.gz, each with its _dseg.nii.gz"
        )
    members = []
    for label in labels:
        for kind, other in (("T1w", "dseg"), ("dseg", "T1w")):
            if label not in heads[kind]:
                raise RequestError(
                    f"{heads[other][label]}: has no {label}_{kind}.nii.gz beside it; "
                    "add it or remove the file"
                )
        chi = heads["Chimap"].get(label)
        member = AtlasMember(label, heads["T1w"][label], heads["dseg"][label], chi=chi)
        _check_grid(member)
        members.append(member)
    return tuple(members)


def _find(folder: Path, kind: str) -> dict[str, Path]:
    """Return the images of a kind by the part of their names before it."""
    places = ("sub-*/**/sub-*", "tpl-*/**/tpl-*", "tpl-*")
    paths = [path for place in places for path in folder.glob(f"{place}_{kind}.nii.gz")]
    return {path.name.removesuffix(f"_{kind}.nii.gz"): path for path in sorted(paths)}


def _check_grid(member: AtlasMember) -> None:
    """Refuse images that cannot be read, or are on another grid than the T1w."""
    headers = {}
    for path in filter(None, (member.t1w, member.dseg, member.chi)):
        header, faults = read_header(path)
        if header is None:
            raise RequestError(f"{path}: {faults[0].fact}; {faults[0].remedy}")
        headers[path] = header
        if difference := grid_difference(headers[member.t1w], header):
            what = "labels" if path == member.dseg else "susceptibility"
            raise RequestError(f"{path}: {difference}; resample the {what} to the T1w")


def _check_labels(members: Iterable[AtlasMember], table: Path, known: set[int]) -> None:
    """Refuse labels that are none, and a table of others."""
    for member in members:
        image = read_labels(member.dseg)
        if isinstance(image, Fault):
            raise RequestError(f"{image.path}: {image.fact}; {image.remedy}")
        # Some may be without a row: they keep others to their place, and are not measured.
        if not image.labels & known:
            raise RequestError(
                f"{member.dseg}: has none of the labels that {table.name} lists; correct either"
            )


def content_digest(name: str, table: bytes, members: Iterable[AtlasMember]) -> str:
    """
    Return twelve characters for all that labels depend on, but not for where files lie.

    Parameters
    ----------
    name
        Name of the atlas.
    table
        What its labels mean, in any form.
    members
        Its heads.
    """
    digest = hashlib.sha256(name.encode())
    digest.update(table)
    for member in members:
        for path in filter(None, (member.t1w, member.dseg, member.mask, member.chi)):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
