"""Labels that were given for each session, made to one segmentation of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nipype.interfaces.utility import Merge, Select
from nipype.pipeline import engine as pe

from qsmprep.bids.longitudinal import Longitudinal
from qsmprep.bids.models import Acquisition, ExistingLabels
from qsmprep.interfaces.labels import FuseSessions
from qsmprep.workflows._graph import open_graph
from qsmprep.workflows.sharing import name_of


def init_given_segmentation_wf(
    *, labels: Sequence[ExistingLabels], places: Sequence[int], name: str = "segmentation_wf"
) -> pe.Workflow:
    """
    Label the mean T1w by the labels that were given for each session.

    Parameters
    ----------
    labels
        Those of each session.
    places
        Which of all T1w each of them is of, or its echoes are aligned to, from 0.
    name
        Name of the workflow.

    Inputs
    ------
    template
        Mean T1w.
    t1w_to_participant
        Rigid ITK transforms that carry each T1w to the mean, in the order of their names.
    gre_to_t1w
        Rigid ITK transforms that carry echoes to their T1w, for labels of echoes alone.

    Outputs
    -------
    dseg
        Labels in the space of the mean, with the indices that were given.
    """
    workflow, inputnode, outputnode = open_graph(
        name, ["template", "t1w_to_participant", "gre_to_t1w"], ["dseg"]
    )
    select = pe.Node(Select(index=list(places)), name="select")
    fuse = pe.Node(
        FuseSessions(
            labels=[str(given.path) for given in labels],
            on_echoes=[given.space == "GRE" for given in labels],
        ),
        name="fuse",
    )

    workflow.connect([
        (inputnode, select, [("t1w_to_participant", "inlist")]),
        (inputnode, fuse, [("template", "template"), ("gre_to_t1w", "gre_to_t1w")]),
        (select, fuse, [("out", "t1w_to_participant")]),
        (fuse, outputnode, [("dseg", "dseg")]),
    ])  # fmt: skip
    return workflow


def fuse_given_labels(workflow: pe.Workflow, longitudinal: Longitudinal) -> pe.Workflow:
    """Add the labels of the mean T1w that a graph makes, and return who makes them."""
    keys = [anatomy.key for anatomy in longitudinal.anatomies]
    given = [(one.labels_given, one.t1w) for one in longitudinal.labelled]
    segment = init_given_segmentation_wf(
        labels=[labels for labels, _ in given if labels],
        places=[keys.index(t1w.key) for _, t1w in given if t1w],
    )
    workflow.connect([
        (workflow.get_node("participant_template_wf"), segment, [
            (f"outputnode.{port}", f"inputnode.{port}")
            for port in ("template", "t1w_to_participant")
        ]),
    ])  # fmt: skip
    if count := len(_on_echoes(longitudinal)):
        gather = pe.Node(Merge(count), name="all_gre_to_t1w")
        workflow.connect(gather, "out", segment, "inputnode.gre_to_t1w")
    return segment


def connect_given_labels(
    workflow: pe.Workflow,
    longitudinal: Longitudinal,
    graph: pe.Workflow,
    acquisitions: Mapping[str, pe.Workflow],
) -> None:
    """Tell the graph of a participant through time where echoes with labels lie in their T1w."""
    for number, one in enumerate(_on_echoes(longitudinal), 1):
        source = acquisitions[one.key]
        output = f"{name_of(source, 'coregistration_wf')}.outputnode.gre_to_t1w"
        workflow.connect(source, output, graph, f"all_gre_to_t1w.in{number}")


def _on_echoes(longitudinal: Longitudinal) -> list[Acquisition]:
    labelled = longitudinal.labelled
    return [one for one in labelled if one.labels_given and one.labels_given.space == "GRE"]
