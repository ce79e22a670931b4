"""Where labels come from: heads of an atlas, or somebody else."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.models import Acquisition, Anatomy
from qsmprep.interfaces.labels import TakeLabels
from qsmprep.workflows.segmentation import init_segmentation_wf
from qsmprep.workflows.study import Study, anatomy_sink


def connect_segmentation(
    workflow: pe.Workflow, study: Study, anatomy: Anatomy, atlas: Atlas
) -> None:
    """Add the labels of the T1w, and save them."""
    settings = study.protocol.segmentation
    segment = init_segmentation_wf(atlas=atlas, seed=settings.seed, spacing=settings.spacing)
    # A sink of their own: tissues are of use without labels, and a sink waits for all its inputs.
    save = anatomy_sink(study, anatomy, "save_labels")
    workflow.connect([
        (workflow.get_node("anatomy_wf"), segment, [
            ("outputnode.t1w_brain", "inputnode.t1w_brain"),
            ("outputnode.brain_mask", "inputnode.brain_mask"),
        ]),
        (segment, save, [("outputnode.dseg", "dseg")]),
    ])  # fmt: skip


def connect_labels(
    workflow: pe.Workflow,
    acquisition: Acquisition,
    coregistration: pe.Workflow,
    regions: pe.Workflow,
) -> pe.Node:
    """Return the node that has the labels in GRE space, wherever they were made."""
    given = acquisition.labels_given
    labels = pe.Node(IdentityInterface(["dseg"]), name="labels")
    if given:
        take = pe.Node(TakeLabels(labels=str(given.path)), name="take_labels")
    if given and given.space == "GRE":
        workflow.connect(take, "dseg", labels, "dseg")
        coregistration.remove_nodes([coregistration.get_node("carry_dseg")])
        return labels
    workflow.connect(coregistration, "outputnode.dseg", labels, "dseg")
    if given:
        workflow.connect([
            (take, coregistration, [("dseg", "inputnode.dseg")]),
            (take, regions, [("dseg", "inputnode.dseg_t1w")]),
        ])  # fmt: skip
    return labels
