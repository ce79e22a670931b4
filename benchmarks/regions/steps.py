"""The anatomical steps on one head, each in a process of its own, whose memory can be told."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
import json
from multiprocessing import get_context
from pathlib import Path
import resource
import time

import nibabel as nb
import numpy as np
import pandas as pd

SEED = 1
SPACING = 2.0


@dataclass(frozen=True)
class Head:
    """A T1w, and where the results of its steps lie."""

    name: str
    t1w: Path
    work: Path

    def step(self, name: str, kind: type, **inputs) -> dict[str, str]:
        """Return the outputs of a step, which runs only once."""
        folder = self.work / self.name / name
        record = folder / "record.json"
        if not record.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found = pool.submit(_run, kind, inputs, str(folder)).result()
            record.write_text(json.dumps(found, indent=1))
        return json.loads(record.read_text())["outputs"]

    def corrected(self) -> str:
        """Return the T1w without shading."""
        from qsmprep.interfaces.anatomy import N4

        return self.step("n4", N4, t1w=str(self.t1w))["corrected"]

    def brain(self) -> dict[str, str]:
        """Return mask and T1w of the brain."""
        from qsmprep.interfaces.anatomy import BrainMask

        template = self.template()
        return self.step(
            "brain", BrainMask, t1w=self.corrected(), template_t1w=template["t1w"],
            template_mask=template["mask"], seed=SEED,
        )  # fmt: skip

    def template(self) -> dict[str, str]:
        """Return the files of the template."""
        from qsmprep.interfaces.registration import TemplateFiles

        return Head("template", self.t1w, self.work).step("template", TemplateFiles)

    def normalised(self) -> dict[str, str]:
        """Return the transforms between head and template."""
        from qsmprep.interfaces.registration import SyN

        template, brain = self.template(), self.brain()
        return self.step(
            "normalise", SyN, fixed=template["t1w"], fixed_mask=template["mask"],
            moving=brain["brain"], moving_mask=brain["mask"], spacing=SPACING, seed=SEED,
        )  # fmt: skip

    def tissues(self) -> dict[str, str]:
        """Return the probabilities of fluid, grey and white matter."""
        from qsmprep.interfaces.anatomy import Tissues

        template, brain = self.template(), self.brain()
        return self.step(
            "tissues", Tissues, **brain_of(brain),
            **{name: template[name] for name in ("csf", "gm", "wm")},
            template_to_t1w=self.normalised()["fixed_to_moving"], seed=SEED,
        )  # fmt: skip


def brain_of(brain: dict[str, str]) -> dict[str, str]:
    """Return image and mask without where they are from."""
    return {name: brain[name] for name in ("brain", "mask")}


def _run(kind: type, inputs: dict, folder: str) -> dict:
    before, start = time.process_time(), time.perf_counter()
    outputs = kind(**inputs).run(cwd=folder).outputs.get()
    return {
        "step": kind.__name__,
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - before,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "outputs": {name: str(path) for name, path in outputs.items()},
    }


def costs(work: Path) -> pd.DataFrame:
    """Return time and peak memory of every step that has run."""
    rows = []
    for record in sorted(work.glob("*/*/record.json")):
        found = json.loads(record.read_text())
        shape = {"head": record.parts[-3], "step": found["step"]}
        rows.append(shape | {k: found[k] for k in ("seconds", "cpu_seconds", "memory_gb")})
    return pd.DataFrame(rows)


def read(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its affine."""
    image = nb.load(path)
    return image.get_fdata(dtype=np.float32), image.affine


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Return the overlap of two masks."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
