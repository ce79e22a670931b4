"""The speed benchmark measures; how fast anything is, it leaves to the reader."""

from pathlib import Path
import subprocess
import sys

import numpy as np
import pandas as pd

SCRIPT = Path(__file__).parents[1] / "benchmarks/speed.py"


def test_methods_are_compared_with_plain_ones_and_with_the_floor(tmp_path):
    out = tmp_path / "speed.tsv"
    command = [SCRIPT, "--shape", "32", "32", "32", "--methods", "vsharp", "ndi", "--out", out]
    run = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert not run.returncode, run.stderr
    table = pd.read_csv(out, sep="\t").set_index("method")
    assert set(table.index) == {"vsharp", "ndi"}
    assert (table[["seconds", "plain_seconds", "floor_seconds"]] > 0).all(axis=None)
    assert np.isfinite(table[["to_floor", "to_plain"]]).all(axis=None)
    # Two to predict the field, two to descend, and one for the field's inconsistency.
    assert table.loc["ndi", "ffts"] == 4 * table.loc["ndi", "iterations"] + 1
    assert "| background | `vsharp` |" in run.stdout


def test_results_that_are_there_are_not_measured_again(tmp_path):
    out = tmp_path / "speed.tsv"
    command = [SCRIPT, "--shape", "32", "32", "32", "--methods", "tkd", "--out", out]
    first, second = (
        subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert first.stderr
    assert not second.stderr
    assert first.stdout == second.stdout
