"""Rows of the table of published numbers, and the table as text."""

from __future__ import annotations

from collections.abc import Sequence

COLUMNS = {
    "test": "test",
    "quantity": "quantity",
    "published": "published",
    "truth": "simulated",
    "recovered": "recovered",
    "tolerance": "tolerance",
    "verdict": "verdict",
}
"""Columns by their headings."""


def row(
    test: str,
    quantity: str,
    published: str,
    truth: str,
    recovered: str,
    tolerance: str,
    passed: object,
) -> dict[str, object]:
    """
    Return a row of the table.

    Parameters
    ----------
    test
        Name of the test, such as ``ST-07``.
    quantity
        What is measured, with its unit.
    published
        What a paper prints; empty where none does.
    truth
        What was put into the simulation.
    recovered
        What came out.
    tolerance
        How far it may be off, or within which limits.
    passed
        Whether it is within.
    """
    return {"test": test, "quantity": quantity, "published": published, "truth": truth,
            "recovered": recovered, "tolerance": tolerance, "passed": bool(passed)}  # fmt: skip


def markdown(rows: Sequence[dict]) -> str:
    """Return rows as a table in Markdown."""
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|---" * len(COLUMNS) + "|"]
    for one in rows:
        cells = {**one, "verdict": verdict(one)}
        texts = [str(cells[name]).replace("|", "\\|") or "–" for name in COLUMNS]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def is_required(one: dict) -> bool:
    """Tell whether a row has to hold; others say what was found, with no tolerance."""
    return not str(one["tolerance"]).startswith("none")


def verdict(one: dict) -> str:
    """Return the verdict in a word."""
    if not is_required(one):
        return "finding"
    return "pass" if one["passed"] else "FAIL"
