"""The tables of a cohort: who, when and how acquired, and what regions say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.group.acquisition_keys import (
    acquisition_keys,
    read_acquired,
    times_text,
    voxel_text,
)
from qsmprep.group.covariates import Covariates, names, read_covariates
from qsmprep.group.joining import gaps, join_covariates
from qsmprep.group.outputs import Identity, Outputs
from qsmprep.group.region_values import RegionValues, Table, read_tables
from qsmprep.group.sources import (
    Source,
    check_duplicates,
    check_protocols,
    find_sources,
    protocols,
)
from qsmprep.methods.referencing import REFERENCES

IDS = ("participant_id", "session_id", "acquisition", "run")

CHI = "Chimap"


@dataclass(frozen=True)
class Members:
    """
    Whom a cohort is of, before any regional value is read.

    Parameters
    ----------
    sources
        The output folders.
    outputs
        Outputs of the acquisitions wanted, by their names, in the order of `acquisitions`.
    acquisitions
        As in `CohortTable`.
    origin
        Table and column that columns of `acquisitions` were read from, by their names.
    covariates
        The tables of the dataset.
    notes
        What a reader should know, in sentences.
    """

    sources: tuple[Source, ...]
    outputs: dict[str, Outputs]
    acquisitions: pd.DataFrame
    origin: dict[str, tuple[str, str]]
    covariates: Covariates
    notes: tuple[str, ...]

    @property
    def tables(self) -> dict[Path, tuple[str, Sequence[str]]]:
        """All regional tables, each with the name of its acquisition and what its ids must be."""
        return {
            path: (name, one.identity) for name, one in self.outputs.items() for path in one.tables
        }

    @property
    def known(self) -> set[str]:
        """All participants and sessions with results, whether they are wanted or not."""
        everybody = (who for source in self.sources for who in source.outputs)
        return {name for who in everybody for name in who[:2]}


@dataclass(frozen=True)
class CohortTable:
    """
    A cohort as models take it.

    Parameters
    ----------
    acquisitions
        A row per acquisition, by its name: ids (``n/a`` where there is none), output folder, how
        it was acquired, `age`, `years`, and all covariates with one value per participant or
        session. Sorted by participants and the times of their sessions.
    phenotype
        Every table of ``phenotype/`` as read, by its name without ending.
    atlases, maps, references
        What there are regional values of; `references` of susceptibility.
    reference
        That of the maps, or the first there is.
    regions
        Names of all regions; ``_L`` and ``_R`` for one side, plain for whole structures.
    notes
        What a reader should know, in sentences.
    """

    acquisitions: pd.DataFrame
    phenotype: dict[str, pd.DataFrame]
    atlases: tuple[str, ...]
    maps: tuple[str, ...]
    references: tuple[str, ...]
    reference: str
    regions: tuple[str, ...]
    notes: tuple[str, ...]
    region_values: RegionValues = field(repr=False)

    def values(self, map: str, reference: str, atlas: str, statistic: str) -> pd.DataFrame:  # noqa: A002
        """
        Return one statistic of all regions of an atlas, a row per acquisition.

        Parameters
        ----------
        map
            ``Chimap`` or ``R2starmap``.
        reference
            What zero means; for maps without reference it does not count.
        atlas
            Whose regions.
        statistic
            Column of ``regions.tsv`` that holds numbers.

        Returns
        -------
        values
            A column per region, in the order of the tables; NaN where nothing was measured.

        Raises
        ------
        RequestError
            If there is no such map, reference, atlas or column.
        """
        return self.region_values.pivot(
            self.acquisitions.index, quantity=map, reference=reference, atlas=atlas,
            statistic=statistic,
        )  # fmt: skip

    @property
    def atlas(self) -> str:
        """The atlas that most acquisitions have; empty where there is none."""
        rows = self.region_values.rows[["acquisition", "atlas"]]
        counts = rows.drop_duplicates()["atlas"].value_counts()
        return str(counts.index[0]) if len(counts) else ""


def read_cohort(
    out_dir: Path,
    bids_dir: Path,
    sites: Mapping[str, Path],
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    allow_protocols: bool = False,
) -> CohortTable:
    """
    Return the tables of a cohort.

    Parameters
    ----------
    out_dir
        Output folder; counts where it holds participants.
    bids_dir
        The dataset, with ``participants.tsv``, tables of sessions and ``phenotype/``.
    sites
        Further output folders by their names.
    participants, sessions
        Labels, with or without ``sub-`` and ``ses-``; all where empty.
    allow_protocols
        Whether results of several protocols may stand together.

    Raises
    ------
    InputError
        If a table is not as it should be.
    RequestError
        If there are no results, of several protocols, or twice of one acquisition.
    """
    members = read_members(
        out_dir, bids_dir, sites, wanted(participants, sessions), allow_protocols
    )
    if not members.outputs:
        raise RequestError(f"{out_dir}: holds no map and no table; run the participants first")
    return with_values(members, read_tables(members.tables))


def wanted(participants: Sequence[str], sessions: Sequence[str]) -> list[set[str]]:
    """Return labels of participants and sessions with their prefixes."""
    return [
        {f"{prefix}{label.removeprefix(prefix)}" for label in labels}
        for prefix, labels in (("sub-", participants), ("ses-", sessions))
    ]


def is_wanted(identity: Identity, labels: list[set[str]]) -> bool:
    """Tell whether an acquisition is among those asked for."""
    pairs = zip(identity[:2], labels, strict=True)
    return all(not some or name in some for name, some in pairs)


def read_members(
    out_dir: Path,
    bids_dir: Path,
    sites: Mapping[str, Path],
    labels: list[set[str]],
    allow_protocols: bool,
    space: str = "",
) -> Members:
    """Return whom a cohort is of; see `read_cohort`, but for labels, which have prefixes here."""
    sources = find_sources(out_dir, sites, space)
    notes = check_duplicates(sources)
    digests = protocols(sources)
    if not allow_protocols:
        check_protocols(sources, digests)
    everybody = {one.stem: one for source in sources for one in source.outputs.values()}
    table = _acquisitions(sources, digests if allow_protocols else None)
    covariates = read_covariates(bids_dir, [source.folder for source in sources] or [out_dir])
    joined = join_covariates(table, covariates)
    kept = [name for name in joined.table.index if is_wanted(everybody[name].identity, labels)]
    chosen = joined.table.loc[kept]
    if space:
        notes = (f"Regions are those in the space of all sessions (--space {space}).", *notes)
    notes = (*notes, *covariates.notes, *joined.notes, *gaps(chosen))
    return Members(
        sources, {name: everybody[name] for name in kept}, chosen, joined.origin, covariates, notes
    )


def with_values(members: Members, tables: Sequence[Table]) -> CohortTable:
    """Return the table of a cohort whose regional tables were read."""
    values = RegionValues.of(tables)
    references = values.names("reference")
    told = [one.sidecar().get("Reference") for one in members.outputs.values()]
    named = [item.get("name") if isinstance(item, dict) else item for item in told]
    used = Counter(str(name) for name in named if name)
    order = [*(name for name, _ in used.most_common()), *REFERENCES, *references]
    reference = next((name for name in order if name in references), REFERENCES[0])
    notes = list(members.notes)
    if len(used) > 1:
        several = ", ".join(f"{name} ({count})" for name, count in used.most_common())
        notes.append(f"The maps have several references: {several}; {reference} is used.")
    having = {table.acquisition for table in tables}
    if without := [name for name in members.outputs if name not in having]:
        notes.append(f"There is no table of regions of {names(without)}.")
    return CohortTable(
        acquisitions=members.acquisitions,
        phenotype=members.covariates.phenotype,
        atlases=values.names("atlas"),
        maps=values.names("map"),
        references=references,
        reference=reference,
        regions=values.names("region"),
        notes=tuple(notes),
        region_values=values,
    )


def _acquisitions(
    sources: Sequence[Source], digests: Mapping[Identity, str] | None
) -> pd.DataFrame:
    """Return a row per acquisition: its ids, where its outputs lie and how it was acquired."""
    all_of = [(source, one) for source in sources for one in source.outputs.values()]
    acquired = [read_acquired(one) for _, one in all_of]
    keys = acquisition_keys(acquired)
    rows = []
    for (source, one), how, key in zip(all_of, acquired, keys, strict=True):
        row: dict[str, object] = dict(zip(IDS, one.identity, strict=True))
        row |= {
            "output_folder": source.name,
            "acquisition_key": key or None,
            "manufacturer": how.manufacturer or None,
            "model": how.model or None,
            "software": how.software or None,
            "field_strength": how.field_strength,
            "echo_times": times_text(how.echo_times) or None,
            "voxel_size": voxel_text(how.voxel_size) or None,
        }
        if digests is not None:
            row["protocol"] = digests.get(one.identity)
        rows.append(row)
    columns = [*IDS, "output_folder", "acquisition_key", "manufacturer", "model", "software",
               "field_strength", "echo_times", "voxel_size"]  # fmt: skip
    columns += ["protocol"] * (digests is not None)
    index = pd.Index([one.stem for _, one in all_of], name="name", dtype=object)
    table = pd.DataFrame(rows, index=index, columns=columns)
    return table.astype({"field_strength": float})
