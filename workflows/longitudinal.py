"""All sessions of a participant in one space, measured in the same voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
import re

from nipype.interfaces.utility import Merge, Select
from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.longitudinal import Longitudinal, Series
from qsmprep.bids.models import Acquisition
from qsmprep.interfaces.change import MeasureChange
from qsmprep.interfaces.longitudinal import CommonMask, MeanMap, ParticipantTemplate
from qsmprep.workflows._graph import open_graph
from qsmprep.workflows.anatomy import init_anatomy_wf
from qsmprep.workflows.given_labels import connect_given_labels, fuse_given_labels
from qsmprep.workflows.labels import segment_anatomy
from qsmprep.workflows.lesion_series import connect_lesion_series, connect_lesion_sessions
from qsmprep.workflows.participant_space import init_participant_space_wf
from qsmprep.workflows.referencing import init_referencing_wf
from qsmprep.workflows.regions import init_regions_wf
from qsmprep.workflows.sharing import MARK, name_of
from qsmprep.workflows.study import Study, participant_sink, series_sink, through_time_sink

SHARED = ("participant_template_wf", "anatomy_wf", "segmentation_wf")
"""What makes the mean T1w, its tissues and its regions."""

RIM = 1.5
"""
Width of what the core of a region leaves out, mm.

