"""
The page of a cohort of 500 participants with two sessions each: time to make it, size, opening.

Makes an output folder with tables, quality figures and small maps as a study would leave them,
with planted gaps, outliers and failures, runs ``qsmprep ... group`` on it, and opens the page in
headless Chromium::

    python benchmarks/group_page.py --folder /tmp/cohort --participants 500 --sessions 2
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
import re
import shutil
import subprocess
import tempfile
import time

import nibabel as nb
import numpy as np

from qsmprep import cli
from qsmprep.bids.status import StatusRow, update_status
from qsmprep.bids.windows import read_windows
from qsmprep.methods.verdicts import judge_all
from qsmprep.reports.regions import REGION_COLOURS

SITES = ("Aachen", "Boston", "Cape Town", "Delft")
GROUPS = ("control", "patient")
SHAPE = (80, 100, 72)  # voxels of 2 mm
REFERENCES = {"whole-brain": 0.0, "csf": -6.0, "white-matter": 25.0, "none": 0.0}
OTHERS = [f"region-{number:02d}" for number in range(50)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--folder", type=Path, required=True, help="where the cohort goes")
    parser.add_argument("--participants", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser")
    parser.add_argument("--keep", action="store_true", help="use the cohort that lies there")
    options = parser.parse_args()
    out = options.folder
    if not options.keep:
        make_cohort(out, options.participants, options.sessions)
    shutil.rmtree(out / "group", ignore_errors=True)
    for what in ("first", "again"):
        start, begun = time.perf_counter(), time.process_time()
        cli.main([str(out), str(out), "group"])
        wall, worked = time.perf_counter() - start, time.process_time() - begun
        print(f"group level, {what}: {wall:.1f} s, of a processor {worked:.1f} s")
    page = out / "group" / "index.html"
    pictures = list((out / "group" / "figures").glob("*.png"))
    print(f"page: {page.stat().st_size / 1e6:.2f} MB, loads {len(pictures)} pictures lazily")
    print(f"pictures: {sum(path.stat().st_size for path in pictures) / 1e6:.1f} MB together")
    if options.chromium:
        print("opened in headless Chromium, ms:", *opening(options.chromium, page))


def make_cohort(out: Path, participants: int, sessions: int) -> None:
    """Write what the participant level leaves for its group level."""
    random = np.random.default_rng(0)
    out.mkdir(parents=True, exist_ok=True)
    rows, people = [], ["participant_id\tage\tsite\tgroup"]
    for number in range(1, participants + 1):
        name = f"sub-{number:04d}"
        site, group = SITES[int(random.integers(4))], GROUPS[number % 2]
        people.append(f"{name}\t{random.integers(20, 80)}\t{site}\t{group}")
        for session in range(1, sessions + 1):
            what = random.choice(["done", "partial", "failed"], p=[0.95, 0.03, 0.02])
            reason = {"partial": "there is no T1w image", "failed": "echo 3 has another shape"}
            identity = (name, f"ses-{session}", "n/a", "n/a", "MEGRE")
            rows.append(StatusRow(*identity, what, reason.get(what, "n/a")))
            if what != "failed":
                write_acquisition(out, name, session, random, shift=4.0 * (group == "patient"),
                                  regions=what == "done")  # fmt: skip
        page = f"<!doctype html><html lang=en><title>{name}</title><h1>{name}</h1></html>"
        (out / f"{name}.html").write_text(page)
    (out / "participants.tsv").write_text("\n".join(people) + "\n")
    made_by = {"Name": "qsmprep", "Version": "0", "Protocol": {"Name": "synthetic", "Digest": "0"}}
    (out / "dataset_description.json").write_text(json.dumps({"GeneratedBy": [made_by]}))
    update_status(out, rows)


def write_acquisition(
    out: Path, name: str, session: int, random, *, shift: float, regions: bool
) -> None:
    """Write the outputs of one acquisition that the group level reads."""
    folder = out / name / f"ses-{session}" / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}_ses-{session}"
    chi = np.round(head(random), 4)
    image = nb.Nifti1Image(chi, np.diag([2.0, 2.0, 2.0, 1.0]))
    image.to_filename(f"{stem}_Chimap.nii.gz")
    sidecar = {"EchoTimes": [0.006, 0.012, 0.018], "MagneticFieldStrength": 3.0,
               "Reference": {"name": "csf"}}  # fmt: skip
    Path(f"{stem}_Chimap.json").write_text(json.dumps(sidecar))
    for about, ending in (("acquisition", "acquisition_"), ("maps", ""), ("regions", "regions_")):
        if about != "regions" or regions:
            said = judge_all(figures(about, random), read_windows(about), {})
            Path(f"{stem}_desc-{ending}qc.json").write_text(json.dumps(said))
    if regions:
        Path(f"{stem}_R2starmap.nii.gz").touch()
        table = region_rows(name, session, random, shift)
        Path(f"{stem}_seg-synthetic_regions.tsv").write_text(table)


def head(random) -> np.ndarray:
    """Return an ellipsoid with two bright nuclei, ppm, zero outside."""
    grid = np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2
    inside = ((grid / (34, 42, 30)) ** 2).sum(axis=-1) < 1
    chi = random.normal(scale=0.01, size=inside.shape)
    for side in (-10, 10):
        chi[((grid - (side, 4, 2)) ** 2).sum(axis=-1) < 36] += 0.1
    return np.where(inside, chi, 0).T.astype(np.float32)


def figures(about: str, random) -> dict[str, object]:
    """Return figures that pass, but for some that are planted not to."""
    values: dict[str, object] = {}
    for name, window in read_windows(about).items():
        ends = window.good
        if not ends:
            values[name] = int(random.integers(20, 60))
        elif isinstance(ends[0], str):
            values[name] = ends[0]
        else:
            low, high = (float(end) for end in ends)
            low, high = (high - 1 if math.isinf(low) else low), high
            high = low + 10 if math.isinf(high) else high
            width = 0.12 if random.random() > 0.004 else 0.9  # of those some lie outside
            values[name] = float(random.normal((low + high) / 2, width * (high - low)))
    return values


def region_rows(name: str, session: int, random, shift: float) -> str:
    """Return a table of regions as text."""
    columns = [
        "participant_id",
        "session_id",
        "acquisition",
        "run",
        "atlas",
        "index",
        "name",
        "hemisphere",
        "map",
        "reference",
        "units",
        "n_label",
        "n_outside_mask",
        "n_untrusted",
        "n_eroded",
        "n_partial_volume",
        "n_vessel",
        "n_voxels",
        "volume_mm3",
        "coverage",
        "mean",
        "std",
        "median",
        "p05",
        "p95",
        "mad",
        "sem",
        "flag",
    ]
    lines = ["\t".join(columns)]
    for index, region in enumerate([*REGION_COLOURS, *OTHERS, "whole-brain"]):
        flag = "low coverage" if random.random() < 0.01 else "n/a"
        for side, sign in (("L", 1), ("R", -1), ("B", 0)):
            mean = 40 * math.sin(index) + shift * (region == "pallidum") + random.normal(scale=6)
            if random.random() < 0.003:
                mean = math.nan
            for reference, offset in REFERENCES.items():
                text = "n/a" if math.isnan(mean) else f"{mean + sign - offset:.3f}"
                head_ = f"{name}\tses-{session}\tn/a\tn/a\tsynthetic\t{index}\t{region}\t{side}"
                counts = "900\t0\t10\t0\t0\t0\t890\t900.0\t0.99"
                lines.append(
                    f"{head_}\tChimap\t{reference}\tppb\t{counts}\t{text}\t9.1\t{text}\t-10.0\t60.0"
                    f"\t6.0\t0.4\t{flag}"
                )
    return "\n".join(lines) + "\n"


def opening(chromium: str, page: Path) -> list[str]:
    """Return when the page was parsed, when it was loaded and first painted, thrice, in ms."""
    told = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as profile:
            copy = page.with_name(".timed.html")
            text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text("utf-8"))
            copy.write_text(text.replace("</body>", f"<script>{_CLOCK}</script></body>"), "utf-8")
            start = time.perf_counter()
            done = subprocess.run(
                [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900",
                 f"--user-data-dir={profile}", "--dump-dom", copy.absolute().as_uri()],
                capture_output=True, text=True, check=True, timeout=120,
            )  # fmt: skip
            wall = 1e3 * (time.perf_counter() - start)
            copy.unlink()
        found = re.search(r'data-clock="([^"]*)"', done.stdout)
        told.append(f"[{found[1] if found else 'no clock'}, whole process {wall:.0f}]")
    return told


_CLOCK = """
addEventListener("load", () => {
  const at = performance.getEntriesByType("navigation")[0];
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  document.documentElement.dataset.clock =
    `parsed ${at.domContentLoadedEventEnd.toFixed(0)}, loaded ${performance.now().toFixed(0)}, ` +
    `painted ${paint ? paint.startTime.toFixed(0) : "?"}`;
});
"""

if __name__ == "__main__":
    main()
