"""Ages of participants, as the tables of a dataset give them."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path


def read_age(bids_dir: Path, participant: str, session: str | None) -> float | None:
    """
    Return an age in years, None where the dataset does not tell.

    The column `age` of ``sub-X_sessions.tsv`` comes before that of ``participants.tsv``. What is
    no number, such as ``89+``, is not known, and neither is an age in another unit than years.

    Parameters
    ----------
    bids_dir
        The dataset.
    participant, session
        Labels without ``sub-`` and ``ses-``.
    """
    name = f"sub-{participant}"
    tables = [(bids_dir / "participants.tsv", "participant_id", name)]
    if session:
        table = bids_dir / name / f"{name}_sessions.tsv"
        tables.insert(0, (table, "session_id", f"ses-{session}"))
    ages = (_age_in(*table) for table in tables)
    return next((age for age in ages if age is not None), None)


def _age_in(table: Path, column: str, label: str) -> float | None:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        described = _described(table.with_suffix(".json"))
    except (OSError, ValueError, csv.Error):  # no page is worth a run
        return None
    if not str(described.get("Units", "years")).lower().startswith(("y", "a")):
        return None
    found = [row.get("age") for row in rows if row.get(column) == label]
    try:
        age = float(found[0] or "nan") if found else math.nan
    except ValueError:
        return None
    return age if 0 <= age < 130 else None


def _described(path: Path) -> dict:
    """Return what is said of the column of ages."""
    content = json.loads(path.read_text("utf-8-sig")) if path.is_file() else {}
    age = content.get("age") if isinstance(content, dict) else None
    return age if isinstance(age, dict) else {}
