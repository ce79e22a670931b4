"""``status.tsv``: what became of every acquisition, and why; shared by concurrent jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

from qsmprep.bids.entities import split_entities
from qsmprep.bids.models import Acquisition, Plan, table_labels
from qsmprep.errors import InputError
from qsmprep.files import atomic_write_text, locked

Status = Literal["done", "partial", "failed", "skipped"]


@dataclass(frozen=True)
class StatusRow:
    """One row; the first five columns say which acquisition, ``n/a`` where one is missing."""

    participant_id: str
    session_id: str
    acquisition: str
    run: str
    suffix: str
    status: str
    reason: str = "n/a"

    @property
    def identity(self) -> tuple[str, ...]:
        """Whom the row is about."""
        return astuple(self)[:5]

    @classmethod
    def of(cls, acquisition: Acquisition, status: Status, reason: str = "n/a") -> StatusRow:
        """Return the row of an acquisition that was processed, or should have been."""
        return cls.named(acquisition.key, status, reason)

    @classmethod
    def named(cls, key: str, status: Status, reason: str = "n/a") -> StatusRow:
        """Return the row of an acquisition known by its key."""
        stem, _, suffix = key.rpartition("_")
        return cls(
            **table_labels(split_entities(stem)), suffix=suffix, status=status, reason=reason
        )


COLUMNS = tuple(field.name for field in fields(StatusRow))


def skipped_rows(plan: Plan) -> list[StatusRow]:
    """Return a row for each acquisition or participant that is left out, with all reasons."""
    rows = []
    for key in plan.skipped:
        reasons = [issue for issue in plan.issues if issue.key == key]
        rows.append(StatusRow.named(key, "skipped", " | ".join(map(str, reasons))))
    found = {acquisition.participant for acquisition in plan.acquisitions}
    found |= {issue.participant for issue in plan.issues if issue.key}
    for participant in dict.fromkeys(issue.participant for issue in plan.issues):
        reasons = [
            issue
            for issue in plan.issues
            if issue.participant == participant
            and issue.key is None
            and (issue.severity == "error" or participant not in found)
        ]
        if reasons:
            text = " | ".join(map(str, reasons))
            who = (f"sub-{participant}", "n/a", "n/a", "n/a", "n/a")
            rows.append(StatusRow(*who, status="skipped", reason=text))
    return rows


def update_status(out_dir: str | Path, rows: Iterable[StatusRow]) -> Path:
    """Replace or add rows of ``status.tsv``, whoever else is doing so, and return its path."""
    rows = list(rows)
    path = Path(out_dir) / "status.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(".status.lock")):
        # What is said of a participant as a whole holds for the latest run only.
        known = {row.participant_id for row in rows}
        kept = [
            row
            for row in read_status(out_dir)
            if not (row.suffix == "n/a" and row.participant_id in known)
        ]
        merged = {row.identity: row for row in [*kept, *rows]}
        lines = [list(COLUMNS)]
        lines += [
            [" ".join(cell.split()) for cell in astuple(merged[key])] for key in sorted(merged)
        ]
        atomic_write_text(path, "".join("\t".join(line) + "\n" for line in lines))
    return path


def read_status(out_dir: str | Path) -> list[StatusRow]:
    """
    Return the rows of ``status.tsv``; none if it is not there.

    Raises
    ------
    InputError
        If somebody has changed it so that it is none any more.
    """
    path = Path(out_dir) / "status.tsv"
    remedy = "correct it, or delete it and run the participants again"
    try:
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read ({error})", remedy) from error
    rows = [line.removesuffix("\r").split("\t") for line in lines[1:] if line.strip()]
    for row in rows:
        if len(row) != len(COLUMNS):
            fact = f"has {len(row)} columns instead of {len(COLUMNS)} in the row of {row[0]!r}"
            raise InputError(path, fact, remedy)
    return [StatusRow(*row) for row in rows]
