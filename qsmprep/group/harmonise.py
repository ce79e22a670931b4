"""Regional values of a cohort with the differences of scanners taken out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError
from qsmprep.group.harmonise_files import write_harmonised
from qsmprep.group.harmonise_options import Options, read_options, settle
from qsmprep.group.harmonise_parameters import Stored, read_parameters
from qsmprep.group.harmonised import CHI, STATISTIC, Cohort, Harmonised, Key, Part, said
from qsmprep.group.strict import text_of
from qsmprep.statistics import harmonisation, travelling
from qsmprep.statistics.batches import shortened, warnings


def run_harmonise(cohort: Cohort, table: Mapping[str, Any], out_dir: Path) -> Harmonised:
    """
    Harmonise the regional means of a cohort, write tables, figures and a page, and return them.

    Parameters
    ----------
    cohort
        The tables of the participants.
    table
        The table ``[harmonise]``; see `qsmprep.group.harmonise_options.Options`.
    out_dir
        Output folder; everything goes to its ``group``.

    Raises
    ------
    RequestError
        If it asks for what does not exist, or nothing can be harmonised.
    InputError
        If stored parameters cannot be read.
    """
    options = read_options(table)
    stored = read_parameters(options) if options.parameters else None
    if stored:
        options, notes = stored.options, list[str]()
        needed = [options.batch, *(options.covariates or ())]
        missing = [name for name in needed if name not in cohort.acquisitions]
        if missing:
            raise RequestError(f"{stored.path}: needs a column {missing[0]}, which is not there")
    else:
        options, notes = settle(options, cohort.acquisitions)
    batch, told = _batches(options, cohort.acquisitions)
    notes += told
    parts: dict[Key, Part] = {}
    failures: dict[Key, str] = {}
    for key in _keys(options, cohort):
        try:
            parts[key], told = _harmonise(key, options, cohort, batch, stored)
            notes += told
        except RequestError as error:
            failures[key] = str(error)
    if not parts:
        reason = next(iter(failures.values()), "there are no regional values")
        raise RequestError(f"[harmonise] {reason}")
    notes += [f"{said(key)} is not harmonised: {reason}." for key, reason in failures.items()]
    notes += _general(parts)
    found = Harmonised(
        options.label, _method(options, parts), tuple(dict.fromkeys(notes)), options, parts,
        failures, batch,
    )  # fmt: skip
    write_harmonised(found, cohort, Path(out_dir))
    return found


def _keys(options: Options, cohort: Cohort) -> Iterator[Key]:
    for name, there in (("maps", cohort.maps), ("references", cohort.references)):
        wanted = getattr(options, name)
        if absent := [one for one in wanted if one not in there]:
            raise RequestError(
                f"[harmonise] {name}: no table has {absent[0]}; there are {', '.join(there)}"
            )
    for quantity in options.maps or cohort.maps:
        references = (options.references or cohort.references) if quantity == CHI else ("n/a",)
        for reference in references:
            for atlas in cohort.atlases:
                yield Key(quantity, reference, atlas)


def _batches(options: Options, acquisitions: pd.DataFrame) -> tuple[pd.Series, list[str]]:
    """Return the batch of every acquisition that is to be harmonised, and who is left out."""
    column = acquisitions[options.batch]
    if column.isna().all():
        raise RequestError(f"[harmonise] batch: {options.batch} is not known of anybody")
    batch = text_of(column.to_frame())[options.batch].where(column.notna())
    notes = []
    if column.isna().any():
        names = list(map(str, acquisitions.index[column.isna()]))
        notes.append(
            f"No {options.batch} is known of {shortened(names)}: not harmonised, missing "
            "afterwards."
        )
    if unknown := sorted(set(options.leave_out) - set(batch.dropna())):
        raise RequestError(
            f"[harmonise] leave_out: no batch {unknown[0]}; there are "
            f"{shortened(sorted(set(batch.dropna())))}"
        )
    notes += _coarse(options, acquisitions, batch)
    left = batch.isin(options.leave_out)
    if left.any():
        notes.append(
            f"Left out as asked: batch {', '.join(options.leave_out)}, {left.sum()} acquisitions."
        )
    return batch.mask(left), notes


def _coarse(options: Options, acquisitions: pd.DataFrame, batch: pd.Series) -> list[str]:
    """Return which batches hold several sites, as scanners of one model do."""
    notes = []
    for name in ("site", "output_folder"):
        if name in acquisitions and name != options.batch:
            sites = acquisitions[name].dropna().groupby(batch).unique()
            several = {key: sorted(map(str, of)) for key, of in sites.items() if len(of) > 1}
            if several:
                one, of = next(iter(several.items()))
                notes.append(
                    f"Batch {one} holds several of {name} ({shortened(of)}): if these are "
                    f'different scanners, batch = "{name}" tells them apart.'
                )
    return notes


def _harmonise(
    key: Key, options: Options, cohort: Cohort, batch: pd.Series, stored: Stored | None
) -> tuple[Part, list[str]]:
    """Return a set of values before and after, and what to know about it."""
    reference = cohort.reference if key.reference == "n/a" else key.reference
    before = cohort.values(key.map, reference, key.atlas, STATISTIC)
    there = (before.notna().any(axis=1) & batch.notna()).to_numpy()
    measured = list(before.columns[before[there].notna().any()].astype(str))
    if not measured:
        raise RequestError("there are no values")
    people = cohort.acquisitions[there]
    covariates = people[list(options.covariates or ())]
    rows = harmonisation.Rows(
        list(batch[there].astype(str)), list(people["participant_id"].astype(str)),
        covariates if len(covariates.columns) else None,
    )  # fmt: skip
    notes = _gaps(covariates)
    if stored:
        regions, parameters = stored.part(key)
        values = before.loc[there].reindex(columns=list(regions)).to_numpy(float)
        if absent := [name for name in measured if name not in regions]:
            notes.append(
                f"The stored parameters of {said(key)} lack {shortened(absent)}: missing."
            )
    else:
        regions = tuple(measured)
        values = before.loc[there, measured].to_numpy(float)
        notes += _warnings(options, rows, people)
        parameters = harmonisation.fit(options.method, values, rows, **options.of_fit())
    harmonised = harmonisation.apply(options.method, parameters, values, rows)
    notes += _left_out(key, parameters, regions)
    after = pd.DataFrame(np.nan, index=before.index, columns=before.columns)
    known = [number for number, name in enumerate(regions) if name in before]
    after.loc[there, [regions[number] for number in known]] = harmonised[:, known]
    part = Part(key, before, after, parameters, regions)
    return _with_variance(part, (values, harmonised), rows, options), notes


def _with_variance(
    part: Part, values: tuple[np.ndarray, np.ndarray], rows: harmonisation.Rows, options: Options
) -> Part:
    """Add what of the values is of the batches, as far as these few can tell."""
    smooth = dict.fromkeys(options.smooth, options.knots)
    both = np.isfinite(values[1])  # the same values before and after
    try:
        variance = tuple(
            harmonisation.site_variance(np.where(both, one, np.nan), rows, smooth)
            for one in values
        )
    except RequestError:
        return part
    batches = tuple(map(str, np.unique(rows.batch)))
    return Part(
        part.key, part.before, part.after, part.parameters, part.regions, variance, batches
    )


def _warnings(options: Options, rows: harmonisation.Rows, people: pd.DataFrame) -> list[str]:
    """Return what speaks against a fit, and refuse batches that are too small."""
    used = None if options.method == "travelling" else rows.covariates
    notes = list(warnings(rows.batch, used, rows.participants))
    repeated = people["participant_id"].duplicated().any()
    if repeated and options.method in ("combat", "combat-gam"):
        notes.append(
            f"Participants were seen more than once, which {options.method} does not know: take "
            "longitudinal-combat."
        )
    if options.method == "longitudinal-combat" and rows.covariates is not None:
        timed = {"age", "years"} & {*rows.covariates}
        if not timed:
            notes.append(
                "Neither age nor years is protected: change may be taken for the scanner."
            )
    if options.method == "travelling" and "years" in people:
        gone = people[travelling.travellers(rows.batch, rows.participants)]
        span = gone.groupby("participant_id")["years"].agg(lambda years: years.max() - years.min())
        if span.max() > 1:
            notes.append(
                f"Travelling participants were seen up to {span.max():.1f} years apart: their "
                "ageing is part of the offsets."
            )
    return notes


def _gaps(covariates: pd.DataFrame) -> list[str]:
    """Return who lacks a covariate."""
    lacking = {name: list(map(str, covariates.index[covariates[name].isna()]))
               for name in covariates}  # fmt: skip
    return [
        f"No {name} is known of {shortened(names)}: not harmonised, missing afterwards."
        for name, names in lacking.items()
        if names
    ]


def _left_out(key: Key, parameters: harmonisation.Parameters, regions: Sequence[str]) -> list[str]:
    """Return which regions could not be harmonised."""
    gone = ~np.isfinite(parameters.offsets)
    whole = [name for name, none in zip(regions, gone.all(axis=0), strict=True) if none]
    notes = []
    if whole:
        notes.append(
            f"{said(key)}: {shortened(whole)} could not be harmonised, for want of values or of "
            "spread; missing afterwards."
        )
    for name, row in zip(parameters.batches, gone & ~gone.all(axis=0), strict=True):
        if row.any():
            some = [region for region, none in zip(regions, row, strict=True) if none]
            notes.append(
                f"{said(key)}: too few values of {shortened(some)} in batch {name}; missing "
                "afterwards."
            )
    return notes


def _general(parts: dict[Key, Part]) -> list[str]:
    notes = ["Means of regions are harmonised; volumes and other statistics are as measured."]
    regions = {name for part in parts.values() for name in part.regions}
    if any(f"{name}_L" in regions for name in regions):
        notes.append(
            "Left, right and both sides are harmonised each by itself: both sides together are no "
            "longer exactly the mean of left and right."
        )
    return notes


def _method(options: Options, parts: dict[Key, Part]) -> str:
    """Return what was done as a methods section has it."""
    largest = max(parts.values(), key=lambda part: len(part.parameters.batches)).parameters
    how = harmonisation.METHODS[options.method].text
    text = (
        f"Regional means were harmonised between {len(largest.batches)} batches "
        f"({options.batch}) by {how}, separately for every map and reference"
    )
    if options.covariates and options.method != "travelling":
        text += f", with the effects of {', '.join(options.covariates)} protected"
    if options.smooth:
        text += f" ({', '.join(options.smooth)} as natural cubic splines of {options.knots} knots)"
    to = options.reference_batch or "the mean of all"
    text += f". Batches were brought to {to}."
    if options.mean_only:
        text += " Means alone were moved, not variances."
    if not options.parametric:
        text += " Priors were not parametric."
    if options.parameters:
        text += f" Parameters had been learnt before ({Path(options.parameters).name})."
    return text
