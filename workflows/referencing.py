"""From susceptibility to susceptibility against something."""

from nipype.pipeline import engine as pe

from qsmprep.interfaces.referencing import Reference
from qsmprep.protocol import Referencing
from qsmprep.workflows._graph import open_graph


def init_referencing_wf(
    *,
    referencing: Referencing,
    regions: list[tuple[int, str, str]],
    not_white: list[int],
    name: str = "referencing_wf",
) -> pe.Workflow:
    """
    Measure all references, and subtract one.

    Parameters
    ----------
    referencing
        Which one.
    regions
        Index, name and hemisphere of every label.
    not_white
        Labels that are no white matter: iron makes the pallidum look like it in a T1w.
    name
        Name of the workflow.

    Inputs
    ------
    chi
        Susceptibility, ppm, not referenced.
    mask
        Where it is known.
    r2star
        R2*, 1/s; shows the fluid; optional.
    fluid
        Probability of cerebrospinal fluid; optional.
    white_matter
        Probability of white matter; optional.
    labels
        Regions in GRE space; optional.

    Outputs
    -------
    chi
        Susceptibility, ppm, against the reference.
    references
        Mean, standard deviation and voxels of every reference, before any subtraction.
    facts
        What was subtracted.
    """
    inputs = ["chi", "mask", "r2star", "fluid", "white_matter", "labels"]
    workflow, inputnode, outputnode = open_graph(name, inputs, ["chi", "references", "facts"])
    reference = pe.Node(
        Reference(name=referencing.name, region=referencing.labels(regions), not_white=not_white),
        name="reference",
    )

    workflow.connect([
        (inputnode, reference, [(field, field) for field in inputs]),
        (reference, outputnode, [
            ("chi", "chi"), ("references", "references"), ("facts", "facts"),
        ]),
    ])  # fmt: skip
    return workflow
