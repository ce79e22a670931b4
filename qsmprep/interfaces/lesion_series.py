"""Lesions of one participant followed through time, as Nipype interfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
import numpy as np
import pandas as pd

from qsmprep.bids.headers import Header, grid_difference
from qsmprep.bids.lesion_columns import SERIES_COLUMNS, WORDS, says_yes
from qsmprep.errors import InputError
from qsmprep.geometry import Geometry
from qsmprep.interfaces._nifti import load, load_labels, save_like
from qsmprep.interfaces.change import join_flags
from qsmprep.interfaces.lesions import write_table
from qsmprep.methods.lesions import (
    LesionState,
    Matched,
    follow_labels,
    match_lesions,
    replace_regions,
    volumes_of,
)

NOT_EDITED = "region not edited"
"""Flag of a lesion that an image of edited regions lacks: it has the region as drawn."""


class _MatchLesionsInputSpec(BaseInterfaceInputSpec):
    images = InputMultiObject(
        File(exists=True), mandatory=True, desc="lesions of each session on one grid, in order"
    )
    numbered = traits.Bool(mandatory=True, desc="whether numbers mean the same in all of them")
    minimum_overlap = traits.Float(mandatory=True, desc="least share of parts of one lesion")
    edited = File(exists=True, desc="fixed regions that somebody has edited, on that grid")


class _MatchLesionsOutputSpec(TraitedSpec):
    regions = File(exists=True, desc="each lesion where it was first seen, or as edited")
    elsewhere = File(exists=True, desc="lesions of any session")
    volumes = traits.Dict(desc="volume of each region by its number as text, mm³")
    states = traits.List(traits.Dict, desc="one per lesion and session")


class MatchLesions(SimpleInterface):
    """Find which lesion of one session is which of the others."""

    input_spec = _MatchLesionsInputSpec
    output_spec = _MatchLesionsOutputSpec

    def _run_interface(self, runtime):
        _, image = load(self.inputs.images[0])
        geometry = Geometry.from_affine(image.affine)
        order = [str(number) for number in range(len(self.inputs.images))]
        images = {
            name: load_labels(path) for name, path in zip(order, self.inputs.images, strict=True)
        }
        if self.inputs.numbered:
            matched = follow_labels(images, order)
        else:
            matched = match_lesions(
                images, order, geometry, minimum_overlap=self.inputs.minimum_overlap
            )
        lacking: set[int] = set()
        if isdefined(self.inputs.edited):
            edited = self._edited()
            matched = self._replace(matched, edited)
            lacking = {state.lesion for state in matched.states} - {*np.unique(edited).tolist()}
        drawn = [*images.values(), matched.regions]
        anywhere = np.any([labels > 0 for labels in drawn], axis=0)
        for name, array in (("regions", matched.regions), ("elsewhere", anywhere)):
            path = Path(runtime.cwd) / f"{name}.nii.gz"
            self._results[name] = save_like(array, image, path)
        sizes = volumes_of(matched.regions, geometry)
        self._results["volumes"] = {
            str(state.lesion): sizes.get(state.lesion, 0.0) for state in matched.states
        }
        self._results["states"] = [
            _plain(state, matched, images[state.session])
            | {"flag": NOT_EDITED if state.lesion in lacking else None}
            for state in matched.states
        ]
        return runtime

    def _edited(self):
        """Return the edited regions, one volume."""
        image, path = load(self.inputs.images[0])[1], Path(self.inputs.edited)
        labels = load_labels(path)
        labels = labels.reshape(labels.shape[:3])
        own = Header(path, labels.shape, load(path)[1].affine)
        # Where the first session has failed, a later one lends its echoes.
        if grid_difference(Header(path, image.shape, image.affine), own):
            fact = "is not on the grid of the first session that is left"
            raise InputError(path, fact, "mend the session before it, or take the image away")
        return labels

    def _replace(self, matched: Matched, edited) -> Matched:
        try:
            return replace_regions(matched, edited)
        except ValueError as error:
            remedy = "number it as the image of that name in the output folder, or make it anew"
            raise InputError(self.inputs.edited, str(error), remedy) from error


def _plain(state: LesionState, matched: Matched, image) -> dict[str, object]:
    """Return a state with the share of each of its parts that is its own."""
    mine = matched.sessions[state.session] == state.lesion
    shares = {}
    for part in state.parts:
        whole = image == part
        shares[part] = np.count_nonzero(whole & mine) / np.count_nonzero(whole)
    return {
        "lesion": state.lesion,
        "session": int(state.session),
        "state": state.state,
        "merged_with": list(state.merged_with),
        "shares": shares,
    }


class _TabulateSeriesInputSpec(BaseInterfaceInputSpec):
    fixed = InputMultiObject(
        File(exists=True), mandatory=True, desc="tables in the fixed regions, in the order of time"
    )
    own = InputMultiObject(
        File(exists=True), mandatory=True, desc="tables of the sessions' own lesions"
    )
    states = traits.List(traits.Dict, mandatory=True, desc="one per lesion and session")
    years = traits.List(traits.Any, mandatory=True, desc="since the first; None where not known")


class _TabulateSeriesOutputSpec(TraitedSpec):
    table = File(exists=True, desc="one row per lesion and session")
    facts = traits.Dict(desc="Lesions: which were lost on the common grid")


class TabulateSeries(SimpleInterface):
    """Write the table of lesions through time."""

    input_spec = _TabulateSeriesInputSpec
    output_spec = _TabulateSeriesOutputSpec

    def _run_interface(self, runtime):
        fixed, own = (
            [read_lesions(path) for path in paths]
            for paths in (self.inputs.fixed, self.inputs.own)
        )
        table = series_table(fixed, own, self.inputs.states, self.inputs.years)
        self._results["table"] = write_table(table, Path(runtime.cwd) / "lesions.tsv")
        self._results["facts"] = {"Lesions": {
            "Purpose": "Rim figures are a research aid, no diagnosis: a human reading is required",
            "LostOnCommonGrid": lost(own, self.inputs.states),
        }}  # fmt: skip
        return runtime


def read_lesions(path: str | Path) -> pd.DataFrame:
    """Return a table of lesions with names as text."""
    return pd.read_csv(path, sep="\t", dtype=dict.fromkeys(WORDS, str), na_values=["n/a"],
                       keep_default_na=False)  # fmt: skip


def series_table(
    fixed: Sequence[pd.DataFrame],
    own: Sequence[pd.DataFrame],
    states: Sequence[Mapping],
    years: Sequence[float | None],
) -> pd.DataFrame:
    """
    Return lesions through time: susceptibility in a fixed region, volume of each session.

    Parameters
    ----------
    fixed
        Tables of the sessions in regions that are the same in all, in the order of time.
    own
        Tables of the sessions' own lesions.
    states
        `lesion`, `session` (its place in the order), `state`, `merged_with`, `flag`, and
        `shares`, the part of each of the session's own lesions that belongs to it.
    years
        Since the first session; None where not known.
    """
    figures = [table.set_index("lesion_id") for table in fixed]
    drawn = [table.set_index("lesion_id") for table in own]
    rows = []
    for state in states:
        session, shares = state["session"], {str(n): s for n, s in state["shares"].items()}
        mine = drawn[session].reindex([*shares])
        row = figures[session].loc[str(state["lesion"])].to_dict()
        row |= {name: _joined(mine[name]) for name in ("rim", "enhancement", "reader")}
        row |= {
            "lesion_id": state["lesion"],
            "years": np.nan if years[session] is None else years[session],
            "state": state["state"],
            "own_ids": "|".join(shares) or None,
            "merged_with": "|".join(map(str, state["merged_with"])) or None,
            "volume_mm3": float((mine["volume_mm3"] * list(shares.values())).sum()),
            "gd_fraction": mine["gd_fraction"].max() if len(mine) else np.nan,
            "flag": join_flags([row.get("flag"), state["flag"]]),
        }
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(SERIES_COLUMNS))
    table["lesion_age"] = _ages(table)
    return table


def lost(own: Sequence[pd.DataFrame], states: Sequence[Mapping]) -> list[str]:
    """Return lesions of a session's own that have no voxel on the common grid."""
    found = {(state["session"], str(part)) for state in states for part in state["shares"]}
    return [
        f"{row.session_id} {row.lesion_id}"
        for number, table in enumerate(own)
        for row in table.itertuples()
        if (number, row.lesion_id) not in found
    ]


def _joined(values: pd.Series) -> str | None:
    return "|".join(dict.fromkeys(values.dropna())) or None


def _ages(table: pd.DataFrame) -> pd.Series:
    """Return the years since each lesion was first seen to enhance, not a number before."""
    words = table["enhancement"].fillna("").str.split("|", regex=False)
    read = words.map(lambda said: any(map(says_yes, said)))
    enhancing = read | (table["gd_fraction"].astype(float) > 0)
    years = table["years"].astype(float)
    age = years - years.where(enhancing).groupby(table["lesion_id"]).transform("min")
    return age.where(age >= 0)
