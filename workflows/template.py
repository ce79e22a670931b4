"""From the echoes to the template."""

from collections.abc import Mapping, Sequence

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.interfaces.registration import CarryMap
from qsmprep.workflows._graph import open_graph

MASKS = {"chi": "trusted_mask", "r2star": "brain_mask"}
"""The maps, and where each is known."""

INTERPOLATIONS = {"chi": "bSpline", "r2star": "linear"}
"""No rate may come out negative beside the peaks that R2* has at air and vessels."""


def init_template_wf(
    *, maps: Sequence[str] = tuple(MASKS), name: str = "template_wf"
) -> pe.Workflow:
    """
    Carry maps of the echoes to the template, through the T1w, with one interpolation.

    Parameters
    ----------
    maps
        Which of them there are: a single echo has no relaxation.
    name
        Name of the workflow.

    Inputs
    ------
    chi
        Susceptibility, ppm.
    r2star
        Effective transverse relaxation rate, 1/s.
    trusted_mask
        Where susceptibility is known.
    brain_mask
        Brain in GRE space.
    gre_to_t1w
        ITK transform that carries images of the echoes to the T1w.
    t1w_to_template
        ITK transform that carries T1w images to the template.
    template
        T1w of the template.

    Outputs
    -------
    chi
        Susceptibility on the template, ppm; zero where not known.
    r2star
        Relaxation rate on the template, 1/s.
    trusted_mask
        Where susceptibility is known on the template.
    """
    workflow, _, outputnode = open_graph(
        name,
        [*MASKS, *MASKS.values(), "gre_to_t1w", "t1w_to_template", "template"],
        [*MASKS, "trusted_mask"],
    )
    masks = {image: MASKS[image] for image in maps}
    carry_maps(workflow, masks, route=("gre_to_t1w", "t1w_to_template"))
    workflow.connect(workflow.get_node("carry_chi"), "mask", outputnode, "trusted_mask")
    return workflow


def carry_maps(workflow: pe.Workflow, masks: Mapping[str, str], *, route: tuple[str, str]) -> None:
    """
    Add what carries maps to the grid of the input ``template``, with one interpolation.

    Parameters
    ----------
    workflow
        Where to.
    masks
        Maps, and where each is known; inputs of the graph, and the maps outputs, too.
    route
        Inputs with the transforms, in the order of travel.
    """
    inputnode, outputnode = (workflow.get_node(name) for name in ("inputnode", "outputnode"))
    way = pe.Node(Merge(2), name="route")
    workflow.connect([(inputnode, way, [(route[0], "in1"), (route[1], "in2")])])
    for image, mask in masks.items():
        interpolation = INTERPOLATIONS.get(image, "linear")
        carry = pe.Node(CarryMap(interpolation=interpolation), name=f"carry_{image}")
        carry.inputs.noise = image == "noise"
        workflow.connect([
            (inputnode, carry, [(image, "image"), (mask, "mask"), ("template", "reference")]),
            (way, carry, [("out", "transforms")]),
            (carry, outputnode, [("resampled", image)]),
        ])  # fmt: skip
