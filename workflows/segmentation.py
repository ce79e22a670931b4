"""From the T1w and an atlas to labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import re

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.interfaces.segmentation import AlignAtlas, FuseLabels
from qsmprep.workflows._graph import open_graph

OUTPUTS = ["dseg", "confidence", "probseg"]


def init_pairwise_segmentation_wf(
    *,
    atlas: Atlas,
    seed: int,
    spacing: float = 2.0,
    fusion: str = "joint",
    name: str = "segmentation_wf",
) -> pe.Workflow:
    """
    Label the T1w: every head of the atlas is aligned to it, and their labels are fused.

    Parameters
    ----------
    atlas
        One labelled template, or several labelled heads.
    seed
        Seed of the registrations' sampling.
    spacing
        Edge of a voxel in the registrations, mm.
    fusion
        How several heads agree, a key of `qsmprep.methods.segmentation.FUSIONS`.
    name
        Name of the workflow.

    Inputs
    ------
    t1w_brain
        T1w, zero outside the brain.
    brain_mask
        Brain in T1w space.

    Outputs
    -------
    dseg
        Labels in T1w space, with the atlas's indices.
    confidence
        Part of the votes that each voxel's label has.
    probseg
        Part of the votes of each region, in the order of the atlas's table.
    transforms
        ITK transform that carries images to the T1w, for each head of the atlas.
    """
    workflow, inputnode, outputnode = open_graph(
        name, ["t1w_brain", "brain_mask"], [*OUTPUTS, "transforms"]
    )
    fuse = _fuse(atlas, fusion)
    aligned = pe.Node(Merge(len(atlas.members)), name="aligned")

    # A node for each, not a MapNode, whose parts know neither graph nor participant.
    for number, align in enumerate(align_heads(atlas, seed=seed, spacing=spacing), 1):
        workflow.connect([
            (inputnode, align, [("t1w_brain", "t1w_brain"), ("brain_mask", "brain_mask")]),
            (align, aligned, [("transform", f"in{number}")]),
        ])  # fmt: skip
    workflow.connect([
        (aligned, fuse, [("out", "transforms")]),
        (aligned, outputnode, [("out", "transforms")]),
        (inputnode, fuse, [("t1w_brain", "t1w_brain")]),
        (fuse, outputnode, [(port, port) for port in OUTPUTS]),
    ])  # fmt: skip
    return workflow


def init_template_segmentation_wf(
    *,
    atlas: Atlas,
    placed: Mapping[str, Path],
    fusion: str = "joint",
    name: str = "segmentation_wf",
) -> pe.Workflow:
    """
    Label the T1w by way of the template, to which it and all heads of the atlas are aligned.

    Parameters
    ----------
    atlas
        Several labelled heads.
    placed
        For each of them, by its label, the ITK transform that carries its images to the template.
    fusion
        How several heads agree, a key of `qsmprep.methods.segmentation.FUSIONS`.
    name
        Name of the workflow.

    Inputs
    ------
    t1w_brain
        T1w, zero outside the brain.
    template_to_t1w
        ITK transform that carries images of the template to the T1w.

    Outputs
    -------
    dseg
        Labels in T1w space, with the atlas's indices.
    confidence
        Part of the votes that each voxel's label has.
    probseg
        Part of the votes of each region, in the order of the atlas's table.
    """
    workflow, inputnode, outputnode = open_graph(name, ["t1w_brain", "template_to_t1w"], OUTPUTS)
    fuse = _fuse(atlas, fusion)
    fuse.inputs.transforms = [str(placed[member.label]) for member in atlas.members]

    workflow.connect([
        (inputnode, fuse, [("t1w_brain", "t1w_brain"), ("template_to_t1w", "onward")]),
        (fuse, outputnode, [(port, port) for port in OUTPUTS]),
    ])  # fmt: skip
    return workflow


def _fuse(atlas: Atlas, method: str) -> pe.Node:
    return pe.Node(
        FuseLabels(
            atlas_t1ws=[str(member.t1w) for member in atlas.members],
            atlas_dsegs=[str(member.dseg) for member in atlas.members],
            method=method,
            indices=[region.index for region in atlas.regions],
        ),
        name="fuse",
    )


def align_heads(atlas: Atlas, *, seed: int, spacing: float) -> list[pe.Node]:
    """
    Return a node for each head of an atlas that aligns it to a T1w.

    Parameters
    ----------
    atlas
        Labelled heads.
    seed
        Seed of the registrations' sampling.
    spacing
        Edge of a voxel in the registrations, mm.
    """
    return [
        pe.Node(
            AlignAtlas(
                atlas_t1w=str(member.t1w), atlas_dseg=str(member.dseg), spacing=spacing, seed=seed
            ),
            name="align_" + re.sub(r"\W", "_", member.label),
        )
        for member in atlas.members
    ]
