"""What a user may ask of harmonisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.combat_gam import KNOTS
from qsmprep.statistics.harmonisation import METHODS

USUAL = ("age", "sex", "group", "diagnosis")
"""Covariates that are protected where nothing else is said and a table has them."""

_WITH_PARAMETERS = {"method", "parameters", "maps", "references", "leave_out"}


@dataclass(frozen=True)
class Options:
    """
    The table ``[harmonise]``, checked.

    Parameters
    ----------
    method
        One of `qsmprep.statistics.harmonisation.METHODS`; empty where stored parameters say it.
    batch
        Column that names the batch.
    covariates
        Columns whose effects are protected; None for those of `USUAL` that there are.
    smooth
        Covariates that may bend.
    knots
        Of their splines.
    reference_batch
        The batch that the others are brought to; empty for the mean of all.
    mean_only
        Whether only means are moved.
    parametric
        Whether the priors have a given form.
    parameters
        A file of stored parameters to apply; empty to fit.
    maps, references
        Which ones; all where empty.
    leave_out
        Batches that are not harmonised.
    """

    method: str = ""
    batch: str = "acquisition_key"
    covariates: tuple[str, ...] | None = None
    smooth: tuple[str, ...] = ()
    knots: int = KNOTS
    reference_batch: str = ""
    mean_only: bool = False
    parametric: bool = True
    parameters: str = ""
    maps: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The method as it stands in names of files and columns."""
        return self.method.replace("-", "")

    def of_fit(self) -> dict[str, Any]:
        """Return the keywords of the method's function."""
        said: dict[str, Any] = {
            "reference_batch": self.reference_batch or None,
            "mean_only": self.mean_only,
            "parametric": self.parametric,
            "smooth": dict.fromkeys(self.smooth, self.knots),
        }
        return {name: said[name] for name in METHODS[self.method].options}


def read_options(table: Mapping[str, Any]) -> Options:
    """
    Return what a table ``[harmonise]`` asks for.

    Raises
    ------
    RequestError
        If a key or a method does not exist, or a value is not of its kind.
    """
    kinds = {one.name: one.type for one in fields(Options)}
    for key, value in table.items():
        if key not in kinds:
            raise RequestError(f"[harmonise] {key}: no such key; {_nearest(key, kinds)}")
        _check_kind(key, value, str(kinds[key]))
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list | tuple) else value
              for key, value in table.items()}  # fmt: skip
    options = Options(**values)
    if options.parameters:
        if extra := sorted(set(table) - _WITH_PARAMETERS):
            raise RequestError(
                f"[harmonise] {extra[0]}: stored parameters say it; leave it out, or parameters"
            )
    elif not options.method:
        raise RequestError(f"[harmonise] has no method; there are {', '.join(METHODS)}")
    if options.method:
        _check_method(options, table)
    return options


def _check_method(options: Options, table: Mapping[str, Any]) -> None:
    if options.method not in METHODS:
        raise RequestError(
            f"[harmonise] method {options.method}: no such method; "
            f"{_nearest(options.method, METHODS)}"
        )
    own = {"reference_batch", "mean_only", "parametric", "smooth"}
    foreign = [key for key in table if key in own - {*METHODS[options.method].options}]
    if foreign:
        raise RequestError(f"[harmonise] {foreign[0]}: {options.method} has no such key")
    if "knots" in table and not options.smooth and options.method != "combat-gam":
        raise RequestError('[harmonise] knots: nothing is smooth; add smooth = ["age"]')


def _check_kind(key: str, value: object, kind: str) -> None:
    if "tuple" in kind:
        # A text is a sequence of letters, and would be taken for one.
        good = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
        wanted = "a list of texts"
    elif kind == "bool":
        good, wanted = isinstance(value, bool), "true or false"
    elif kind == "int":
        good, wanted = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    else:
        good, wanted = isinstance(value, str), "a text"
    if not good:
        raise RequestError(f"[harmonise] {key} = {shown(value)}: it must be {wanted}")


def _nearest(word: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def settle(options: Options, acquisitions: pd.DataFrame) -> tuple[Options, list[str]]:
    """
    Return options with all columns named, and what was chosen, in sentences.

    Parameters
    ----------
    options
        Without stored parameters.
    acquisitions
        A row each.

    Raises
    ------
    RequestError
        If a column is not there.
    """
    known = {str(name): None for name in acquisitions}
    named = [("batch", options.batch)]
    named += [("covariates", name) for name in options.covariates or ()]
    named += [("smooth", name) for name in options.smooth]
    for key, name in named:
        if name not in known:
            raise RequestError(
                f"[harmonise] {key}: no column {name} in the cohort; {_nearest(name, known)}"
            )
    values = {one.name: getattr(options, one.name) for one in fields(Options)}
    notes = []
    if options.method == "combat-gam" and not options.smooth:
        values["smooth"] = ("age",)
    if options.covariates is None:
        usual = [*USUAL, *(["years"] if options.method == "longitudinal-combat" else [])]
        chosen = [name for name in usual if name in known and acquisitions[name].nunique() > 1]
        values["covariates"] = (*chosen, *(n for n in values["smooth"] if n not in chosen))
        notes.append(
            f"Covariates were not named: {', '.join(values['covariates']) or 'none'} protected."
        )
    elif extra := [name for name in values["smooth"] if name not in options.covariates]:
        values["covariates"] = (*options.covariates, *extra)
    if "age" in values["smooth"] and "age" not in known:
        raise RequestError("[harmonise] smooth: no column age in the cohort; name another")
    return Options(**values), notes
