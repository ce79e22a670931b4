"""Writes what is true about a simulated acquisition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd

from qsmprep import __version__
from qsmprep.geometry import Geometry
from qsmprep.simulate.acquisition import Acquisition
from qsmprep.simulate.anatomy import FIRST_OUTSIDE, LABELS
from qsmprep.simulate.head import Head
from qsmprep.units import PPB_PER_PPM

BIDSIGNORE = """*_regions.tsv
*_truth.json
*_fieldmap.*
"""


def start_truth(truth_dir: Path, not_bids: Sequence[str] = ()) -> None:
    """Begin the derivative dataset of the truth; patterns name further files BIDS has not."""
    truth_dir.mkdir(parents=True)
    write_json(
        truth_dir / "dataset_description.json",
        {
            "Name": "Truth behind the simulated heads",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "License": "CC0",
            "GeneratedBy": [{"Name": "qsmprep-simulate", "Version": __version__}],
        },
    )
    (truth_dir / ".bidsignore").write_text(BIDSIGNORE + "".join(f"{p}\n" for p in not_bids))


def write_truth(
    prefix: Path, acquisition: Acquisition, head: Head, settings: Mapping
) -> list[Path]:
    """
    Write maps, labels, regional means and settings of one acquisition.

    Parameters
    ----------
    prefix
        Folder with the first entities of the file names.
    acquisition : Acquisition
        The truth on the grid of the echoes.
    head : Head
        The head before it was scanned.
    settings
        What the acquisition was made with, for the record.

    Returns
    -------
    paths
        The image files that were written.
    """
    brain = acquisition.labels > 0
    maps = {
        "Chimap": (acquisition.chi, "ppm"),
        "desc-total_fieldmap": (acquisition.total_field, "ppm"),
        "desc-local_fieldmap": (acquisition.local_field, "ppm"),
        "R2starmap": (acquisition.r2star, "1/s"),
        "dseg": (acquisition.labels.astype("i2"), None),
        "desc-brain_mask": (brain.astype("u1"), None),
    }
    written = []
    for name, (values, units) in maps.items():
        path = prefix.with_name(f"{prefix.name}_{name}.nii.gz")
        save(values if units is None else values.astype("f4"), acquisition.affine, path)
        written.append(path)
        if units:
            write_json(
                prefix.with_name(f"{prefix.name}_{name}.json"),
                {"Units": units, "SkullStripped": True},
            )
    write_json(
        prefix.with_name(f"{prefix.name}_desc-brain_mask.json"),
        {"Type": "Brain", "RawSources": []},
    )
    lookup_table().to_csv(prefix.with_name(f"{prefix.name}_dseg.tsv"), sep="\t", index=False)
    regional_truth(acquisition, head).to_csv(
        prefix.with_name(f"{prefix.name}_regions.tsv"), sep="\t", index=False
    )
    write_json(
        prefix.with_name(f"{prefix.name}_truth.json"),
        {
            "b0_dir_voxel": Geometry.from_affine(acquisition.affine).b0_dir,
            "t1w_to_gre_world": acquisition.t1w_to_gre_world.tolist(),
            "args": dict(settings),
        },
    )
    return written


def lookup_table() -> pd.DataFrame:
    """Index, name and hemisphere of the regions of the brain."""
    rows = [
        (index, tissue.name, hemisphere)
        for index, (tissue, hemisphere) in LABELS.items()
        if index < FIRST_OUTSIDE
    ]
    return pd.DataFrame(rows, columns=["index", "name", "hemisphere"])


def regional_truth(acquisition: Acquisition, head: Head) -> pd.DataFrame:
    """
    Mean susceptibility of every region, ppb.

    Parameters
    ----------
    acquisition : Acquisition
        Susceptibility and labels on the grid of the echoes.
    head : Head
        The same before it was scanned.

    Returns
    -------
    table
        A row for each region the acquisition has. `mean_ppb` is taken on the grid of the echoes,
        partial volume included, and is what a perfect reconstruction finds; `mean_nominal_ppb` is
        taken on the head's own grid. Whole-brain and ventricle (`csf_mean_ppb`) means, on the
        grid of the echoes, are for re-referencing.
    """
    labels, chi = acquisition.labels, acquisition.chi
    volume = Geometry.from_affine(acquisition.affine).voxel_volume
    ventricles = [i for i, (t, _) in LABELS.items() if t.name.endswith("ventricle")]
    csf = chi[np.isin(labels, ventricles)].mean(dtype=float) * PPB_PER_PPM
    whole = chi[labels > 0].mean(dtype=float) * PPB_PER_PPM
    rows = []
    for index, name, hemisphere in lookup_table().itertuples(index=False):
        if not (inside := labels == index).any():
            continue
        mean = chi[inside].mean(dtype=float) * PPB_PER_PPM
        nominal = head.chi[head.labels == index].mean(dtype=float) * PPB_PER_PPM
        rows.append((name, hemisphere, mean, nominal, inside.sum() * volume, whole, csf))
    columns = ["region", "hemi", "mean_ppb", "mean_nominal_ppb", "volume_mm3"]
    columns += ["whole_brain_mean_ppb", "csf_mean_ppb"]
    return pd.DataFrame(rows, columns=columns).round(3).sort_values(["region", "hemi"])


def write_json(path: Path, content: Mapping) -> None:
    """Write a sidecar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def save(values, affine, path: Path | str, *, scaling=None) -> None:
    """
    Write a volume in scanner coordinates, in its own type.

    Parameters
    ----------
    values : (X, Y, Z) or (X, Y, Z, E) array
        What is stored.
    affine : (4, 4) array
        From voxels to mm, RAS+.
    path
        The file.
    scaling
        Slope and intercept that a reader is to apply.
    """
    image = nb.Nifti1Image(values, affine, dtype=values.dtype)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    if scaling:
        image.header.set_slope_inter(*scaling)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.to_filename(path)
