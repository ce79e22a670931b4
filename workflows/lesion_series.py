"""Lesions through time, in the space of the first session's echoes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from nipype.interfaces.utility import IdentityInterface, Merge, Select
from nipype.pipeline import engine as pe

from qsmprep.bids.longitudinal import Longitudinal, Series
from qsmprep.bids.models import Acquisition, LesionImage
from qsmprep.interfaces.lesion_figures import DrawLesions
from qsmprep.interfaces.lesion_series import MatchLesions, TabulateSeries
from qsmprep.interfaces.lesions import MeasureLesions
from qsmprep.interfaces.longitudinal import CommonMask, MeanMap
from qsmprep.interfaces.registration import ApplyTransforms
from qsmprep.interfaces.shares import CarryLabels, CarryShare
from qsmprep.workflows.participant_space import init_participant_space_wf
from qsmprep.workflows.sharing import name_of
from qsmprep.workflows.study import Study, figure_sink, lesion_series_sink

BASELINE = ("magnitude", "t1w_to_gre", "wm", "dseg", "brain_mask")
"""What the first session lends to all of them."""


def connect_lesion_series(
    workflow: pe.Workflow, study: Study, longitudinal: Longitudinal, series: Series, mark: str
) -> None:
    """
    Add the lesions of a series to the graph of a participant through time, and save them.

    Everything is carried to the echoes of the first session with one interpolation: lesions as
    they were drawn, susceptibility as it was inverted. Each lesion is then measured in the same
    voxels in all sessions: where it was first seen, or where somebody says so, without what is a
    vein in the mean of all sessions or was drawn as one in any of them.

    Parameters
    ----------
    workflow
        With `participant_template_wf`, and references of all sessions in that space.
    study
        What all graphs share.
    longitudinal, series
        The participant, and acquisitions whose lesions are told, in the order of time.
    mark
        What to tell the nodes of this series by.
    """
    acquisitions = series.acquisitions
    baseline = pe.Node(IdentityInterface(list(BASELINE)), name=f"baseline_{mark}")
    gather = {
        name: pe.Node(Merge(len(acquisitions)), name=f"lesion_{name}_{mark}")
        for name in ("masks", "images", "anatomical", "chi", "r2star", "veins", "fixed", "own")
    }
    common = pe.Node(CommonMask(), name=f"lesion_common_{mark}")
    numbered = all(one.lesions and one.lesions.numbered for one in acquisitions)
    match = pe.Node(
        MatchLesions(numbered=numbered, minimum_overlap=study.protocol.lesions.minimum_overlap),
        name=f"match_{mark}",
    )
    table = pe.Node(TabulateSeries(years=list(series.years)), name=f"lesion_table_{mark}")
    if edited := acquisitions[0].lesions and acquisitions[0].lesions.regions:
        match.inputs.edited = str(edited)
    save = lesion_series_sink(study, longitudinal, series, f"save_lesions_{mark}")
    home = _way_home(workflow, longitudinal, acquisitions[0], baseline, mark)
    workflow.connect([
        (gather["masks"], common, [("out", "masks")]),
        (gather["images"], match, [("out", "images")]),
        (gather["fixed"], table, [("out", "fixed")]),
        (gather["own"], table, [("out", "own")]),
        (match, table, [("states", "states")]),
        (match, save, [("regions", "labels")]),
        (table, save, [("table", "table"), ("facts", "facts")]),
    ])  # fmt: skip
    _draw(workflow, study, series, mark, gather)
    veins = _common_veins(workflow, series, gather, mark)
    for number, acquisition in enumerate(acquisitions, 1):
        space, carried = _carry(workflow, acquisition, baseline, home)
        measure = _measure(workflow, study, acquisition, space)
        workflow.connect([
            (baseline, measure, [(port, port) for port in ("wm", "dseg", "brain_mask")]),
            (common, measure, [("mask", "trusted_mask")]),
            (match, measure, [
                ("regions", "labels"), ("elsewhere", "elsewhere"), ("volumes", "volumes"),
            ]),
            (space, gather["masks"], [("outputnode.trusted_mask", f"in{number}")]),
            (space, gather["chi"], [("outputnode.chi", f"in{number}")]),
            (carried["native"], gather["images"], [("resampled", f"in{number}")]),
            (carried["anatomical"], gather["anatomical"], [("resampled", f"in{number}")]),
            (measure, gather["fixed"], [("table", f"in{number}")]),
            (workflow.get_node(f"lesions__{acquisition.name_safe}"), gather["own"], [
                ("table", f"in{number}"),
            ]),
        ])  # fmt: skip
        if len(acquisition.echo_times) > 1:
            workflow.connect(space, "outputnode.r2star", gather["r2star"], f"in{number}")
        if "veins" in carried:
            workflow.connect(carried["veins"], "resampled", gather["veins"], f"in{number}")
        for port, (node, output) in veins.items():
            workflow.connect(node, output, measure, port)


def _common_veins(
    workflow: pe.Workflow, series: Series, gather: Mapping[str, pe.Node], mark: str
) -> dict[str, tuple[pe.Node, str]]:
    """Return what tells every session's table of veins, by input: who makes it, and its output."""
    maps = ["chi"]
    if any(len(one.echo_times) > 1 for one in series.acquisitions):
        maps.append("r2star")
    found = {}
    for port in maps:
        mean = pe.Node(MeanMap(), name=f"lesion_mean_{port}_{mark}")
        workflow.connect(gather[port], "out", mean, "images")
        found[f"mean_{port}"] = mean, "mean"
    if any(one.lesions and one.lesions.veins for one in series.acquisitions):
        found["veins"] = gather["veins"], "out"
    return found


