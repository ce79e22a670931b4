"""Print where the results of the demonstration are, and how close they come to the truth."""

from __future__ import annotations

from pathlib import Path
import sys

import pandas as pd
from truth import bilateral_truth, truth_tables

REGIONS = {
    "caudate": "caudate",
    "putamen": "putamen",
    "pallidum": "pallidum",
    "thalamus": "thalamus",
    "hippocampus": "hippocampus",
    "entorhinal": "entorhinal",
    "red-nucleus": "red nucleus",
    "substantia-nigra": "substantia nigra",
    "dentate": "dentate nucleus",
    "cerebral-white-matter": "white matter",
}
"""Regions to show, by their name in the tables."""


def compare(bids_dir: Path, out_dir: Path) -> pd.DataFrame:
    """
    Return truth and measurement of every region of every acquisition, ppb.

    Columns are `participant_id session_id name true_ppb measured_ppb`, χ against the whole brain.
    """
    measured = pd.read_csv(out_dir / "group/regions.tsv", sep="\t", keep_default_na=False)
    measured = measured[
        (measured["hemisphere"] == "B")
        & (measured["map"] == "Chimap")
        & (measured["reference"] == "whole-brain")
    ]
    measured = measured.assign(measured_ppb=pd.to_numeric(measured["mean"], errors="coerce"))
    truth = pd.concat(
        bilateral_truth(path).assign(participant_id=participant, session_id=session)
        for (participant, session), path in truth_tables(bids_dir).items()
    )
    keys = ["participant_id", "session_id", "name"]
    return measured[[*keys, "measured_ppb"]].merge(truth, on=keys)


def show(table: pd.DataFrame) -> str:
    """Return the comparison as text, a block for every participant and session."""
    blocks = []
    for visit, rows in table.groupby(["participant_id", "session_id"]):
        by_name = rows.set_index("name")
        lines = [" ".join(label for label in visit if label != "n/a")]
        lines.append(f"  {'region':18}{'true ppb':>10}{'measured ppb':>14}{'difference':>12}")
        for name, label in REGIONS.items():
            if name in by_name.index:
                true, found = by_name.loc[name, ["true_ppb", "measured_ppb"]].astype(float)
                lines.append(f"  {label:18}{true:10.1f}{found:14.1f}{found - true:+12.1f}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def main(bids_dir: str, out_dir: str) -> int:
    """Print paths and comparison; return the exit status."""
    out = Path(out_dir)
    table = compare(Path(bids_dir), out)
    if table.empty:
        print(f"{out}: no region of it is in the truth of {bids_dir}", file=sys.stderr)
        return 1
    print(f"\nreport  {out / 'group/index.html'}  (and {out / 'sub-*.html'})")
    print(f"table   {out / 'group/regions.tsv'}\n")
    print("χ against the whole brain, both sides. True: mean over the true region, on the grid of")
    print("the echoes. Measured: mean over the region as labelled automatically from the T1w.\n")
    print(show(table))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python benchmarks/demo.py BIDS_DIR OUTPUT_DIR")
    sys.exit(main(*sys.argv[1:]))
