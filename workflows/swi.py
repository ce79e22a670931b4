"""From magnitude and field to a susceptibility-weighted image."""

from nipype.pipeline import engine as pe

from qsmprep.interfaces.swi import MakeSWI
from qsmprep.methods.swi import weighting_echo
from qsmprep.protocol import SWI
from qsmprep.workflows._graph import open_graph


def init_swi_wf(
    *, te: tuple[float, ...], b0: float, swi: SWI, name: str = "swi_wf"
) -> pe.Workflow:
    """
    Darken a magnitude where the field is high, as it is in veins.

    Parameters
    ----------
    te
        Echo times, s.
    b0
        Field strength, T.
    swi
        Echo time, filter, power and slab.
    name
        Name of the workflow.

    Inputs
    ------
    field_hz
        Total field, Hz, the right way round.
    magnitude
        Magnitude of every echo.
    mask
        Where the field is known.
    brain_mask
        Brain.

    Outputs
    -------
    swi
        Susceptibility-weighted image, unit of the magnitude.
    minip
        Its minimum intensity projection.
    """
    workflow, inputnode, outputnode = open_graph(
        name, ["field_hz", "magnitude", "mask", "brain_mask"], ["swi", "minip"]
    )
    echo, echo_time = weighting_echo(te, b0, swi.echo_time)
    make = pe.Node(
        MakeSWI(
            echo=echo,
            echo_time=echo_time,
            width=swi.width,
            power=swi.power,
            thickness=swi.thickness,
        ),
        name="make",
    )

    workflow.connect([
        (inputnode, make, [
            ("field_hz", "field"), ("magnitude", "magnitude"), ("mask", "mask"),
            ("brain_mask", "brain"),
        ]),
        (make, outputnode, [("swi", "swi"), ("minip", "minip")]),
    ])  # fmt: skip
    return workflow