def _draw(
    workflow: pe.Workflow, study: Study, series: Series, mark: str, gather: Mapping[str, pe.Node]
) -> None:
    """Add the sheet of all lesions through time."""
    sessions = [f"ses-{one.session}" for one in series.acquisitions]
    names = [
        f"{one.lesions.shown_on} ses-{one.session}" for one in series.acquisitions if one.lesions
    ]
    draw = pe.Node(
        DrawLesions(sessions=sessions, anatomical_names=names), name=f"draw_lesions_{mark}"
    )
    keep = figure_sink(study, f"{series.stem}_space-baseline", f"keep_lesions_{mark}")
    workflow.connect([
        (workflow.get_node(f"match_{mark}"), draw, [("regions", "labels")]),
        (workflow.get_node(f"baseline_{mark}"), draw, [("magnitude", "magnitude")]),
        (gather["anatomical"], draw, [("out", "anatomical")]),
        (gather["chi"], draw, [("out", "chi")]),
        (workflow.get_node(f"lesion_table_{mark}"), draw, [("table", "table")]),
        (draw, keep, [("figures", "figures")]),
    ])  # fmt: skip


def _way_home(
    workflow: pe.Workflow,
    longitudinal: Longitudinal,
    first: Acquisition,
    baseline: pe.Node,
    mark: str,
) -> pe.Node:
    """Return the node whose `out` leads from the participant's space to the first echoes."""
    keys = [anatomy.key for anatomy in longitudinal.anatomies]
    place = keys.index(first.t1w.key) if first.t1w else 0
    back = pe.Node(Select(index=[place]), name=f"back_{mark}")
    home = pe.Node(Merge(2), name=f"home_{mark}")
    workflow.connect([
        (workflow.get_node("participant_template_wf"), back, [
            ("outputnode.participant_to_t1w", "inlist"),
        ]),
        (back, home, [("out", "in1")]),
        (baseline, home, [("t1w_to_gre", "in2")]),
    ])  # fmt: skip
    return home


def _carry(
    workflow: pe.Workflow, acquisition: Acquisition, baseline: pe.Node, home: pe.Node
) -> tuple[pe.Workflow, dict[str, pe.Node]]:
    """Carry maps of a session, its lesions and what shows them; return who does which."""
    mark = f"__{acquisition.name_safe}"
    r2star = len(acquisition.echo_times) > 1
    space = init_participant_space_wf(r2star=r2star, noise=False, name=f"baseline_space_wf{mark}")
    onward = pe.Node(Merge(2), name=f"onward{mark}")
    carriers = {
        port: CarryShare() if port == "veins" else CarryLabels() for port in _drawn(acquisition)
    }
    carriers["anatomical"] = ApplyTransforms(interpolation="linear")
    # The way to the T1w is empty for what was drawn on it.
    fields = ["table", *carriers, *(f"{port}_to_t1w" for port in carriers)]
    own = pe.Node(IdentityInterface(fields), name=f"lesions{mark}")
    workflow.connect([
        (workflow.get_node(f"transform{mark}"), onward, [("out", "in1")]),
        (home, onward, [("out", "in2")]),
        (onward, space, [("out", "inputnode.t1w_to_participant")]),
        (baseline, space, [("magnitude", "inputnode.template")]),
    ])  # fmt: skip
    carried = {}
    for port, interface in carriers.items():
        route = pe.Node(Merge(2), name=f"{port}_route{mark}")
        carry = pe.Node(interface, name=f"carry_{port}{mark}")
        workflow.connect([
            (own, route, [(f"{port}_to_t1w", "in1")]),
            (onward, route, [("out", "in2")]),
            (baseline, carry, [("magnitude", "reference")]),
            (own, carry, [(port, "image")]),
            (route, carry, [("out", "transforms")]),
        ])  # fmt: skip
        carried[port] = carry
    return space, carried


