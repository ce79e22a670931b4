"""What formulas and conditions may call: what computes on columns, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from difflib import get_close_matches
import re

from qsmprep.errors import RequestError, shown

FUNCTIONS = (
    "C", "I", "bs", "cc", "center", "cr", "cs", "exp", "exp10", "exp2", "log", "log10", "log2",
    "poly", "scale", "standardize",
)  # fmt: skip
"""
Functions of formulas.

Of formulaic's, ``lag`` and ``hashed`` are left out: rows next to each other may be of different
people, and a hash gives several categories one column. ``Q`` hides its column from the search for
gaps.
"""

NUMPY = ("abs", "cbrt", "exp", "log", "log10", "log1p", "log2", "sqrt", "square")
"""Functions of numpy in formulas, after ``np.``"""

CONTRASTS = ("custom", "diff", "helmert", "poly", "sas", "sum", "treatment")
"""Codings in ``C(a, contr.treatment(...))``"""

METHODS = ("abs", "between", "isin", "isna", "isnull", "max", "mean", "median", "min", "notna",
           "notnull", "round", "std", "contains", "endswith", "len", "lower", "match",
           "startswith", "strip", "upper")  # fmt: skip
"""Methods of columns in conditions, those of text after ``str``"""

_VALUES = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp,
    ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.List, ast.Tuple, ast.Dict,
    ast.keyword, ast.Call, ast.Attribute,
)  # fmt: skip


def names_in(expression: str) -> set[str]:
    """
    Return the columns in a factor of a formula such as ``center(age)``.

    Raises
    ------
    RequestError
        If it calls what is no function of formulas.
    """
    called = set()
    tree = _tree(expression)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call):
            called |= {id(part) for part in ast.walk(node.func)}
            _check_function(expression, node.func)
        elif not isinstance(node, _VALUES) or (
            isinstance(node, ast.Attribute) and id(node) not in called
        ):
            raise RequestError(
                f"{shown(expression)} in a formula is no arithmetic on columns; there are "
                f"{', '.join(FUNCTIONS)}"
            )
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)
             and id(node) not in called} if tree else set()  # fmt: skip
    return {*names - {_QUOTED}, *re.findall(r"`([^`]*)`", expression)}


def check_condition(condition: str) -> None:
    """
    Refuse a condition that does anything but compare columns.

    Raises
    ------
    RequestError
        If it calls what is no method of a column that tells something of it.
    """
    tree = _tree(condition)
    if tree is None:
        raise RequestError(
            f"where = {shown(condition)}: is not true or false for every row; compare columns, "
            "as in group == 'MS' and age > 18"
        )
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    methods = {id(call.func) for call in calls if isinstance(call.func, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            allowed = node.attr in METHODS if id(node) in methods else node.attr == "str"
        elif isinstance(node, ast.Call):
            allowed = id(node.func) in methods
        else:
            allowed = isinstance(node, _VALUES)
        if not allowed:
            raise RequestError(
                f"where = {shown(condition)}: {ast.unparse(node)} is more than a condition may "
                f"say; compare columns, and call only {', '.join(METHODS)}"
            )


_QUOTED = "quoted__name"


def _tree(expression: str) -> ast.Expression | None:
    """Return what an expression says; none where it is no Python, as evaluating it will say."""
    try:
        return ast.parse(re.sub(r"`[^`]*`", _QUOTED, expression).strip(), mode="eval")
    except (SyntaxError, ValueError):
        return None


def _check_function(expression: str, function: ast.expr) -> None:
    known: Iterable[str] = FUNCTIONS
    word = ast.unparse(function)
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        of = {"np": NUMPY, "contr": CONTRASTS}
        if function.attr in of.get(function.value.id, ()):
            return
        known = [f"{module}.{name}" for module, names in of.items() for name in names]
    elif word in FUNCTIONS:
        return
    near = get_close_matches(word, [*known, *FUNCTIONS], 1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(FUNCTIONS)}"
    raise RequestError(f"formulas have no function {word}, as in {shown(expression)}; {meant}")
