"""
What a dataset of a thousand participants takes: plan, first step, graph, and the group level.

``python benchmarks/scale.py FOLDER`` writes a dataset of tiny images and tables of real size to a
folder, which may be kept for the next time, and prints a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
import multiprocessing
import os
from pathlib import Path
import resource
import signal
import subprocess
import sys
import time

import nibabel as nb
import numpy as np
import pandas as pd

ECHO_TIMES = (0.006, 0.012, 0.018, 0.024)
REGIONS = 100
SHAPE = (12, 12, 12)


def write_skeleton(root: Path, n: int) -> Path:
    """Write a dataset whose participants have all files, each with some voxels of noise."""
    if (root / f"sub-{n:04d}/anat/sub-{n:04d}_T1w.nii").exists():
        return root
    root.mkdir(parents=True, exist_ok=True)
    description = {"Name": "skeleton", "BIDSVersion": "1.10.0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    rng = np.random.default_rng(1)
    for label in (f"sub-{number:04d}" for number in range(1, n + 1)):
        folder = root / label / "anat"
        folder.mkdir(parents=True)
        images: dict[str, dict[str, object]] = {f"{label}_T1w": {}}
        for echo, te in enumerate(ECHO_TIMES, 1):
            for part in ("mag", "phase"):
                sidecar: dict[str, object] = {"EchoTime": te, "MagneticFieldStrength": 3.0}
                images[f"{label}_echo-{echo}_part-{part}_MEGRE"] = sidecar
                if part == "phase":
                    sidecar["Units"] = "arbitrary"
        for name, sidecar in images.items():
            voxels = rng.integers(0, 4096, SHAPE).astype(np.int16)
            nb.Nifti1Image(voxels, np.eye(4)).to_filename(folder / f"{name}.nii")
            if sidecar:
                (folder / f"{name}.json").write_text(json.dumps(sidecar))
    return root


def write_results(out: Path, n: int) -> Path:
    """Write the tables that a run over all participants leaves."""
    from qsmprep.bids.status import StatusRow, update_status
    from qsmprep.interfaces.regions import COLUMNS
    from qsmprep.methods.referencing import REFERENCES

    if (out / "status.tsv").exists():
        return out
    rng = np.random.default_rng(1)
    kinds = [("Chimap", reference, "ppb") for reference in REFERENCES]
    kinds.append(("R2starmap", "n/a", "1/s"))
    rows = [
        (index, f"region-{index:03d}", hemisphere, *kind)
        for index in range(REGIONS)
        for hemisphere in ("L", "R", "B")
        for kind in kinds
    ]
    words = ["index", "name", "hemisphere", "map", "reference", "units"]
    numbers = [name for name in COLUMNS if name not in words]
    table = pd.DataFrame(rows, columns=words)
    table = table.assign(atlas="x", flag="n/a", session_id="n/a", acquisition="n/a", run="n/a")
    for number in range(1, n + 1):
        label = f"sub-{number:04d}"
        own = table.assign(participant_id=label)
        for name in numbers:
            if name not in own:
                own[name] = rng.normal(50, 30, len(own)).round(4)
        folder = out / label / "anat"
        folder.mkdir(parents=True)
        path = folder / f"{label}_seg-x_regions.tsv"
        own[list(COLUMNS)].to_csv(path, sep="\t", index=False)
        quality = {"snr": 20.0, "Reference": {"name": "csf", "mean ppm": 0.01}}
        (folder / f"{label}_desc-qc.json").write_text(json.dumps(quality))
        (folder / f"{label}_Chimap.json").write_text('{"Reference": {"name": "whole-brain"}}')
    update_status(
        out,
        (
            StatusRow(f"sub-{number:04d}", "n/a", "n/a", "n/a", "MEGRE", "done")
            for number in range(1, n + 1)
        ),
    )
    return out


def plan(root: Path, labels: tuple[str, ...]):
    from qsmprep.bids.dataset import read_plan

    return read_plan(root, participants=labels)


def graph(root: Path, labels: tuple[str, ...]) -> str:
    """Build the graph of some participants as the program does, up to where steps start."""
    from nipype.pipeline.engine.utils import generate_expanded_graph
    from nipype.pipeline.plugins.multiproc import MultiProcPlugin

    from qsmprep.protocol import Protocol
    from qsmprep.workflows.base import Study, build

    acquisitions = plan(root, labels).acquisitions
    study = Study(root, root, Protocol.read("consensus"), None)
    start = time.monotonic()
    workflow = build(study, acquisitions, root / "work")
    built = time.monotonic()
    expanded = generate_expanded_graph(workflow._create_flat_graph())
    flat = time.monotonic()
    pool = MultiProcPlugin({"n_procs": 1})
    pool._generate_dependency_list(expanded)
    waiting = time.monotonic()
    for _ in range(5):
        np.flatnonzero(~pool.proc_done & (pool.depidx.sum(axis=0) == 0).__array__())
    look = (time.monotonic() - waiting) / 5
    return (
        f"{len(expanded)} steps; build {built - start:.1f} s, expand {flat - built:.1f} s, "
        f"dependencies {waiting - flat:.1f} s, one look {1e3 * look:.1f} ms"
    )


def group(out: Path) -> str:
    from qsmprep.group.run import run_group

    run_group(out, bids_dir=out)
    sizes = {p.name: p.stat().st_size / 2**20 for p in (out / "group").iterdir() if p.is_file()}
    return ", ".join(f"{name} {size:.1f} MiB" for name, size in sizes.items())


def measured(function: Callable, *arguments: object) -> tuple[float, float, object]:
    """Return seconds, MiB and result of a function in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (function, *arguments))


def _measure(function, *arguments):
    start = time.monotonic()
    result = function(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return time.monotonic() - start, peak, result if isinstance(result, str) else ""


def seconds_to_first_step(root: Path, folder: Path, label: str) -> float:
    """Return how long a job for one participant takes until it computes."""
    command = [sys.executable, "-m", "qsmprep.cli", root, folder / f"out-{label}", "participant"]
    command += ["--participant-label", label, "--atlas", "none", "-w", folder / "work"]
    start = time.monotonic()
    job = subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    line = next((line for line in job.stderr or () if ": started" in line), "")
    took = time.monotonic() - start
    os.killpg(job.pid, signal.SIGTERM)
    job.communicate()
    if not line:
        raise SystemExit(f"the job of sub-{label} ended before its first step")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=1000, help="participants")
    parser.add_argument("--graphs", type=int, nargs="*", default=[1, 50, 200, 1000])
    options = parser.parse_args()
    n, folder = options.n, options.folder.absolute()
    root = write_skeleton(folder / f"bids-{n}", n)
    out = write_results(folder / f"results-{n}", n)
    labels = tuple(f"{number:04d}" for number in range(1, n + 1))
    print("| what | s | MiB | |\n|---|--:|--:|---|")
    one = labels[n // 2]
    for name, call in {
        "plan of one participant": (plan, root, (one,)),
        f"plan of {n}": (plan, root, ()),
        **{f"graph of {size}": (graph, root, labels[:size]) for size in options.graphs},
        f"group level of {n}": (group, out),
    }.items():
        seconds, peak, note = measured(*call)
        print(f"| {name} | {seconds:.1f} | {peak:.0f} | {note} |", flush=True)
    print(
        f"| job of one until its first step | {seconds_to_first_step(root, folder, one):.1f} | |"
    )


if __name__ == "__main__":
    main()
