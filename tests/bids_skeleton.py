"""Small BIDS datasets for tests."""

import json
import os
from pathlib import Path
import zlib

import nibabel as nb
import numpy as np

SHAPE = (8, 8, 8)
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
DATA = next(
    (
        folder
        for folder in (
            Path(os.environ.get("QSMPREP_TEST_DATA", "/nowhere")),
            Path(__file__).parents[2] / "shared/data",
        )
        if (folder / "bids").is_dir()
    ),
    None,
)


def write_image(path, shape=SHAPE, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Every file has other voxels, or they would be taken for copies.
    noise = np.random.default_rng(zlib.crc32(path.name.encode())).integers(0, 4096, shape)
    nb.Nifti1Image(noise.astype(np.int16), affine).to_filename(path)


def write_gre(
    root,
    stem,
    *,
    parts=("mag", "phase"),
    times=(0.005, 0.01, 0.015),
    suffix="MEGRE",
    extension="nii",
):
    """Write the echoes of one acquisition, each with a sidecar, and return their folder."""
    folder = root.joinpath(*(e for e in stem.split("_") if e[:4] in ("sub-", "ses-"))) / "anat"
    for echo, time in enumerate(times, 1):
        for part in parts:
            name = f"{stem}_echo-{echo}_part-{part}_{suffix}"
            write_image(folder / f"{name}.{extension}")
            content = {"EchoTime": time, "MagneticFieldStrength": 3.0}
            if part == "phase":
                content["Units"] = "arbitrary"
            (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def change(path, **keys):
    """Change keys of a sidecar; None removes one."""
    content = json.loads(path.read_text()) | keys
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def facts(plan):
    return "\n".join(map(str, plan.issues))


def write_dataset(root):
    """Write a dataset whose participant 01 is as it should be."""
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    folder = write_gre(root, "sub-01")
    write_image(folder / "sub-01_T1w.nii.gz")
