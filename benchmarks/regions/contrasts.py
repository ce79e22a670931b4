"""Deep nuclei of simulated heads, found by T1w alone and with susceptibility."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
from scipy import ndimage
from steps import SEED, Head, dice, read

ATLAS, PARTICIPANTS = (1, 2, 3, 4, 5), (101, 102)
"""Seeds of heads."""

T1W_NOISE = 15.0
"""Of the T1w, in its unit, of which white matter has about 800."""

CHI_NOISE, CHI_DRIFT = 0.012, 0.01
"""Standard deviations of what is added to a participant's blurred susceptibility, ppm."""

STILL = """#Insight Transform File V1.0
#Transform 0
Transform: AffineTransform_double_3_3
Parameters: 1 0 0 0 1 0 0 0 1 0 0 0
FixedParameters: 0 0 0
"""
"""The way from T1w to echoes, which lie on its grid here."""


def measure(_data: Path, work: Path) -> pd.DataFrame:
    """Return overlap, and what labels alone do to the true susceptibility of a nucleus."""
    from qsmprep.interfaces.deep_nuclei import RefineDeepNuclei
    from qsmprep.interfaces.segmentation import FuseLabels
    from qsmprep.methods.segmentation import DEEP_NUCLEI
    from qsmprep.simulate.anatomy import LABELS

    nuclei = {i: region.name for i, (region, _) in LABELS.items() if region.name in DEEP_NUCLEI}
    still = work / "still.txt"
    members = [_simulated(seed, work) for seed in ATLAS]
    still.write_text(STILL)
    atlas = {
        "atlas_t1ws": [str(m.t1w) for m in members],
        "atlas_dsegs": [_beside(m, "dseg") for m in members],
        "transforms": [_aligned(m)["moving_to_fixed"] for m in members],
        "indices": list(nuclei),
    }
    rows = []
    for seed in PARTICIPANTS:
        head = _simulated(seed, work)
        back = _aligned(head)["fixed_to_moving"]
        first = head.step(
            "fuse", FuseLabels, t1w_brain=str(head.t1w), onward=back, **atlas
        )["dseg"]  # fmt: skip
        refined = head.step(
            "refine", RefineDeepNuclei, t1w_brain=str(head.t1w), dseg=first,
            chi=_beside(head, "measured"), trusted_mask=_beside(head, "trusted"),
            atlas_chis=[_beside(m, "Chimap") for m in members],
            onward=[back, str(still)], weight=400.0, seed=SEED, **atlas,
        )["dseg"]  # fmt: skip
        truth, chi = read(_beside(head, "dseg"))[0], 1e3 * read(_beside(head, "Chimap"))[0]
        for contrast, path in (("t1w", first), ("hybrid", refined)):
            found = np.rint(read(path)[0])
            rows += [
                {
                    "head": head.name, "contrast": contrast, "region": name,
                    "dice": dice(found == index, truth == index),
                    "error_ppb": chi[found == index].mean() - chi[truth == index].mean(),
                }
                for index, name in nuclei.items()
            ]  # fmt: skip
    return pd.DataFrame(rows)


def _beside(head: Head, kind: str) -> str:
    return str(head.t1w.with_name(f"{kind}.nii.gz"))


def _aligned(head: Head) -> dict[str, str]:
    """Return the transforms between head and template."""
    from qsmprep.interfaces.registration import SyN

    template = head.template()
    return head.step(
        "normalise", SyN, fixed=template["t1w"], fixed_mask=template["mask"],
        moving=str(head.t1w), moving_mask=_beside(head, "mask"), seed=SEED,
    )  # fmt: skip


def _simulated(seed: int, work: Path) -> Head:
    """Return a simulated head, with a susceptibility as it might have been measured."""
    from qsmprep.simulate.head import make_head

    folder = work / f"simulated-{seed}/images"
    head = Head(f"simulated-{seed}", folder / "T1w.nii.gz", work)
    if head.t1w.exists():
        return head
    made = make_head(seed=seed)
    rng = np.random.default_rng(1000 + seed)
    noise = T1W_NOISE * rng.standard_normal((2, *made.t1w.shape))
    drift = ndimage.gaussian_filter(rng.standard_normal(made.chi.shape), 15)
    trusted = ndimage.binary_erosion(made.brain, iterations=2)
    measured = (
        ndimage.gaussian_filter(np.where(made.brain, made.chi, 0), 0.6)
        + CHI_NOISE * rng.standard_normal(made.chi.shape)
        + CHI_DRIFT / drift.std() * drift
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in {
        "Chimap": np.where(made.brain, made.chi, 0),
        "measured": np.where(trusted, measured - measured[trusted].mean(), 0),
        "dseg": np.where(made.brain & (made.labels < 100), made.labels, 0),
        "mask": made.brain,
        "trusted": trusted,
        "T1w": np.where(made.brain, np.hypot(made.t1w + noise[0], noise[1]), 0),
    }.items():
        image = nb.Nifti1Image(array.astype(np.float32), made.affine)
        image.to_filename(folder / f"{name}.nii.gz")
    return head
