"""The output folders that a cohort comes from, and whether their results may stand together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path

from qsmprep.errors import RequestError
from qsmprep.group.covariates import names
from qsmprep.group.outputs import Identity, Outputs, find_outputs


@dataclass(frozen=True)
class Source:
    """
    An output folder of the participant level.

    Parameters
    ----------
    name
        What the column ``output_folder`` calls it.
    folder
        Where it lies.
    outputs
        What it holds, by whom it is of.
    """

    name: str
    folder: Path
    outputs: dict[Identity, Outputs]


def find_sources(out_dir: Path, sites: Mapping[str, Path], space: str = "") -> tuple[Source, ...]:
    """
    Return the output folder itself, if it holds participants, and all others that were given.

    `space` is that of `find_outputs`.

    Raises
    ------
    RequestError
        If one is not there, holds nothing, or is given twice.
    """
    own = find_outputs(out_dir, space)
    sources = [Source(out_dir.name, out_dir, own)] if own else []
    for name, folder in sites.items():
        if not folder.is_dir():
            raise RequestError(f"-d {name}={folder}: there is no such folder; check it")
        if same := [s for s in sources if s.folder.resolve() == folder.resolve()]:
            what = "the output folder, which counts anyhow" if same[0].folder == out_dir else (
                f"the same folder as {same[0].name}")  # fmt: skip
            raise RequestError(f"-d {name}={folder}: is {what}; drop one")
        if name in [source.name for source in sources]:
            raise RequestError(f"-d {name}={folder}: {out_dir} is called so; give another name")
        found = find_outputs(folder, space)
        if not found:
            raise RequestError(
                f"-d {name}={folder}: holds no map and no table; run its participants first"
            )
        sources.append(Source(name, folder, found))
    return tuple(sources)


def check_duplicates(sources: tuple[Source, ...]) -> tuple[str, ...]:
    """
    Return a note on those who were seen at several places, who must differ in their sessions.

    Raises
    ------
    RequestError
        If two folders hold the same acquisition.
    """
    places: dict[Identity, list[str]] = {}
    for source in sources:
        for who in source.outputs:
            places.setdefault(who, []).append(source.name)
    if twice := {who: where for who, where in places.items() if len(where) > 1}:
        told = [f"{_label(who)} ({' and '.join(where)})" for who, where in twice.items()]
        raise RequestError(
            f"acquisitions that are in several folders: {names(told)}; rename the participants "
            "if they are others, or leave one out"
        )
    people: dict[str, set[str]] = {}
    for who, (where,) in places.items():
        people.setdefault(who[0], set()).add(where)
    travelled = [who for who, where in people.items() if len(where) > 1]
    if not travelled:
        return ()
    return (f"Seen in several folders, and taken for the same person: {names(travelled)}.",)


def protocols(sources: tuple[Source, ...]) -> dict[Identity, str]:
    """Return the digest of the protocol of all acquisitions that, or whose folders, tell one."""
    found = {}
    for source in sources:
        of_folder = _digest_of(source.folder)
        for who, outputs in source.outputs.items():
            made_by = outputs.sidecar().get("GeneratedBy")
            told = made_by.get("ProtocolDigest") if isinstance(made_by, dict) else None
            if digest := str(told or of_folder):
                found[who] = digest
    return found


def check_protocols(sources: tuple[Source, ...], digests: Mapping[Identity, str]) -> None:
    """
    Refuse results of several protocols.

    Raises
    ------
    RequestError
        If there are; names folders, digests and how many acquisitions have each.
    """
    if len(set(digests.values())) < 2:
        return
    told = []
    for source in sources:
        counts = Counter(digests[who] for who in source.outputs if who in digests)
        told += [f"{digest} in {source.folder} ({n})" for digest, n in counts.most_common()]
    raise RequestError(
        f"results of several protocols: {', '.join(told)}; their regions do not compare, so run "
        "all with one, or give --allow-protocols"
    )


def _digest_of(folder: Path) -> str:
    """Return the digest that an output folder tells of itself, empty where it does not."""
    try:
        content = json.loads((folder / "dataset_description.json").read_text("utf-8"))
        return str(content["GeneratedBy"][0]["Protocol"]["Digest"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return ""


def _label(who: Identity) -> str:
    return " ".join(part for part in who if part != "n/a")
