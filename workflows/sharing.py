"""Where intermediate results lie: runs with other settings find what they have in common."""

from __future__ import annotations

from hashlib import sha256
import json
import re

import networkx as nx
from nipype.pipeline import engine as pe

from qsmprep.protocol import Protocol

STAGES = {
    "anatomy_wf": ("normalisation",),
    "segmentation_wf": ("segmentation",),
    "masking_wf": ("masking", "trust"),
    "field_wf": ("phase", "offset", "unwrapping", "field"),
    "relaxometry_wf": ("relaxometry",),
    "swi_wf": ("swi",),
    "background_wf": ("background",),
    "inversion_wf": ("inversion",),
    "two_pass_wf": ("background", "inversion"),
    "referencing_wf": ("referencing",),
    "references_wf": ("referencing",),
    "coregistration_wf": ("normalisation", "segmentation"),
    "regions_wf": ("regions",),
    "flair_wf": ("normalisation",),
    "lesions_wf": ("lesions", "regions", "referencing", "normalisation"),
    "deep_nuclei_wf": ("segmentation",),
}
"""Stages of the protocol that each part of a graph reads itself."""

MARK = re.compile(r"_[0-9a-f]{8}$")
"""What `name_by_settings` puts behind a name."""


def name_of(graph: pe.Workflow, part: str) -> str:
    """Return what a part of a graph is called after `name_by_settings`."""
    return next(node.name for node in graph._graph if MARK.sub("", node.name) == part)


def name_by_settings(graph: pe.Workflow, protocol: Protocol) -> None:
    """
    Rename the parts of a graph for all settings that their results depend on.

    Nipype keeps results by the name of the step. With the settings of a part, and of all before
    it, in its name, no run overwrites what another one has computed with other settings, and both
    share what they have in common.

    Parameters
    ----------
    graph
        Of one acquisition or anatomy, complete; what is connected to it from outside has to use
        the new names (`name_of`).
    protocol
        All settings.
    """
    connections = graph._graph  # nipype has no other way to ask what comes before what
    read = {
        part: {stage: protocol.stages[stage] for stage in STAGES.get(part.name, ())}
        for part in connections
    }
    for part in list(connections):
        settings: dict[str, object] = dict(read[part])
        for before in nx.ancestors(connections, part):
            settings |= read[before]
        if settings:
            text = json.dumps(settings, sort_keys=True)
            _rename(part, f"{part.name}_{sha256(text.encode()).hexdigest()[:8]}")


def _rename(part: pe.Node | pe.Workflow, name: str) -> None:
    """Rename a part that has been connected already."""
    part.name = part._id = name
    if isinstance(part, pe.Workflow):
        for node in part._graph:
            if not isinstance(node, pe.Workflow):
                node._hierarchy = name  # nodes remember what they are part of
