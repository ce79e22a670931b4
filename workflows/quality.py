"""From everything that was made to figures that say how good it is."""

from __future__ import annotations

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.bids.acquisition_check import check_acquisition
from qsmprep.bids.models import Acquisition
from qsmprep.interfaces.quality import CheckAcquisition, MeasureQuality, MeasureRegions
from qsmprep.interfaces.registration import ApplyTransforms
from qsmprep.workflows._graph import open_graph
from qsmprep.workflows.study import Study, acquisition_sink


def init_acquisition_quality_wf(
    *,
    checked: dict[str, dict[str, object]],
    name: str = "acquisition_quality_wf",
) -> pe.Workflow:
    """
    Judge the acquisition, as soon as its field is known.

    Parameters
    ----------
    checked
        Figures from sidecars and headers.
    name
        Name of the workflow.

    Inputs
    ------
    phase
        Phase of every echo as read, rad, wrapped.
    magnitude
        Magnitude of every echo.
    brain_mask
        Brain.
    trusted_mask
        Where the phase can be trusted.
    field_hz
        Total field, Hz.
    facts
        What was found on coding, readout and fringes.

    Outputs
    -------
    quality
        JSON: verdict, reasons and figures.
    """
    inputs = ["phase", "magnitude", "brain_mask", "trusted_mask", "field_hz", "facts"]
    workflow, inputnode, outputnode = open_graph(name, inputs, ["quality"])
    check = pe.Node(CheckAcquisition(checked=checked), name="check")

    workflow.connect([
        (inputnode, check, [(port, port) for port in inputs]),
        (check, outputnode, [("quality", "quality")]),
    ])  # fmt: skip
    return workflow


def init_quality_wf(*, te: tuple[float, ...], name: str = "quality_wf") -> pe.Workflow:
    """
    Judge the maps; nothing here waits for the T1w.

    Parameters
    ----------
    te
        Echo times, s.
    name
        Name of the workflow.

    Inputs
    ------
    phase
        Phase of every echo without receive offset, rad, wrapped.
    magnitude
        Magnitude of every echo.
    field_hz
        Total field, Hz.
    noise
        Its standard deviation, Hz.
    local
        Local field, ppm.
    chi
        Susceptibility against the reference, ppm.
    brain_mask
        Brain.
    trusted_mask
        Where susceptibility is known.
    facts
        What the stages said of themselves.

    Outputs
    -------
    quality
        JSON: verdict, reasons, figures and facts.
    """
    inputs = [
        "phase", "magnitude", "field_hz", "noise", "local", "chi", "brain_mask", "trusted_mask",
        "facts",
    ]  # fmt: skip
    workflow, inputnode, outputnode = open_graph(name, inputs, ["quality"])
    measure = pe.Node(MeasureQuality(te=list(te)), name="measure")

    workflow.connect([
        (inputnode, measure, [(port, port) for port in inputs]),
        (measure, outputnode, [("quality", "quality")]),
    ])  # fmt: skip
    return workflow


def init_regions_quality_wf(*, name: str = "regions_quality_wf") -> pe.Workflow:
    """
    Judge regions and registrations.

    Parameters
    ----------
    name
        Name of the workflow.

    Inputs
    ------
    table
        The table of regions.
    magnitude
        Combined magnitude of the echoes.
    brain_mask
        Brain in the echoes.
    t1w_on_gre
        T1w in GRE space, zero outside the brain.
    t1w_mask_on_gre
        Share of each voxel in GRE space that is brain in the T1w.
    t1w_brain
        T1w in its own space, zero outside the brain.
    t1w_mask
        Brain in T1w space.
    t1w_to_template
        Transform that carries T1w images to the template.
    template
        T1w of the template, zero outside its brain.

    Outputs
    -------
    quality
        JSON: verdict, reasons and figures.
    """
    passed = ["table", "magnitude", "brain_mask", "t1w_on_gre", "t1w_mask_on_gre", "template"]
    inputs = [*passed, "t1w_brain", "t1w_mask", "t1w_to_template"]
    workflow, inputnode, outputnode = open_graph(name, inputs, ["quality"])
    measure = pe.Node(MeasureRegions(), name="measure")

    workflow.connect([
        (inputnode, measure, [(port, port) for port in passed]),
        (measure, outputnode, [("quality", "quality")]),
    ])  # fmt: skip
    for image in ("t1w_brain", "t1w_mask"):
        carry = pe.Node(ApplyTransforms(interpolation="linear"), name=f"carry_{image}")
        workflow.connect([
            (inputnode, carry, [
                (image, "image"), ("template", "reference"), ("t1w_to_template", "transforms"),
            ]),
            (carry, measure, [("resampled", f"{image}_on_template")]),
        ])  # fmt: skip
    return workflow


