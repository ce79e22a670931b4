"""A dataset with known truth, whole chain: fields, maps and nuclei, per protocol."""

from __future__ import annotations

from itertools import combinations
import json
from pathlib import Path
import sys

import nibabel as nb
import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt
from truth import bilateral_truth, truth_tables

from qsmprep.cli import main as qsmprep
from qsmprep.simulate.cli import main as simulate

RIM_MM = 5.0
"""χ is judged this deep below the surface of the true brain."""

NUCLEI = ("caudate", "putamen", "pallidum", "thalamus")

LABELS = {
    "aseg": {
        "caudate": (11, 50),
        "putamen": (12, 51),
        "pallidum": (13, 52),
        "thalamus": (10, 49),
    },
    "oasis": {
        "caudate": (36, 37),
        "putamen": (57, 58),
        "pallidum": (55, 56),
        "thalamus": (59, 60),
    },
}
"""True labels of datasets that bring no look-up table, by the scheme their truth names."""


def run(
    bids_dir: Path, out_dir: Path, atlas: str, work_dir: Path, protocol: str = "consensus"
) -> None:
    """Run the participant level, unless its results are there."""
    if (out_dir / "status.tsv").exists():
        return
    command = [bids_dir, out_dir, "participant", "--atlas", atlas, "-w", work_dir]
    command += ["--protocol", protocol]
    if status := qsmprep([str(word) for word in command]):
        sys.exit(status)


def voxels(path: Path) -> np.ndarray:
    return nb.load(path).get_fdata(dtype=np.float32)


def true_labels(stem: Path) -> dict[str, tuple[int, ...]]:
    """Return the labels of the nuclei in the true segmentation."""
    lookup = stem.with_name(f"{stem.name}_dseg.tsv")
    if lookup.exists():
        table = pd.read_csv(lookup, sep="\t")
        return {n: tuple(table.loc[table["name"] == n, "index"]) for n in NUCLEI}
    scheme = json.loads(stem.with_name(f"{stem.name}_truth.json").read_text())["args"]["scheme"]
    return LABELS["aseg" if scheme == "aseg" else "oasis"]


def measure(stem: Path, found: Path) -> dict[str, float]:
    """Return the figures of one acquisition; `stem` and `found` lead to truth and outputs."""
    truth = {
        name: voxels(stem.with_name(f"{stem.name}_{suffix}.nii.gz"))
        for name, suffix in {
            "chi": "Chimap",
            "total": "desc-total_fieldmap",
            "brain": "desc-brain_mask",
            "labels": "dseg",
        }.items()
    }
    image = nb.load(stem.with_name(f"{stem.name}_Chimap.nii.gz"))
    edges = np.linalg.norm(image.affine[:3, :3], axis=0)
    brain = truth["brain"] > 0
    deep = distance_transform_edt(brain, sampling=edges) > RIM_MM
    chi, total = (
        voxels(found.with_name(f"{found.name}_{suffix}.nii.gz"))
        for suffix in ("Chimap", "desc-total_fieldmap")
    )
    trusted, mask = (
        voxels(found.with_name(f"{found.name}_desc-{desc}_mask.nii.gz")) > 0
        for desc in ("trusted", "brain")
    )
    difference = (chi - chi[deep].mean()) - (truth["chi"] - truth["chi"][deep].mean())
    spread = truth["chi"][deep].std()
    figures = {
        "field correlation": np.corrcoef(total[trusted], truth["total"][trusted])[0, 1],
        "brain Dice": 2 * (mask & brain).sum() / (mask.sum() + brain.sum()),
        "coverage": (trusted & brain).sum() / brain.sum(),
        "χ NRMSE %": 100 * difference[deep].std() / spread,
        "χ correlation": np.corrcoef(chi[deep], truth["chi"][deep])[0, 1],
    }
    for name, indices in true_labels(stem).items():
        region = np.isin(np.rint(truth["labels"]), indices)
        measured = chi[region & trusted].mean(dtype=float) - chi[trusted].mean(dtype=float)
        true = truth["chi"][region].mean(dtype=float) - truth["chi"][brain].mean(dtype=float)
        figures[f"{name} true"] = 1e3 * true
        figures[f"{name} measured, true labels"] = 1e3 * measured
    return figures


