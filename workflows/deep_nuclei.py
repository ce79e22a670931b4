"""Deep grey matter a second time, by T1w and susceptibility together."""

from __future__ import annotations

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.interfaces.deep_nuclei import RefineDeepNuclei
from qsmprep.methods.segmentation import DEEP_NUCLEI
from qsmprep.workflows._graph import open_graph
from qsmprep.workflows.sharing import name_of
from qsmprep.workflows.study import Study

INPUTS = ["chi", "trusted_mask", "t1w_brain", "dseg", "transforms", "onward"]


def init_deep_nuclei_wf(
    *,
    atlas: Atlas,
    weight: float,
    fusion: str = "joint",
    seed: int,
    name: str = "deep_nuclei_wf",
) -> pe.Workflow:
    """
    Refine the labels of deep nuclei in GRE space on T1w less susceptibility.

    Parameters
    ----------
    atlas
        Labelled heads with susceptibility.
    weight
        Of susceptibility against a T1w of 0 to 255, 1/ppm.
    fusion
        How several heads agree, a key of `qsmprep.methods.segmentation.FUSIONS`.
    seed
        Seed of the registrations.
    name
        Name of the workflow.

    Inputs
    ------
    chi
        Susceptibility, ppm, referenced or not.
    trusted_mask
        Where it is known.
    t1w_brain
        T1w in GRE space, zero outside the brain.
    dseg
        Labels in GRE space, from the T1w alone.
    transforms
        ITK transform that carries images to the T1w or the template, for each head.
    onward
        ITK transforms that carry them from there to the GRE, in the order of travel.

    Outputs
    -------
    dseg
        Labels in GRE space, those of deep nuclei refined.
    """
    workflow, inputnode, outputnode = open_graph(name, INPUTS, ["dseg"])
    refine = pe.Node(
        RefineDeepNuclei(
            atlas_t1ws=[str(member.t1w) for member in atlas.members],
            atlas_chis=[str(member.chi) for member in atlas.members],
            atlas_dsegs=[str(member.dseg) for member in atlas.members],
            indices=[region.index for region in atlas.regions if region.name in DEEP_NUCLEI],
            weight=weight,
            method=fusion,
            seed=seed,
        ),
        name="refine",
    )
    workflow.connect([
        (inputnode, refine, [(port, port) for port in INPUTS]),
        (refine, outputnode, [("dseg", "dseg")]),
    ])  # fmt: skip
    return workflow


def connect_deep_nuclei(
    workflow: pe.Workflow, study: Study, atlas: Atlas, coregistration: pe.Workflow
) -> pe.Workflow:
    """Return the refinement of the labels that come with the T1w."""
    settings = study.protocol.segmentation
    deep = init_deep_nuclei_wf(
        atlas=atlas,
        weight=settings.chi_weight,
        fusion=settings.fusion,
        seed=settings.seed,
    )
    onward = pe.Node(Merge(2), name="deep_nuclei_route")
    if study.placed:
        deep.inputs.inputnode.transforms = [str(study.placed[m.label]) for m in atlas.members]
    chi = workflow.get_node("two_pass_wf") or workflow.get_node("inversion_wf")
    workflow.connect([
        (chi, deep, [("outputnode.chi", "inputnode.chi")]),
        (workflow.get_node("background_wf"), deep, [
            ("outputnode.mask", "inputnode.trusted_mask"),
        ]),
        (coregistration, deep, [
            (f"outputnode.{port}", f"inputnode.{port}")
            for port in ("t1w_brain", "dseg")
        ]),
        (coregistration, onward, [("outputnode.t1w_to_gre", "in2")]),
        (onward, deep, [("out", "inputnode.onward")]),
    ])  # fmt: skip
    return deep


def connect_transforms(
    workflow: pe.Workflow, study: Study, anatomy: pe.Workflow, graph: pe.Workflow
) -> None:
    """Tell the refinement, if there is one, how the heads of the atlas get to the T1w."""
    if not study.dual_contrast:
        return
    if study.placed:
        made = f"{name_of(anatomy, 'anatomy_wf')}.outputnode.template_to_t1w"
        wanted = f"{name_of(graph, 'deep_nuclei_route')}.in1"
    else:
        made = f"{name_of(anatomy, 'segmentation_wf')}.outputnode.transforms"
        wanted = f"{name_of(graph, 'deep_nuclei_wf')}.inputnode.transforms"
    workflow.connect(anatomy, made, graph, wanted)
