"""What steps need: known for each, told to the scheduler, and asked for before anything runs."""

from bids_skeleton import write_dataset
import pytest

from qsmprep.bids.atlas import read_atlas
from qsmprep.bids.dataset import read_plan
from qsmprep.bids.template import Template
from qsmprep.protocol import Protocol, presets
from qsmprep.workflows import cost
from qsmprep.workflows.base import build
from qsmprep.workflows.study import Study


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory):
    root = tmp_path_factory.mktemp("skeleton") / "bids"
    root.mkdir()
    write_dataset(root)
    return root


def graph_of(root, protocol, heads):
    acquisitions = read_plan(root, participants=["01"]).acquisitions
    placed = {m.label: m.t1w for m in heads.members} if heads else {}
    study = Study(root, root, protocol, heads, placed=placed)
    return acquisitions, build(study, acquisitions, root / "work")


@pytest.mark.parametrize("name", presets())
def test_what_a_job_is_asked_for_is_what_its_graph_holds(skeleton, heads, name):
    protocol, atlas = Protocol.read(name), read_atlas(heads)
    acquisitions, graph = graph_of(skeleton, protocol, atlas)
    nodes = list(cost.nodes_of(graph))
    made = sorted(
        (cost.kind_of(node), cost.part_of(node) if cost.part_of(node) in cost.GRIDS else "")
        for node in nodes
        if cost.kind_of(node).split(".")[0] not in cost.LIGHT
    )
    told = cost._steps(acquisitions, protocol, template=Template(), heads=0)
