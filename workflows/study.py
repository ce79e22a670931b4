"""What all graphs of a run share: settings, and where their outputs go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nipype.pipeline import engine as pe

from qsmprep.bids.ages import read_age
from qsmprep.bids.atlas import Atlas
from qsmprep.bids.derivatives import bids_uri
from qsmprep.bids.longitudinal import Longitudinal, Series
from qsmprep.bids.lookups import tissue_of
from qsmprep.bids.models import Acquisition, Anatomy, ExistingLabels
from qsmprep.bids.outputs import output_path
from qsmprep.bids.template import MNI, Template
from qsmprep.interfaces.derivatives import SaveDerivatives
from qsmprep.interfaces.figures import SaveFigures
from qsmprep.methods.segmentation import DEEP_NUCLEI
from qsmprep.protocol import Protocol
from qsmprep.reports.facts import SCANNER


@dataclass(frozen=True)
class Study:
    """
    What all graphs of a run share.

    Parameters
    ----------
    bids_dir, out_dir
        Dataset and output folder.
    protocol
        All settings.
    atlas
        Labelled heads, or None for maps without regions.
    placed
        Where several labelled heads lie on the template: a transform for each, by its label.
    device
        What background removal and inversion compute on.
    template
        What maps are carried to.
    longitudinal
        Participants whose sessions are brought together.
    """

    bids_dir: Path
    out_dir: Path
    protocol: Protocol
    atlas: Atlas | None
    placed: Mapping[str, Path] = field(default_factory=dict)
    device: str = "cpu"
    template: Template = MNI
    longitudinal: tuple[Longitudinal, ...] = ()

    @property
    def dual_contrast(self) -> bool:
        """Whether deep nuclei are refined by susceptibility."""
        return self.atlas is not None and self.protocol.segmentation.contrast == "hybrid"

    @property
    def heads(self) -> int:
        """How many labelled heads the atlas has."""
        return len(self.atlas.members) if self.atlas else 0

    @property
    def regions(self) -> list[tuple[int, str, str]]:
        """Labels of the atlas as plain rows."""
        regions = self.atlas.regions if self.atlas else ()
        return [(region.index, region.name, region.hemisphere) for region in regions]

    @property
    def not_white(self) -> list[int]:
        """Labels that are no white matter, whatever the T1w looks like in them."""
        return [index for index, name, _ in self.regions if not _may_be_white(index, name)]

    @property
    def tissue_labels(self) -> dict[str, list[int]]:
        """Labels by which background removal knows deep grey matter, and what is not white."""
        deep = [index for index, name, _ in self.regions if name in DEEP_NUCLEI]
        # Most of the brainstem is white, and large: its share is as the T1w shows it.
        mixed = {index for index, name, _ in self.regions if tissue_of(name) == "mixed"}
        return {"deep": deep, "not_white": [one for one in self.not_white if one not in mixed]}

    def age_of(self, acquisition: Acquisition) -> dict[str, float]:
        """Return the age of a participant, nothing where the dataset does not tell."""
        age = read_age(self.bids_dir, acquisition.participant, acquisition.session)
        return {} if age is None else {"age": age}


def _may_be_white(index: int, name: str) -> bool:
    tissue = tissue_of(name)
    # What has neither a name nor a place in the vocabulary may be anything.
    return tissue == "white" or (
        tissue is None and ("white-matter" in name or name == f"label-{index}")
    )


def acquisition_sink(study: Study, acquisition: Acquisition, name: str) -> pe.Node:
    """Return a node that saves outputs of an acquisition."""
    return _sink(
        study,
        name,
        "acquisition",
        acquisition.stem,
        sources=acquisition.files,
        suffix=acquisition.suffix,
        known=_known(study, acquisition),
    )


def anatomy_sink(study: Study, anatomy: Anatomy, name: str) -> pe.Node:
    """Return a node that saves outputs of a T1w."""
    known = _known_atlas(study)
    return _sink(study, name, "anatomy", anatomy.stem, sources=[anatomy.path], known=known)


def participant_sink(study: Study, longitudinal: Longitudinal, name: str) -> pe.Node:
    """Return a node that saves what all sessions of a participant share."""
    sources = [anatomy.path for anatomy in longitudinal.anatomies]
    return _sink(
        study,
        name,
        "participant",
        longitudinal.stem,
        sources=sources,
        known=_known_sessions(study, longitudinal, longitudinal.sessions),
        participant_image=longitudinal.image_uri,
    )


def series_sink(study: Study, longitudinal: Longitudinal, series: Series, name: str) -> pe.Node:
    """Return a node that saves what changed from session to session."""
    sources = [acquisition.files[0] for acquisition in series.acquisitions]
    return _sink(
        study,
        name,
        "series",
        series.stem,
        sources=sources,
        known=_known_sessions(study, longitudinal, series.sessions)
        | {"Notes": list(series.notes)},
        participant_image=longitudinal.image_uri,
    )


def through_time_sink(
    study: Study, longitudinal: Longitudinal, acquisition: Acquisition, name: str
) -> pe.Node:
    """Return a node that saves outputs of an acquisition in the space of all sessions."""
    own = next(one for one in longitudinal.series if acquisition in one.acquisitions)
    known = _known(study, acquisition) | _known_sessions(study, longitudinal, own.sessions)
    known.pop("Segmentation", None)  # regions are those of all sessions here
    return _sink(
        study,
        name,
        "through_time",
        acquisition.stem,
        sources=acquisition.files,
        suffix=acquisition.suffix,
        known=known,
        participant_image=longitudinal.image_uri,
    )


def lesion_sink(study: Study, acquisition: Acquisition, kind: str, name: str) -> pe.Node:
    """Return a node that saves outputs of the lesions of an acquisition, or of its FLAIR."""
    sources = acquisition.files
    given = acquisition.lesions
    if given and given.flair:
        sources.append(given.flair)
    return _sink(
        study,
        name,
        kind,
        acquisition.stem,
        sources=sources,
        suffix=acquisition.suffix,
        known=_known(study, acquisition) | {"LesionImages": _drawn(acquisition)},
    )


def lesion_series_sink(
    study: Study, longitudinal: Longitudinal, series: Series, name: str
) -> pe.Node:
    """Return a node that saves lesions through time."""
    first = series.acquisitions[0]
    path = output_path(
        "acquisition", "chi", first.stem, atlas="", template="", suffix="", extension=".nii.gz"
    )
    drawn = [uri for one in series.acquisitions for uri in _drawn(one)]
    known: dict[str, object] = {
        "SpatialReference": f"bids::{path.as_posix()}",
        "LesionImages": drawn,
    }
    if first.lesions and first.lesions.regions:
        known["EditedRegions"] = _lesion_uri(first, first.lesions.regions)
    return _sink(
        study,
        name,
        "lesion_series",
        series.stem,
        sources=[acquisition.files[0] for acquisition in series.acquisitions],
        known=known,
        participant_image=longitudinal.image_uri,
    )


def _drawn(acquisition: Acquisition) -> list[str]:
    """Return how sidecars name the images of lesions of an acquisition."""
    images = acquisition.lesions.images.values() if acquisition.lesions else ()
    return [_lesion_uri(acquisition, image.path) for image in images]


def _lesion_uri(acquisition: Acquisition, path: Path) -> str:
    name = f"sub-{acquisition.participant}"
    folder = next(up for up in path.parents if up.name == name)
    return f"bids:lesions:{path.relative_to(folder.parent).as_posix()}"


def figure_sink(study: Study, stem: str, name: str) -> pe.Node:
    """Return a node that saves figures of what is named `stem`."""
    return pe.Node(SaveFigures(out_dir=str(study.out_dir), stem=stem), name=name)


def _sink(
    study: Study, name: str, kind: str, stem: str, *, sources: list[Path], **inputs
) -> pe.Node:
    protocol = study.protocol
    return pe.Node(
        SaveDerivatives(
            kind,
            out_dir=str(study.out_dir),
            stem=stem,
            atlas=study.atlas.name if study.atlas else "",
            lookup=study.regions,
            template=study.template.name,
            template_image=study.template.reference,
            protocol=protocol.stages,
            digest=protocol.digest(),
            sources=[bids_uri(path, study.bids_dir) for path in sources],
            **inputs,
        ),
        name=name,
    )


def _known(study: Study, acquisition: Acquisition) -> dict[str, object]:
    """Return what sidecars tell of an acquisition before anything is computed."""
    known: dict[str, object] = {
        "EchoTimes": list(acquisition.echo_times),
        "MagneticFieldStrength": acquisition.b0,
        "Notes": list(acquisition.notes),
    }
    if scanner := {
        key: acquisition.metadata[key] for key in SCANNER if key in acquisition.metadata
    }:
        known["Scanner"] = scanner
    if acquisition.t1w:
        known["T1w"] = bids_uri(acquisition.t1w.path, study.bids_dir)
    if acquisition.brain_mask:
        known["BrainMask"] = f"bids:masks:{acquisition.folder / acquisition.brain_mask.name}"
    if acquisition.labels_given and study.atlas:
        known["Segmentation"] = _labels_uri(study.atlas, acquisition.labels_given)
    if study.dual_contrast:
        known["DeepNuclei"] = {
            "Contrast": "T1w scaled to 0..255 less susceptibility",
            "Weight": study.protocol.segmentation.chi_weight,
            "WeightUnits": "1/ppm",
            "Regions": sorted(DEEP_NUCLEI.intersection(name for _, name, _ in study.regions)),
        }
    return known | _known_atlas(study)


def _known_sessions(
    study: Study, longitudinal: Longitudinal, sessions: tuple[str, ...]
) -> dict[str, object]:
    """Return what sidecars tell of the sessions that something rests on, and of the others."""
    known = _known_atlas(study) | {"Sessions": [f"ses-{session}" for session in sessions]}
    if longitudinal.left_out:
        known["LeftOut"] = list(longitudinal.left_out)
    given = [one.labels_given for one in longitudinal.labelled if one.labels_given]
    if given and study.atlas:
        known["Segmentations"] = [_labels_uri(study.atlas, labels) for labels in given]
    return known


def _labels_uri(atlas: Atlas, labels: ExistingLabels) -> str:
    return f"bids:segmentation:{labels.path.relative_to(atlas.folder).as_posix()}"


def _known_atlas(study: Study) -> dict[str, object]:
    """Return what sidecars tell of the atlas."""
    return {"Atlas": study.atlas.credits} if study.atlas else {}
