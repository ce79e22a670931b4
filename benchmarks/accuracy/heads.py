"""The head phantom: single stages, and whole chains from raw phase."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
import subprocess
import sys
from time import perf_counter

import nibabel as nb
import numpy as np
import pandas as pd
from scoring import score
from vivo import invert, voxels

from qsmprep.cli import main as qsmprep
from qsmprep.geometry import Geometry
from qsmprep.methods.background import BACKGROUND_REMOVALS
from qsmprep.methods.inversion import INVERSIONS
from qsmprep.protocol import needed_arrays

WHITE_MATTER = 8
"""Label of white matter in the phantom."""

DEEP_GREY = (1, 2, 3, 4, 5, 6, 7)
"""Labels of caudate, pallidum, putamen, red nucleus, dentate, substantia nigra and thalamus."""

FLUID = 10
"""Label of cerebrospinal fluid in the phantom."""


@dataclass(frozen=True)
class Head:
    """
    One simulated head.

    Parameters
    ----------
    folder
        Where it lies, or will.
    seed
        Of its noise and texture.
    b0
        T.
    """

    folder: Path
    seed: int
    b0: int

    @property
    def name(self) -> str:
        """Label of the participant it is."""
        return f"s{self.seed}b{self.b0}"

    def make(self, tools: Path, model: Path) -> None:
        """Simulate it, unless that is done."""
        if not (self.folder / "params.json").exists():
            command = [tools / "make_head_phantom.py", model, self.folder, self.seed, self.b0]
            subprocess.run([sys.executable, *map(str, command)], check=True)

    def __getitem__(self, name: str) -> np.ndarray:
        return voxels(self.folder / f"{name}.nii.gz")

    @property
    def mask(self) -> np.ndarray:
        """Brain."""
        return self["mask"] > 0

    @property
    def labels(self) -> np.ndarray:
        """Regions."""
        return np.rint(self["dseg"]).astype(int)

    @property
    def echo_times(self) -> list[float]:
        """Echo times, s."""
        return json.loads((self.folder / "params.json").read_text())["TE"]


GEOMETRY = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 1.0))


def inversions(head: Head) -> pd.DataFrame:
    """Return the figures of every inversion of the true local field, with its defaults."""
    mask, truth, labels, magnitude = head.mask, head["chimap"], head.labels, head["magnitude"]
    weight = np.sqrt(((magnitude * np.array(head.echo_times)) ** 2).sum(-1))
    arrays = {
        "noise": np.where(mask, 1 / np.maximum(weight, 1e-6), 0).astype(np.float32),
        "magnitude": np.sqrt((magnitude**2).sum(-1)),
        "csf": mask & (labels == FLUID),
    }
    field = np.where(mask, head["localfield"], 0).astype(np.float32)
    rows = []
    for name in INVERSIONS:
        chi, run = invert(name, field, mask, GEOMETRY, arrays)
        row = {"head": head.name, "method": name, **score(chi, truth, mask, labels=labels), **run}
        if name.endswith("0"):
            fluid = 1e3 * chi[arrays["csf"]]
            row |= {"fluid mean, ppb": fluid.mean(), "fluid SD, ppb": fluid.std()}
        rows.append(row)
        print(row, flush=True)
    return pd.DataFrame(rows)


def backgrounds(head: Head) -> pd.DataFrame:
    """
    Return the figures of every background removal from the true total field.

    NRMSE is over the whole mask, where lost voxels count as zero, and over the voxels that all
    methods keep.
    """
    mask, total, truth = head.mask, head["totalfield"], head["localfield"]
    arrays = {
        "noise": np.where(mask, 1e-3, 0).astype(np.float32),
        "white_matter": (head.labels == WHITE_MATTER).astype(np.float32),
        "deep_grey": np.isin(head.labels, DEEP_GREY),
    }
    found = {}
    for name, method in BACKGROUND_REMOVALS.items():
        if name == "none":
            continue
        needed = {array: arrays[array] for array in needed_arrays(method)}
        start = perf_counter()
        local, valid = method(total, mask, GEOMETRY, **needed)[:2]
        found[name] = (np.where(valid, local, 0), valid, perf_counter() - start)
    common = np.logical_and.reduce([valid for _, valid, _ in found.values()])
    rows = []
    for name, (local, _, seconds) in found.items():
        whole, inner = (score(local, truth, voxel, "field") for voxel in (mask, common))
        row = {"head": head.name, "method": name, **whole}
        rows.append(row | {"NRMSE % common": inner["NRMSE %"], "seconds": seconds})
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def write_bids(heads: list[Head], folder: Path) -> Path:
    """Write heads as a dataset, with their brain masks in ``derivatives/masks``."""
    bids = folder / "bids"
    (bids / "derivatives/masks").mkdir(parents=True, exist_ok=True)
    for root in (bids, bids / "derivatives/masks"):
        about = {"Name": "head phantoms", "BIDSVersion": "1.10.0"}
        if root != bids:
            about |= {"DatasetType": "derivative", "GeneratedBy": [{"Name": "phantom"}]}
        (root / "dataset_description.json").write_text(json.dumps(about))
    for head in heads:
        place = Path(f"sub-{head.name}/anat")
        (bids / place).mkdir(parents=True, exist_ok=True)
        (bids / "derivatives/masks" / place).mkdir(parents=True, exist_ok=True)
        _save(head["mask"], bids / "derivatives/masks" / place, f"sub-{head.name}_desc-brain_mask")
        for part, name in (("mag", "magnitude"), ("phase", "phase")):
            echoes = head[name]
            for number, te in enumerate(head.echo_times):
                stem = f"sub-{head.name}_echo-{number + 1}_part-{part}_MEGRE"
                _save(echoes[..., number], bids / place, stem)
                sidecar = {"EchoTime": te, "MagneticFieldStrength": float(head.b0)}
                if part == "phase":
                    sidecar["Units"] = "rad"
                (bids / place / f"{stem}.json").write_text(json.dumps(sidecar))
    return bids


def _save(array: np.ndarray, folder: Path, stem: str) -> None:
    path = folder / f"{stem}.nii.gz"
    if not path.exists():
        nb.save(nb.Nifti1Image(array.astype(np.float32), np.eye(4)), path)


def chains(heads: list[Head], protocols: list[str], folder: Path) -> pd.DataFrame:
    """
    Return the figures of protocols from raw phase, in the true brain mask.

    The common voxels are those that the protocol with the largest rim keeps.
    """
    bids = write_bids(heads, folder)
    command = [bids, folder / "out", "participant", "--atlas", "none", "-w", folder / "work"]
    command += ["-d", f"masks={bids / 'derivatives/masks'}"]
    for protocol in protocols:
        command += ["--protocol", protocol]
    if len(protocols) == 1:
        command[1] = folder / "out" / protocols[0]
    status = qsmprep([str(word) for word in command])
    if status:
        sys.exit(status)
    rows = []
    for head in heads:
        maps = {
            protocol: voxels(
                folder / f"out/{protocol}/sub-{head.name}/anat/sub-{head.name}_Chimap.nii.gz"
            )
            for protocol in protocols
        }
        truth, mask, labels = head["chimap"], head.mask, head.labels
        common = mask & np.logical_and.reduce([chi != 0 for chi in maps.values()])
        for protocol, chi in maps.items():
            inner = score(chi, truth, common, labels=labels)
            rows.append(
                {
                    "head": head.name,
                    "protocol": protocol,
                    **score(chi, truth, mask, labels=labels),
                    "NRMSE % common": inner["NRMSE %"],
                    "xSIM common": inner["xSIM"],
                }
            )
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def spread(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return mean and standard deviation over heads, at each field strength."""
    field = table["head"].str.extract(r"b(\d+)$")[0] + " T"
    columns = [name for name in table.columns if table[name].dtype.kind == "f"]
    grouped = table.groupby([field.rename("field"), by], sort=False)[columns]
    mean, deviation, count = grouped.mean(), grouped.std(), grouped.size()
    shown = mean.map("{:.3g}".format) + " ± " + deviation.map("{:.2g}".format)
    return shown.assign(heads=count).reset_index()
