"""Who the participants are: their site and their group, and where it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from qsmprep.group.outputs import Identity
from qsmprep.group.strict import text_of

SITE_COLUMNS = ("site", "site_id", "center", "centre", "scanner", "scanner_id")
GROUP_COLUMNS = ("group", "diagnosis", "dx", "clinical_group")
UNTOLD = "not told"


@dataclass(frozen=True)
class People:
    """
    Site and group of every acquisition.

    Parameters
    ----------
    site, group
        By whom the acquisition is of; `group` is empty where there is no such column.
    site_source, group_source
        Where they were read, as a phrase; the latter empty where there is no group.
    notes
        What a reader should know of them, in sentences.
    """

    site: dict[Identity, str]
    group: dict[Identity, str]
    site_source: str
    group_source: str
    notes: tuple[str, ...]


def read_people(
    participants: pd.DataFrame, keys: Mapping[Identity, str], everybody: Iterable[Identity]
) -> People:
    """
    Return site and group of acquisitions, from ``participants.tsv`` or by how they were made.

    Parameters
    ----------
    participants
        The rows of ``participants.tsv``; none where there is no such table.
    keys
        How acquisitions were made, in a phrase, as far as it is known.
    everybody
        Whom the acquisitions are of.
    """
    everybody, notes = list(everybody), []
    sites, site_column = _column(participants, SITE_COLUMNS)
    groups, group_column = _column(participants, GROUP_COLUMNS)
    if site_column:
        site = {who: sites.get(who[0], UNTOLD) for who in everybody}
        source = f"column {site_column} of participants.tsv"
    else:
        site = {who: keys.get(who, UNTOLD) for who in everybody}
        source = (
            "how they were acquired (manufacturer, model, software, field strength, echo times "
            "and voxel size, as the outputs tell)"
        )
        if len(participants):
            notes.append(f"participants.tsv has none of the columns {', '.join(SITE_COLUMNS)}.")
    if group_column:
        if unnamed := {who[0] for who in everybody} - groups.keys():
            notes.append(f"participants.tsv tells no {group_column} of {len(unnamed)} of them.")
    elif len(participants):
        notes.append(f"participants.tsv has none of the columns {', '.join(GROUP_COLUMNS)}.")
    return People(
        site=site,
        group={who: groups.get(who[0], UNTOLD) for who in everybody} if group_column else {},
        site_source=source,
        group_source=f"column {group_column} of participants.tsv" if group_column else "",
        notes=tuple(notes),
    )


def _column(table: pd.DataFrame, wanted: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """Return what the first of some columns says of each participant, and its name."""
    names = {name.lower(): name for name in reversed(table.columns)}
    for column in wanted:
        if column in names and table[names[column]].notna().any():
            told = table[names[column]].notna()
            words = text_of(table.loc[told, ["participant_id", names[column]]])
            return dict(words.itertuples(index=False, name=None)), names[column]
    return {}, ""
