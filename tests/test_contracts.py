"""Every graph declares, documents and connects the same fields."""

from importlib import import_module
from inspect import getdoc, getmembers, isfunction
from pathlib import Path
from pkgutil import walk_packages
import re

import pytest

from qsmprep.bids.atlas import Atlas, AtlasMember
from qsmprep.bids.models import ExistingLabels, GivenLesions, LesionImage
from qsmprep.methods.regions import Region
from qsmprep.protocol import Protocol
import qsmprep.workflows

PROTOCOL = Protocol.read()
TE = (0.005, 0.010)
ATLAS = Atlas(
    name="toy",
    folder=Path("toy"),
    license="",
    reference="",
    # any files will do: nothing is run here
    members=(AtlasMember("tpl-toy", *[Path(__file__)] * 4),),
    regions=(Region(1, "putamen", "L"),),
    digest="0" * 12,
)
LESIONS = GivenLesions(
    LesionImage(Path(__file__), "FLAIR"),
    numbered=True,
    flair=Path(__file__),
    veins=LesionImage(Path(__file__), "T1w"),
    enhancing=LesionImage(Path(__file__), "GRE"),
)
EXAMPLES = {
    "init_acquisition_quality_wf": {"checked": {}},
    "init_anatomy_wf": {"seed": 1},
    "init_background_wf": {
        "stage": PROTOCOL.background,
        "tissue_labels": {"deep": [1], "not_white": [1]},
    },
    "init_coregistration_wf": {"seed": 1},
    "init_deep_nuclei_wf": {"atlas": ATLAS, "weight": 400.0, "seed": 1},
    "init_echoes_wf": {"cartesian": False},
    "init_field_wf": {
        "te": TE,
        "b0": 3.0,
        "phase": PROTOCOL.phase,
        "offset": PROTOCOL.offset,
        "unwrapping": PROTOCOL.unwrapping,
        "field": PROTOCOL.field,
    },
    "init_flair_wf": {"seed": 1},
    "init_given_segmentation_wf": {
        "labels": [ExistingLabels(Path(__file__), "GRE")],
        "places": [0],
    },
    "init_lesions_wf": {
        "given": LESIONS,
        "rules": PROTOCOL.lesions,
        "vessels": PROTOCOL.regions,
        "regions": [(1, "putamen", "L")],
        "not_white": [1],
    },
    "init_inversion_wf": {"stage": PROTOCOL.inversion},
    "init_masking_wf": {"te": TE, "masking": PROTOCOL.masking, "trust": PROTOCOL.trust},
    "init_participant_space_wf": {},
    "init_participant_template_wf": {"seed": 1},
    "init_quality_wf": {"te": TE},
    "init_referencing_wf": {
        "referencing": PROTOCOL.referencing,
        "regions": [(1, "putamen", "L")],
        "not_white": [1],
    },
    "init_regions_quality_wf": {},
    "init_regions_wf": {"atlas": ATLAS, "rules": PROTOCOL.regions},
    "init_relaxometry_wf": {"te": TE, "stage": PROTOCOL.relaxometry},
    "init_swi_wf": {"te": TE, "b0": 3.0, "swi": PROTOCOL.swi},
    "init_pairwise_segmentation_wf": {"atlas": ATLAS, "seed": 1},
    "init_template_segmentation_wf": {"atlas": ATLAS, "placed": {"tpl-toy": Path(__file__)}},
    "init_template_wf": {},
    "init_two_pass_wf": {
        "background": PROTOCOL.background,
        "inversion": PROTOCOL.inversion,
        "tissue_labels": {"deep": [1], "not_white": [1]},
    },
}
BUILDERS = {
    name: function
    for module in walk_packages(qsmprep.workflows.__path__, "qsmprep.workflows.")
    for name, function in getmembers(import_module(module.name), isfunction)
    if re.fullmatch(r"init_\w+_wf", name)
}


def documented(function, section):
    body = re.search(
        rf"^{section}\n-+\n(.*?)(?=^\w+\n-+$|\Z)", getdoc(function), re.MULTILINE | re.DOTALL
    )
    return set(re.findall(r"^(\w+)", body.group(1), re.MULTILINE))


@pytest.mark.parametrize("name", BUILDERS)
def test_fields_are_declared_documented_and_connected(name):
    workflow = BUILDERS[name](**EXAMPLES[name])
    graph = workflow._graph
    for node, section, edges, end in (
        (workflow.get_node("inputnode"), "Inputs", graph.out_edges, 0),
        (workflow.get_node("outputnode"), "Outputs", graph.in_edges, 1),
    ):
        pairs = [pair for *_, data in edges(node, data=True) for pair in data["connect"]]
        connected = {pair[end] if isinstance(pair[end], str) else pair[end][0] for pair in pairs}
        assert set(node.interface._fields) == documented(BUILDERS[name], section) == connected


def test_every_graph_has_an_example():
    assert set(EXAMPLES) == set(BUILDERS)
