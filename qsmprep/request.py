"""What a user asks for, and whether it can be met, before the dataset is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.atlas_sources import find_atlas
from qsmprep.bids.lesions import check_folder
from qsmprep.bids.lookups import LOOKUPS
from qsmprep.bids.segmentations import read_segmentations
from qsmprep.bids.template import MNI, Template, read_template
from qsmprep.errors import RequestError
from qsmprep.methods.background import OF_TISSUES
from qsmprep.methods.segmentation import DEEP_NUCLEI
from qsmprep.protocol import Protocol
from qsmprep.resources import Resources


@dataclass(frozen=True)
class Request:
    """
    What a user asks for on the participant level.

    Parameters
    ----------
    bids_dir, out_dir
        Dataset and output folder.
    protocol
        All settings that change voxels.
    resources
        All that do not.
    participants, sessions
        Labels; none means all.
    filters
        Content of a BIDS filter file.
    database_dir
        Folder of a pybids database.
    derivatives
        Folders of derivatives by name: ``masks``, ``segmentation``, ``lesions``.
    plugin
        Name and arguments of a nipype plugin, instead of the cores of this machine.
    stop_on_first_crash
        Whether one failure ends all.
    write_graph
        Whether to draw the graph into the output folder.
    clean_work_dir
        Whether to start without intermediate results.
    discard_work
        Whether to remove those of an acquisition as soon as all of its outputs exist.
    longitudinal
        Whether sessions of a participant are brought together, too.
    command
        The command line, for the report.
    verbose
        Whether every step is told of, not in the log alone.
    template
        What maps are carried to; `resolve` finds it.
    """

    bids_dir: Path
    out_dir: Path
    protocol: Protocol
    resources: Resources
    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    database_dir: Path | None = None
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    plugin: Mapping[str, object] = field(default_factory=dict)
    stop_on_first_crash: bool = False
    write_graph: bool = False
    clean_work_dir: bool = False
    discard_work: bool = False
    longitudinal: bool = False
    command: str = ""
    verbose: bool = False
    template: Template = MNI


def resolve(request: Request) -> tuple[Request, Atlas | None]:
    """Return the request with the atlas known by its content, and the atlas itself."""
    _check_masks(request)
    _check_segmentation(request)
    _check_longitudinal(request)
    _check_lesions(request)
    request = _with_template(request)
    settings = request.protocol.segmentation
    if settings.atlas == "none":
        _check_without_atlas(request.protocol)
        return request, None
    if settings.atlas == "precomputed":
        atlas = read_segmentations(request.derivatives["segmentation"], settings.lookup)
        settings = replace(settings, lookup=_identity(settings.lookup))
        protocol = replace(request.protocol, segmentation=settings)
    else:
        atlas = find_atlas(settings.atlas, request.bids_dir)
        protocol = request.protocol.with_atlas(f"{atlas.name}@{atlas.digest}")
    _check_region(protocol, atlas)
    _check_contrast(protocol, atlas)
    return replace(request, protocol=protocol), atlas


def _identity(lookup: str) -> str:
    """Return a look-up table by what it says, not by where it lies."""
    if lookup in ("", *LOOKUPS):
        return lookup
    return f"{Path(lookup).stem}@{sha256(Path(lookup).read_bytes()).hexdigest()[:12]}"


def _check_segmentation(request: Request) -> None:
    """Refuse labels that nobody uses, and their use where there are none."""
    settings, folder = request.protocol.segmentation, request.derivatives.get("segmentation")
    given = settings.atlas == "precomputed"
    if given and folder is None:
        raise RequestError("segmentation.atlas = precomputed: give -d segmentation=FOLDER")
    if folder is not None and not given:
        raise RequestError(
            f"-d segmentation={folder}: not used with --atlas {settings.atlas}; drop one"
        )
    if settings.lookup and not given:
        raise RequestError(
            f"segmentation.lookup = {settings.lookup}: is for labels given by -d "
            "segmentation=FOLDER; an atlas has a table of its own"
        )


def _check_longitudinal(request: Request) -> None:
    """Refuse to bring sessions together without an atlas that labels their mean."""
    atlas = request.protocol.segmentation.atlas
    if request.longitudinal and atlas == "none":
        raise RequestError(
            "--longitudinal: needs an atlas to label the mean of all sessions, and --atlas is "
            "none; name one, or give labels of all sessions by -d segmentation=FOLDER"
        )


def _check_lesions(request: Request) -> None:
    """Refuse lesions where nobody tells white matter, and a folder without any."""
    folder = request.derivatives.get("lesions")
    if folder is None:
        return
    if request.protocol.segmentation.atlas == "none":
        raise RequestError(
            f"-d lesions={folder}: lesions are compared with white matter, which the T1w and an "
            "atlas tell, and --atlas is none; name one"
        )
    check_folder(folder)


def _with_template(request: Request) -> Request:
    """Return the request with its template, which the protocol knows by its content."""
    template = read_template(request.protocol.normalisation.template)
    protocol = request.protocol.with_template(template.setting)
    return replace(request, template=template, protocol=protocol)


def _check_masks(request: Request) -> None:
    """Refuse masks that nobody uses, and their use where there are none."""
    method, folder = request.protocol.masking.method, request.derivatives.get("masks")
    if method == "precomputed" and folder is None:
        raise RequestError("masking.method = precomputed: give their folder by -d masks=FOLDER")
    if folder is None:
        return
    if method != "precomputed":
        raise RequestError(f"-d masks={folder}: not used by masking.method = {method}; drop one")
    if not folder.is_dir():
        raise RequestError(f"-d masks={folder}: there is no such folder; check it")


def settings_of_t1w(protocol: Protocol) -> list[str]:
    """Return the settings by which there is no map without a T1w."""
    methods = {"masking": protocol.masking.method, "background": protocol.background.method}
    return [
        f"{stage}.method = {method}"
        for stage, method in methods.items()
        if method in {"t1w", *OF_TISSUES}
    ]


def _check_without_atlas(protocol: Protocol) -> None:
    """Refuse what takes a T1w, which is read for regions only, or a region."""
    for setting in settings_of_t1w(protocol):
        raise RequestError(f"{setting} needs an atlas; give it by --atlas")
    if protocol.referencing.method == "label":
        raise RequestError("referencing.method = label needs an atlas; give it by --atlas")
    if protocol.segmentation.contrast != "t1w":
        raise RequestError("segmentation.contrast = hybrid needs an atlas; give it by --atlas")


def _check_region(protocol: Protocol, atlas: Atlas) -> None:
    """Refuse a reference region that the atlas does not have."""
    wanted = protocol.referencing
    rows = [(region.index, region.name, region.hemisphere) for region in atlas.regions]
    if wanted.method != "label" or wanted.labels(rows):
        return
    names = sorted({name for _, name, _ in rows})
    if wanted.region in names:
        fact = f"has no {wanted.region} in hemisphere {wanted.hemisphere}"
    else:
        near = get_close_matches(wanted.region, names, n=1, cutoff=0)[0]
        fact = f"has no region {wanted.region}; the nearest is {near}"
    raise RequestError(f"referencing.region: atlas {atlas.name} {fact}")


def _check_contrast(protocol: Protocol, atlas: Atlas) -> None:
    """Refuse to find nuclei by susceptibility where the atlas does not show them so."""
    if protocol.segmentation.contrast != "hybrid":
        return
    if not atlas.members:
        raise RequestError(
            "segmentation.contrast = hybrid: labels made elsewhere are taken as they are; "
            "set t1w, or give an atlas"
        )
    if without := [member.label for member in atlas.members if member.chi is None]:
        raise RequestError(
            f"segmentation.contrast = hybrid: {atlas.folder} has no "
            f"{', '.join(f'{label}_Chimap.nii.gz' for label in without)}; "
            "add susceptibility to every head, or set t1w"
        )
    if not DEEP_NUCLEI.intersection(region.name for region in atlas.regions):
        raise RequestError(
            f"segmentation.contrast = hybrid: atlas {atlas.name} has none of "
            f"{', '.join(sorted(DEEP_NUCLEI))}; set t1w"
        )
