"""Brain, tissues and the rigid registration against truth and manual labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from steps import SEED, Head, dice, read

SIMULATED = ("sub-0002", "sub-1000", "sub-1001_ses-01", "sub-1001_ses-02")
LABELS = {
    "wm": ("cerebral-white-matter",),
    "csf": ("lateral-ventricle",),
    "gm": ("entorhinal", "precuneus", "posterior-cingulate", "angular-gyrus", "parahippocampal"),
    "deep gm": ("caudate", "putamen", "thalamus", "pallidum"),
}
"""Which labels tell how good the probability of a tissue is."""


def simulated(data: Path, work: Path) -> list[Head]:
    """Return the T1w of the simulated acquisitions."""
    return [Head(n, _folder(data / "bids", n) / f"{n}_T1w.nii.gz", work) for n in SIMULATED]


def labelled(data: Path, work: Path) -> list[Head]:
    """Return the heads of the atlas."""
    folder = data / "atlas-OASIS"
    return [
        Head(path.name, path / "anat" / f"{path.name}_T1w.nii.gz", work)
        for path in sorted(folder.glob("sub-*"))
    ]


def brains(data: Path, work: Path) -> pd.DataFrame:
    """Return the overlap of every brain mask with what is known of it."""
    rows = []
    for head in simulated(data, work):
        found, affine = read(head.brain()["mask"])
        truth, grid = read(_truth(data, head.name, "desc-brain_mask.nii.gz"))
        # On the truth's grid, through the truth's motion, which the mask has no part in.
        index = np.linalg.inv(affine) @ np.linalg.inv(_motion(data, head.name)) @ grid
        carried = ndimage.affine_transform(found, index, output_shape=truth.shape, order=1) > 0.5
        rows.append(_overlap(head, carried, truth > 0, "labels, filled"))
    for head in labelled(data, work):
        found, _ = read(head.brain()["mask"])
        signal = ndimage.binary_fill_holes(read(head.t1w)[0] != 0)
        rows.append(_overlap(head, found > 0, signal, "voxels not zero"))
    return pd.DataFrame(rows)


def _overlap(head: Head, found, truth, against: str) -> dict[str, object]:
    return {
        "head": head.name,
        "source": head.brain()["source"],
        "against": against,
        "dice": dice(found, truth),
        "extra": (found & ~truth).sum() / truth.sum(),
        "missed": (truth & ~found).sum() / truth.sum(),
    }


def tissues(data: Path, work: Path) -> pd.DataFrame:
    """Return how probable each tissue is where a label says that it is."""
    with (data / "atlas-OASIS/atlas-OASIS_dseg.tsv").open() as file:
        regions = list(csv.DictReader(file, delimiter="\t"))
    rows = []
    for head in labelled(data, work)[::2]:  # minutes each
        probability = {name: read(path)[0] for name, path in head.tissues().items()}
        labels = read(str(head.t1w).replace("_T1w", "_dseg"))[0]
        likeliest = np.array(list(probability.values())).argmax(axis=0)
        order = list(probability)
        for tissue, names in LABELS.items():
            kind = tissue.removeprefix("deep ")
            of_names = [int(row["index"]) for row in regions if row["name"] in names]
            inside = np.isin(np.rint(labels), of_names)
            rows.append({
                "head": head.name,
                "tissue": tissue,
                "labels": " ".join(names),
                "probability": probability[kind][inside].mean(),
                "likeliest": (likeliest[inside] == order.index(kind)).mean(),
            })  # fmt: skip
            if tissue == "wm":  # the one label that is meant to hold all of a tissue
                near = ndimage.binary_dilation(inside, iterations=4) & (np.rint(labels) != 0)
                white = (likeliest == order.index("wm")) & (probability["wm"] > 0)
                rows[-1]["dice"] = dice(white & near, inside)
    return pd.DataFrame(rows)


def rigid(data: Path, work: Path) -> pd.DataFrame:
    """Return how far brain voxels of the echoes end from where they belong in the T1w."""
    from qsmprep.interfaces.registration import RigidToMagnitude

    rows = []
    for head in simulated(data, work):
        brain, affine = read(_truth(data, head.name, "desc-brain_mask.nii.gz"))
        magnitude, mask = _prepare(data, head)
        found = head.step(
            "rigid", RigidToMagnitude, magnitude=magnitude, brain_mask=mask,
            t1w_brain=head.brain()["brain"], seed=SEED,
        )  # fmt: skip
        points = np.argwhere(brain > 0)[::7] @ affine[:3, :3].T + affine[:3, 3]
        truth = np.linalg.inv(_motion(data, head.name))
        there = points @ truth[:3, :3].T + truth[:3, 3]
        for direction, here, goal in (
            ("t1w_to_gre", points, there),
            ("gre_to_t1w", there, points),
        ):
            matrix = _world(found[direction])
            error = np.linalg.norm(here @ matrix[:3, :3].T + matrix[:3, 3] - goal, axis=1)
            rows.append({
                "head": head.name, "transform": direction,
                "mean_mm": error.mean(), "max_mm": error.max(),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _prepare(data: Path, head: Head) -> tuple[str, str]:
    """Return magnitude and brain of the echoes, found as the default protocol does."""
    from qsmprep.interfaces.echoes import ReadEchoes
    from qsmprep.interfaces.masking import FindBrain

    folder = _folder(data / "bids", head.name)
    kinds = ("real", "imag") if list(folder.glob("*part-real*")) else ("mag", "phase")
    first, second = (sorted(map(str, folder.glob(f"*part-{kind}*.nii.gz"))) for kind in kinds)
    echoes = head.step(
        "echoes", ReadEchoes, first=first, second=second, cartesian=kinds[0] == "real"
    )
    mask = head.step("bet", FindBrain, method="bet", magnitude=echoes["combined"])
    return echoes["combined"], mask["mask"]


def _world(path: str) -> np.ndarray:
    """Return the matrix by which an ITK transform maps points, in the axes of NIfTI."""
    import ants

    transform = ants.read_transform(path)
    matrix, shift = np.eye(4), np.array(transform.fixed_parameters)
    matrix[:3, :3] = np.array(transform.parameters[:9]).reshape(3, 3)
    matrix[:3, 3] = transform.parameters[9:] + shift - matrix[:3, :3] @ shift
    flip = np.diag([-1, -1, 1, 1])
    return flip @ matrix @ flip


def _folder(root: Path, name: str) -> Path:
    return root.joinpath(*name.split("_"), "anat")


def _truth(data: Path, name: str, rest: str) -> Path:
    return _folder(data / "bids/derivatives/truth", name) / f"{name}_{rest}"


def _motion(data: Path, name: str) -> np.ndarray:
    found = json.loads(_truth(data, name, "truth.json").read_text())
    return np.array(found["t1w_to_gre_world"])
