"""From the local field to susceptibility."""

from nipype.pipeline import engine as pe

from qsmprep.interfaces.inversion import Invert
from qsmprep.protocol import Stage
from qsmprep.workflows._graph import open_graph


def init_inversion_wf(*, stage: Stage, name: str = "inversion_wf") -> pe.Workflow:
    """
    Invert the dipole convolution inside the mask.

    Parameters
    ----------
    stage
        Algorithm and parameters.
    name
        Name of the workflow.

    Inputs
    ------
    field
        Local field, ppm.
    mask
        Where the local field is known.
    noise
        Standard deviation of the field, ppm.
    magnitude
        Magnitude of all echoes together.
    r2star
        R2*, 1/s; shows the fluid to the algorithms that call it zero; optional.

    Outputs
    -------
    chi
        Susceptibility, ppm, not yet referenced.
    facts
        How the iteration ended, for methods that iterate.
    """
    inputs = ["field", "mask", "noise", "magnitude", "r2star"]
    workflow, inputnode, outputnode = open_graph(name, inputs, ["chi", "facts"])
    invert = pe.Node(Invert(method=stage.method, params=stage.params), name="invert")

    workflow.connect([
        (inputnode, invert, [(field, field) for field in inputs]),
        (invert, outputnode, [("chi", "chi"), ("facts", "facts")]),
    ])  # fmt: skip
    return workflow
