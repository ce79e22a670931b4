"""From the total field to the field of the tissue."""

from collections.abc import Mapping, Sequence

from nipype.pipeline import engine as pe

from qsmprep.bids.models import Acquisition
from qsmprep.interfaces.background import RemoveBackground
from qsmprep.protocol import Stage
from qsmprep.workflows._graph import open_graph


def init_background_wf(
    *,
    stage: Stage,
    tissue_labels: Mapping[str, Sequence[int]],
    name: str = "background_wf",
) -> pe.Workflow:
    """
    Remove the field of all sources outside the mask.

    Parameters
    ----------
    stage
        Algorithm and parameters.
    tissue_labels
        Labels of deep grey matter, `deep`, and those that are no white matter, `not_white`.
    name
        Name of the workflow.

    Inputs
    ------
    field
        Total field, ppm.
    mask
        Where the field can be trusted.
    noise
        Standard deviation of the field, ppm.
    white_matter
        Probability of white matter; for methods that need it.
    labels
        Regions in GRE space; for the same methods.

    Outputs
    -------
    local
        Local field, ppm.
    mask
        Where the local field is known.
    facts
        How the iteration ended, for methods that iterate.
    """
    inputs = ["field", "mask", "noise", "white_matter", "labels"]
    workflow, inputnode, outputnode = open_graph(name, inputs, ["local", "mask", "facts"])
    remove = pe.Node(
        RemoveBackground(method=stage.method, params=stage.params, **tissue_labels), name="remove"
    )

    workflow.connect([
        (inputnode, remove, [(port, port) for port in inputs]),
        (remove, outputnode, [(port, port) for port in ("local", "mask", "facts")]),
    ])  # fmt: skip
    return workflow


def connect_tissues(
    workflow: pe.Workflow, acquisition: Acquisition, coregistration: pe.Workflow, labels: pe.Node
) -> None:
    """Tell background removal where the T1w of an acquisition shows which tissue."""
    given = acquisition.labels_given
    # Not labels that susceptibility had a part in: it is yet to be made.
    on_echoes = given is not None and given.space == "GRE"
    source = (labels, "dseg") if on_echoes else (coregistration, "outputnode.dseg")
    for graph in filter(None, map(workflow.get_node, ("background_wf", "two_pass_wf"))):
        workflow.connect(coregistration, "outputnode.wm", graph, "inputnode.white_matter")
        workflow.connect(*source, graph, "inputnode.labels")
