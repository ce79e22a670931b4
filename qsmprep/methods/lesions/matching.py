"""Which lesion of one session is which of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from qsmprep.geometry import Geometry

STATES = ("baseline", "absent", "new", "persistent", "split", "merged", "vanished")
"""What a lesion can be in a session."""


@dataclass(frozen=True)
class LesionState:
    """
    One lesion in one session.

    Parameters
    ----------
    lesion
        Number of the lesion, the same in all sessions.
    session
        Label of the session.
    state
        ``baseline`` in the first session of all, ``absent`` before it was first seen, ``new``
        where it was first seen later, ``persistent``, ``split`` where it has several parts,
        ``merged`` where it is one part with other lesions (split or not), ``vanished``.
    parts
        Labels that it has in the image of the session.
    merged_with
        Numbers of the lesions it shares a part with.
    n_voxels
        Voxels of its own; of a shared part those that are nearest to it.
    """

    lesion: int
    session: str
    state: str
    parts: tuple[int, ...] = ()
    merged_with: tuple[int, ...] = ()
    n_voxels: int = 0


@dataclass(frozen=True, eq=False)
class Matched:
    """
    Lesions through time.

    Parameters
    ----------
    states
        A row per lesion and session: by lesion, then in the order of time.
    regions : (X, Y, Z) int32 array
        Each lesion where it was first seen, the fixed region of Zhang et al. (2019,
        doi:10.3174/ajnr.A6071): what several claim belongs to the one that was there first.
    sessions
        For each session the image of its lesions, numbered alike in all.
    """

    states: tuple[LesionState, ...]
    regions: np.ndarray
    sessions: dict[str, np.ndarray]


def match_lesions(
    images: Mapping[str, np.ndarray],
    order: Sequence[str],
    geometry: Geometry,
    *,
    minimum_overlap: float = 0.1,
) -> Matched:
    """
    Return lesions through time, matched by overlap with where each has been before.

    A part of a session's mask belongs to a lesion if they share `minimum_overlap` of the smaller
    of the part and all voxels that the lesion has had so far; of one voxel and never more, they
    may also touch, since where a border runs decides which voxel that is. A part of no lesion is
    a new one.
    The voxels of a part of several lesions are divided by which of them was nearest. Lesions are
    numbered in the order in which they were first seen, those of a session from the largest on:
    neither the labels of the images nor the order of the mapping has any influence.

    Parameters
    ----------
    images
        (X, Y, Z) integer array for each session, all on the grid of the first: label of each part.
    order
        Labels of the sessions in the order of time.
    geometry : Geometry
        Voxel size.
    minimum_overlap
        Least share, above 0 and at most 1. The default is ours: what touches at a border, as by an
        error of registration, is not the same lesion.

    Returns
    -------
    matched : Matched
        NumPy only.

    Raises
    ------
    ValueError
        If sessions and order differ, or images differ in shape.
    """
    _check(images, order)
    if not 0 < minimum_overlap <= 1:
        raise ValueError(f"the least overlap is {minimum_overlap:g}; give more than 0, at most 1")
    seen = _Seen(images[order[0]].shape, geometry, minimum_overlap)
    for position, session in enumerate(order):
        seen.add(session, np.asarray(images[session]), first=position == 0)
    return seen.matched(order)


def follow_labels(images: Mapping[str, np.ndarray], order: Sequence[str]) -> Matched:
    """
    Return lesions through time whose labels mean the same in all sessions.

    As `match_lesions`, for images that a reader has numbered: no lesion is merged or split.
    """
    _check(images, order)
    regions = np.zeros(images[order[0]].shape, dtype=np.int32)
    known: set[int] = set()
    states: list[LesionState] = []
    for position, session in enumerate(order):
        labels, sizes = np.unique(images[session], return_counts=True)
        here = {int(label): int(size) for label, size in zip(labels, sizes, strict=True) if label}
        fresh = np.isin(images[session], [*here.keys() - known]) & (regions == 0)
        regions[fresh] = images[session][fresh]
        states += [
            LesionState(n, session, _state(n in known, 1, (), position == 0), (n,), (), here[n])
            for n in here
        ]
        states += [LesionState(n, session, "vanished") for n in known - here.keys()]
        known |= here.keys()
    sessions = {session: np.asarray(images[session], dtype=np.int32) for session in order}
    return Matched(_complete(states, sorted(known), order), regions, sessions)


def replace_regions(matched: Matched, edited) -> Matched:
    """
    Return lesions through time with fixed regions that somebody has edited.

    A lesion that the edited image lacks keeps the voxels where it was first seen, without those
    that the image gives to others.

    Parameters
    ----------
    matched : Matched
        Lesions through time.
    edited : (X, Y, Z) integer array
        Number of the lesion of each voxel, 0 for none.

    Returns
    -------
    matched : Matched
        NumPy only.

    Raises
    ------
    ValueError
        If a number is that of no lesion, or its voxels are not where that lesion was first seen.
    """
    numbers = {int(number) for number in np.unique(edited) if number}
    known = {state.lesion for state in matched.states}
    if strange := sorted(numbers - known):
        there = ", ".join(map(str, sorted(known))) or "none"
        raise ValueError(f"has a lesion {strange[0]}, and those that were matched are {there}")
    seen = {int(number) for number in np.unique(matched.regions)}
    met = {int(number) for number in np.unique(edited[edited == matched.regions])}
    if apart := sorted((numbers & seen) - met):
        raise ValueError(f"has lesion {apart[0]} nowhere where that lesion was first seen")
    kept = np.where(np.isin(matched.regions, [*numbers]), 0, matched.regions)
    return replace(matched, regions=np.where(edited != 0, edited, kept).astype(np.int32))


class _Seen:
    """What is known of all lesions up to a session."""

    def __init__(self, shape, geometry: Geometry, minimum_overlap: float):
        self.geometry, self.minimum_overlap = geometry, minimum_overlap
        self.regions = np.zeros(shape, dtype=np.int32)
        self.ever: dict[int, np.ndarray] = {}  # flat indices of all voxels a lesion has had
        self.states: list[LesionState] = []
        self.sessions: dict[str, np.ndarray] = {}

    def add(self, session: str, image, *, first: bool) -> None:
        """Give the parts of the next session to lesions, known or new."""
        parts = _parts(image)
        owners = self._owners(parts)
        known = [*self.ever]
        own = np.zeros(image.shape, dtype=np.int32)
        for label, lesions in owners.items():
            lesions = lesions or [len(self.ever) + 1]
            owners[label] = lesions
            own.ravel()[parts[label]] = self._divide(parts[label], lesions)
            if lesions[0] not in self.ever:
                self.ever[lesions[0]] = parts[label]
                free = parts[label][self.regions.ravel()[parts[label]] == 0]
                self.regions.ravel()[free] = lesions[0]
        sizes = np.bincount(own.ravel(), minlength=len(self.ever) + 1)
        for lesion in self.ever:
            mine = tuple(sorted(label for label, who in owners.items() if lesion in who))
            others = {other for label in mine for other in owners[label]} - {lesion}
            state = _state(lesion in known, len(mine), others, first)
            self.states.append(
                LesionState(
                    lesion, session, state, mine, tuple(sorted(others)), int(sizes[lesion])
                )
            )
            voxels = np.flatnonzero(own == lesion)
            self.ever[lesion] = np.union1d(self.ever[lesion], voxels)
        self.sessions[session] = own

    def _owners(self, parts: Mapping[int, np.ndarray]) -> dict[int, list[int]]:
        """Return the known lesions of each part, those in the order of their size."""
        owners: dict[int, list[int]] = {}
        for label, voxels in parts.items():
            owners[label] = [
                lesion
                for lesion, ever in self.ever.items()
                if np.intersect1d(voxels, ever, assume_unique=True).size
                >= self.minimum_overlap * min(voxels.size, ever.size)
            ]
        other = {lesion for lesions in owners.values() for lesion in lesions}
        other |= {state.lesion for state in self.states if state.n_voxels > 1}
        single = [lesion for lesion in self.ever if lesion not in other]
        for label, voxels in parts.items():
            if voxels.size == 1 and not owners[label]:
                owners[label] = [lesion for lesion in single if self._touch(voxels, lesion)][:1]
                single = [lesion for lesion in single if lesion not in owners[label]]
        return owners

    def _touch(self, voxel, lesion: int) -> bool:
        """Tell whether a voxel and one that a lesion has had share a corner at least."""
        place, ever = (
            np.stack(np.unravel_index(flat, self.regions.shape))
            for flat in (voxel, self.ever[lesion])
        )
        return bool((np.abs(place - ever).max(axis=0) <= 1).any())

    def _divide(self, voxels, lesions: Sequence[int]):
        """Return the lesion that each voxel of a part is nearest to, the oldest of equals."""
        if len(lesions) == 1:
            return lesions[0]
        shape = self.regions.shape
        at = np.stack(np.unravel_index(voxels, shape))
        low, high = at.min(axis=1), at.max(axis=1) + 1
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        apart = []
        for lesion in lesions:
            away = np.ones(shape, dtype=bool)
            away.ravel()[self.ever[lesion]] = False
            away = away[box]  # an owner shares a voxel with the part, so that some are near
            distance = ndimage.distance_transform_edt(away, sampling=self.geometry.voxel_size)
            apart.append(distance[tuple(at - low[:, None])])
        return np.asarray(lesions)[np.argmin(apart, axis=0)]

    def matched(self, order: Sequence[str]) -> Matched:
        """Return all of it."""
        return Matched(
            _complete(self.states, [*self.ever], order), self.regions, dict(self.sessions)
        )


def _parts(image) -> dict[int, np.ndarray]:
    """Return the flat indices of each part by its label, the largest part first."""
    flat = image.ravel()
    inside = np.flatnonzero(flat)
    inside = inside[np.argsort(flat[inside], kind="stable")]
    labels, starts = np.unique(flat[inside], return_index=True)
    voxels = np.split(inside, starts)[1:]  # nothing where there is no part
    parts = [(int(label), where) for label, where in zip(labels, voxels, strict=True)]
    return dict(sorted(parts, key=lambda part: (-part[1].size, part[1][0])))


def _state(known: bool, n_parts: int, others, first: bool) -> str:
    if not known:
        return "baseline" if first else "new"
    if n_parts == 0:
        return "vanished"
    if others:
        return "merged"
    return "split" if n_parts > 1 else "persistent"


def _complete(
    states: Sequence[LesionState], lesions: Sequence[int], order: Sequence[str]
) -> tuple[LesionState, ...]:
    """Return a state per lesion and session: what has none was not there yet."""
    by_key = {(state.lesion, state.session): state for state in states}
    return tuple(
        by_key.get((lesion, session), LesionState(lesion, session, "absent"))
        for lesion in lesions
        for session in order
    )


def _check(images: Mapping[str, np.ndarray], order: Sequence[str]) -> None:
    if not order or sorted(images) != sorted(order):
        raise ValueError(f"sessions {', '.join(images)} are not those of {', '.join(order)}")
    if len({np.shape(image) for image in images.values()}) > 1:
        raise ValueError("images of lesions through time must lie on one grid")
