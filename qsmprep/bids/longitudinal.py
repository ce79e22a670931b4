"""Sessions of one participant that belong together, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import re

from qsmprep.bids.alike import differences
from qsmprep.bids.entities import folder_of, join_entities, split_entities
from qsmprep.bids.models import Acquisition, Anatomy
from qsmprep.bids.outputs import expected_outputs
from qsmprep.bids.session_times import read_years
from qsmprep.bids.status import Status, StatusRow

SPACE = "participant"
"""What the space half-way between the sessions is called."""

LONGITUDINAL = "longitudinal"
"""Stands for the suffix in the row of ``status.tsv`` of a participant through time."""


@dataclass(frozen=True)
class Series:
    """
    Acquisitions of one participant that differ in their session alone.

    Parameters
    ----------
    acquisitions
        In the order of time; of the labels of their sessions where no time is told.
    years
        Since the first of them; None where the dataset does not tell.
    """

    acquisitions: tuple[Acquisition, ...]
    years: tuple[float | None, ...]

    @property
    def sessions(self) -> tuple[str, ...]:
        """Labels of their sessions."""
        return tuple(str(one.session) for one in self.acquisitions)

    @property
    def stem(self) -> str:
        """Name of outputs without session and suffix."""
        # Sessions with a MEGRE and a T2starw have to tell them apart, and then all do.
        one = next((a for a in self.acquisitions if a.shares_stem), self.acquisitions[0])
        entities = split_entities(one.stem)
        return join_entities({k: v for k, v in entities.items() if k != "ses"})

    @property
    def notes(self) -> tuple[str, ...]:
        """In what the sessions differ besides what is looked for."""
        return differences(self.acquisitions)

    @property
    def lesions(self) -> Series | None:
        """The acquisitions whose lesions are told; None unless there are at least two."""
        pairs = zip(self.acquisitions, self.years, strict=True)
        told = [(one, years) for one, years in pairs if one.lesions]
        return Series(*zip(*told, strict=True)) if len(told) > 1 else None


@dataclass(frozen=True)
class Longitudinal:
    """
    Everything of one participant that is seen through time.

    Parameters
    ----------
    participant
        Label without ``sub-``.
    series
        At least one, of at least two sessions each.
    left_out
        What would be compared, too, if it had no fault: a sentence each.
    """

    participant: str
    series: tuple[Series, ...]
    left_out: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """Name of outputs without suffix."""
        return f"sub-{self.participant}"

    @property
    def key(self) -> str:
        """Unique name for humans."""
        return f"{self.stem}_{LONGITUDINAL}"

    @property
    def name_safe(self) -> str:
        """Unique name of a node in a graph."""
        return re.sub(r"\W", "_", self.key)

    @property
    def acquisitions(self) -> tuple[Acquisition, ...]:
        """Those of all series."""
        return tuple(one for series in self.series for one in series.acquisitions)

    @property
    def sessions(self) -> tuple[str, ...]:
        """Labels of the sessions of all series, in the order of their names."""
        found = {str(one.session) for one in self.acquisitions}
        return tuple(sorted(found, key=_natural))

    @property
    def anatomies(self) -> tuple[Anatomy, ...]:
        """The T1w of all sessions, each once, in the order of their names."""
        found = {one.t1w.key: one.t1w for one in self.acquisitions if one.t1w}
        return tuple(found[key] for key in sorted(found))

    @property
    def labelled(self) -> tuple[Acquisition, ...]:
        """Acquisitions with the labels that were given, each image and each session once."""
        chosen: dict[str | None, Acquisition] = {}
        given = [one for one in self.acquisitions if one.labels_given]
        # Those of a T1w know the whole head, and serve all acquisitions of their session.
        for one in sorted(given, key=lambda a: (a.labels_given.space != "T1w", a.key)):  # type: ignore[union-attr]
            chosen.setdefault(one.session, one)
        images = {one.labels_given: one for one in chosen.values()}
        return tuple(sorted(images.values(), key=lambda one: one.key))

    @property
    def image(self) -> Path:
        """The image that defines the common space, below the output folder."""
        return folder_of(self.stem) / "anat" / f"{self.stem}_space-{SPACE}_T1w.nii.gz"

    @property
    def image_uri(self) -> str:
        """How sidecars name that image."""
        return f"bids::{self.image.as_posix()}"


def find_longitudinal(
    acquisitions: Iterable[Acquisition], bids_dir: Path
) -> tuple[Longitudinal, ...]:
    """
    Return every participant of whom some acquisition was repeated in another session.

    Parameters
    ----------
    acquisitions
        What will be processed; those without a T1w take no part.
    bids_dir
        The dataset, whose ``sessions.tsv`` tell the time.
    """
    groups: dict[tuple, list[Acquisition]] = {}
    for one in acquisitions:
        if one.t1w and one.session:
            groups.setdefault((one.participant, one.entities, one.suffix), []).append(one)
    found: dict[str, list[Series]] = {}
    for (participant, *_), members in groups.items():
        if len(members) > 1:
            found.setdefault(participant, []).append(_in_order(members, bids_dir))
    return tuple(Longitudinal(who, tuple(series)) for who, series in found.items())


def expected_of_longitudinal(
    longitudinal: Longitudinal, *, atlas: str, template: str
) -> list[Path]:
    """Return the outputs of a participant through time, below the output folder."""
    expected = partial(expected_outputs, atlas=atlas, template=template, echoes=2)
    paths = expected("participant", longitudinal.stem, suffix="T1w")
    for series in longitudinal.series:
        paths += expected("series", series.stem, suffix="T1w")
        if series.lesions:
            paths += expected("lesion_series", series.stem, suffix="T1w")
    for one in longitudinal.acquisitions:
        paths += expected("through_time", one.stem, suffix=one.suffix)
    return paths


def judge_longitudinal(
    longitudinal: Longitudinal,
    out_dir: Path,
    *,
    atlas: str,
    template: str,
    crashes: Mapping[str, Sequence[str]],
    ending: str = "",
) -> StatusRow:
    """Return the row of a participant through time; see `qsmprep.bids.outcome.judge`."""
    expected = expected_of_longitudinal(longitudinal, atlas=atlas, template=template)
    missing = [path.name for path in expected if not (out_dir / path).exists()]
    reasons = list(crashes.get(longitudinal.name_safe, []))
    if not missing and not reasons:
        status: Status = "partial" if longitudinal.left_out else "done"
        return StatusRow.named(
            longitudinal.key, status, " | ".join(longitudinal.left_out) or "n/a"
        )
    # What fails in a session fails here, too, and has to be looked for there.
    parts: list[Acquisition | Anatomy] = [*longitudinal.anatomies, *longitudinal.acquisitions]
    reasons += [f"{p.key}: {reason}" for p in parts for reason in crashes.get(p.name_safe, [])]
    if not reasons:
        reasons.append(ending or f"{', '.join(missing)} not made")
    reasons += longitudinal.left_out
    whole = len(missing) == len(expected)
    return StatusRow.named(
        longitudinal.key, "failed" if whole else "partial", " | ".join(dict.fromkeys(reasons))
    )


def _in_order(acquisitions: list[Acquisition], bids_dir: Path) -> Series:
    sessions = [str(one.session) for one in acquisitions]
    years = read_years(bids_dir, acquisitions[0].participant, sessions)
    known = all(year is not None for year in years)
    pairs = sorted(
        zip(years, sessions, acquisitions, strict=True),
        key=lambda pair: (pair[0] if known else 0.0, _natural(pair[1])),
    )
    start = pairs[0][0]
    since = [None if start is None or year is None else year - start for year, _, _ in pairs]
    return Series(tuple(one for *_, one in pairs), tuple(since))


def _natural(label: str) -> tuple[tuple[int, str], ...]:
    """Return what sorts labels with their numbers as numbers, 2 before 10."""
    parts = re.findall(r"\d+|\D+", label)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)
