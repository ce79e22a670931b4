"""
The tables of 500 participants with two sessions each: time to read, join and write them.

``python benchmarks/cohort.py FOLDER`` writes two output folders with regional tables of real size
(100 regions, left, right and both, four references and R2*), covariates of every kind, and maps of
a few voxels; joins them, and prints a table. The folder may be kept for the next time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
import resource
import shutil
import time

import nibabel as nb
import numpy as np
import pandas as pd

REFERENCES = ("whole-brain", "csf", "white-matter", "none")
SITES = ("Aachen", "Boston")
WORDS = ("index", "name", "hemisphere", "map", "reference", "units")


def write_study(root: Path, participants: int, sessions: int, regions: int) -> None:
    """Write what the participant level leaves at two sites, and the tables of the dataset."""
    from qsmprep.bids.region_columns import COLUMNS, LEGACY

    if (root / "participants.tsv").exists():
        return
    rng = np.random.default_rng(0)
    kinds = [("Chimap", reference, "ppb") for reference in REFERENCES]
    kinds.append(("R2starmap", "n/a", "1/s"))
    rows = [
        ("n/a", f"region-{index:03d}", hemisphere, *kind)
        for kind in kinds
        for index in range(regions)
        for hemisphere in ("L", "R", "B")
    ]
    table = pd.DataFrame(rows, columns=WORDS).assign(flag="n/a", atlas="synthetic")
    columns = [name for name in COLUMNS if name != LEGACY]
    people = []
    for number in range(participants):
        label = f"sub-{number:04d}"
        out = root / f"derivatives/{SITES[number % 2]}"
        group = ("control", "patient")[number // 2 % 2]
        people.append((label, 50 + number % 30, "FM"[number % 2], group, 8 + number % 12))
        lines = ["session_id\tacq_time\tdiagnosis"]
        for session in range(1, sessions + 1):
            lines.append(f"ses-{session}\t{2010 + 2 * session}-06-15T10:00:00\tCN")
            write_acquisition(out, label, session, table, columns, rng)
        path = root / label / f"{label}_sessions.tsv"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(lines) + "\n")
    (root / "phenotype").mkdir()
    scores = pd.DataFrame([(who, rng.normal()) for who, *_ in people])
    scores.to_csv(root / "phenotype/scores.tsv", sep="\t", index=False,
                  header=["participant_id", "composite"])  # fmt: skip
    named = ["participant_id", "age", "sex", "group", "education"]
    pd.DataFrame(people, columns=named).to_csv(root / "participants.tsv", sep="\t", index=False)


def write_acquisition(out: Path, label: str, session: int, table, columns, rng) -> None:
    """Write the outputs of one acquisition that the group level reads."""
    folder = out / label / f"ses-{session}" / "anat"
    folder.mkdir(parents=True)
    stem = f"{label}_ses-{session}"
    who = {"participant_id": label, "session_id": f"ses-{session}"}
    own = table.assign(**who, acquisition="n/a", run="n/a")
    for name in columns:
        if name.startswith("n_"):
            own[name] = rng.integers(0, 5000, len(own))
        elif name not in own:
            own[name] = rng.normal(50, 30, len(own)).round(6)
    own[columns].to_csv(folder / f"{stem}_seg-synthetic_regions.tsv", sep="\t", index=False)
    scanner = {"Manufacturer": "Siemens", "ManufacturersModelName": "Prisma",
               "SoftwareVersions": "syngo MR E11"}  # fmt: skip
    sidecar = {"EchoTimes": [0.006, 0.012, 0.018], "MagneticFieldStrength": 3.0,
               "Scanner": scanner, "Reference": {"name": "csf"},
               "GeneratedBy": {"Name": "qsmprep", "ProtocolDigest": "0" * 12}}  # fmt: skip
    (folder / f"{stem}_Chimap.json").write_text(json.dumps(sidecar))
    voxels = rng.normal(size=(6, 6, 6)).astype(np.float32)
    image = nb.Nifti1Image(voxels, np.diag([0.8, 0.8, 1.5, 1.0]))
    image.to_filename(folder / f"{stem}_Chimap.nii.gz")


def timed(what: str, function: Callable, *arguments):
    start, worked = time.perf_counter(), time.process_time()
    result = function(*arguments)
    wall, worked = time.perf_counter() - start, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {what} | {wall:.1f} | {worked:.1f} | {peak:.0f} |", flush=True)
    return result


def read_options(what: str) -> argparse.Namespace:
    """Return the folder and the size of the study."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--participants", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--regions", type=int, default=100)
    return parser.parse_args()


def main() -> None:
    options = read_options(__doc__.splitlines()[1])
    root = options.folder.absolute()
    write_study(root, options.participants, options.sessions, options.regions)

    from qsmprep import cli
    from qsmprep.group.cohort_files import write_cohort_tables
    from qsmprep.group.cohort_table import read_members, with_values
    from qsmprep.group.region_values import read_tables

    out = root / "derivatives" / SITES[0]
    sites = {SITES[1]: root / "derivatives" / SITES[1]}
    shutil.rmtree(out / "group", ignore_errors=True)
    print("| what | s | s of a processor | MiB at most |\n|---|--:|--:|--:|")
    start = time.perf_counter()
    members = timed("find and join", read_members, out, root, sites, [set(), set()], False)
    tables = timed("read the tables", read_tables, members.tables)
    cohort = timed("understand them", with_values, members, tables)
    timed("write both tables", write_cohort_tables, out / "group", cohort, members, tables)
    print(f"| all of it | {time.perf_counter() - start:.1f} | | |")
    values = ("Chimap", cohort.reference, cohort.atlas, "mean")
    timed("one statistic of all regions", cohort.values, *values)
    for path in sorted((out / "group").glob("*.tsv")):
        print(f"| {path.name} | {path.stat().st_size / 2**20:.0f} MiB | | |")
    del tables, cohort
    call = [str(root), str(out), "group", "-d", f"{SITES[1]}={sites[SITES[1]]}"]
    timed("the command, with its page", cli.main, call)
    timed("again", cli.main, call)


if __name__ == "__main__":
    main()
