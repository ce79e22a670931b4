"""Writes the lesions of simulated heads: masks as a reader draws them, FLAIR, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from qsmprep import __version__
from qsmprep.geometry import Geometry
from qsmprep.simulate.acquisition import Acquisition, SessionSpec, noise_seed
from qsmprep.simulate.head import Head
from qsmprep.simulate.lesions import Planted, flair
from qsmprep.simulate.truth import save, write_json
from qsmprep.units import PPB_PER_PPM

FLAIR_NOISE = 12.0
"""Noise of a FLAIR image in which white matter is 520."""


def start_lesions(lesions_dir: Path) -> None:
    """Begin the derivative dataset of lesion masks."""
    lesions_dir.mkdir(parents=True)
    write_json(
        lesions_dir / "dataset_description.json",
        {
            "Name": "Lesions of the simulated heads",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "License": "CC0",
            "GeneratedBy": [{"Name": "qsmprep-simulate", "Version": __version__}],
        },
    )


def write_mask(stem: Path, head: Head, space: str) -> None:
    """Write the mask of lesions on the grid of the head; `stem` begins the file's name."""
    mask = stem.with_name(f"{stem.name}_space-{space}_label-lesion_mask.nii.gz")
    save(np.asarray(head.lesions, dtype=bool).astype("u1"), head.affine, mask)
    write_json(
        mask.with_name(mask.name.replace(".nii.gz", ".json")),
        {"Type": "Lesion", "SpatialReference": "orig"},
    )


def write_flair(path: Path, head: Head, session: SessionSpec, *, seed: int) -> None:
    """Write a FLAIR image on the grid of the head."""
    rng = np.random.default_rng(noise_seed(seed, session, "FLAIR"))
    noise = FLAIR_NOISE * rng.standard_normal((2, *head.t1w.shape), dtype="f4")
    save(np.rint(np.hypot(flair(head) + noise[0], noise[1])).astype("i2"), head.affine, path)
    write_json(
        path.with_name(path.name.replace(".nii.gz", ".json")),
        {
            "MagneticFieldStrength": session.b0,
            "RepetitionTime": 5.0,
            "EchoTime": 0.39,
            "InversionTime": 1.65,
            "Manufacturer": "Simulated",
            "ManufacturersModelName": "Simulated",
        },
    )


def write_lesion_truth(
    prefix: Path, acquisition: Acquisition, planted: Sequence[Planted]
) -> list[Path]:
    """
    Write lesions on the grid of the echoes, and what was planted.

    Parameters
    ----------
    prefix
        Folder with the first entities of the file names.
    acquisition : Acquisition
        The truth on the grid of the echoes.
    planted
        Lesions of the session.

    Returns
    -------
    paths
        The image files that were written.
    """
    path = prefix.with_name(f"{prefix.name}_desc-lesions_dseg.nii.gz")
    save(np.asarray(acquisition.lesions, dtype="i2"), acquisition.affine, path)
    lesion_table(acquisition, planted).to_csv(
        prefix.with_name(f"{prefix.name}_lesions.tsv"), sep="\t", index=False
    )
    return [path]


def lesion_table(acquisition: Acquisition, planted: Sequence[Planted]) -> pd.DataFrame:
    """
    Return a row per planted lesion.

    `planted_ppb` is what the lesion, or its rim, adds to the white matter it lies in, a change
    (`change_ppb`) included, `volume_mm3` its volume in the head, `x`, `y` and `z` its middle in mm
    where the head was simulated, the place of a T1w without motion; `mean_ppb` and
    `gre_volume_mm3` are taken on the grid of the echoes.
    """
    volume = Geometry.from_affine(acquisition.affine).voxel_volume
    rows = []
    for lesion in planted:
        inside = np.asarray(acquisition.lesions) == lesion.number
        mean = acquisition.chi[inside].mean(dtype=float) * PPB_PER_PPM if inside.any() else np.nan
        sizes = (lesion.volume_mm3, mean, inside.sum() * volume)
        added = (lesion.kind, lesion.ppb, lesion.change_ppb)
        rows.append((lesion.number, *added, *lesion.centre, *sizes))
    columns = ["lesion_id", "kind", "planted_ppb", "change_ppb", "x", "y", "z", "volume_mm3"]
    columns += ["mean_ppb", "gre_volume_mm3"]
    return pd.DataFrame(rows, columns=columns).round(3)
