"""From a table and a formula to a design matrix, with what is left out named."""

from __future__ import annotations

import ast
from collections.abc import Iterable
import re

from formulaic import Formula, ModelMatrix, SimpleFormula, model_matrix
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor, Term
from formulaic.transforms import TRANSFORMS
import numpy as np
import pandas as pd

from qsmprep.errors import RequestError, shown


def variables(formula: str) -> list[str]:
    """
    Return the columns that a formula needs, in the order of their names.

    Raises
    ------
    RequestError
        If it is no formula.
    """
    try:
        parts = [Formula(part) for part in formula.split("~") if part.strip()]
    except FormulaicError as error:
        raise RequestError(f"formula {shown(formula)}: {_first_line(error)}") from error
    names: set[str] = set()
    for part in parts:
        if not isinstance(part, SimpleFormula):
            raise RequestError(f"formula {shown(formula)}: a | has no meaning here")
        names.update(map(str, part.required_variables), *map(_inside_transforms, part))
    return sorted(names)


def _inside_transforms(term: Term) -> set[str]:
    """Return the columns inside ``center(...)`` and its kind, which formulaic 1.2 forgets."""
    names: set[str] = set()
    for factor in term.factors:
        if factor.eval_method == Factor.EvalMethod.PYTHON:
            try:
                tree = ast.parse(re.sub(r"`[^`]*`", "0", factor.expr), mode="eval")
            except SyntaxError:  # evaluating it says what is wrong
                continue
            found = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
            names |= {*found, *re.findall(r"`([^`]*)`", factor.expr)}
    return names - set(TRANSFORMS)


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
    if absent := [name for name in columns if name not in data]:
        known = ", ".join(map(str, data.columns))
        raise RequestError(f"no column {absent[0]} in the data; there are {known}")
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
    try:
        # Without a context it would take our own variables for those of the formula.
        right = formula.partition("~")[2] or formula
        matrix = model_matrix(right, data, na_action="raise", context={})
    except (FormulaicError, ValueError, TypeError, KeyError, NameError) as error:
        raise RequestError(f"formula {shown(formula)}: {_first_line(error)}") from error
    if not matrix.shape[1]:
        raise RequestError(f"formula {shown(formula)}: has no term")
    rank = np.linalg.matrix_rank(matrix.to_numpy(float))
    if rank < matrix.shape[1]:
        raise RequestError(
            f"formula {shown(formula)}: its {matrix.shape[1]} columns say only {rank} things; one "
            f"repeats others ({', '.join(map(str, matrix.columns))})"
        )
    return matrix


def _first_line(error: Exception) -> str:
    """Return what an error says, without the drawing of the place that some add."""
    return str(error).partition("\n")[0].rstrip(".")
