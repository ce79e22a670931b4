"""What a dataset holds, in the words of BIDS; made once, at the edge, and never changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
import re
from typing import Literal, NamedTuple

from qsmprep.bids.entities import folder_of, join_entities, parse_name, split_entities


@dataclass(frozen=True)
class Anatomy:
    """
    A T1-weighted image.

    Parameters
    ----------
    participant, session
        Labels without ``sub-`` and ``ses-``.
    path
        The image.
    metadata
        Its sidecars, merged by inheritance.
    """

    participant: str
    session: str | None
    path: Path
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """Name of outputs in the space of this image, without suffix."""
        entities, _ = parse_name(self.path)
        return join_entities({k: v for k, v in entities.items() if k not in ("echo", "part")})

    @property
    def key(self) -> str:
        """Unique name for humans, ``sub-01_ses-1_T1w``."""
        return f"{self.stem}_{parse_name(self.path)[1]}"

    @property
    def name_safe(self) -> str:
        """Unique name of a node in a graph."""
        return re.sub(r"\W", "_", self.key)

    @property
    def folder(self) -> Path:
        """Where its outputs go, below the output folder."""
        return folder_of(self.stem) / "anat"


@dataclass(frozen=True)
class ExistingLabels:
    """
    Labels that somebody else has made.

    Parameters
    ----------
    path
        The image.
    space
        ``T1w``, on any grid, or ``GRE``, on that of the echoes.
    """

    path: Path
    space: Literal["T1w", "GRE"]


@dataclass(frozen=True)
class LesionImage:
    """
    An image of lesions, or of what lies in them, that somebody else has drawn.

    Parameters
    ----------
    path
        The image.
    space
        ``FLAIR`` or ``T1w``, on any grid, or ``GRE``, on that of the echoes.
    """

    path: Path
    space: Literal["FLAIR", "T1w", "GRE"]


@dataclass(frozen=True)
class GivenLesions:
    """
    What is told of the lesions of a session.

    Parameters
    ----------
    image
        Where they are.
    numbered
        Whether their labels are numbers of lesions, or the image is a mask.
    flair
        The FLAIR image, where one of the images is in its space.
    veins, enhancing
        Masks of veins and of what takes up gadolinium, or None.
    readings
        Rows of a reader's table: `lesion_id rim enhancement reader`.
    regions
        Image of the fixed regions of all sessions, where somebody has edited them.
    """

    image: LesionImage
    numbered: bool
    flair: Path | None = None
    veins: LesionImage | None = None
    enhancing: LesionImage | None = None
    readings: tuple[Mapping[str, str], ...] = ()
    regions: Path | None = None

    @property
    def images(self) -> dict[str, LesionImage]:
        """All images that there are, by what they show."""
        every = {"lesions": self.image, "veins": self.veins, "enhancing": self.enhancing}
        return {name: image for name, image in every.items() if image is not None}

    @property
    def shown_on(self) -> str:
        """What figures show them on: the FLAIR if there is one, or the T1w."""
        return "FLAIR" if self.flair else "T1w"


@dataclass(frozen=True)
class Acquisition:
    """
    The echoes of one gradient-echo run, checked: what one susceptibility map is made from.

    Parameters
    ----------
    participant, session
        Labels without ``sub-`` and ``ses-``.
    entities
        The other entities but ``echo`` and ``part``, as written and in BIDS order.
    suffix
        ``MEGRE``, ``T2starw`` or ``GRE``.
    parts
        Files of ``mag`` and ``phase``, or of ``real`` and ``imag``: one per echo in the order of
        the echoes, or a single 4D file.
    echo_times
        Seconds, increasing.
    b0
        Field strength, T.
    phase_units
        What the sidecar of the phase calls ``Units``.
    metadata
        Sidecar of the first phase, or real part, merged by inheritance.
    t1w
        Anatomy of the same participant.
    notes
        Decisions that the reader of a report should know of.
    shares_stem
        Whether another acquisition of the session has the same entities and another suffix.
    brain_mask
        Mask that somebody else has drawn, if one is to be used.
    labels_given
        Labels that somebody else has made, if they are to be used.
    lesions
        Lesions that somebody else has marked, if they are to be measured.
    """

    participant: str
    session: str | None
    entities: tuple[tuple[str, str], ...]
    suffix: str
    parts: Mapping[str, tuple[Path, ...]]
    echo_times: tuple[float, ...]
    b0: float
    phase_units: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    t1w: Anatomy | None = None
    notes: tuple[str, ...] = ()
    shares_stem: bool = False
    brain_mask: Path | None = None
    labels_given: ExistingLabels | None = None
    lesions: GivenLesions | None = None

    @property
    def key(self) -> str:
        """Unique name for humans, ``sub-01_ses-1_acq-x_run-1_MEGRE``."""
        return acquisition_key(self.participant, self.session, self.entities, self.suffix)

    @property
    def stem(self) -> str:
        """Name of outputs without suffix; unique, as MEGRE and T2starw may differ in it alone."""
        return join_entities(
            _identity(self.participant, self.session) | dict(self._output_entities)
        )

    @property
    def name_safe(self) -> str:
        """Unique name of a node in a graph."""
        return re.sub(r"\W", "_", self.key)

    @property
    def folder(self) -> Path:
        """Where its outputs go, below the output folder."""
        return folder_of(self.stem) / "anat"

    @property
    def files(self) -> list[Path]:
        """Its images, all of one part after the other."""
        return [path for part in self.parts.values() for path in part]

    @property
    def labels(self) -> dict[str, str]:
        """
        Identifying columns of every table: `participant_id session_id acquisition run`.

        Where there are entities beside ``acq`` and ``run``, they follow the label of ``acq``,
        ``highres_rec-norm``, so that no two acquisitions of a session share a row.
        """
        return table_labels(split_entities(self.stem))

    @property
    def _output_entities(self) -> tuple[tuple[str, str], ...]:
        if not self.shares_stem:
            return self.entities
        entities = dict(self.entities)
        return tuple((entities | {"acq": entities.get("acq", "") + self.suffix}).items())


class Fault(NamedTuple):
    """What is wrong with a file, before it is known whom that concerns."""

    path: Path
    fact: str
    remedy: str


@dataclass(frozen=True)
class Issue:
    """
    Something that keeps data from being processed, or that their owner should know.

    Parameters
    ----------
    participant, session
        Labels without ``sub-`` and ``ses-``.
    key
        The acquisition concerned, or None where it is no single one.
    severity
        An acquisition with an ``error`` is not processed.
    path
        The file at fault, if it is one file.
    fact
        What is wrong.
    remedy
        What can be done about it.
    """

    participant: str
    session: str | None
    key: str | None
    severity: Literal["error", "warning"]
    path: Path | None
    fact: str
    remedy: str

    def __str__(self) -> str:
        where = self.path or self.key or join_entities(_identity(self.participant, self.session))
        return f"{where}: {self.fact}; {self.remedy}"


@dataclass(frozen=True)
class Plan:
    """What will be processed, and all that was found wrong on the way."""

    acquisitions: tuple[Acquisition, ...]
    issues: tuple[Issue, ...]

    @property
    def errors(self) -> tuple[Issue, ...]:
        """Why acquisitions are left out."""
        return tuple(issue for issue in self.issues if issue.severity == "error")

    @property
    def warnings(self) -> tuple[Issue, ...]:
        """What does not stop anything."""
        return tuple(issue for issue in self.issues if issue.severity == "warning")

    @property
    def skipped(self) -> tuple[str, ...]:
        """Keys of acquisitions that were found but will not be processed."""
        kept = {acquisition.key for acquisition in self.acquisitions}
        return tuple(sorted({issue.key for issue in self.issues if issue.key} - kept))

    def batches(self, size: int) -> Iterator[Plan]:
        """Return plans of so many participants each, with all that was found wrong."""
        participants = list(dict.fromkeys(a.participant for a in self.acquisitions))
        for first in range(0, len(participants), size):
            some = set(participants[first : first + size])
            yield self.only(a for a in self.acquisitions if a.participant in some)

    def only(self, acquisitions: Iterable[Acquisition]) -> Plan:
        """Return the plan of some acquisitions."""
        return replace(self, acquisitions=tuple(acquisitions))


def acquisition_key(
    participant: str,
    session: str | None,
    entities: tuple[tuple[str, str], ...],
    suffix: str,
) -> str:
    """Return the name by which an acquisition is known to humans."""
    return f"{join_entities(_identity(participant, session) | dict(entities))}_{suffix}"


def table_labels(entities: Mapping[str, str]) -> dict[str, str]:
    """Return the identifying columns of tables; see `Acquisition.labels`."""
    named = ("sub", "ses", "acq", "run")
    others = join_entities({k: v for k, v in entities.items() if k not in named})
    acquisition = "_".join(filter(None, (entities.get("acq"), others)))
    return {
        "participant_id": f"sub-{entities['sub']}",
        "session_id": f"ses-{entities['ses']}" if "ses" in entities else "n/a",
        "acquisition": acquisition or "n/a",
        "run": entities.get("run", "n/a"),
    }


def _identity(participant: str, session: str | None) -> dict[str, str]:
    return {"sub": participant} | ({"ses": session} if session else {})
