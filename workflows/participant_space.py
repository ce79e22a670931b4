"""Maps of one session in a space that all sessions share."""

from __future__ import annotations

from nipype.pipeline import engine as pe

from qsmprep.workflows._graph import open_graph
from qsmprep.workflows.template import carry_maps


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
    workflow, _, outputnode = open_graph(
        name,
        [*masks, "trusted_mask", "brain_mask", "gre_to_t1w", "t1w_to_participant", "template"],
        [*masks, "trusted_mask"],
    )
    wanted = {"chi": True, "noise": noise, "r2star": r2star}
    carry_maps(
        workflow,
        {image: mask for image, mask in masks.items() if wanted[image]},
        route=("gre_to_t1w", "t1w_to_participant"),
    )
    workflow.connect(workflow.get_node("carry_chi"), "mask", outputnode, "trusted_mask")
    return workflow
