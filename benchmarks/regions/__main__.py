"""
Measure brains, tissues and registrations against truth and manual labels, and print the tables.

    python benchmarks/regions SHARED OUT [--parts brain tissues rigid ...]

SHARED holds ``data/`` of the project. Every part leaves OUT/PART.tsv, one row per measurement;
parts whose table is there are only printed again. Steps that have run lie in OUT/steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

sys.path.append(str(Path(__file__).parents[1]))  # for what the benchmarks share

import anatomy
import contrasts
import interpolation
import labels
import pandas as pd
import steps
import veins

PARTS = {
    "brain": anatomy.brains,
    "tissues": anatomy.tissues,
    "rigid": anatomy.rigid,
    "interpolation": interpolation.measure,
    "labels": labels.leave_one_out,
    "single": labels.single_atlas,
    "chi": labels.susceptibility,
    "veins": veins.measure,
    "contrasts": contrasts.measure,
    "cost": lambda _, work: steps.costs(work),
}
"""What measures each part: a function of the folders of the data and of intermediate results."""


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    out = options.out.absolute()
    for part in options.parts:
        print(f"\n## {part}\n", flush=True)
        path = out / f"{part}.tsv"
        if not path.exists():
            out.mkdir(parents=True, exist_ok=True)
            table = PARTS[part](options.shared.absolute() / "data", out / "steps")
            table.to_csv(path, sep="\t", index=False)
        table = pd.read_csv(path, sep="\t")
        print(table.to_string(index=False, float_format="{:.3g}".format))
    return 0


if __name__ == "__main__":
    sys.exit(main())
