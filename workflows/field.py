"""From wrapped echoes to the total field."""

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.interfaces.field import (
    CorrectBipolar,
    FindFringes,
    FitField,
    JudgeSign,
    RemoveOffset,
    Unwrap,
)
from qsmprep.protocol import Phase, Stage
from qsmprep.workflows._graph import open_graph


def init_field_wf(
    *,
    te: tuple[float, ...],
    b0: float,
    phase: Phase,
    offset: Stage,
    unwrapping: Stage,
    field: Stage,
    name: str = "field_wf",
) -> pe.Workflow:
    """
    Estimate the total field, the right way round.

    A single echo shows no receive offset; it stays in, and background removal takes it away. Only
    three echoes or more show whether they were read out in alternating directions.

    Parameters
    ----------
    te
        Echo times, s.
    b0
        Field strength, T.
    phase
        Who decides on the sign.
    offset
        How to find the receive phase.
    unwrapping
        How to unwrap.
    field
        How to join the echoes.
    name
        Name of the workflow.

    Inputs
    ------
    phase
        Phase of every echo, rad, wrapped.
    magnitude
        Magnitude of every echo.
    mask
        Where the phase can be trusted.
    r2star
        R2*, 1/s; helps to judge the sign; optional.

    Outputs
    -------
    phase
        Phase without receive offset, as of one direction of readout, rad, wrapped.
    field_hz
        Total field, Hz.
    field
        Total field, ppm.
    noise_hz
        Standard deviation of the field, Hz.
    noise
        Standard deviation of the field, ppm.
    facts
        What was found on the readout and on open fringes, and decided on the sign; a list.
    """
    echoes = ["phase", "magnitude", "mask"]
    workflow, inputnode, outputnode = open_graph(
        name, [*echoes, "r2star"], ["phase", "field_hz", "field", "noise_hz", "noise", "facts"]
    )
    times = list(te)
    unwrap = pe.Node(
        Unwrap(te=times, method=unwrapping.method, params=unwrapping.params), name="unwrap"
    )
    fit = pe.Node(FitField(te=times, method=field.method, params=field.params), name="fit")
    judge = pe.Node(JudgeSign(b0=b0, sign=phase.sign), name="judge")
    facts = pe.Node(Merge(3), name="facts")

    source = inputnode  # of the phase, until one of these steps alters it
    if len(te) > 2:
        readout = pe.Node(CorrectBipolar(te=times), name="readout")
        workflow.connect([
            (inputnode, readout, [(port, port) for port in echoes]),
            (readout, facts, [("facts", "in1")]),
        ])  # fmt: skip
        source = readout
    if len(te) > 1:
        find = pe.Node(FindFringes(te=times), name="fringes")
        remove = pe.Node(
            RemoveOffset(te=times, method=offset.method, params=offset.params), name="remove"
        )
        workflow.connect([
            *((inputnode, node, [(port, port) for port in echoes[1:]]) for node in (find, remove)),
            *((source, node, [("phase", "phase")]) for node in (find, remove)),
            (find, fit, [("fringes", "fringes")]),
            (find, facts, [("facts", "in2")]),
        ])  # fmt: skip
        source = remove
    workflow.connect([
        (source, unwrap, [("phase", "phase")]),
        (source, outputnode, [("phase", "phase")]),
        (inputnode, unwrap, [("magnitude", "magnitude"), ("mask", "mask")]),
        (inputnode, fit, [("magnitude", "magnitude"), ("mask", "mask")]),
        (inputnode, judge, [("mask", "mask"), ("r2star", "r2star")]),
        (unwrap, fit, [("unwrapped", "unwrapped")]),
        (fit, judge, [("field", "field"), ("noise", "noise")]),
        (judge, facts, [("facts", "in3")]),
        (facts, outputnode, [("out", "facts")]),
        (fit, outputnode, [("noise", "noise_hz")]),
        (judge, outputnode, [(port, port) for port in ("field_hz", "field", "noise")]),
    ])  # fmt: skip
    return workflow