def automatic(found: Path, table: Path) -> dict[str, float]:
    """Return the nuclei as the regional table has them, with automatic labels."""
    (path,) = found.parent.glob(f"{found.name}_seg-*_regions.tsv")
    rows = pd.read_csv(path, sep="\t", keep_default_na=False)
    rows = rows[(rows["map"] == "Chimap") & (rows["reference"] == "whole-brain")]
    rows = rows[rows["hemisphere"] == "B"].set_index("name")
    truth = bilateral_truth(table).set_index("name")["true_ppb"]
    return {
        **{f"{n} measured, automatic labels": float(rows.loc[n, "mean"]) for n in NUCLEI},
        **{f"{n} true": truth[n] for n in NUCLEI},
    }


def compare(bids_dir: Path, out_dir: Path) -> pd.DataFrame:
    """Return all figures, a column per acquisition."""
    columns = {}
    for visit, table in truth_tables(bids_dir).items():
        stem = table.with_name(table.name.removesuffix("_regions.tsv"))
        found = out_dir / stem.relative_to(bids_dir / "derivatives/truth")
        name = " ".join(label for label in visit if label != "n/a")
        columns[name] = automatic(found, table) | measure(stem, found)
    order = ["field correlation", "brain Dice", "coverage", "χ NRMSE %", "χ correlation"]
    order += [
        f"{nucleus} {kind}"
        for nucleus in NUCLEI
        for kind in ("true", "measured, true labels", "measured, automatic labels")
    ]
    return pd.DataFrame(columns).loc[order]


def compare_codings(folder: Path) -> str:
    """Simulate one head in four codings of phase, reconstruct each, and compare the maps."""
    bids_dir, out_dir = folder / "bids", folder / "out"
    if not bids_dir.exists():
        simulate([str(bids_dir), "--preset", "codings", "--resolution", "2"])
    run(bids_dir, out_dir, "none", folder / "work")
    maps = {
        path.name.split("_")[1]: voxels(path) for path in sorted(out_dir.rglob("*_Chimap.nii.gz"))
    }
    lines = [f"{'difference of χ, ppm':40}{'largest':>10}{'99.9 %':>10}{'median':>10}"]
    for one, other in combinations(maps, 2):
        inside = (maps[one] != 0) | (maps[other] != 0)
        gaps = np.abs(maps[one] - maps[other])[inside]
        numbers = (gaps.max(), np.quantile(gaps, 0.999), np.median(gaps))
        lines.append(f"{one} against {other}".ljust(40) + "".join(f"{n:10.6f}" for n in numbers))
    return "\n".join(lines)


def report(bids_dir: Path, out_dir: Path, atlas: str, work_dir: Path) -> pd.DataFrame:
    """Run the default protocol with automatic labels, and print how it fares."""
    run(bids_dir, out_dir, atlas, work_dir)
    table = compare(bids_dir, out_dir)
    with pd.option_context("display.width", 200, "display.float_format", "{:.4g}".format):
        print("regions in ppb against the whole brain, left and right together")
        print(table.to_string(), "\n")
    visits = [name for name in table if name.startswith("sub-1001")]
    if len(visits) == 2:
        for kind in ("true", "measured, true labels", "measured, automatic labels"):
            change = (
                table.loc[f"putamen {kind}", visits[1]] - table.loc[f"putamen {kind}", visits[0]]
            )
            print(f"putamen of sub-1001, second session less first, {kind}: {change:+.1f} ppb")
    return table


def protocols(bids_dir: Path, folder: Path, names: list[str], work_dir: Path) -> pd.DataFrame:
    """Return the figures of every protocol, without an atlas, a row per acquisition."""
    rows = []
    for protocol in names:
        out_dir = folder / protocol
        run(bids_dir, out_dir, "none", work_dir, protocol)
        for visit, table in truth_tables(bids_dir).items():
            stem = table.with_name(table.name.removesuffix("_regions.tsv"))
            figures = measure(stem, out_dir / stem.relative_to(bids_dir / "derivatives/truth"))
            errors = [
                abs(figures[f"{n} measured, true labels"] - figures[f"{n} true"]) for n in NUCLEI
            ]
            rows.append(
                {
                    "protocol": protocol,
                    "acquisition": " ".join(label for label in visit if label != "n/a"),
                    "χ NRMSE %": figures["χ NRMSE %"],
                    "χ correlation": figures["χ correlation"],
                    "coverage": figures["coverage"],
                    "worst nucleus, ppb": max(errors),
                }
            )
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)
