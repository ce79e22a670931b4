"""From a table and a formula to a design matrix, with what is left out named."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from formulaic import Formula, ModelMatrix, SimpleFormula, model_matrix
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor, Term
import numpy as np
import pandas as pd

from qsmprep.errors import RequestError, shown
from qsmprep.statistics.formula_calls import names_in

LARGEST = 1e100
"""Larger numbers cannot be squared and summed; no table of people has them."""

OF_REGIONS = ("chi", "volume", "r2star")
"""What formulas call the values of one region, where a model is fitted for several in turn."""

FEW = 6
"""Whole numbers that, if a column has no more, may name groups."""

_MOST = 12  # columns that a sentence names


def variables(formula: str) -> list[str]:
    """
    Return the columns that a formula needs, in the order of their names.

    Raises
    ------
    RequestError
        If it is no formula, or calls what is no function of formulas.
    """
    try:
        parts = [Formula(part) for part in formula.split("~") if part.strip()]
    except (FormulaicError, SyntaxError, ValueError, TypeError) as error:
        raise RequestError(f"formula {shown(formula)}: {_first_line(error)}") from error
    names: set[str] = set()
    for part in parts:
        if not isinstance(part, SimpleFormula):
            raise RequestError(f"formula {shown(formula)}: a | has no meaning here")
        names.update(map(str, part.required_variables), *map(_inside_transforms, part))
    return sorted(names)


def _inside_transforms(term: Term) -> set[str]:
    """Return the columns inside ``center(...)`` and its kind, which formulaic 1.2 forgets."""
    return set().union(
        *(names_in(factor.expr) for factor in term.factors
          if factor.eval_method == Factor.EvalMethod.PYTHON)
    )  # fmt: skip


def need_columns(data: pd.DataFrame, columns: Iterable[str], *, numbers: bool = False) -> None:
    """
    Refuse a table without a column, and name the nearest it has.

    Parameters
    ----------
    data
        The table.
    columns
        What it must have.
    numbers
        Whether these must hold numbers.

    Raises
    ------
    RequestError
        If one is missing, or holds no numbers, or some too large to compute with.
    """
    for name in columns:
        if name not in data:
            raise RequestError(f"no column {name} in the data; {_instead(str(name), data)}")
        is_number = pd.api.types.is_numeric_dtype(data[name])
        if numbers and not is_number:
            raise RequestError(f"column {name} is no column of numbers")
        if is_number:
            values = data[name].to_numpy(float, na_value=np.nan)
            if (large := np.isfinite(values) & (np.abs(values) > LARGEST)).any():
                raise RequestError(
                    f"{name} is {values[large][0]:g} in row {data.index[large][0]}, too large to "
                    "compute with; correct it, or leave the row out by where"
                )


def complete(data: pd.DataFrame, columns: Iterable[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """
    Return the rows that have a value in all columns, and the others with the reason.

    Returns
    -------
    used
        Rows of `data` without a gap in `columns`; infinite numbers are gaps.
    excluded
        Index of the others, with a column ``reason`` that names the first gaps.

    Raises
    ------
    RequestError
        If a column is missing, or no row is left.
    """
    columns = list(dict.fromkeys(columns))
    need_columns(data, columns)
    gaps = data[columns].isna() | data[columns].isin([np.inf, -np.inf])
    without = gaps.any(axis=1)
    reasons = [f"no {', no '.join(gaps.columns[row])}" for row in gaps[without].to_numpy()]
    if without.all():
        fullest = gaps.sum().idxmax() if len(data) else columns[0]
        raise RequestError(
            f"no row has all of {', '.join(columns)}: {gaps[fullest].sum()} of {len(data)} lack "
            f"{fullest}"
        )
    return data[~without], pd.DataFrame({"reason": reasons}, index=data.index[without], dtype=str)


def design(formula: str, data: pd.DataFrame) -> ModelMatrix:
    """
    Return the design matrix of the right-hand side of a formula, an intercept included.

    Text columns are categories, in the order of the alphabet unless the column is an ordered
    categorical; the first level is the one compared with.

    Raises
    ------
    RequestError
        If it is no formula, or asks for what the data cannot give.
    """
    right = formula.partition("~")[2] or formula
    _refuse_single_levels(right, data)
    try:
        # Without a context it would take our own variables for those of the formula.
        matrix = model_matrix(right, data, na_action="raise", context={})
    except (FormulaicError, ValueError, TypeError, KeyError, NameError) as error:
        raise RequestError(f"formula {shown(formula)}: {_first_line(error)}") from error
    if not matrix.shape[1]:
        raise RequestError(f"formula {shown(formula)}: has no term")
    _refuse_useless(formula, matrix)
    return matrix


def _instead(name: str, data: pd.DataFrame) -> str:
    """Return what may have been meant by a column that is not there."""
    known = list(map(str, data.columns))
    if name in OF_REGIONS:
        return f'name regions by for = ["putamen"], or write {name}_putamen'
    # A region whose name has a dash, chi_red-nucleus, looks like a difference.
    longer = [other for other in known if other.startswith(f"{name}_")]
    if near := longer[:1] or get_close_matches(name, known, 1):
        return f"did you mean {near[0]}?"
    more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
    return f"there are {', '.join(known[:_MOST])}{more}"


def _refuse_single_levels(right: str, data: pd.DataFrame) -> None:
    """Refuse text that is the same everywhere, of which a design would say nothing."""
    for name in variables(right):
        if not pd.api.types.is_numeric_dtype(data[name]) and data[name].nunique() == 1:
            raise RequestError(
                f"{name} is {shown(data[name].iloc[0])} in all {len(data)} complete rows; leave "
                "it out of the formula"
            )


def _refuse_useless(formula: str, matrix: ModelMatrix) -> None:
    """Refuse a design with values that are no numbers, or columns that repeat others."""
    values = matrix.to_numpy(float)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise RequestError(
            f"formula {shown(formula)}: {matrix.columns[column]} is no number in row "
            f"{matrix.index[row]}"
        )
    rank = np.linalg.matrix_rank(values)
    if rank == values.shape[1]:
        return
    sizes = np.abs(values).max(axis=0)
    if sizes.all() and np.linalg.matrix_rank(values / sizes) == values.shape[1]:
        least, most = (matrix.columns[which(sizes)] for which in (np.argmin, np.argmax))
        raise RequestError(
            f"formula {shown(formula)}: {most} is too large beside {least} to compute with; "
            f"write scale() around what is in extreme units"
        )
    raise RequestError(
        f"formula {shown(formula)}: its {values.shape[1]} columns say only {rank} things; one "
        f"repeats others ({', '.join(map(str, matrix.columns))})"
    )


def counted(formula: str, data: pd.DataFrame) -> list[str]:
    """Return a sentence for each column of few whole numbers, which may be names of groups."""
    notes = []
    for term in Formula(formula.partition("~")[2] or formula):
        for factor in term.factors:
            name = factor.expr
            if factor.eval_method != Factor.EvalMethod.LOOKUP or name not in data:
                continue
            values = data[name]
            if not pd.api.types.is_numeric_dtype(values) or not 3 <= values.nunique() <= FEW:
                continue
            different = sorted(values.unique())
            if all(float(value).is_integer() for value in different):
                shown_values = ", ".join(f"{value:g}" for value in different)
                notes.append(
                    f"{name} is a number with the values {shown_values}: it has one coefficient, "
                    f"for a step of 1; write C({name}) if these name groups."
                )
    return list(dict.fromkeys(notes))


def _first_line(error: Exception) -> str:
    """Return what an error says, without the drawing of the place that some add."""
    return str(error).partition("\n")[0].rstrip(".")
