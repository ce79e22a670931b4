"""Lesions that somebody else has marked: to the echoes, and what the maps say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from nipype.interfaces.base import SimpleInterface
from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.bids.models import Acquisition, GivenLesions
from qsmprep.interfaces.labels import TakeLabels
from qsmprep.interfaces.lesion_figures import DrawLesions
from qsmprep.interfaces.lesions import MeasureLesions, NumberLesions
from qsmprep.interfaces.masking import FindBrain
from qsmprep.interfaces.registration import ApplyTransforms, RigidToMagnitude
from qsmprep.interfaces.shares import CarryLabels, CarryShare
from qsmprep.methods.lesions import LesionRules
from qsmprep.methods.regions import Rules
from qsmprep.workflows._graph import open_graph
from qsmprep.workflows.study import Study, figure_sink, lesion_sink

MAPS = ("chi", "r2star", "brain_mask", "trusted_mask", "wm", "dseg")
"""What lesions are measured on, in the space of the echoes."""


def init_flair_wf(*, seed: int, name: str = "flair_wf") -> pe.Workflow:
    """
    Align a FLAIR image to the T1w, six degrees of freedom.

    Parameters
    ----------
    seed
        Seed of the registration's sampling.
    name
        Name of the workflow.

    Inputs
    ------
    flair
        FLAIR image, with or without skull.
    t1w_brain
        T1w, zero outside the brain.

    Outputs
    -------
    flair_to_t1w
        ITK transform that carries images of the FLAIR to the T1w.
    """
    workflow, inputnode, outputnode = open_graph(name, ["flair", "t1w_brain"], ["flair_to_t1w"])
    brain = pe.Node(FindBrain(method="bet"), name="brain")
    rigid = pe.Node(RigidToMagnitude(seed=seed), name="rigid")

    workflow.connect([
        (inputnode, brain, [("flair", "magnitude")]),
        (inputnode, rigid, [("flair", "magnitude"), ("t1w_brain", "t1w_brain")]),
        (brain, rigid, [("mask", "brain_mask")]),
        (rigid, outputnode, [("gre_to_t1w", "flair_to_t1w")]),
    ])  # fmt: skip
    return workflow


def init_lesions_wf(
    *,
    given: GivenLesions,
    rules: LesionRules,
    vessels: Rules,
    regions: Sequence[tuple[int, str, str]],
    not_white: Sequence[int],
    name: str = "lesions_wf",
) -> pe.Workflow:
    """
    Carry lesions to the echoes with one interpolation, and measure them there.

    Parameters
    ----------
    given
        Images of lesions, and what readers say of them.
    rules
        What a lesion is, and what it is compared with.
    vessels
        Which voxels are veins.
    regions
        Index, name and hemisphere of the atlas's regions.
    not_white
        Labels that are no white matter.
    name
        Name of the workflow.

    Inputs
    ------
    flair_to_t1w
        ITK transform that carries images of the FLAIR to the T1w; used if one was drawn on.
    t1w_to_gre
        ITK transform that carries T1w images to the echoes.
    magnitude
        Image on the grid of the echoes.
    chi
        Susceptibility, ppm, referenced.
    r2star
        Effective transverse relaxation rate, 1/s; optional.
    brain_mask
        Brain in GRE space.
    trusted_mask
        Where susceptibility is known.
    wm
        Probability of white matter in GRE space.
    dseg
        Labels in GRE space.
    referenced
        What zero means in `chi`: Reference.
    ids
        Identifying columns of the table: `participant_id session_id acquisition run`.

    Outputs
    -------
    native
        Numbers of lesions on the grid they were drawn on.
    veins
        Mask of veins on the grid they were drawn on, if there is one.
    labels
        The same in GRE space.
    table
        One row per lesion.
    profile
        One row per lesion and depth.
    facts
        By which rules: Lesions.
    flair
        The FLAIR image in GRE space, if there is one.
    """
    drawn = [*(["veins"] if given.veins else []), *(["flair"] if given.flair else [])]
    workflow, inputnode, outputnode = open_graph(
        name,
        ["flair_to_t1w", "t1w_to_gre", "magnitude", *MAPS, "referenced", "ids"],
        ["native", "labels", "table", "profile", "facts", *drawn],
    )
    number = pe.Node(
        NumberLesions(
            image=str(given.image.path),
            numbered=given.numbered,
            minimum_mm3=rules.minimum_mm3,
        ),
        name="number",
    )
    measure = pe.Node(
        MeasureLesions(
            rules=asdict(rules),
            vessels=asdict(vessels),
            regions=list(regions),
            not_white=list(not_white),
            readings=[dict(row) for row in given.readings],
        ),
        name="measure",
    )
    if given.flair:
        carry = _carry(workflow, "FLAIR", "flair", ApplyTransforms(interpolation="linear"))
        carry.inputs.image = str(given.flair)
        workflow.connect(carry, "resampled", outputnode, "flair")
    workflow.connect([
        (inputnode, measure, [(port, port) for port in (*MAPS, "referenced", "ids")]),
        (number, measure, [("volumes", "volumes"), ("dropped", "dropped")]),
        (number, outputnode, [("labels", "native")]),
        (measure, outputnode, [(port, port) for port in ("table", "profile", "facts")]),
    ])  # fmt: skip
    for kind, port in (("lesions", "labels"), ("veins", "veins"), ("enhancing", "enhancing")):
        if kind not in given.images:
            continue
        source, field = number, "labels"
        if kind != "lesions":
            path = str(given.images[kind].path)
            source, field = pe.Node(TakeLabels(labels=path), name=f"take_{kind}"), "dseg"
        if kind == "veins":
            workflow.connect(source, field, outputnode, "veins")
        if given.images[kind].space != "GRE":
            interface = CarryShare() if kind == "veins" else CarryLabels()
            carry = _carry(workflow, given.images[kind].space, kind, interface)
            workflow.connect(source, field, carry, "image")
            source, field = carry, "resampled"
        workflow.connect(source, field, measure, port)
        if kind == "lesions":
            workflow.connect(source, field, outputnode, "labels")
    return workflow


def _carry(workflow: pe.Workflow, space: str, kind: str, interface: SimpleInterface) -> pe.Node:
    """Return who carries an image of the T1w or the FLAIR to the space of the echoes."""
    inputnode = workflow.get_node("inputnode")
    carry = pe.Node(interface, name=f"carry_{kind}")
    workflow.connect(inputnode, "magnitude", carry, "reference")
    if space == "T1w":
        workflow.connect(inputnode, "t1w_to_gre", carry, "transforms")
        return carry
    route = pe.Node(Merge(2), name=f"route_{kind}")
    workflow.connect([
        (inputnode, route, [("flair_to_t1w", "in1"), ("t1w_to_gre", "in2")]),
        (route, carry, [("out", "transforms")]),
    ])  # fmt: skip
    return carry


def connect_lesions(workflow: pe.Workflow, study: Study, acquisition: Acquisition) -> None:
    """Add the lesions of an acquisition whose maps and regions are there, and save them."""
    given = acquisition.lesions
    if given is None:
        return
    lesions = init_lesions_wf(
        given=given,
        rules=study.protocol.lesions,
        vessels=study.protocol.regions,
        regions=study.regions,
        not_white=study.not_white,
    )
    lesions.inputs.inputnode.ids = acquisition.labels
    if len(acquisition.echo_times) < 2:
        lesions.disconnect(
            lesions.get_node("inputnode"), "r2star", lesions.get_node("measure"), "r2star"
        )
    sources = {
        "echoes_wf": {"combined": "magnitude"},
        "masking_wf": {"brain_mask": "brain_mask"},
        "background_wf": {"mask": "trusted_mask"},
        "referencing_wf": {"chi": "chi", "facts": "referenced"},
        "coregistration_wf": {"t1w_to_gre": "t1w_to_gre", "wm": "wm"},
        **({"relaxometry_wf": {"r2star": "r2star"}} if len(acquisition.echo_times) > 1 else {}),
    }
    for part, ports in sources.items():
        for port, target in ports.items():
            workflow.connect(
                workflow.get_node(part), f"outputnode.{port}", lesions, f"inputnode.{target}"
            )
    save = lesion_sink(study, acquisition, "lesions", "save_lesions")
    workflow.connect([
        (workflow.get_node("labels"), lesions, [("dseg", "inputnode.dseg")]),
        (lesions, save, [
            (f"outputnode.{port}", port) for port in ("labels", "table", "profile", "facts")
        ]),
    ])  # fmt: skip
    coregistration = workflow.get_node("coregistration_wf")
    anatomical = coregistration, "outputnode.t1w_brain"
    if given.flair:
        flair = init_flair_wf(seed=study.protocol.normalisation.seed)
        flair.inputs.inputnode.flair = str(given.flair)
        save = lesion_sink(study, acquisition, "flair", "save_flair")
        workflow.connect([
            (coregistration, flair, [("inputnode.t1w_brain", "inputnode.t1w_brain")]),
            (flair, lesions, [("outputnode.flair_to_t1w", "inputnode.flair_to_t1w")]),
            (flair, save, [("outputnode.flair_to_t1w", "flair_to_t1w")]),
        ])  # fmt: skip
        anatomical = lesions, "outputnode.flair"
    draw = pe.Node(DrawLesions(anatomical_names=[given.shown_on]), name="draw_lesions")
    workflow.connect([
        (workflow.get_node("echoes_wf"), draw, [("outputnode.combined", "magnitude")]),
        (workflow.get_node("referencing_wf"), draw, [("outputnode.chi", "chi")]),
        (lesions, draw, [("outputnode.labels", "labels"), ("outputnode.table", "table")]),
        (draw, figure_sink(study, acquisition.stem, "keep_lesions"), [("figures", "figures")]),
    ])  # fmt: skip
    workflow.connect(*anatomical, draw, "anatomical")
