"""Numbers as papers print them: p values, estimates and intervals, with a true minus sign."""

from __future__ import annotations

import math

from qsmprep.reports.pages import MISSING, number

_DIGITS = 3
_EXPONENTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def p_value(p: float, *, name: str = "") -> str:
    """
    Return a probability with three decimals and without the zero before them.

    Parameters
    ----------
    p
        Between 0 and 1; NaN is ``n/a``.
    name
        What stands before it with the sign of relation, as in ``p = .034``; empty for none.
    """
    if not math.isfinite(p):
        return f"{name} {MISSING}".strip()
    # A rounded 1.000 or .000 would claim what no test can show.
    if p < 0.001:
        return f"{name} < .001".strip()
    if p > 0.999:
        return f"{name} > .999".strip()
    return f"{name} = {bare(p, 3)}" if name else bare(p, 3)


def bare(value: float, digits: int = 2) -> str:
    """Return a number that cannot exceed 1, such as a correlation, without its leading zero."""
    text = number(float(value), digits)
    return text.replace("0.", ".", 1) if text.lstrip("−").startswith("0.") else text


def figures(value: float, digits: int = _DIGITS) -> str:
    """Return a number with three significant digits; very large and small ones by powers of 10."""
    value = float(value)
    if not math.isfinite(value):
        return _not_finite(value)
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.replace('-', '−')} × 10{str(int(exponent)).translate(_EXPONENTS)}"
    return number(value, _decimals(value, digits))


def interval(low: float, high: float) -> str:
    """Return both ends of an interval with as many decimals, in brackets."""
    return with_interval(math.nan, low, high).partition(" ")[2]


def with_interval(estimate: float, low: float, high: float, *, digits: int | None = None) -> str:
    """
    Return an estimate and its interval with as many decimals, as in ``1.50 [1.02, 2.20]``.

    Parameters
    ----------
    estimate, low, high
        What is written; NaN is ``n/a``.
    digits
        Decimals; those of `decimals` where none are given.
    """
    values = [float(value) for value in (estimate, low, high)]
    known = [abs(value) for value in values if math.isfinite(value) and value]
    if known and not 1e-4 <= max(known) < 1e6:
        middle, *ends = map(figures, values)
    else:
        digits = decimals(*values) if digits is None else digits
        middle, *ends = (
            number(value, digits) if math.isfinite(value) else _not_finite(value)
            for value in values
        )
    told = MISSING if all(math.isnan(value) for value in values[1:]) else f"[{', '.join(ends)}]"
    return f"{middle} {told}"


def decimals(estimate: float, low: float, high: float) -> int:
    """
    Return how many decimals an estimate and its interval need.

    The largest of the three has three significant digits, and the width of the interval two.
    """
    known = [abs(value) for value in (estimate, low, high) if math.isfinite(value) and value]
    width = high - low
    wanted = _decimals(max(known), _DIGITS) if known else 0
    if math.isfinite(width) and width > 0:
        wanted = max(wanted, _decimals(width, 2))
    return min(wanted, 8)


def _decimals(value: float, digits: int) -> int:
    """Return how many decimals show so many significant digits of a number."""
    # Rounding first: 9.996 has one digit before the point more once it is written.
    exponent = int(f"{abs(value):.{digits - 1}e}".partition("e")[2])
    return max(digits - 1 - exponent, 0)


def _not_finite(value: float) -> str:
    return MISSING if math.isnan(value) else "∞" if value > 0 else "−∞"
