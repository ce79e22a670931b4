"""From magnitudes to relaxation."""

from nipype.pipeline import engine as pe

from qsmprep.interfaces.relaxometry import FitR2star
from qsmprep.protocol import Stage
from qsmprep.workflows._graph import open_graph


def init_relaxometry_wf(
    *, te: tuple[float, ...], stage: Stage, name: str = "relaxometry_wf"
) -> pe.Workflow:
    """
    Fit the decay of the magnitude over two echoes or more.

    Parameters
    ----------
    te
        Echo times, s.
    stage
        Algorithm and parameters.
    name
        Name of the workflow.

    Inputs
    ------
    magnitude
        Magnitude of every echo.
    mask
        Brain.

    Outputs
    -------
    r2star
        R2*, 1/s.
    t2star
        T2*, s.
    """
    workflow, inputnode, outputnode = open_graph(name, ["magnitude", "mask"], ["r2star", "t2star"])
    fit = pe.Node(FitR2star(te=list(te), method=stage.method, params=stage.params), name="fit")

    workflow.connect([
        (inputnode, fit, [("magnitude", "magnitude"), ("mask", "mask")]),
        (fit, outputnode, [("r2star", "r2star"), ("t2star", "t2star")]),
    ])  # fmt: skip
    return workflow
