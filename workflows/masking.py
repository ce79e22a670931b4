"""From echoes to the brain, and to where its phase can be trusted."""

from nipype.pipeline import engine as pe

from qsmprep.interfaces.masking import FindBrain, PhaseQuality, TrustPhase
from qsmprep.methods.masking import BRAIN_MASKS
from qsmprep.protocol import Stage, Trust, needed_arrays
from qsmprep.workflows._graph import open_graph


def init_masking_wf(
    *, te: tuple[float, ...], masking: Stage, trust: Trust, name: str = "masking_wf"
) -> pe.Workflow:
    """
    Find the brain, and the part of it whose phase is coherent.

    Parameters
    ----------
    te
        Echo times, s.
    masking
        How to find the brain.
    trust
        Whether to leave out what is not coherent.
    name
        Name of the workflow.

    Inputs
    ------
    phase
        Phase of every echo, rad, wrapped.
    magnitude
        Magnitude of every echo.
    combined
        Root sum of squares of the magnitudes.
    t1w_brain
        Share of each voxel that is brain in the T1w; optional.
    given
        Brain mask that somebody else has drawn; optional.

    Outputs
    -------
    brain_mask
        Brain.
    trusted_mask
        The part of it where phase is coherent, interior holes filled.
    strict_mask
        The same with its holes.
    """
    workflow, inputnode, outputnode = open_graph(
        name,
        ["phase", "magnitude", "combined", "t1w_brain", "given"],
        ["brain_mask", "trusted_mask", "strict_mask"],
    )
    quality = pe.Node(PhaseQuality(te=list(te)), name="quality")
    brain = pe.Node(FindBrain(method=masking.method, params=masking.params), name="brain")
    join = pe.Node(TrustPhase(join=trust.phase_quality), name="trust")

    workflow.connect([
        (inputnode, quality, [("phase", "phase"), ("magnitude", "magnitude")]),
        (inputnode, brain, [
            ("combined", "magnitude"), ("t1w_brain", "t1w_brain"), ("given", "given"),
        ]),
        (quality, join, [("quality", "quality")]),
        (brain, join, [("mask", "brain")]),
        (brain, outputnode, [("mask", "brain_mask")]),
        (join, outputnode, [("mask", "trusted_mask"), ("strict", "strict_mask")]),
    ])  # fmt: skip
    if "quality" in needed_arrays(BRAIN_MASKS[masking.method]):
        workflow.connect(quality, "quality", brain, "quality")
    return workflow
