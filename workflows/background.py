"""From the total field to the field of the tissue."""

from nipype.pipeline import engine as pe

from qsmprep.interfaces.background import RemoveBackground
from qsmprep.protocol import Stage
from qsmprep.workflows._graph import open_graph


def init_background_wf(*, stage: Stage, name: str = "background_wf") -> pe.Workflow:
    """
    Remove the field of all sources outside the mask.

    Parameters
    ----------
    stage
        Algorithm and parameters.
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

    Outputs
    -------
    local
        Local field, ppm.
    mask
        Where the local field is known.
    facts
        How the iteration ended, for methods that iterate.
    """
    inputs = ["field", "mask", "noise"]
    workflow, inputnode, outputnode = open_graph(name, inputs, ["local", "mask", "facts"])
    remove = pe.Node(RemoveBackground(method=stage.method, params=stage.params), name="remove")

    workflow.connect([
        (inputnode, remove, [(port, port) for port in inputs]),
        (remove, outputnode, [(port, port) for port in ("local", "mask", "facts")]),
    ])  # fmt: skip
    return workflow
