"""
Measure change between two sessions with known truth, each on its own and in a common space.

    python benchmarks/longitudinal.py BIDS OUT ATLAS WORK --participant 1001 --protocol consensus

BIDS is a dataset of qsmprep-simulate with truth in ``derivatives/truth``. OUT_change.tsv has a row
per bilateral deep grey region, in ppb; what is printed is the same, with the root mean square of
those in which nothing changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

import pandas as pd

from qsmprep.cli import main as qsmprep

sys.path.append(str(Path(__file__).parent))  # for what the benchmarks share

from truth import truth_tables

DEEP = ("caudate", "putamen", "pallidum", "thalamus", "accumbens", "amygdala", "hippocampus")


def bilateral(path: Path, reference: str) -> pd.DataFrame:
    """Return the rows of susceptibility in regions of both sides, ppb."""
    rows = pd.read_csv(path, sep="\t", na_values="n/a", keep_default_na=False)
    rows = rows[(rows["map"] == "Chimap") & (rows["reference"] == reference)]
    return rows[rows["hemisphere"] == "B"].set_index("name")


def change(out: Path, who: str, reference: str, *, together: bool) -> pd.Series:
    """Return later less first by the tables of one kind."""
    first, later = (
        bilateral(path, reference)["mean"]
        for path in sorted((out / who).glob(f"ses-*/anat/{who}_ses-*_regions.tsv"))
        if ("_space-participant_" in path.name) == together
    )
    return later - first


def core_change(out: Path, who: str, reference: str) -> pd.Series:
    """Return what changed in the cores of regions, by the table of change."""
    (path,) = (out / who / "anat").glob(f"{who}_space-participant_*_change.tsv")
    return bilateral(path, reference)["core_change"]


def planted(path: Path) -> pd.Series:
    """
    Return what each region was given, ppb.

    Not what voxels see of it: that changes with how they cut the borders, by 6 ppb in a pallidum
    of coarse ones, and a region that stays the same has no change to find.
    """
    table = pd.read_csv(path, sep="\t")
    return table.groupby("region")["mean_nominal_ppb"].mean()


def compare(bids: Path, out: Path, who: str, reference: str) -> pd.DataFrame:
    """Return the true change and what both ways to measure it find, a row per region."""
    paths = [path for (name, _), path in truth_tables(bids).items() if name == who]
    first, later = map(planted, paths)
    table = pd.DataFrame(
        {
            "planted": later - first,
            "each on its own": change(out, who, reference, together=False),
            "together": change(out, who, reference, together=True),
            "core": core_change(out, who, reference),
        }
    )
    return table.loc[[name for name in DEEP if name in table.index]]


def main() -> int:
    """Run the program, unless its results are there, and print how it fares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    for name in ("bids", "out", "atlas", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--participant", default="1001")
    parser.add_argument("--protocol", default="consensus")
    parser.add_argument("--reference", default="whole-brain")
    options = parser.parse_args()
    if not (options.out / "status.tsv").exists():
        call = [options.bids, options.out, "participant", "--longitudinal", "-w", options.work,
                "--participant-label", options.participant, "--atlas", options.atlas,
                "--protocol", options.protocol]  # fmt: skip
        if status := qsmprep([str(word) for word in call]):
            return status
    table = compare(options.bids, options.out, f"sub-{options.participant}", options.reference)
    path = options.out.with_name(f"{options.out.name}_change.tsv")
    table.to_csv(path, sep="\t", float_format="%.2f")
    print(f"later less first, ppb, {options.protocol}, against {options.reference}")
    print(table.to_string(float_format="{:+.1f}".format))
    still = table[table["planted"] == 0].drop(columns="planted")
    print("root mean square of regions in which nothing changed:")
    print((still**2).mean().pow(0.5).to_string(float_format="{:.1f}".format))
    return 0


if __name__ == "__main__":
    sys.exit(main())
