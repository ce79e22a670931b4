"""Which T1w image belongs to an acquisition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qsmprep.bids.entities import parse_name
from qsmprep.bids.headers import read_header
from qsmprep.bids.models import Anatomy, Fault
from qsmprep.bids.sidecars import Sidecars


def read_t1w(paths: Sequence[Path], sidecars: Sidecars) -> tuple[list[Anatomy], list[Fault]]:
    """Return the T1w images of one participant that can be used, best first, and the faults."""
    anatomies: list[Anatomy] = []
    faults: list[Fault] = []
    for path in paths:
        entities, _ = parse_name(path)
        if entities.get("part", "mag") != "mag":
            continue
        metadata, broken = sidecars.metadata(path)
        header, problems = read_header(path)
        faults += [fault for fault in (*broken, *problems) if fault not in faults]
        if header is not None:
            anatomies.append(Anatomy(entities["sub"], entities.get("ses"), path, metadata))
    return sorted(anatomies, key=_preference), faults


def _preference(anatomy: Anatomy) -> tuple[bool, int, int, str]:
    """As acquired before reconstructed again, first run before repeats, plain before special."""
    entities, _ = parse_name(anatomy.path)
    run = entities.get("run", "1")
    return (
        "rec" in entities,
        int(run) if run.isdecimal() else 1,
        len(entities),
        anatomy.path.name,
    )


def choose_t1w(
    anatomies: Sequence[Anatomy], session: str | None
) -> tuple[Anatomy | None, list[str]]:
    """Return the T1w image for a session, and what the reader of a report should know of it."""
    here = [anatomy for anatomy in anatomies if anatomy.session == session]
    if here:
        others = ", ".join(anatomy.path.name for anatomy in here[1:])
        notes = [f"of several T1w images {here[0].path.name} was used, not {others}"]
        return here[0], notes if others else []
    if anatomies:
        # Sessions in the order of their labels; within a session the best image is first.
        chosen = min(anatomies, key=lambda anatomy: anatomy.session or "")
        where = f"ses-{chosen.session}" if chosen.session else "no session"
        return chosen, [f"no T1w image in this session: {chosen.path.name} of {where} was used"]
    return None, []