def connect_quality(workflow: pe.Workflow, study: Study, acquisition: Acquisition) -> None:
    """Judge acquisition and maps, and save either as soon as it can be told."""
    te = acquisition.echo_times
    figures = check_acquisition(acquisition)["figures"]
    checked = init_acquisition_quality_wf(checked=figures)
    maps = init_quality_wf(te=te)
    echoes, masking, field, background, referencing, facts = (
        workflow.get_node(name)
        for name in (
            "echoes_wf", "masking_wf", "field_wf", "background_wf", "referencing_wf", "facts",
        )
    )  # fmt: skip
    # Not those of all stages: the acquisition can be judged before they are through.
    found = pe.Node(Merge(2), name="acquisition_facts")
    workflow.connect([
        (echoes, found, [("outputnode.facts", "in1")]),
        (field, found, [("outputnode.facts", "in2")]),
        (found, checked, [("out", "inputnode.facts")]),
        (echoes, checked, [("outputnode.phase", "inputnode.phase")]),
        (masking, checked, [("outputnode.trusted_mask", "inputnode.trusted_mask")]),
        (field, maps, [
            ("outputnode.phase", "inputnode.phase"), ("outputnode.noise_hz", "inputnode.noise"),
        ]),
        (background, maps, [
            ("outputnode.local", "inputnode.local"), ("outputnode.mask", "inputnode.trusted_mask"),
        ]),
        (referencing, maps, [("outputnode.chi", "inputnode.chi")]),
        (facts, maps, [("out", "inputnode.facts")]),
    ])  # fmt: skip
    for graph, port in ((checked, "acquisition_quality"), (maps, "quality")):
        workflow.connect([
            (echoes, graph, [("outputnode.magnitude", "inputnode.magnitude")]),
            (masking, graph, [("outputnode.brain_mask", "inputnode.brain_mask")]),
            (field, graph, [("outputnode.field_hz", "inputnode.field_hz")]),
            (graph, acquisition_sink(study, acquisition, f"save_{port}"), [
                ("outputnode.quality", port),
            ]),
        ])  # fmt: skip


def connect_regions_quality(workflow: pe.Workflow, study: Study, acquisition: Acquisition) -> None:
    """Judge regions and registrations, and save what is said of them."""
    quality = init_regions_quality_wf()
    echoes, masking, coregistration, regions, template = (
        workflow.get_node(name)
        for name in ("echoes_wf", "masking_wf", "coregistration_wf", "regions_wf", "template_wf")
    )
    workflow.connect([
        (echoes, quality, [("outputnode.combined", "inputnode.magnitude")]),
        (masking, quality, [("outputnode.brain_mask", "inputnode.brain_mask")]),
        (regions, quality, [("outputnode.table", "inputnode.table")]),
        (coregistration, quality, [
            ("outputnode.t1w_brain", "inputnode.t1w_on_gre"),
            ("outputnode.brain_mask", "inputnode.t1w_mask_on_gre"),
            ("inputnode.t1w_brain", "inputnode.t1w_brain"),
            ("inputnode.brain_mask", "inputnode.t1w_mask"),
        ]),
        (template, quality, [
            ("inputnode.t1w_to_template", "inputnode.t1w_to_template"),
            ("inputnode.template", "inputnode.template"),
        ]),
        (quality, acquisition_sink(study, acquisition, "save_regions_quality"), [
            ("outputnode.quality", "regions_quality"),
        ]),
    ])  # fmt: skip