Half of a thick slice: voxels there are mixed with what lies beside the region.
"""


def init_participant_template_wf(
    *, seed: int, name: str = "participant_template_wf"
) -> pe.Workflow:
    """
    Average the T1w of all sessions half-way between them.

    Parameters
    ----------
    seed
        Seed of the registrations' sampling.
    name
        Name of the workflow.

    Inputs
    ------
    t1w
        T1w of every session, without shading.
    brain_mask
        Their brains.

    Outputs
    -------
    template
        Mean T1w, zero outside the brain.
    t1w_to_participant
        Rigid ITK transforms that carry each T1w to the mean, in the order of the inputs.
    participant_to_t1w
        Their inverses.
    t1w
        Each T1w there, zero outside the brain.
    """
    workflow, inputnode, outputnode = open_graph(
        name,
        ["t1w", "brain_mask"],
        ["template", "t1w_to_participant", "participant_to_t1w", "t1w"],
    )
    average = pe.Node(ParticipantTemplate(seed=seed), name="average")

    workflow.connect([
        (inputnode, average, [("t1w", "t1w"), ("brain_mask", "brain_mask")]),
        (average, outputnode, [
            ("template", "template"), ("transforms", "t1w_to_participant"),
            ("inverses", "participant_to_t1w"), ("moved", "t1w"),
        ]),
    ])  # fmt: skip
    return workflow


def build_longitudinal(study: Study, longitudinal: Longitudinal) -> pe.Workflow:
    """Return the graph of a participant through time, with its outputs saved."""
    if study.atlas is None:
        raise ValueError("there is nothing to measure without an atlas")
    workflow = pe.Workflow(name=longitudinal.name_safe)
    settings = study.protocol.normalisation
    average = init_participant_template_wf(seed=settings.seed)
    prepare = init_anatomy_wf(
        seed=settings.seed, spacing=settings.spacing, template=dict(study.template.files)
    )
    count = len(longitudinal.anatomies)
    for port in ("t1w", "brain_mask"):
        gather = pe.Node(Merge(count), name=f"all_{port}")
        workflow.connect(gather, "out", average, f"inputnode.{port}")
    save = participant_sink(study, longitudinal, "save")
    workflow.connect([
        (average, prepare, [("outputnode.template", "inputnode.t1w")]),
        (average, save, [("outputnode.template", "t1w")]),
        (prepare, save, [
            (f"outputnode.{port}", port)
            for port in ("brain_mask", "csf", "gm", "wm", "t1w_to_template")
        ]),
    ])  # fmt: skip
    if longitudinal.labelled:
        segment = fuse_given_labels(workflow, longitudinal)
    else:
        segment = segment_anatomy(workflow, study, study.atlas)
    workflow.connect(segment, "outputnode.dseg", save, "dseg")
    for series in longitudinal.series:
        _connect_series(workflow, study, study.atlas, longitudinal, series)
    return workflow


def _connect_series(
    workflow: pe.Workflow, study: Study, atlas: Atlas, longitudinal: Longitudinal, series: Series
) -> None:
    """Measure every session of a series, and what changed."""
    mark = _mark(series)
    count = len(series.acquisitions)
    shared = {"trusted_mask": CommonMask(), "chi": MeanMap()}
    if any(len(acquisition.echo_times) > 1 for acquisition in series.acquisitions):
        shared["r2star"] = MeanMap()
    gather = {port: pe.Node(Merge(count), name=f"all_{port}_{mark}") for port in shared}
    common = {
        port: pe.Node(interface, name=f"common_{port}_{mark}")
        for port, interface in shared.items()
    }
    for port, node in common.items():
        workflow.connect(
            gather[port], "out", node, "masks" if port == "trusted_mask" else "images"
        )
    tables, cores = (pe.Node(Merge(count), name=f"{what}_{mark}") for what in ("tables", "cores"))
    change = pe.Node(MeasureChange(years=list(series.years)), name=f"change_{mark}")
    save = series_sink(study, longitudinal, series, f"save_change_{mark}")
    workflow.connect([
        (tables, change, [("out", "tables")]),
        (cores, change, [("out", "cores")]),
        (change, save, [("table", "change")]),
    ])  # fmt: skip
    for number, acquisition in enumerate(series.acquisitions, 1):
        space, regions, core = _connect_session(
            workflow, study, atlas, longitudinal, acquisition, common
        )
        for port, node in gather.items():
            if port != "r2star" or len(acquisition.echo_times) > 1:
                workflow.connect(space, f"outputnode.{port}", node, f"in{number}")
        workflow.connect(regions, "outputnode.table", tables, f"in{number}")
        workflow.connect(core, "outputnode.table", cores, f"in{number}")
    if series.lesions:
        connect_lesion_series(workflow, study, longitudinal, series.lesions, mark)


def _mark(series: Series) -> str:
    """Return what to tell the nodes of a series by."""
    return re.sub(r"\W", "_", series.stem)


def _connect_session(
    workflow: pe.Workflow,
    study: Study,
    atlas: Atlas,
    longitudinal: Longitudinal,
    acquisition: Acquisition,
    common: Mapping[str, pe.Node],
) -> tuple[pe.Workflow, pe.Workflow, pe.Workflow]:
    """Carry a session to the common space, measure it there, and its cores; return who does."""
    mark = f"__{acquisition.name_safe}"
    r2star = len(acquisition.echo_times) > 1
    keys = [anatomy.key for anatomy in longitudinal.anatomies]
    place = keys.index(acquisition.t1w.key) if acquisition.t1w else 0
    own, t1w = (
        pe.Node(Select(index=[place]), name=f"{what}{mark}") for what in ("transform", "t1w")
    )
    space = init_participant_space_wf(r2star=r2star, name=f"participant_space_wf{mark}")
    reference = init_referencing_wf(
        referencing=study.protocol.referencing,
        regions=study.regions,
        not_white=study.not_white,
        name=f"participant_references_wf{mark}",
    )
    save = through_time_sink(study, longitudinal, acquisition, f"save{mark}")
    average, prepare, segment = (workflow.get_node(name) for name in SHARED)
    maps = ["chi", *(["r2star"] if r2star else [])]
    workflow.connect([
        (average, own, [("outputnode.t1w_to_participant", "inlist")]),
        (average, t1w, [("outputnode.t1w", "inlist")]),
        (own, space, [("out", "inputnode.t1w_to_participant")]),
        (average, space, [("outputnode.template", "inputnode.template")]),
        (space, reference, [(f"outputnode.{port}", f"inputnode.{port}") for port in maps]),
        (common["trusted_mask"], reference, [("mask", "inputnode.mask")]),
        (common["trusted_mask"], save, [("mask", "trusted_mask")]),
        (prepare, reference, [
            ("outputnode.csf", "inputnode.fluid"), ("outputnode.wm", "inputnode.white_matter"),
        ]),
        (segment, reference, [("outputnode.dseg", "inputnode.labels")]),
        (reference, save, [("outputnode.chi", "chi"), ("outputnode.facts", "facts")]),
        (own, save, [("out", "t1w_to_participant")]),
        (t1w, save, [("out", "t1w")]),
    ])  # fmt: skip
    rules = study.protocol.regions
    inner = replace(rules, erosion=rules.erosion + RIM, cortex_erosion=rules.cortex_erosion + RIM)
    regions, core = (
        init_regions_wf(atlas=atlas, rules=which, name=f"participant_{what}_wf{mark}")
        for what, which in (("regions", rules), ("cores", inner))
    )
    for measure in (regions, core):
        measure.inputs.inputnode.labels = acquisition.labels
        _connect_regions(workflow, space, reference, measure, (*maps, "noise"), common)
    workflow.connect(regions, "outputnode.table", save, "regions")
    return space, regions, core


def _connect_regions(
    workflow: pe.Workflow,
    space: pe.Workflow,
    reference: pe.Workflow,
    measure: pe.Workflow,
    maps: Sequence[str],
    common: Mapping[str, pe.Node],
) -> None:
    """Give the measuring of regions the maps of a session, and what all sessions share."""
    _, prepare, segment = (workflow.get_node(name) for name in SHARED)
    workflow.connect([
        (space, measure, [(f"outputnode.{port}", f"inputnode.{port}") for port in maps]),
        (common["trusted_mask"], measure, [("mask", "inputnode.trusted_mask")]),
        (prepare, measure, [
            ("outputnode.gm", "inputnode.gm"), ("outputnode.brain_mask", "inputnode.brain_mask"),
        ]),
        (segment, measure, [
            ("outputnode.dseg", "inputnode.dseg"), ("outputnode.dseg", "inputnode.dseg_t1w"),
        ]),
        (reference, measure, [("outputnode.references", "inputnode.references")]),
    ])  # fmt: skip
    for port in common.keys() - {"trusted_mask"}:  # so that veins are the same for all sessions
        workflow.connect(common[port], "mean", measure, f"inputnode.mean_{port}")


def connect_through_time(
    workflow: pe.Workflow,
    longitudinal: Longitudinal,
    graph: pe.Workflow,
    anatomies: Mapping[str, pe.Workflow],
    acquisitions: Mapping[str, pe.Workflow],
) -> None:
    """
    Give the graph of a participant through time what those of the sessions make.

    Parameters
    ----------
    workflow
        The whole graph.
    longitudinal, graph
        The participant, and what `build_longitudinal` returned.
    anatomies, acquisitions
        Graphs by the keys of what they are of.
    """
    for number, anatomy in enumerate(longitudinal.anatomies, 1):
        source = anatomies[anatomy.key]
        prepared = f"{name_of(source, 'anatomy_wf')}.outputnode"
        workflow.connect([
            (source, graph, [
                (f"{prepared}.t1w_preproc", f"all_t1w.in{number}"),
                (f"{prepared}.brain_mask", f"all_brain_mask.in{number}"),
            ]),
        ])  # fmt: skip
    connect_given_labels(workflow, longitudinal, graph, acquisitions)
    for series in longitudinal.series:
        for acquisition in series.acquisitions:
            _connect_maps(workflow, graph, acquisitions[acquisition.key], acquisition)
        if series.lesions:
            connect_lesion_sessions(workflow, graph, series.lesions, acquisitions, _mark(series))


def _connect_maps(
    workflow: pe.Workflow, graph: pe.Workflow, source: pe.Workflow, acquisition: Acquisition
) -> None:
    """Connect the maps of one session to all that carries them."""
    spaces = [f"participant_space_wf__{acquisition.name_safe}"]
    if graph.get_node(f"baseline_space_wf__{acquisition.name_safe}"):
        spaces.append(f"baseline_space_wf__{acquisition.name_safe}")
    parts = {MARK.sub("", node.name) for node in source._graph}
    unreferenced = "two_pass_wf" if "two_pass_wf" in parts else "inversion_wf"
    ports = {
        "chi": (unreferenced, "chi"),
        "noise": ("field_wf", "noise"),
        "trusted_mask": ("background_wf", "mask"),
        "brain_mask": ("masking_wf", "brain_mask"),
        "gre_to_t1w": ("coregistration_wf", "gre_to_t1w"),
    }
    if len(acquisition.echo_times) > 1:
        ports["r2star"] = ("relaxometry_wf", "r2star")
    for port, (part, output) in ports.items():
        output = f"{name_of(source, part)}.outputnode.{output}"
        for space in spaces:
            workflow.connect(source, output, graph, f"{space}.inputnode.{port}")
