"""The whole graph: every acquisition of every participant, each anatomy once."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.models import Acquisition, Anatomy
from qsmprep.interfaces.figures import DrawMaps, DrawRegions
from qsmprep.interfaces.masking import FindBrain
from qsmprep.methods.background import OF_TISSUES
from qsmprep.scratch import GRAPH
from qsmprep.workflows.anatomy import init_anatomy_wf, init_coregistration_wf
from qsmprep.workflows.background import connect_tissues, init_background_wf
from qsmprep.workflows.cost import Size, declare
from qsmprep.workflows.deep_nuclei import connect_transforms
from qsmprep.workflows.echoes import init_echoes_wf
from qsmprep.workflows.field import init_field_wf
from qsmprep.workflows.inversion import init_inversion_wf
from qsmprep.workflows.labels import connect_labels, connect_segmentation
from qsmprep.workflows.lesions import connect_lesions
from qsmprep.workflows.longitudinal import build_longitudinal, connect_through_time
from qsmprep.workflows.masking import init_masking_wf
from qsmprep.workflows.quality import connect_quality, connect_regions_quality
from qsmprep.workflows.referencing import init_referencing_wf
from qsmprep.workflows.regions import init_regions_wf
from qsmprep.workflows.relaxometry import init_relaxometry_wf
from qsmprep.workflows.sharing import name_by_settings, name_of
from qsmprep.workflows.study import Study, acquisition_sink, anatomy_sink, figure_sink
from qsmprep.workflows.swi import init_swi_wf
from qsmprep.workflows.template import init_template_wf
from qsmprep.workflows.two_pass import init_two_pass_wf


def build(study: Study, acquisitions: tuple[Acquisition, ...], work_dir: Path) -> pe.Workflow:
    """Return the graph that makes every output of the acquisitions."""
    workflow = pe.Workflow(name=GRAPH, base_dir=str(work_dir))
    anatomies: dict[str, pe.Workflow] = {}
    graphs: dict[str, pe.Workflow] = {}
    for acquisition in acquisitions:
        graph = build_acquisition(study, acquisition)
        size = Size.of(acquisition, template=study.template, heads=study.heads)
        declare(graph, size)
        _choose_device(graph, study.device)
        workflow.add_nodes([graph])
        graphs[acquisition.key] = graph
        anatomy = acquisition.t1w
        if anatomy is None or study.atlas is None:
            continue
        if anatomy.key not in anatomies:
            anatomies[anatomy.key] = build_anatomy(study, anatomy, study.atlas)
            declare(anatomies[anatomy.key], size)
        labelled = acquisition.labels_given is None
        _connect_anatomy(workflow, anatomies[anatomy.key], graph, labelled=labelled)
        connect_transforms(workflow, study, anatomies[anatomy.key], graph)
    for participant in study.longitudinal:
        graph = build_longitudinal(study, participant)
        declare(graph, Size.largest(participant.acquisitions, study.template, study.heads))
        workflow.add_nodes([graph])
        connect_through_time(workflow, participant, graph, anatomies, graphs)
    return workflow


def _connect_anatomy(
    workflow: pe.Workflow, anatomy: pe.Workflow, graph: pe.Workflow, *, labelled: bool
) -> None:
    """Give the graph of an acquisition what that of its T1w makes."""
    prepared = f"{name_of(anatomy, 'anatomy_wf')}.outputnode"
    registered, measured, carried = (
        f"{name_of(graph, part)}.inputnode"
        for part in ("coregistration_wf", "regions_wf", "template_wf")
    )
    workflow.connect([
        (anatomy, graph, [
            (f"{prepared}.{port}", f"{registered}.{port}")
            for port in ("t1w_brain", "brain_mask", "csf", "gm", "wm")
        ]),
        (anatomy, graph, [
            (f"{prepared}.t1w_to_template", f"{carried}.t1w_to_template"),
            (f"{prepared}.template", f"{carried}.template"),
        ]),
    ])  # fmt: skip
    if labelled:
        dseg = f"{name_of(anatomy, 'segmentation_wf')}.outputnode.dseg"
        for port in (f"{registered}.dseg", f"{measured}.dseg_t1w"):
            workflow.connect(anatomy, dseg, graph, port)


def build_anatomy(study: Study, anatomy: Anatomy, atlas: Atlas) -> pe.Workflow:
    """Return the graph of one T1w, named for it, with its outputs saved."""
    workflow = pe.Workflow(name=anatomy.name_safe)
    normalisation = study.protocol.normalisation
    prepare = init_anatomy_wf(
        seed=normalisation.seed,
        spacing=normalisation.spacing,
        template=dict(study.template.files),
    )
    prepare.inputs.inputnode.t1w = str(anatomy.path)
    save = anatomy_sink(study, anatomy, "save")
    workflow.connect([
        (prepare, save, [
            (f"outputnode.{port}", port)
            for port in (
                "t1w_preproc", "brain_mask", "csf", "gm", "wm", "t1w_to_template",
                "template_to_t1w", "template_csf", "template_gm", "template_wm",
            )
        ]),
    ])  # fmt: skip
    if atlas.members:  # or the labels have been made elsewhere
        connect_segmentation(workflow, study, anatomy, atlas)
    name_by_settings(workflow, study.protocol)
    return workflow


def build_acquisition(study: Study, acquisition: Acquisition) -> pe.Workflow:
    """Return the graph of one acquisition, named for it, with its outputs and figures saved."""
    workflow = pe.Workflow(name=acquisition.name_safe)
    maps = _connect_maps(workflow, study, acquisition)
    stages = ["echoes_wf", "field_wf", "background_wf", "inversion_wf", "referencing_wf"]
    if study.protocol.trust.two_pass:
        stages.append("two_pass_wf")
    facts = pe.Node(Merge(len(stages)), name="facts")
    for number, graph in enumerate(stages, 1):
        workflow.connect(workflow.get_node(graph), "outputnode.facts", facts, f"in{number}")
    # A sink waits for all of its inputs: what may fail alone has one of its own.
    save, save_chi = (acquisition_sink(study, acquisition, name) for name in ("save", "save_chi"))
    for port, (graph, field) in maps.items():
        sink = save_chi if port == "chi" else save
        workflow.connect(graph, f"outputnode.{field}", sink, port)
    draw = pe.Node(DrawMaps(te=list(acquisition.echo_times)), name="draw")
    ports = {"noise": "noise", "local": "local_field", "field_hz": "total_field"}
    ports |= {port: port for port in ("brain_mask", "trusted_mask", "chi")}
    for port, output in ports.items():
        graph, field = maps[output]
        workflow.connect(graph, f"outputnode.{field}", draw, port)
    if "r2star" in maps:
        workflow.connect(maps["r2star"][0], "outputnode.r2star", draw, "r2star")
    workflow.connect([
        (facts, save_chi, [("out", "facts")]),
        (workflow.get_node("echoes_wf"), draw, [
            ("outputnode.combined", "magnitude"), ("outputnode.phase", "phase"),
        ]),
        (draw, figure_sink(study, acquisition.stem, "keep"), [("figures", "figures")]),
    ])  # fmt: skip
    _connect_swi(workflow, study, acquisition)
    connect_quality(workflow, study, acquisition)
    if acquisition.t1w and study.atlas:
        _connect_regions(workflow, study, study.atlas, acquisition)
    name_by_settings(workflow, study.protocol)
    return workflow


def _connect_maps(workflow: pe.Workflow, study: Study, acquisition: Acquisition) -> dict:
    """Chain the stages from echoes to referenced susceptibility; return who makes which map."""
    protocol, te = study.protocol, acquisition.echo_times
    first, second = acquisition.parts.values()
    echoes = init_echoes_wf(cartesian="real" in acquisition.parts)
    echoes.inputs.inputnode.first = [str(path) for path in first]
    echoes.inputs.inputnode.second = [str(path) for path in second]
    if acquisition.phase_units:
        echoes.inputs.inputnode.units = acquisition.phase_units
    masking = init_masking_wf(te=te, masking=protocol.masking, trust=protocol.trust)
    if acquisition.brain_mask:
        masking.inputs.inputnode.given = str(acquisition.brain_mask)
    field = init_field_wf(
        te=te,
        b0=acquisition.b0,
        phase=protocol.phase,
        offset=protocol.offset,
        unwrapping=protocol.unwrapping,
        field=protocol.field,
    )
    background = init_background_wf(stage=protocol.background, tissue_labels=study.tissue_labels)
    inversion = init_inversion_wf(stage=protocol.inversion)
    referencing = init_referencing_wf(
        referencing=protocol.referencing, regions=study.regions, not_white=study.not_white
    )

    workflow.connect([
        (echoes, masking, [
            (f"outputnode.{port}", f"inputnode.{port}")
            for port in ("phase", "magnitude", "combined")
        ]),
        (echoes, field, [
            ("outputnode.phase", "inputnode.phase"),
            ("outputnode.magnitude", "inputnode.magnitude"),
        ]),
        (masking, field, [("outputnode.trusted_mask", "inputnode.mask")]),
        (masking, background, [("outputnode.trusted_mask", "inputnode.mask")]),
        (echoes, inversion, [("outputnode.combined", "inputnode.magnitude")]),
        (field, background, [
            ("outputnode.field", "inputnode.field"), ("outputnode.noise", "inputnode.noise"),
        ]),
        (field, inversion, [("outputnode.noise", "inputnode.noise")]),
        (background, inversion, [
            ("outputnode.local", "inputnode.field"), ("outputnode.mask", "inputnode.mask"),
        ]),
        (background, referencing, [("outputnode.mask", "inputnode.mask")]),
    ])  # fmt: skip
    if protocol.trust.two_pass:
        _connect_two_pass(workflow, study)
    workflow.connect(_unreferenced(workflow), "outputnode.chi", referencing, "inputnode.chi")
    maps = {
        "brain_mask": (masking, "brain_mask"),
        "trusted_mask": (background, "mask"),
        "total_field": (field, "field_hz"),
        "noise": (field, "noise_hz"),
        "local_field": (background, "local"),
        "chi": (referencing, "chi"),
    }
    if len(te) > 1:  # a single echo does not decay
        relaxometry = init_relaxometry_wf(te=te, stage=protocol.relaxometry)
        workflow.connect([
            (echoes, relaxometry, [("outputnode.magnitude", "inputnode.magnitude")]),
            (masking, relaxometry, [("outputnode.brain_mask", "inputnode.mask")]),
        ])  # fmt: skip
        users = [field, inversion, referencing, workflow.get_node("two_pass_wf")]
        for graph in filter(None, users):
            workflow.connect(relaxometry, "outputnode.r2star", graph, "inputnode.r2star")
        maps |= {name: (relaxometry, name) for name in ("r2star", "t2star")}
    return maps


def _connect_swi(workflow: pe.Workflow, study: Study, acquisition: Acquisition) -> None:
    """Add the susceptibility-weighted image and its projection, and save them."""
    swi = init_swi_wf(te=acquisition.echo_times, b0=acquisition.b0, swi=study.protocol.swi)
    save = acquisition_sink(study, acquisition, "save_swi")
    echoes, masking, field = (
        workflow.get_node(name) for name in ("echoes_wf", "masking_wf", "field_wf")
    )
    workflow.connect([
        (echoes, swi, [("outputnode.magnitude", "inputnode.magnitude")]),
        (masking, swi, [
            ("outputnode.trusted_mask", "inputnode.mask"),
            ("outputnode.brain_mask", "inputnode.brain_mask"),
        ]),
        (field, swi, [("outputnode.field_hz", "inputnode.field_hz")]),
        (swi, save, [("outputnode.swi", "swi"), ("outputnode.minip", "minip")]),
    ])  # fmt: skip


def _connect_two_pass(workflow: pe.Workflow, study: Study) -> None:
    """Add the pass in the mask with holes, which the other one fills."""
    protocol = study.protocol
    two_pass = init_two_pass_wf(
        background=protocol.background,
        inversion=protocol.inversion,
        tissue_labels=study.tissue_labels,
    )
    for source, ports in {
        "echoes_wf": {"combined": "magnitude"},
        "masking_wf": {"strict_mask": "strict_mask"},
        "field_wf": {"field": "field", "noise": "noise"},
        "background_wf": {"mask": "mask"},
        "inversion_wf": {"chi": "chi"},
    }.items():
        for output, port in ports.items():
            workflow.connect(
                workflow.get_node(source), f"outputnode.{output}", two_pass, f"inputnode.{port}"
            )


def _unreferenced(workflow: pe.Workflow) -> pe.Workflow:
    """Return the graph that makes susceptibility before anything is subtracted."""
    return workflow.get_node("two_pass_wf") or workflow.get_node("inversion_wf")


def _connect_regions(
    workflow: pe.Workflow, study: Study, atlas: Atlas, acquisition: Acquisition
) -> None:
    """Add what needs the T1w: registration, white matter, regions and the template."""
    coregistration = init_coregistration_wf(seed=study.protocol.normalisation.seed)
    regions = init_regions_wf(atlas=atlas, rules=study.protocol.regions)
    labels = connect_labels(workflow, study, acquisition, coregistration, regions)
    references = _connect_references(workflow, study, coregistration, labels)
    regions.inputs.inputnode.labels = acquisition.labels
    save = acquisition_sink(study, acquisition, "save_regions")
    known = study.age_of(acquisition)
    draw = pe.Node(DrawRegions(regions=study.regions, **known), name="draw_regions")
    echoes, masking, referencing, background, relaxometry, facts = (
        workflow.get_node(name)
        for name in (
            "echoes_wf", "masking_wf", "referencing_wf", "background_wf", "relaxometry_wf",
            "facts",
        )
    )  # fmt: skip
    _connect_brain(workflow, study, coregistration)
    _connect_template(workflow, coregistration, save)
    if study.protocol.background.method in OF_TISSUES:
        connect_tissues(workflow, acquisition, coregistration, labels)
    if relaxometry:
        workflow.connect(relaxometry, "outputnode.r2star", regions, "inputnode.r2star")
    workflow.connect([
        (echoes, coregistration, [("outputnode.combined", "inputnode.magnitude")]),
        (labels, regions, [("dseg", "inputnode.dseg")]),
        (coregistration, regions, [("outputnode.gm", "inputnode.gm")]),
        (workflow.get_node("field_wf"), regions, [("outputnode.noise", "inputnode.noise")]),
        (masking, regions, [("outputnode.brain_mask", "inputnode.brain_mask")]),
        (background, regions, [("outputnode.mask", "inputnode.trusted_mask")]),
        (_unreferenced(workflow), regions, [("outputnode.chi", "inputnode.chi")]),
        (references, regions, [("outputnode.references", "inputnode.references")]),
        (facts, save, [("out", "facts")]),
        (coregistration, save, [
            ("outputnode.t1w_to_gre", "t1w_to_gre"), ("outputnode.gre_to_t1w", "gre_to_t1w"),
        ]),
        (labels, save, [("dseg", "dseg")]),
        (regions, save, [("outputnode.table", "regions")]),
        (echoes, draw, [("outputnode.combined", "magnitude")]),
        (masking, draw, [("outputnode.brain_mask", "brain_mask")]),
        (referencing, draw, [("outputnode.chi", "chi"), ("outputnode.facts", "facts")]),
        (labels, draw, [("dseg", "dseg")]),
        (coregistration, draw, [("outputnode.t1w_brain", "t1w_brain")]),
        (regions, draw, [("outputnode.table", "table")]),
        (draw, figure_sink(study, acquisition.stem, "keep_regions"), [("figures", "figures")]),
    ])  # fmt: skip
    connect_regions_quality(workflow, study, acquisition)
    connect_lesions(workflow, study, acquisition)


def _connect_template(workflow: pe.Workflow, coregistration: pe.Workflow, save: pe.Node) -> None:
    """Carry the maps there are to the template, and save them."""
    sources = {
        "chi": (workflow.get_node("referencing_wf"), "chi"),
        "r2star": (workflow.get_node("relaxometry_wf"), "r2star"),
    }
    maps = [image for image, (graph, _) in sources.items() if graph]
    template = init_template_wf(maps=maps)
    sources["trusted_mask"] = workflow.get_node("background_wf"), "mask"
    sources["brain_mask"] = workflow.get_node("masking_wf"), "brain_mask"
    for image in (*maps, "trusted_mask", "brain_mask"):
        graph, port = sources[image]
        workflow.connect(graph, f"outputnode.{port}", template, f"inputnode.{image}")
    workflow.connect(coregistration, "outputnode.gre_to_t1w", template, "inputnode.gre_to_t1w")
    for image in (*maps, "trusted_mask"):
        workflow.connect(template, f"outputnode.{image}", save, f"template_{image}")


def _connect_brain(workflow: pe.Workflow, study: Study, coregistration: pe.Workflow) -> None:
    """Tell the registration where the brain is in the echoes, or the masks where in the T1w."""
    masking = workflow.get_node("masking_wf")
    if study.protocol.masking.method != "t1w":
        workflow.connect(
            masking, "outputnode.brain_mask", coregistration, "inputnode.gre_brain_mask"
        )
        return
    # The registration needs a brain before the T1w can lend its own.
    provisional = pe.Node(FindBrain(method="bet"), name="provisional_brain")
    workflow.connect([
        (workflow.get_node("echoes_wf"), provisional, [("outputnode.combined", "magnitude")]),
        (provisional, coregistration, [("mask", "inputnode.gre_brain_mask")]),
        (coregistration, masking, [("outputnode.brain_mask", "inputnode.t1w_brain")]),
    ])  # fmt: skip


def _connect_references(
    workflow: pe.Workflow, study: Study, coregistration: pe.Workflow, labels: pe.Node
) -> pe.Workflow:
    """
    Return the graph that measures the references of the table, white matter among them.

    That of the map measures them too, but waits for the T1w only if the protocol calls zero what
    the T1w shows: a T1w that cannot be used must not take the map with it.
    """
    protocol = study.protocol.referencing
    references = init_referencing_wf(
        referencing=protocol,
        regions=study.regions,
        not_white=study.not_white,
        name="references_wf",
    )
    referencing, background, relaxometry = (
        workflow.get_node(name) for name in ("referencing_wf", "background_wf", "relaxometry_wf")
    )
    workflow.connect([
        (background, references, [("outputnode.mask", "inputnode.mask")]),
        (_unreferenced(workflow), references, [("outputnode.chi", "inputnode.chi")]),
    ])  # fmt: skip
    if relaxometry:
        workflow.connect(relaxometry, "outputnode.r2star", references, "inputnode.r2star")
    of_t1w = protocol.method in ("csf", "white-matter", "label")
    for graph in [references, *([referencing] if of_t1w else [])]:
        workflow.connect([
            (coregistration, graph, [
                ("outputnode.csf", "inputnode.fluid"),
                ("outputnode.wm", "inputnode.white_matter"),
            ]),
            (labels, graph, [("dseg", "inputnode.labels")]),
        ])  # fmt: skip
    return references


def _choose_device(graph: pe.Workflow, device: str) -> None:
    for name in graph.list_node_names():
        node = graph.get_node(name)
        if "device" in node.inputs.copyable_trait_names():
            node.inputs.device = device
