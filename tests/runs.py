"""Runs of the program, and what tests look at in them."""

from dataclasses import dataclass
from pathlib import Path
import shutil

import nibabel as nb
import numpy as np

from qsmprep.bids.status import read_status

CHI = "sub-01/anat/sub-01_Chimap.nii.gz"
FAST = ("--protocol", "fast", "--atlas", "none")


@dataclass(frozen=True)
class Ended:
    """A run of the program that is over."""

    out: Path
    work: Path
    status: int
    stdout: str
    stderr: str

    @property
    def steps(self):
        """Steps that were computed, not those taken from an earlier run."""
        lines = (line for line in self.stderr.splitlines() if ": started" in line)
        return [line.split("  ", 2)[2].removesuffix(": started") for line in lines]


def copy_participant(source, target, label):
    """Copy the only participant of a dataset into another one, under another label."""
    target.mkdir(exist_ok=True)
    shutil.copy(source / "dataset_description.json", target)
    for path in (source / "sub-01/anat").iterdir():
        new = target / f"sub-{label}/anat" / path.name.replace("sub-01", f"sub-{label}")
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, new)
    return target


def cut(path, part=0.5):
    """Keep the first part of a file only, as a broken transfer does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])


def statuses(out):
    """Return the last row of each participant."""
    return {row.participant_id: row for row in read_status(out)}


def load(out, name=CHI):
    return nb.load(out / name).get_fdata(dtype=np.float32)
