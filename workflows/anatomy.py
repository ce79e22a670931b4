"""From the T1w to brain, tissues and the transforms that lead out of it."""

from collections.abc import Mapping
from pathlib import Path

from nipype.pipeline import engine as pe

from qsmprep.interfaces.anatomy import N4, BrainMask, Tissues
from qsmprep.interfaces.registration import (
    ApplyTransforms,
    RigidToMagnitude,
    SyN,
    TemplateFiles,
)
from qsmprep.workflows._graph import open_graph


def init_anatomy_wf(
    *,
    seed: int,
    spacing: float = 2.0,
    template: Mapping[str, Path] | None = None,
    name: str = "anatomy_wf",
) -> pe.Workflow:
    """
    Find brain and tissues of a T1w, and its way to the template.

    Every registration runs on one thread, because two do not give the same voxels twice.

    Parameters
    ----------
    seed
        Seed of the registrations' sampling.
    spacing
        Edge of a voxel in the nonlinear registration to the template, mm.
    template
        Images of the template: ``t1w``, ``mask``, ``csf``, ``gm`` and ``wm``; None takes
        MNI152NLin2009aSym, which nilearn brings along.
    name
        Name of the workflow.

    Inputs
    ------
    t1w
        T1w image, with or without skull.

    Outputs
    -------
    t1w_preproc
        T1w without the coil's shading.
    t1w_brain
        The same, zero outside the brain.
    brain_mask
        Brain in T1w space.
    mask_source
        ``input`` if the T1w came without skull, else ``template``.
    csf
        Probability of cerebrospinal fluid in T1w space.
    gm
        Probability of grey matter in T1w space.
    wm
        Probability of white matter in T1w space.
    t1w_to_template
        ITK transform that carries T1w images to the template.
    template_to_t1w
        Its inverse.
    template
        T1w of the template, zero outside its brain.
    template_csf
        Probability of cerebrospinal fluid on the template.
    template_gm
        Probability of grey matter on the template.
    template_wm
        Probability of white matter on the template.
    """
    workflow, inputnode, outputnode = open_graph(
        name,
        ["t1w"],
        [
            "t1w_preproc", "t1w_brain", "brain_mask", "mask_source", "csf", "gm", "wm",
            "t1w_to_template", "template_to_t1w", "template",
            "template_csf", "template_gm", "template_wm",
        ],
    )  # fmt: skip
    files = {kind: str(path) for kind, path in (template or {}).items()}
    target = pe.Node(TemplateFiles(files=files), name="template")
    n4 = pe.Node(N4(), name="n4")
    brain = pe.Node(BrainMask(seed=seed), name="brain")
    normalise = pe.Node(SyN(spacing=spacing, seed=seed), name="normalise")
    tissues = pe.Node(Tissues(seed=seed), name="tissues")

    workflow.connect([
        (inputnode, n4, [("t1w", "t1w")]),
        (n4, brain, [("corrected", "t1w")]),
        (target, brain, [("t1w", "template_t1w"), ("mask", "template_mask")]),
        (target, normalise, [("t1w", "fixed"), ("mask", "fixed_mask")]),
        (brain, normalise, [("brain", "moving"), ("mask", "moving_mask")]),
        (target, tissues, [("csf", "csf"), ("gm", "gm"), ("wm", "wm")]),
        (normalise, tissues, [("fixed_to_moving", "template_to_t1w")]),
        (brain, tissues, [("brain", "brain"), ("mask", "mask")]),
        (n4, outputnode, [("corrected", "t1w_preproc")]),
        (brain, outputnode, [
            ("brain", "t1w_brain"), ("mask", "brain_mask"), ("source", "mask_source"),
        ]),
        (tissues, outputnode, [("csf", "csf"), ("gm", "gm"), ("wm", "wm")]),
        (normalise, outputnode, [
            ("moving_to_fixed", "t1w_to_template"), ("fixed_to_moving", "template_to_t1w"),
        ]),
        (target, outputnode, [("t1w", "template")]),
    ])  # fmt: skip
    for tissue in ("csf", "gm", "wm"):
        carry = pe.Node(ApplyTransforms(interpolation="linear"), name=f"carry_{tissue}")
        workflow.connect([
            (tissues, carry, [(tissue, "image")]),
            (target, carry, [("t1w", "reference")]),
            (normalise, carry, [("moving_to_fixed", "transforms")]),
            (carry, outputnode, [("resampled", f"template_{tissue}")]),
        ])  # fmt: skip
    return workflow


def init_coregistration_wf(*, seed: int, name: str = "coregistration_wf") -> pe.Workflow:
    """
    Align the T1w to the GRE and bring tissues and labels there.

    Parameters
    ----------
    seed
        Seed of the registration's sampling.
    name
        Name of the workflow.

    Inputs
    ------
    magnitude
        GRE magnitude.
    gre_brain_mask
        Brain in GRE space.
    t1w_brain
        T1w, zero outside the brain.
    brain_mask
        Brain in T1w space.
    csf
        Probability of cerebrospinal fluid in T1w space.
    gm
        Probability of grey matter in T1w space.
    wm
        Probability of white matter in T1w space.
    dseg
        Labels in T1w space.

    Outputs
    -------
    t1w_to_gre
        ITK transform that carries T1w images to the GRE.
    gre_to_t1w
        Its inverse.
    t1w_brain
        T1w in GRE space, zero outside the brain.
    brain_mask
        Share of each voxel in GRE space that is brain in the T1w.
    csf
        Probability of cerebrospinal fluid in GRE space.
    gm
        Probability of grey matter in GRE space.
    wm
        Probability of white matter in GRE space.
    dseg
        Labels in GRE space.
    """
    images = ["t1w_brain", "brain_mask", "csf", "gm", "wm", "dseg"]
    workflow, inputnode, outputnode = open_graph(
        name, ["magnitude", "gre_brain_mask", *images], ["t1w_to_gre", "gre_to_t1w", *images]
    )
    rigid = pe.Node(RigidToMagnitude(seed=seed), name="rigid")

    workflow.connect([
        (inputnode, rigid, [
            ("magnitude", "magnitude"),
            ("gre_brain_mask", "brain_mask"),
            ("t1w_brain", "t1w_brain"),
        ]),
        (rigid, outputnode, [("t1w_to_gre", "t1w_to_gre"), ("gre_to_t1w", "gre_to_t1w")]),
    ])  # fmt: skip
    for image in images:
        interpolation = "genericLabel" if image == "dseg" else "linear"
        carry = pe.Node(ApplyTransforms(interpolation=interpolation), name=f"carry_{image}")
        workflow.connect([
            (inputnode, carry, [(image, "image"), ("magnitude", "reference")]),
            (rigid, carry, [("t1w_to_gre", "transforms")]),
            (carry, outputnode, [("resampled", image)]),
        ])  # fmt: skip
    return workflow
