"""Maps of one session in a space that all sessions share."""

from __future__ import annotations

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.interfaces.registration import CarryMap
from qsmprep.workflows._graph import open_graph
from qsmprep.workflows.template import INTERPOLATIONS


def init_participant_space_wf(
    *, r2star: bool = True, noise: bool = True, name: str = "participant_space_wf"
) -> pe.Workflow:
    """
    Carry maps of one session to the space of all, with one interpolation.

    Parameters
    ----------
    r2star
        Whether there is a relaxation rate: a single echo has none.
    noise
        Whether the noise is wanted.
    name
        Name of the workflow.

    Inputs
    ------
    chi
        Susceptibility, ppm.
    noise
        Standard deviation of the field, ppm.
    r2star
        Effective transverse relaxation rate, 1/s.
    trusted_mask
        Where susceptibility is known.
    brain_mask
        Brain in GRE space.
    gre_to_t1w
        ITK transform that carries images of the echoes to the T1w.
    t1w_to_participant
        ITK transform that carries the T1w to the space of all sessions.
    template
        Image on the grid of that space.

    Outputs
    -------
    chi
        Susceptibility, ppm; zero where not known.
    noise
        Standard deviation of the field, ppm, as that of voxels of this size.
    r2star
        Relaxation rate, 1/s.
    trusted_mask
        Where susceptibility is known.
    """
    masks = {"chi": "trusted_mask", "noise": "trusted_mask", "r2star": "brain_mask"}
    workflow, inputnode, outputnode = open_graph(
        name,
        [*masks, "trusted_mask", "brain_mask", "gre_to_t1w", "t1w_to_participant", "template"],
        [*masks, "trusted_mask"],
    )
    route = pe.Node(Merge(2), name="route")
    workflow.connect([
        (inputnode, route, [("gre_to_t1w", "in1"), ("t1w_to_participant", "in2")]),
    ])  # fmt: skip
    for image, mask in masks.items():
        if not {"r2star": r2star, "noise": noise}.get(image, True):
            continue
        interpolation = INTERPOLATIONS.get(image, "linear")
        carry = pe.Node(CarryMap(interpolation=interpolation), name=f"carry_{image}")
        carry.inputs.noise = image == "noise"
        workflow.connect([
            (inputnode, carry, [(image, "image"), (mask, "mask"), ("template", "reference")]),
            (route, carry, [("out", "transforms")]),
            (carry, outputnode, [("resampled", image)]),
        ])  # fmt: skip
    workflow.connect(workflow.get_node("carry_chi"), "mask", outputnode, "trusted_mask")
    return workflow
