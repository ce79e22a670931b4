"""A small study: two people at two sessions each, in one output folder or in several."""

import json

import nibabel as nb
import numpy as np

HEADER = (
    "participant_id", "session_id", "acquisition", "run", "atlas", "index", "name", "hemisphere",
    "map", "reference", "units", "volume_mm3", "mean", "flag",
)  # fmt: skip

SCANNER = {
    "Manufacturer": "SIEMENS",
    "ManufacturersModelName": "Prisma",
    "SoftwareVersions": "syngo MR E11",
}


def mean(number, session, region, reference):
    """Return the susceptibility that the tables hold, ppb: every number tells where it is from."""
    offset = {"csf": 0.5, "whole-brain": 0.25, "n/a": 0.125}[reference]
    return 1000 * number + 100 * session + {"putamen": 10, "cuneus": 20}[region] + offset


def rows(label, session, atlas="x"):
    number, visit = int(label), int(session or 0)
    lines = ["\t".join(HEADER)]
    for kind, reference, unit in (
        ("Chimap", "whole-brain", "ppb"),
        ("Chimap", "csf", "ppb"),
        ("R2starmap", "n/a", "1/s"),
    ):
        for region in ("putamen", "cuneus"):
            for side, shift in (("L", -1), ("R", 1), ("B", 0)):
                value = mean(number, visit, region, reference) + shift
                ses = f"ses-{session}" if session else "n/a"
                cells = [f"sub-{label}", ses, "n/a", "n/a", atlas, "007", region, side, kind,
                         reference, unit, "800.50", f"{value:.6f}", "n/a"]  # fmt: skip
                lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def write_scan(out, label, session="", *, atlas="x", edges=(1, 1, 1.5), **sidecar):
    """Write the outputs of one acquisition that the cohort reads, and return their folder."""
    folder = out / f"sub-{label}" / (f"ses-{session}/anat" if session else "anat")
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{label}" + (f"_ses-{session}" if session else "")
    (folder / f"{stem}_seg-{atlas}_regions.tsv").write_text(rows(label, session, atlas))
    known = {"EchoTimes": [0.006, 0.012, 0.018], "MagneticFieldStrength": 3, "Scanner": SCANNER,
             "Reference": {"name": "csf"},
             "GeneratedBy": {"ProtocolDigest": "a" * 12}}  # fmt: skip
    (folder / f"{stem}_Chimap.json").write_text(json.dumps(known | sidecar))
    image = nb.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.diag([*edges, 1]))
    image.to_filename(folder / f"{stem}_Chimap.nii.gz")
    return folder


def write_table(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_study(root):
    """Write a dataset and the outputs of two people, and return both folders."""
    bids, out = root / "bids", root / "out"
    for label in ("01", "02"):
        for session in ("1", "2"):
            write_scan(out, label, session)
        write_table(
            bids / f"sub-{label}/sub-{label}_sessions.tsv",
            "session_id\tacq_time\tage\nses-1\t2010-01-01\t60.5\nses-2\t2012-01-01\t62.5\n",
        )
    write_table(
        bids / "participants.tsv", "participant_id\tsex\tgroup\nsub-01\tF\tMS\n02\tM\tHC\n"
    )
    write_table(
        bids / "phenotype/updrs.tsv",
        "participant_id\tsession_id\tscore\nsub-01\tses-1\t−7.5\nsub-01\tses-2\t8\n"
        "sub-02\tses-1\t9\nsub-02\tses-2\tn/a\n",
    )
    write_table(bids / "phenotype/apoe.tsv", "participant_id\te4\nsub-02\t1\nsub-01\t0\n")
    return bids, out
