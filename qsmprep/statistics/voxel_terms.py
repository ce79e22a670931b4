"""What a voxelwise model tests: a column of its design, against all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math
import re

import numpy as np
import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.design import complete, design, variables

INTERCEPT = "Intercept"


@dataclass(frozen=True)
class Term:
    """
    The column tested, and what it is tested against.

    Parameters
    ----------
    name
        Of the column.
    tested : (n,) array
        The column.
    nuisance : (n, q) array
        All others.
    groups
        Rows of each group by its name, as (n,) boolean arrays, the one compared with first; none
        if the column has more than two values.
    """

    name: str
    tested: np.ndarray
    nuisance: np.ndarray
    groups: Mapping[str, np.ndarray]


def rows_for(
    data: pd.DataFrame, formula: str, exchangeability: str = ""
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows with all that a voxelwise model needs, and the others with the reason."""
    needed = variables(_right(formula))
    needed += [exchangeability] if exchangeability else []
    if not needed:  # the mean alone
        return data, pd.DataFrame(columns=["reason"])
    return complete(data, needed)


def tested_term(formula: str, test: str, data: pd.DataFrame) -> Term:
    """
    Return the column of the design that is tested, and the others.

    Raises
    ------
    RequestError
        If `test` names none of them, or several.
    """
    matrix = design(_right(formula), data)
    names = [str(name) for name in matrix.columns]
    of_term = {str(term): places for term, places in matrix.model_spec.term_indices.items()}
    places = [names.index(test)] if test in names else of_term.get(test, [])
    if not test:
        places = [place for place, name in enumerate(names) if name != INTERCEPT]
    if len(places) != 1:
        fact = f"is {len(places)} columns" if places else "is none of its columns"
        raise RequestError(
            f"test = {shown(test)} {fact} in formula {shown(formula)}; name one of "
            f"{', '.join(names)}"
        )
    values = matrix.to_numpy(float)
    if len(data) - len(names) < 2:
        raise RequestError(
            f"{len(data)} maps are too few for the {len(names)} columns of formula "
            f"{shown(formula)}; add participants or drop covariates"
        )
    (place,) = places
    tested = values[:, place]
    return Term(
        names[place], tested, np.delete(values, place, axis=1), _groups(names[place], tested, data)
    )


def _right(formula: str) -> str:
    return formula.partition("~")[2] or formula


def _groups(name: str, tested, data: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the rows of each group, where the column tested tells groups apart."""
    level = re.fullmatch(r"(?:C\()?(\w+)\)?\[T\.(.*)\]", name)
    if level and level[1] in data:
        column = data[level[1]].astype(str).to_numpy()
        others = sorted(set(column) - {level[2]})
        return {group: column == group for group in (*others, level[2])}
    values = np.unique(tested)
    if len(values) == 2:
        return {f"{name}={value:g}": tested == value for value in values}
    return {}


def blocks_of(term: Term, data: pd.DataFrame, exchangeability: str):
    """Return the number of each row's block, None where all may be exchanged."""
    if not exchangeability:
        return None
    if term.name == INTERCEPT:
        raise RequestError(
            f"exchangeability = {shown(exchangeability)} has no meaning in a test of the "
            "intercept, where signs are flipped; leave it out"
        )
    blocks = pd.factorize(data[exchangeability], sort=True)[0]
    if all(np.unique(term.tested[blocks == block]).size == 1 for block in np.unique(blocks)):
        raise RequestError(
            f"exchangeability = {shown(exchangeability)}: {term.name} does not differ within any "
            "of its blocks, so that exchanging participants there changes nothing; leave it out"
        )
    return blocks


def distinct(term: Term, blocks) -> float:
    """Return the logarithm of how many different arrangements there are."""
    if term.name == INTERCEPT:
        return term.tested.size * math.log(2)
    rows = np.column_stack([term.tested, term.nuisance])
    blocks = np.zeros(len(rows), dtype=int) if blocks is None else blocks
    total = 0.0
    for block in np.unique(blocks):
        inside = rows[blocks == block]
        alike = np.unique(inside, axis=0, return_counts=True)[1]
        total += math.lgamma(len(inside) + 1) - sum(math.lgamma(n + 1) for n in alike)
    return total
