"""From wrapped echoes to the total field."""

from nipype.pipeline import engine as pe

from qsmprep.interfaces.field import FitField, JudgeSign, RemoveOffset, Unwrap
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

    A single echo shows no receive offset; it stays in, and background removal takes it away.

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
    field_hz
        Total field, Hz.
    field
        Total field, ppm.
    noise_hz
        Standard deviation of the field, Hz.
    noise
        Standard deviation of the field, ppm.
    facts
        What was decided on the sign, and on which evidence.
    """
    workflow, inputnode, outputnode = open_graph(
        name,
        ["phase", "magnitude", "mask", "r2star"],
        ["field_hz", "field", "noise_hz", "noise", "facts"],
    )
    echoes = {"te": list(te)}
    unwrap = pe.Node(
        Unwrap(method=unwrapping.method, params=unwrapping.params, **echoes), name="unwrap"
    )
    fit = pe.Node(FitField(method=field.method, params=field.params, **echoes), name="fit")
    judge = pe.Node(JudgeSign(b0=b0, sign=phase.sign), name="judge")

    if len(te) > 1:
        remove = pe.Node(
            RemoveOffset(method=offset.method, params=offset.params, **echoes), name="remove"
        )
        workflow.connect([
            (inputnode, remove, [(port, port) for port in ("phase", "magnitude", "mask")]),
            (remove, unwrap, [("phase", "phase")]),
        ])  # fmt: skip
    else:
        workflow.connect(inputnode, "phase", unwrap, "phase")
    workflow.connect([
        (inputnode, unwrap, [("magnitude", "magnitude"), ("mask", "mask")]),
        (inputnode, fit, [("magnitude", "magnitude"), ("mask", "mask")]),
        (inputnode, judge, [("mask", "mask"), ("r2star", "r2star")]),
        (unwrap, fit, [("unwrapped", "unwrapped")]),
        (fit, judge, [("field", "field"), ("noise", "noise")]),
        (fit, outputnode, [("noise", "noise_hz")]),
        (judge, outputnode, [
            (port, port) for port in ("field_hz", "field", "noise", "facts")
        ]),
    ])  # fmt: skip
    return workflow
