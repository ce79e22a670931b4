"""Background removal and inversion once more, without what has no coherent phase."""

from collections.abc import Mapping, Sequence

from nipype.pipeline import engine as pe

from qsmprep.interfaces.two_pass import JoinPasses
from qsmprep.protocol import Stage
from qsmprep.workflows._graph import open_graph
from qsmprep.workflows.background import init_background_wf
from qsmprep.workflows.inversion import init_inversion_wf


def init_two_pass_wf(
    *,
    background: Stage,
    inversion: Stage,
    tissue_labels: Mapping[str, Sequence[int]],
    name: str = "two_pass_wf",
) -> pe.Workflow:
    """
    Compute susceptibility in the mask with holes, and fill these from another map.

    Parameters
    ----------
    background
        How to remove the background field.
    inversion
        How to invert.
    tissue_labels
        Labels of deep grey matter, `deep`, and those that are no white matter, `not_white`.
    name
        Name of the workflow.

    Inputs
    ------
    field
        Total field, ppm.
    strict_mask
        Where phase is coherent, with holes.
    noise
        Standard deviation of the field, ppm.
    magnitude
        Magnitude of all echoes together.
    r2star
        R2*, 1/s; optional.
    white_matter
        Probability of white matter; for background removals that need it.
    labels
        Regions in GRE space; for the same.
    chi
        Susceptibility of the other pass, ppm.
    mask
        Where that is known.

    Outputs
    -------
    chi
        Susceptibility, ppm, not yet referenced.
    facts
        How much of it comes from which pass.
    """
    inputs = ["field", "strict_mask", "noise", "magnitude", "r2star", "chi", "mask"]
    inputs += ["white_matter", "labels"]
    workflow, inputnode, outputnode = open_graph(name, inputs, ["chi", "facts"])
    remove = init_background_wf(stage=background, tissue_labels=tissue_labels)
    invert = init_inversion_wf(stage=inversion)
    join = pe.Node(JoinPasses(), name="join")

    workflow.connect([
        (inputnode, remove, [
            ("field", "inputnode.field"), ("strict_mask", "inputnode.mask"),
            ("noise", "inputnode.noise"),
            ("white_matter", "inputnode.white_matter"), ("labels", "inputnode.labels"),
        ]),
        (inputnode, invert, [
            (port, f"inputnode.{port}") for port in ("noise", "magnitude", "r2star")
        ]),
        (remove, invert, [
            ("outputnode.local", "inputnode.field"), ("outputnode.mask", "inputnode.mask"),
        ]),
        (remove, join, [("outputnode.mask", "reliable")]),
        (invert, join, [("outputnode.chi", "first")]),
        (inputnode, join, [("chi", "second"), ("mask", "mask")]),
        (join, outputnode, [("chi", "chi"), ("facts", "facts")]),
    ])  # fmt: skip
    return workflow
