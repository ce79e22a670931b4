"""What the numbers of a model come from, in words: for its page, its sidecars and a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
import json
import re
from typing import TYPE_CHECKING, Any

from qsmprep import __version__
from qsmprep.group.frames import PREFIXES
from qsmprep.group.harmonised import UNITS
from qsmprep.group.model_files import EACH_SESSION, ModelSpec
from qsmprep.group.region_values import column_name
from qsmprep.statistics.kinds import ACQUISITIONS, KINDS, PARTICIPANTS, VOXELWISE
from qsmprep.statistics.results import Fitted

if TYPE_CHECKING:
    from qsmprep.group.cohort_table import CohortTable

WORDS = {"Chimap": "susceptibility", "R2starmap": "R2*", "volume": "volume"}
"""What a paper calls the values of a map."""


@dataclass(frozen=True)
class Origin:
    """
    What the numbers of a model come from.

    Parameters
    ----------
    spec
        What was asked for.
    cohort
        The tables of the participants.
    protocols
        Digests of the protocols that made the maps.
    harmonisation
        How values were harmonised, as in names of files; empty where they were not.
    harmonised
        The same in sentences.
    """

    spec: ModelSpec
    cohort: CohortTable
    protocols: tuple[str, ...] = ()
    harmonisation: str = ""
    harmonised: str = ""

    @property
    def reference(self) -> str:
        """Region whose mean is zero."""
        return self.spec.measure.reference or self.cohort.reference

    @property
    def atlas(self) -> str:
        """Whose regions."""
        return self.spec.measure.atlas or next(iter(self.cohort.atlases), "n/a")

    @property
    def units(self) -> dict[str, str]:
        """Units of the values that the model uses, by their map, ``volume`` for volumes."""
        if self.spec.kind == VOXELWISE:
            return {"Chimap": "ppb"}
        named = _names(self.spec)
        regions = [column_name(region) for region in self.cohort.regions]
        names = {**PREFIXES, "volume": "volume"}
        used = {}
        for what, prefix in names.items():
            own = {prefix} if self.spec.regions else set()
            if named & (own | {f"{prefix}_{region}" for region in regions}):
                used[what] = UNITS.get(what, "mm3")
        return used


def _names(spec: ModelSpec) -> set[str]:
    """Return all words of the keys of a model, as given or as they are unless said."""
    parameters = signature(KINDS[spec.kind][0]).parameters
    unless_said = {name: one.default for name, one in parameters.items()
                   if one.default is not Parameter.empty}  # fmt: skip
    return set(re.findall(r"\w+", json.dumps({**unless_said, **spec.keys}, default=str)))


def facts(origin: Origin) -> dict[str, object]:
    """Return what the page of a model says of its data."""
    units = origin.units
    maps = [name for name in units if name != "volume"]
    return {
        "map": ", ".join(maps) or "n/a",
        "reference": origin.reference if "Chimap" in units else "n/a",
        "units": ", ".join(f"{WORDS[name]} {unit}" for name, unit in units.items()) or "n/a",
        "protocol": ", ".join(origin.protocols) or "not told by the tables",
        "harmonisation": origin.harmonisation or "none",
    }


def about(
    origin: Origin, fits: Mapping[str, Fitted], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return what made a model, from what, with which parameters."""
    spec = origin.spec
    several = list(fits) != [""]
    return {
        "Name": spec.name,
        "Kind": spec.kind,
        "Description": spec.description,
        "Formula": spec.formula,
        "Keys": {key: list(v) if isinstance(v, tuple) else v for key, v in spec.keys.items()},
        "Rows": spec.rows,
        "Where": spec.where,
        "Regions": list(spec.regions),
        "Atlas": origin.atlas,
        "Reference": origin.reference,
        "Statistic": spec.measure.statistic,
        "Units": "ppb for susceptibility, 1/s for R2*, mm3 for volumes",
        "Protocols": list(origin.protocols),
        "Harmonisation": origin.harmonised or "none",
        "Facts": {n: f.facts for n, f in fits.items()} if several else fits[""].facts,
        "GeneratedBy": [{"Name": "qsmprep", "Version": __version__}],
        "Software": dict(versions),
        "Source": spec.text,
    }


def methods(origin: Origin, fits: Mapping[str, Fitted], versions: Mapping[str, str]) -> str:
    """Return the paragraph for a paper."""
    sentences = [
        _values(origin),
        origin.harmonised,
        _rows(origin.spec),
        next(iter(fits.values())).method,
    ]
    if len(fits) > 1:
        sentences.append(
            f"The model was fitted in {len(fits)} regions; p-values are given uncorrected, and "
            "corrected for their number after Holm (1979) and after Benjamini and Hochberg (1995)."
        )
    with_versions = ", ".join(f"{name} {number}" for name, number in versions.items())
    sentences.append(f"Software: {with_versions}.")
    return " ".join(filter(None, sentences))


def _values(origin: Origin) -> str:
    """Return the sentence about what was measured, and by which protocol."""
    made = f"qsmprep {__version__}"
    if origin.protocols:
        plural = "s" * (len(origin.protocols) > 1)
        made += f" (protocol{plural} {', '.join(origin.protocols)})"
    parts = []
    for name, unit in origin.units.items():
        zero = f", with the {origin.reference} as reference" if name == "Chimap" else ""
        which = "" if name == "volume" else f"{origin.spec.measure.statistic} "
        parts.append(f"the {which}{WORDS[name]} (in {unit.replace('mm3', 'mm³')}{zero})")
    if origin.spec.kind == VOXELWISE:
        zero = f"with the {origin.reference} as reference"
        return f"Voxels hold the susceptibility in ppb, {zero}, from {made}."
    if not parts:
        return f"No regional values are used; the cohort was put together by {made}."
    atlas = f" of the atlas {origin.atlas}" if origin.atlas != "n/a" else ""
    values = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    return f"Regional values are {values} of each region{atlas}, from {made}."


def _rows(spec: ModelSpec) -> str:
    """Return the sentence about what was observed, and under which condition."""
    told = {
        PARTICIPANTS: "",
        ACQUISITIONS: "Every acquisition of a participant is an observation.",
    }
    session = "of its session" if spec.chi_from == EACH_SESSION else "of the first session"
    of_table = f"Observations are the rows of the table {spec.rows}"
    of_table += f", with regional values {session}." if spec.regions else "."
    kept = f"Those with {spec.where} were kept." if spec.where else ""
    return " ".join(filter(None, [told.get(spec.rows, of_table), kept]))
