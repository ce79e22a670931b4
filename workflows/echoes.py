"""From files to echoes."""

from nipype.pipeline import engine as pe

from qsmprep.interfaces.echoes import ReadEchoes
from qsmprep.workflows._graph import open_graph


def init_echoes_wf(*, cartesian: bool, name: str = "echoes_wf") -> pe.Workflow:
    """
    Read all echoes, whatever their coding.

    Parameters
    ----------
    cartesian
        Whether the parts are real and imaginary, not magnitude and phase.
    name
        Name of the workflow.

    Inputs
    ------
    first
        Magnitudes, or real parts.
    second
        Phases, or imaginary parts.
    units
        BIDS ``Units`` of the phase; optional.

    Outputs
    -------
    phase
        Phase of every echo, rad, wrapped.
    magnitude
        Magnitude of every echo.
    combined
        Root sum of squares of the magnitudes.
    facts
        How the phase was coded.
    """
    inputs, outputs = ["first", "second", "units"], ["phase", "magnitude", "combined", "facts"]
    workflow, inputnode, outputnode = open_graph(name, inputs, outputs)
    read = pe.Node(ReadEchoes(cartesian=cartesian), name="read")

    workflow.connect([
        (inputnode, read, [(port, port) for port in inputs]),
        (read, outputnode, [(port, port) for port in outputs]),
    ])  # fmt: skip
    return workflow