def _drawn(acquisition: Acquisition) -> dict[str, LesionImage]:
    """Return what is carried of the images of a session, by the port of its graph."""
    images = acquisition.lesions.images if acquisition.lesions else {}
    ports = {"lesions": "native", "veins": "veins"}
    return {port: images[kind] for kind, port in ports.items() if kind in images}


def _measure(
    workflow: pe.Workflow, study: Study, acquisition: Acquisition, space: pe.Workflow
) -> pe.Node:
    """Return who measures the fixed regions in a session."""
    mark = f"__{acquisition.name_safe}"
    measure = pe.Node(
        MeasureLesions(
            rules=asdict(study.protocol.lesions),
            vessels=asdict(study.protocol.regions),
            regions=study.regions,
            not_white=study.not_white,
            ids=acquisition.labels,
        ),
        name=f"measure_lesions{mark}",
    )
    maps = ["chi", *(["r2star"] if len(acquisition.echo_times) > 1 else [])]
    workflow.connect([
        (space, measure, [(f"outputnode.{port}", port) for port in maps]),
        (workflow.get_node(f"participant_references_wf{mark}"), measure, [
            ("outputnode.references", "references"), ("outputnode.facts", "referenced"),
        ]),
    ])  # fmt: skip
    return measure


def connect_lesion_sessions(
    workflow: pe.Workflow,
    graph: pe.Workflow,
    series: Series,
    acquisitions: Mapping[str, pe.Workflow],
    mark: str,
) -> None:
    """
    Give the lesions of a series what the graphs of the sessions make.

    Parameters
    ----------
    workflow
        The whole graph.
    graph
        That of the participant through time.
    series
        Acquisitions whose lesions are told.
    acquisitions
        Graphs of all acquisitions by their keys.
    mark
        As in `connect_lesion_series`.
    """
    first = acquisitions[series.acquisitions[0].key]
    ports = {
        "magnitude": f"{name_of(first, 'echoes_wf')}.outputnode.combined",
        "t1w_to_gre": f"{name_of(first, 'coregistration_wf')}.outputnode.t1w_to_gre",
        "wm": f"{name_of(first, 'coregistration_wf')}.outputnode.wm",
        "brain_mask": f"{name_of(first, 'masking_wf')}.outputnode.brain_mask",
        "dseg": f"{name_of(first, 'labels')}.dseg",
    }
    for port, source in ports.items():
        workflow.connect(first, source, graph, f"baseline_{mark}.{port}")
    for acquisition in series.acquisitions:
        source = acquisitions[acquisition.key]
        target = f"lesions__{acquisition.name_safe}"
        lesions = f"{name_of(source, 'lesions_wf')}.outputnode"
        workflow.connect(source, f"{lesions}.table", graph, f"{target}.table")
        to_t1w = {"FLAIR": ("flair_wf", "flair_to_t1w"),
                  "GRE": ("coregistration_wf", "gre_to_t1w")}  # fmt: skip
        spaces = {port: image.space for port, image in _drawn(acquisition).items()}
        for port in spaces:
            workflow.connect(source, f"{lesions}.{port}", graph, f"{target}.{port}")
        if acquisition.lesions and acquisition.lesions.flair:
            spaces["anatomical"] = "FLAIR"
            graph.get_node(target).inputs.anatomical = str(acquisition.lesions.flair)
        else:
            t1w = f"{name_of(source, 'coregistration_wf')}.inputnode.t1w_brain"
            workflow.connect(source, t1w, graph, f"{target}.anatomical")
        for port, space in spaces.items():
            if space in to_t1w:
                part, way = to_t1w[space]
                way = f"{name_of(source, part)}.outputnode.{way}"
                workflow.connect(source, way, graph, f"{target}.{port}_to_t1w")
