"""
Published numbers, put into simulated cohorts and found again: one table.

    python -m benchmarks.literature OUT [--topics survival decline ...] [--kept]

from the root of the sources; ``make literature`` does so. OUT/literature.tsv and .md have a row
per number, OUT/TOPIC.json those of a topic, which `--kept` takes instead of running it again. The
exit status is 1 if a number is not found within its tolerance.
"""

from __future__ import annotations

import argparse
import csv
from datetime import date
from importlib.metadata import version
import json
import os
from pathlib import Path
import platform
import re
import sys

from benchmarks.literature.table import COLUMNS, is_required, markdown, verdict
from benchmarks.literature.topics import run_all, topics

PACKAGES = ("qsmprep", "numpy", "scipy", "pandas", "statsmodels", "lifelines")
BEGIN, END = "<!-- written by make literature -->\n", "<!-- end -->\n"


def main() -> int:
    """Run topics, print and write the table, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.literature", description=__doc__.strip().splitlines()[0]
    )
    parser.add_argument("out", type=Path, help="folder for literature.tsv and literature.md")
    parser.add_argument("--topics", nargs="+", choices=topics(), default=topics())
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--kept", action="store_true", help="run only what OUT has no rows of")
    parser.add_argument("--page", type=Path, help="page of the documentation to renew")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # of the processes to come: a core each
    options.out.mkdir(parents=True, exist_ok=True)
    files = {topic: options.out / f"{topic}.json" for topic in options.topics}
    waiting = [topic for topic in files if not (options.kept and files[topic].exists())]
    for topic, found, seconds in run_all(waiting, options.processes):
        failed = sum(not row["passed"] for row in found)
        said = f"{failed} of {len(found)} FAIL" if failed else f"{len(found)} pass"
        print(f"{topic}: {said}, {seconds:.0f} s", file=sys.stderr, flush=True)
        content = {"when": date.today().isoformat(), "rows": found}
        files[topic].write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    made = [json.loads(path.read_text("utf-8")) for path in files.values()]
    rows = sorted((row for topic in made for row in topic["rows"]), key=_order)
    text = f"{_about(rows, max(topic['when'] for topic in made))}\n\n{markdown(rows)}"
    print(text)
    (options.out / "literature.md").write_text(text, encoding="utf-8")
    _write_tsv(options.out / "literature.tsv", rows)
    if options.page:
        _renew(options.page, text)
    return int(not all(row["passed"] for row in rows))


def _order(row: dict) -> tuple[str, int]:
    """Return what tests are sorted by: ST-2 before ST-10, rows of a test as they come."""
    letters, number = re.fullmatch(r"(.*?)(\d*)", row["test"]).groups()
    return {"ST-": " "}.get(letters, letters), int(number or 0)


def _about(rows: list[dict], when: str) -> str:
    """Return how many rows pass, and when and with what they were made."""
    judged = [row for row in rows if is_required(row)]
    passed = sum(row["passed"] for row in judged)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{passed} of {len(judged)} rows pass, {len(rows) - len(judged)} more are findings "
        f"({when}; Python {platform.python_version()}, {versions})."
    )


def _write_tsv(path: Path, rows: list[dict]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(COLUMNS)
        for row in rows:
            cells = {**row, "verdict": verdict(row)}
            table.writerow(cells[name] or "n/a" for name in COLUMNS)


def _renew(page: Path, text: str) -> None:
    """Write the table between the marks of a page."""
    content = page.read_text("utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: lacks the lines {BEGIN.strip()} and {END.strip()}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
