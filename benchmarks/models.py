"""
Ten models of 500 participants with two sessions and 100 regions: how long each takes.

``python benchmarks/models.py FOLDER`` takes the study that `benchmarks/cohort.py` writes, or
writes it, harmonises it twice, fits ten models of different kinds, with all their tables, figures
and pages, and prints a table. Seconds of a processor tell more where a machine is shared.
"""

from __future__ import annotations

import json
from pathlib import Path
import shutil
import sys
import time

import numpy as np
import pandas as pd

sys.path.append(str(Path(__file__).parent))  # for what the benchmarks share

from cohort import SITES, read_options, timed, write_study

MODELS = """
[data]
reference = "csf"

[model.describe]
kind = "describe"
columns = ["age", "sex", "education", "composite"]
group = "group"

[model.ancova]
kind = "ancova"
formula = "chi ~ group + age + sex"
extra = "volume"
for = "all"

[model.ols]
kind = "ols"
formula = "chi ~ education + age + sex"
for = "all"

[model.change]
kind = "change"
for = "all"

[model.cox]
kind = "cox"
formula = "scale(chi) + age + sex"
time = "followed"
event = "event"
for = "all"

[model.km]
kind = "km"
by = "chi"
time = "followed"
event = "event"
for = TEN

[model.mixed]
kind = "mixed"
formula = "chi ~ group * years + age + sex"
random = "1"
for = "all"

[model.reliability]
kind = "reliability"
for = TEN

[model.roc]
kind = "roc"
for = TEN

[model.correlation]
kind = "correlation"
x = REGIONS
y = ["composite", "education"]
partial = ["age", "sex"]
"""


def write_followed(root: Path) -> None:
    """Write a phenotype of times to an event."""
    path = root / "phenotype/followed.tsv"
    if path.exists():
        return
    people = pd.read_csv(root / "participants.tsv", sep="\t")
    rng = np.random.default_rng(1)
    ends, leaves = rng.exponential(20, len(people)), rng.uniform(1, 8, len(people))
    table = people[["participant_id"]].assign(
        followed=np.minimum(ends, leaves).round(3), event=(ends <= leaves).astype(int)
    )
    table.to_csv(path, sep="\t", index=False)


def main() -> None:
    options = read_options(__doc__.splitlines()[1])
    root = options.folder.absolute()
    write_study(root, options.participants, options.sessions, options.regions)
    write_followed(root)

    from qsmprep.group.cohort_files import write_cohort_tables
    from qsmprep.group.cohort_table import read_members, with_values
    from qsmprep.group.harmonise import run_harmonise
    from qsmprep.group.model_files import read_plan
    from qsmprep.group.models import run_models
    from qsmprep.group.region_values import read_tables
    from qsmprep.statistics.kinds import KINDS

    out = root / "derivatives" / SITES[0]
    sites = {SITES[1]: root / "derivatives" / SITES[1]}
    regions = [f"chi_region_{number:03d}" for number in range(0, options.regions, 5)]
    text = MODELS.replace("REGIONS", json.dumps(regions))
    text = text.replace("TEN", json.dumps([f"region-{n:03d}" for n in range(10)]))
    file = root / "models.toml"
    file.write_text(text, encoding="utf-8")
    shutil.rmtree(out / "group", ignore_errors=True)

    def cohort_table():
        members = read_members(out, root, sites, [set(), set()], False)
        tables = read_tables(members.tables)
        cohort = with_values(members, tables)
        write_cohort_tables(out / "group", cohort, members, tables)
        return cohort

    print("| what | s | s of a processor | MiB at most |\n|---|--:|--:|--:|")
    cohort = timed("the cohort table, read, joined and written", cohort_table)
    for method in ("combat", "longitudinal-combat"):
        # Everybody at a site has one sex in this study, so that it cannot be protected.
        keys = {"method": method, "batch": "output_folder", "covariates": ["age", "group"]}
        timed(f"harmonise: {method}", run_harmonise, cohort, keys, out)
    start, worked = time.perf_counter(), time.process_time()
    for spec in read_plan([file], KINDS).models:
        (outcome,) = timed(f"model: {spec.kind}", run_models, [spec], cohort, out)
        if outcome.failures:
            raise SystemExit(f"{spec.name}: {outcome.failures}")
    wall, worked = time.perf_counter() - start, time.process_time() - worked
    print(f"| all ten models | {wall:.1f} | {worked:.1f} | |")
    for path in sorted((out / "group/models").glob("*/index.html")):
        print(f"| page of {path.parent.name} | {path.stat().st_size / 2**20:.1f} MiB | | |")


if __name__ == "__main__":
    main()
