"""From the T1w and an atlas to labels."""

import re

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.interfaces.segmentation import CarryLabels, FuseLabels
from qsmprep.workflows._graph import open_graph


def init_segmentation_wf(
    *, atlas: Atlas, seed: int, spacing: float = 2.0, name: str = "segmentation_wf"
) -> pe.Workflow:
    """
    Label the T1w: every head of the atlas is aligned to it, and the majority decides.

    Parameters
    ----------
    atlas
        One labelled template, or several labelled heads.
    seed
        Seed of the registrations' sampling.
    spacing
        Edge of a voxel in the registrations, mm.
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
    agreement
        Part of the atlas's heads that gave each voxel its label.
    """
    workflow, inputnode, outputnode = open_graph(
        name, ["t1w_brain", "brain_mask"], ["dseg", "agreement"]
    )
    carried = pe.Node(Merge(len(atlas.members)), name="carried")
    fuse = pe.Node(FuseLabels(), name="fuse")

    # A node for each, not a MapNode, whose parts know neither graph nor participant.
    for number, member in enumerate(atlas.members, 1):
        carry = pe.Node(
            CarryLabels(
                atlas_t1w=str(member.t1w), atlas_dseg=str(member.dseg), spacing=spacing, seed=seed
            ),
            name="carry_" + re.sub(r"\W", "_", member.label),
        )
        workflow.connect([
            (inputnode, carry, [("t1w_brain", "t1w_brain"), ("brain_mask", "brain_mask")]),
            (carry, carried, [("dseg", f"in{number}")]),
        ])  # fmt: skip
    workflow.connect([
        (carried, fuse, [("out", "dsegs")]),
        (fuse, outputnode, [("dseg", "dseg"), ("agreement", "agreement")]),
    ])  # fmt: skip
    return workflow
