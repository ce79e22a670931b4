"""Where labels come from: heads of an atlas, or somebody else."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.models import Acquisition, Anatomy
from qsmprep.interfaces.labels import TakeLabels
from qsmprep.workflows.deep_nuclei import connect_deep_nuclei
from qsmprep.workflows.segmentation import (
    init_pairwise_segmentation_wf,
    init_template_segmentation_wf,
)
from qsmprep.workflows.study import Study, anatomy_sink


def connect_segmentation(
    workflow: pe.Workflow, study: Study, anatomy: Anatomy, atlas: Atlas
) -> None:
    """Add the labels of the T1w, and save them."""
    segment = segment_anatomy(workflow, study, atlas)
    # A sink of their own: tissues are of use without labels, and a sink waits for all its inputs.
    save = anatomy_sink(study, anatomy, "save_labels")
    workflow.connect([
        (segment, save, [
            (f"outputnode.{port}", port) for port in ("dseg", "confidence", "probseg")
        ]),
    ])  # fmt: skip


def segment_anatomy(workflow: pe.Workflow, study: Study, atlas: Atlas) -> pe.Workflow:
    """Add the labels of the T1w that a graph prepares, and return who makes them."""
    settings = study.protocol.segmentation
    if study.placed:
        needs = ("t1w_brain", "template_to_t1w")
        segment = init_template_segmentation_wf(
            atlas=atlas, placed=study.placed, fusion=settings.fusion
        )
    else:
        needs = ("t1w_brain", "brain_mask")
        segment = init_pairwise_segmentation_wf(
            atlas=atlas, seed=settings.seed, spacing=settings.spacing, fusion=settings.fusion
        )
    workflow.connect([
        (workflow.get_node("anatomy_wf"), segment, [
            (f"outputnode.{port}", f"inputnode.{port}") for port in needs
        ]),
    ])  # fmt: skip
    return segment


def connect_labels(
    workflow: pe.Workflow,
    study: Study,
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
    last = coregistration
    if study.atlas and study.dual_contrast:
        last = connect_deep_nuclei(workflow, study, study.atlas, coregistration)
        workflow.connect(coregistration, "outputnode.dseg", regions, "inputnode.dseg_carried")
    workflow.connect(last, "outputnode.dseg", labels, "dseg")
    if given:
        workflow.connect([
            (take, coregistration, [("dseg", "inputnode.dseg")]),
            (take, regions, [("dseg", "inputnode.dseg_t1w")]),
        ])  # fmt: skip
    return labels
