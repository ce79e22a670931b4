"""From files to echoes, and where in them the brain is."""

from nipype.pipeline import engine as pe

from qsmprep.interfaces.echoes import ReadEchoes
from qsmprep.interfaces.masking import FindBrain, TrustPhase
from qsmprep.protocol import Stage
from qsmprep.workflows._graph import open_graph


def init_echoes_wf(
    *, cartesian: bool, te: tuple[float, ...], masking: Stage, name: str = "echoes_wf"
) -> pe.Workflow:
    """
    Read all echoes and find the brain in them.

    Parameters
    ----------
    cartesian
        Whether the parts are real and imaginary, not magnitude and phase.
    te
        Echo times, s.
    masking
        How to find the brain in the magnitude.
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
    brain_mask
        Brain, from the magnitude.
    trusted_mask
        The part of it where phase is coherent.
    facts
        How the phase was coded.
    """
    workflow, inputnode, outputnode = open_graph(
        name,
        ["first", "second", "units"],
        ["phase", "magnitude", "combined", "brain_mask", "trusted_mask", "facts"],
    )
    read = pe.Node(ReadEchoes(cartesian=cartesian), name="read")
    brain = pe.Node(FindBrain(method=masking.method, params=masking.params), name="brain")
    trust = pe.Node(TrustPhase(te=list(te)), name="trust")

    workflow.connect([
        (inputnode, read, [("first", "first"), ("second", "second"), ("units", "units")]),
        (read, brain, [("combined", "magnitude")]),
        (read, trust, [("phase", "phase"), ("magnitude", "magnitude")]),
        (brain, trust, [("mask", "brain")]),
        (read, outputnode, [
            ("phase", "phase"), ("magnitude", "magnitude"), ("combined", "combined"),
            ("facts", "facts"),
        ]),
        (brain, outputnode, [("mask", "brain_mask")]),
        (trust, outputnode, [("mask", "trusted_mask")]),
    ])  # fmt: skip
    return workflow
