"""Tell how far the regional tables of two output folders are from being the same."""

from pathlib import Path
import sys

import pandas as pd

TOLERANCE = 1e-4
"""
Of each number, relative to the largest of its column: 0.01 ppb where that is 100 ppb.

Other releases of libraries add up in another order. With one set of them on one machine, tables
are equal byte for byte.
"""


def largest_difference(mine: pd.DataFrame, other: pd.DataFrame) -> tuple[float, str]:
    """Return the largest difference relative to the scale of its column, and that column."""
    worst = (0.0, "none")
    for name in mine:
        a, b = (pd.to_numeric(table[name], errors="coerce") for table in (mine, other))
        words = a.isna()
        if not mine[name][words].equals(other[name][words]):
            sys.exit(f"column {name}: the words differ")
        difference = float((a - b).abs().max()) / (float(a.abs().max()) or 1.0)
        worst = max(worst, (difference, name))
    return worst


def main(outside: Path, inside: Path) -> None:
    """Compare the group's tables, and end with status 1 if they are not the same."""
    paths = [folder / "group/regions.tsv" for folder in (outside, inside)]
    if paths[0].read_bytes() == paths[1].read_bytes():
        print("regions.tsv: equal byte for byte")
        return
    tables = [pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False) for path in paths]
    if tables[0].shape != tables[1].shape or list(tables[0]) != list(tables[1]):
        sys.exit("regions.tsv: the tables have other rows or columns")
    difference, column = largest_difference(*tables)
    print(f"regions.tsv: largest difference {difference:.1e} of the scale of {column}")
    if difference > TOLERANCE:
        sys.exit(f"regions.tsv: more than {TOLERANCE} is allowed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
