"""Deep grey matter a second time, by T1w and susceptibility together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.interfaces.deep_nuclei import RefineDeepNuclei
from qsmprep.methods.segmentation import DEEP_NUCLEI
from qsmprep.workflows._graph import open_graph
from qsmprep.workflows.sharing import name_of
from qsmprep.workflows.study import Study

INPUTS = ["chi", "trusted_mask", "t1w_brain", "dseg"]


def init_deep_nuclei_wf(
    *,
    atlas: Atlas,
    placed: Mapping[str, Path] | None = None,
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
    placed
        For each of them the ITK transform that carries its images to the template, if that is how
        they got to the T1w.
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
        Without `placed`: ITK transform that carries images to the T1w, for each head.
    template_to_t1w
        With `placed`: ITK transform that carries images of the template to the T1w.
    t1w_to_gre
        ITK transform that carries T1w images to the GRE.

    Outputs
    -------
    dseg
        Labels in GRE space, those of deep nuclei refined.
    """
    first = "template_to_t1w" if placed else "transforms"
    workflow, inputnode, outputnode = open_graph(name, [*INPUTS, first, "t1w_to_gre"], ["dseg"])
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
    if placed:
        refine.inputs.transforms = [str(placed[member.label]) for member in atlas.members]
        onward = pe.Node(Merge(2), name="onward")
        workflow.connect([
            (inputnode, onward, [("template_to_t1w", "in1"), ("t1w_to_gre", "in2")]),
            (onward, refine, [("out", "onward")]),
        ])  # fmt: skip
    else:
        workflow.connect([
            (inputnode, refine, [("transforms", "transforms"), ("t1w_to_gre", "onward")]),
        ])  # fmt: skip
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
        placed=study.placed,
        weight=settings.chi_weight,
        fusion=settings.fusion,
        seed=settings.seed,
    )
    chi = workflow.get_node("two_pass_wf") or workflow.get_node("inversion_wf")
    workflow.connect([
        (chi, deep, [("outputnode.chi", "inputnode.chi")]),
        (workflow.get_node("background_wf"), deep, [
            ("outputnode.mask", "inputnode.trusted_mask"),
        ]),
        (coregistration, deep, [
            (f"outputnode.{port}", f"inputnode.{port}")
            for port in ("t1w_brain", "dseg", "t1w_to_gre")
        ]),
    ])  # fmt: skip
    return deep


def connect_transforms(
    workflow: pe.Workflow, study: Study, anatomy: pe.Workflow, graph: pe.Workflow
) -> None:
    """Tell the refinement, if there is one, how the heads of the atlas get to the T1w."""
    if not study.dual_contrast:
        return
    part, port = (
        ("anatomy_wf", "template_to_t1w") if study.placed else ("segmentation_wf", "transforms")
    )
    workflow.connect(
        anatomy,
        f"{name_of(anatomy, part)}.outputnode.{port}",
        graph,
        f"{name_of(graph, 'deep_nuclei_wf')}.inputnode.{port}",
    )
