"""
Measure accuracy against known truth, and print it as tables.

    python benchmarks/accuracy SHARED OUT [--parts vivo inversion background chain bids ...]

SHARED holds ``data/`` and ``tools/`` of the project. Every part leaves OUT/PART.tsv, one row per
measurement; parts whose table is there are only printed again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))  # for what the benchmarks share

import dataset
import heads
import vivo

PARTS = ("vivo", "inversion", "background", "chain", "bids", "protocols", "codings")
PROTOCOLS = ["consensus", "biocard", "cornell", "buffalo", "fast"]
HELD_OUT = ["1:7", "2:7", "3:7", "1:3", "2:3", "3:3"]
"""Seeds and fields of heads that nothing was tuned on; 42:7 was tuned on."""


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("shared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--heads", nargs="+", default=HELD_OUT, metavar="SEED:TESLA")
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS)
    options = parser.parse_args()
    data, out = options.shared / "data", options.out
    out.mkdir(parents=True, exist_ok=True)
    made = [
        heads.Head(out / f"heads/s{seed}_b{tesla}", int(seed), int(tesla))
        for seed, _, tesla in (text.partition(":") for text in options.heads)
    ]
    if {"inversion", "background", "chain"} & set(options.parts):
        for head in made:
            head.make(options.shared / "tools", data / "head-model")
    # A field in ppm is the same at any field strength.
    of_seeds = list({head.seed: head for head in made}.values())
    measures = {
        "vivo": lambda: vivo.measure(data / "qsm2016"),
        "inversion": lambda: pd.concat(map(heads.inversions, of_seeds)),
        "background": lambda: pd.concat(map(heads.backgrounds, of_seeds)),
        "chain": lambda: heads.chains(made, options.protocols, out / "chain"),
        "protocols": lambda: dataset.protocols(
            data / "bids", out / "protocols", options.protocols, out / "work"
        ),
    }
    for part in options.parts:
        print(f"\n## {part}\n", flush=True)
        if part == "bids":
            dataset.report(data / "bids", out / "bids", str(data / "atlas-OASIS"), out / "work")
        elif part == "codings":
            print(dataset.compare_codings(out / "codings"))
        else:
            path = out / f"{part}.tsv"
            if not path.exists():
                measures[part]().to_csv(path, sep="\t", index=False)
            table = pd.read_csv(path, sep="\t")
            if part in ("inversion", "background", "chain"):
                by = "protocol" if part == "chain" else "method"
                table = heads.spread(table, by)
            print(table.to_string(index=False, float_format="{:.3g}".format))
    return 0


if __name__ == "__main__":
    sys.exit(main())
