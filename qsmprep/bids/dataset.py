"""From a BIDS folder to a plan: which acquisitions can be processed, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
import os
from pathlib import Path
import re
from typing import TYPE_CHECKING

from qsmprep.bids.anatomy import choose_t1w, read_t1w
from qsmprep.bids.checks import Echoes, Image, check_echoes
from qsmprep.bids.entities import folder_of, join_entities, parse_name, sort_entities
from qsmprep.bids.models import Acquisition, Anatomy, Fault, Issue, Plan, acquisition_key
from qsmprep.bids.sidecars import Sidecars, read_json
from qsmprep.errors import RequestError

if TYPE_CHECKING:
    from bids.layout import BIDSLayout

SUFFIXES = {"megre": ["MEGRE", "T2starw", "GRE"], "t1w": ["T1w"]}
"""What is looked for, by the names of the filter file."""

NO_T1W = ("no T1w image", "the maps are made, the regional table is not")
_NO_PHASE = ("magnitude only", "it is skipped; add part-mag and part-phase for a map of it")

Filters = Mapping[str, Mapping[str, object]]
Group = tuple[str, str | None, tuple[tuple[str, str], ...], str]


def read_plan(
    bids_dir: str | Path,
    *,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    filters: Filters | None = None,
    database_dir: str | Path | None = None,
    need_t1w: bool = True,
) -> Plan:
    """
    Return what can be processed in a BIDS dataset, with everything that is wrong with the rest.

    Parameters
    ----------
    bids_dir
        The dataset.
    participants, sessions
        Labels, with or without ``sub-`` and ``ses-``; all where empty. A T1w image may come from
        a session that is not listed.
    filters
        Entities that images must have, as in fMRIPrep's filter file: for ``megre`` and ``t1w``,
        pybids names of entities with a value or a list of values; None means that the entity is
        absent, ``"*"`` that it is present.
    database_dir
        Where pybids keeps the index of the whole dataset for the next time; it knows nothing of
        files that come later.
    need_t1w
        Whether T1w images are looked for.

    Raises
    ------
    RequestError
        If there is no such dataset, participant, session or filter.
    """
    root = Path(os.path.abspath(bids_dir))  # links stay links, as in a DataLad dataset
    labels = _choose_participants(root, participants)
    wanted = _choose_sessions(root, labels, sessions)
    echoes, t1w = find_images(root, labels, filters or {}, database_dir)
    sidecars = Sidecars(root)
    acquisitions: list[Acquisition] = []
    issues: list[Issue] = []
    for label in labels:
        paths, misnamed = _well_named(root, echoes.get(label, []))
        issues += [Issue(label, None, None, "error", *fault) for fault in misnamed]
        issues += [
            Issue(label, None, None, "error", folder, "may not be read", "allow it by chmod")
            for folder in _closed_folders(root, label)
        ]
        groups = group_echoes(paths)
        groups = {key: paths for key, paths in groups.items() if not wanted or key[1] in wanted}
        if not groups:
            issues.append(_nothing_found(label, wanted, filters))
            continue
        paths, misnamed = _well_named(root, t1w.get(label, []) if need_t1w else [])
        anatomies, broken = read_t1w(paths, sidecars)
        issues += [Issue(label, None, None, "warning", *fault) for fault in misnamed + broken]
        if need_t1w and not anatomies:
            issues.append(Issue(label, None, None, "warning", None, *NO_T1W))
        new, problems = _check_groups(groups, anatomies, sidecars)
        acquisitions += new
        issues += problems
    return Plan(tuple(acquisitions), tuple(issues))


def _nothing_found(label: str, sessions: Sequence[str], filters: Filters | None) -> Issue:
    where = f" in ses-{' or ses-'.join(sessions)}" if sessions else ""
    which = " that passes the filters" if filters else ""
    fact = f"no MEGRE, T2starw or GRE image{which}{where}"
    return Issue(label, None, None, "warning", None, fact, "nothing is done for it")


def _choose_participants(root: Path, asked: Sequence[str]) -> list[str]:
    if not root.is_dir():
        raise RequestError(f"{root}: there is no such folder; give the root of a BIDS dataset")
    present = sorted(p.name.removeprefix("sub-") for p in root.glob("sub-*") if p.is_dir())
    if not (root / "dataset_description.json").is_file() or not present:
        lacks = "sub-* folder" if not present else "dataset_description.json"
        raise RequestError(f"{root}: no {lacks} in it; give the root of a BIDS dataset")
    description = read_json(root / "dataset_description.json")
    if isinstance(description, Fault):
        raise RequestError(f"{description.path}: {description.fact}; {description.remedy}")
    return _choose("participant", "sub-", present, asked) or present


def _choose_sessions(root: Path, labels: Sequence[str], asked: Sequence[str]) -> list[str]:
    folders = (p for label in labels for p in (root / f"sub-{label}").glob("ses-*"))
    present = sorted({p.name.removeprefix("ses-") for p in folders if p.is_dir()})
    return _choose("session", "ses-", present, asked)


def _choose(kind: str, prefix: str, present: Sequence[str], asked: Sequence[str]) -> list[str]:
    labels = sorted({label.removeprefix(prefix) for label in asked})
    for label in labels:
        if label not in present:
            near = get_close_matches(label, present, n=1, cutoff=0)
            hint = f"the nearest is {prefix}{near[0]}" if near else "the dataset has none"
            raise RequestError(f"{prefix}{label}: there is no such {kind}; {hint}")
    return labels


def find_images(
    root: Path, labels: Sequence[str], filters: Filters, database_dir: str | Path | None
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Return gradient-echo and T1w images by participant, as pybids finds them."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    for name in filters:
        if name not in SUFFIXES:
            raise RequestError(f"filter file: {name!r} is unknown; it takes megre and t1w")
    queries = {name: _query(name, filters.get(name, {})) for name in SUFFIXES}
    ignore = [_not_an_image([suffix for suffixes, _ in queries.values() for suffix in suffixes])]
    if database_dir is None:  # or the next user of the database would miss participants
        ignore.append(re.compile(rf"^/(?!sub-({'|'.join(map(re.escape, labels))})(/|$))"))
    else:
        ignore.append(re.compile(r"^/(?!sub-)"))
    closed = [folder for label in labels for folder in _closed_folders(root, label)]
    ignore += [re.compile(f"^/{re.escape(f.relative_to(root).as_posix())}(/|$)") for f in closed]
    layout = BIDSLayout(
        root,
        validate=False,
        database_path=database_dir,
        # Sidecars are read by ``Sidecars``.
        indexer=BIDSLayoutIndexer(validate=False, ignore=ignore, index_metadata=False),
    )
    try:
        if Path(layout.root) != root:  # as one that is read from a database may be
            raise RequestError(
                f"{database_dir}: is the index of {layout.root}; give another folder or delete it"
            )
        found = {name: _get(layout, name, *query) for name, query in queries.items()}
    finally:
        layout.connection_manager.session.close()
        layout.connection_manager.engine.dispose()
    return _by_participant(root, found["megre"]), _by_participant(root, found["t1w"])


def _closed_folders(root: Path, label: str) -> list[Path]:
    """Return the folders of a participant that may not be read."""
    top = root / f"sub-{label}"
    folders = [folder for folder in (top, *top.glob("*"), *top.glob("ses-*/*")) if folder.is_dir()]
    return [folder for folder in folders if not os.access(folder, os.R_OK | os.X_OK)]


def _query(name: str, given: Mapping[str, object]) -> tuple[list[str], dict[str, object]]:
    """Return suffixes to look for, and what else pybids shall ask for."""
    from bids.layout import Query

    if not isinstance(given, Mapping):
        raise RequestError(f"filter file: {name} is no object with entities; write it in braces")
    query = dict(given)
    asked = query.pop("suffix", SUFFIXES[name])
    asked = asked if isinstance(asked, list) else [asked]
    suffixes = [suffix for suffix in asked if isinstance(suffix, str) and suffix.isalnum()]
    if suffixes != asked:
        raise RequestError(
            f"filter file: the suffix of {name} is a name or a list of names; correct it"
        )
    for entity, value in query.items():
        if value is None:
            query[entity] = Query.NONE
        elif value == "*":
            query[entity] = Query.ANY
    return suffixes, query


def _not_an_image(suffixes: Sequence[str]) -> re.Pattern:
    """Match all files but images of some suffixes, so that nothing else is indexed."""
    return re.compile(rf"/(?![^/]*_({'|'.join(suffixes)})\.nii(\.gz)?$)[^/]*\.[^/]*$")


def _get(
    layout: BIDSLayout, name: str, suffixes: list[str], query: Mapping[str, object]
) -> list[Path]:
    known = layout.get_entities()
    for entity in query:
        if entity not in known:
            longer = (other for other in known if other.startswith(entity))
            near = next(longer, get_close_matches(entity, known, n=1, cutoff=0)[0])
            raise RequestError(
                f"filter file: {name} has {entity!r}, which is no entity; the nearest is {near!r}"
            )
    files = layout.get(**{"extension": [".nii", ".nii.gz"], "suffix": suffixes, **query})
    return sorted(Path(file.path) for file in files)


def _by_participant(root: Path, paths: Sequence[Path]) -> dict[str, list[Path]]:
    participants: dict[str, list[Path]] = {}
    for path in paths:
        label = path.relative_to(root).parts[0].removeprefix("sub-")
        participants.setdefault(label, []).append(path)
    return participants


def _well_named(root: Path, paths: Sequence[Path]) -> tuple[list[Path], list[Fault]]:
    """Return the files that are named as BIDS does for where they are, and faults of others."""
    good, faults = [], []
    for path in paths:
        folders = [p for p in path.relative_to(root).parts[:-1] if p[:4] in ("sub-", "ses-")]
        try:
            entities, _ = parse_name(path)
        except ValueError:
            faults.append(Fault(path, "is not named as BIDS names files", "rename it"))
            continue
        if folder_of(join_entities(entities)) == Path(*folders):
            good.append(path)
        else:
            fact = f"is not named for the folder {'/'.join(folders)}"
            faults.append(Fault(path, fact, "rename or move it"))
    return good, faults


def group_echoes(paths: Sequence[Path]) -> dict[Group, list[Path]]:
    """Return the files of each acquisition."""
    groups: dict[Group, list[Path]] = {}
    for path in paths:
        entities, suffix = parse_name(path)
        participant, session = entities.pop("sub"), entities.pop("ses", None)
        kept = {k: v for k, v in entities.items() if k not in ("echo", "part")}
        key = (participant, session, tuple(sort_entities(kept).items()), suffix)
        groups.setdefault(key, []).append(path)
    return groups


def _check_groups(
    groups: Mapping[Group, Sequence[Path]], anatomies: Sequence[Anatomy], sidecars: Sidecars
) -> tuple[list[Acquisition], list[Issue]]:
    """Return the acquisitions of one participant that pass all checks, and what is wrong."""
    acquisitions: list[Acquisition] = []
    issues: list[Issue] = []
    magnitudes = {key for key, paths in groups.items() if _is_magnitude_only(key, paths)}
    stems = Counter(key[:3] for key in groups.keys() - magnitudes)
    for key, paths in groups.items():
        participant, session = key[:2]
        name = acquisition_key(*key)
        if key in magnitudes:
            fault = Fault(paths[0], *_NO_PHASE)
            issues.append(Issue(participant, session, name, "warning", *fault))
            continue
        echoes, faults = _check(paths, sidecars)
        issues += [Issue(participant, session, name, "error", *f) for f in _joined(faults)]
        if echoes is not None:
            t1w, notes = choose_t1w(anatomies, session)
            acquisition = _acquisition(key, echoes, stems[key[:3]] > 1)
            acquisitions.append(replace(acquisition, t1w=t1w, notes=(*acquisition.notes, *notes)))
    return acquisitions, issues


def _joined(faults: Sequence[Fault]) -> list[Fault]:
    """Return one fault for all files that have the same, as the echoes of a series do."""
    alike: dict[tuple[str, str], list[Path]] = {}
    for path, *words in faults:
        alike.setdefault((words[0], words[1]), []).append(path)
    return [
        Fault(paths[0], f"{fact} (and in {more} more of its files)" if more else fact, remedy)
        for (fact, remedy), paths in alike.items()
        for more in [len(paths) - 1]
    ]


def _acquisition(key: Group, echoes: Echoes, shares_stem: bool) -> Acquisition:
    participant, session, entities, suffix = key
    first = echoes.parts["phase" if "phase" in echoes.parts else "real"][0].metadata
    units = first.get("Units")
    return Acquisition(
        participant=participant,
        session=session,
        entities=entities,
        suffix=suffix,
        parts={part: tuple(i.path for i in images) for part, images in echoes.parts.items()},
        echo_times=echoes.echo_times,
        b0=echoes.b0,
        phase_units=units if isinstance(units, str) else None,
        metadata=first,
        notes=echoes.notes,
        shares_stem=shares_stem,
    )


def _is_magnitude_only(key: Group, paths: Sequence[Path]) -> bool:
    return key[3] == "T2starw" and not any("part" in parse_name(path)[0] for path in paths)


def _check(paths: Sequence[Path], sidecars: Sidecars) -> tuple[Echoes | None, list[Fault]]:
    images, faults = [], []
    for path in paths:
        metadata, broken = sidecars.metadata(path)
        faults += [fault for fault in broken if fault not in faults]
        images.append(Image(path, *parse_name(path), metadata))
    return check_echoes(images) if not faults else (None, faults)
