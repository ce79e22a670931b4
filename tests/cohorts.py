"""A small output folder, as a study leaves it; no map is computed."""

import json

import nibabel as nb
import numpy as np
import pandas as pd

from qsmprep.bids.status import StatusRow, update_status

SITES = ("North", "South")
GROUPS = ("control", "patient")
COUNT = 12
"""Participants at each site: more than the ten that a site needs to be judged by itself."""

NAMES = ("caudate", "pallidum", "cuneus")


def label(number):
    return f"sub-{number:02d}"


def head(shape=(20, 24, 16)):
    """Return an ellipsoid of 50 ppb, brighter on the participant's right."""
    grid = np.indices(shape).T - (np.array(shape) - 1) / 2
    inside = ((grid / (np.array(shape) / 2 - 2)) ** 2).sum(axis=-1) < 1
    chi = np.where(grid[..., 0] > 0, 0.05, -0.05)
    return np.where(inside, chi, 0).T.astype("f4")


def wave(number):
    """Return a number between −1 and 1 that looks like chance and is the same at every run."""
    return float(np.sin(12.9898 * number + 1))


def quality(number, **others):
    """Return what ``desc-qc.json`` says."""
    values = {
        "chi_sd_ppb": 60 + 5 * wave(number),
        "streaking_index": 0.1 + 0.01 * wave(2 * number),
    }
    figures = {
        name: {"value": value, "unit": "ppb" if name.endswith("ppb") else "", "verdict": "pass",
               "reason": "", "window": {"pass": [0, 200], "look": [0, 300]}}
        for name, value in (values | others).items()
    }  # fmt: skip
    return {"verdict": "pass", "reasons": [], "figures": figures}


def regions(participant, number, *, session="n/a", atlas="OASIS", names=NAMES):
    rows = []
    for place, name in enumerate(names):
        for reference, offset in (("whole-brain", 0.0), ("csf", -10.0)):
            common = {
                "participant_id": participant, "session_id": session, "acquisition": "n/a",
                "run": "n/a", "atlas": atlas, "index": place + 1, "name": name, "hemisphere": "B",
                "map": "Chimap", "reference": reference, "units": "ppb", "n_voxels": 90,
                "flag": "",
            }  # fmt: skip
            mean = 40.0 * place + 4 * wave(number + 7 * place) - offset
            rows.append(common | {"mean": mean, "std": 9.0})
    return pd.DataFrame(rows)


def write_acquisition(out, number, *, session="", quality_of=quality, **sidecar):
    """Write the outputs of one acquisition that the group level reads, and return their stem."""
    stem = label(number) + (f"_ses-{session}" if session else "")
    folder = out / label(number) / (f"ses-{session}/anat" if session else "anat")
    folder.mkdir(parents=True, exist_ok=True)
    image = nb.Nifti1Image(head(), np.diag([2.0, 2.0, 3.0, 1.0]))
    image.to_filename(folder / f"{stem}_Chimap.nii.gz")
    known = {"EchoTimes": [0.006, 0.0145], "MagneticFieldStrength": 3.0,
             "Reference": {"name": "csf"}}  # fmt: skip
    (folder / f"{stem}_Chimap.json").write_text(json.dumps(known | sidecar))
    if quality_of:
        (folder / f"{stem}_desc-qc.json").write_text(json.dumps(quality_of(number)))
    table = regions(label(number), number, session=f"ses-{session}" if session else "n/a")
    path = folder / f"{stem}_seg-OASIS_regions.tsv"
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    (out / f"{label(number)}.html").write_text("<!doctype html><title>a participant</title>")
    return folder / stem


def status(number, what="done", reason="n/a", session="n/a"):
    return StatusRow(label(number), session, "n/a", "n/a", "MEGRE", what, reason)


def write_cohort(out):
    """Write two sites of twelve, and one who failed; `sub-05` has a planted outlier."""
    people = pd.DataFrame(
        {
            "participant_id": [label(number) for number in range(1, 2 * COUNT + 2)],
            "site": [SITES[number % 2] for number in range(1, 2 * COUNT + 2)],
            "group": [GROUPS[number // 2 % 2] for number in range(1, 2 * COUNT + 2)],
        }
    )
    out.mkdir(parents=True)
    people.to_csv(out / "participants.tsv", sep="\t", index=False)
    for number in range(1, 2 * COUNT + 1):
        write_acquisition(out, number)
    planted = out / label(5) / "anat" / f"{label(5)}_desc-qc.json"
    said = quality(5, chi_sd_ppb=150.0)
    said["figures"]["chi_sd_ppb"]["verdict"] = said["verdict"] = "look"
    said["reasons"] = ["look: the spread of χ is 150 ppb, expected 0 to 100 ppb"]
    planted.write_text(json.dumps(said))
    rows = [status(number) for number in range(1, 2 * COUNT + 1)]
    update_status(out, [*rows, status(2 * COUNT + 1, "failed", "echo <3> is missing")])
    return out
