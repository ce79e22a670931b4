"""An atlas on the template: each of its heads is aligned to it once, for all participants."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
import json
import os
from pathlib import Path
import shutil
from tempfile import mkdtemp

from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.template import Template
from qsmprep.errors import RequestError
from qsmprep.interfaces.registration import TemplateFiles
from qsmprep.resources import Resources
from qsmprep.workflows.cost import Size, declare
from qsmprep.workflows.execution import execute
from qsmprep.workflows.segmentation import align_heads


def place_atlas(
    atlas: Atlas,
    template: Template,
    *,
    seed: int,
    spacing: float,
    folder: Path,
    resources: Resources,
    crash_dir: Path,
    plugin: Mapping[str, object],
) -> dict[str, Path]:
    """
    Return the transform that carries each head of an atlas to the template, made if missing.

    Jobs that share the folder may do the same work at the same time; none sees a file before it
    is complete.

    Parameters
    ----------
    atlas
        Several labelled heads.
    template
        Where they are to lie.
    seed
        Seed of the registrations' sampling.
    spacing
        Edge of a voxel in the registrations, mm.
    folder
        Where transforms of all atlases are kept.
    resources, crash_dir, plugin
        As in `execute`.

    Raises
    ------
    RequestError
        If a head cannot be aligned.
    """
    settings = json.dumps([atlas.digest, template.setting, seed, spacing])
    home = folder / f"{atlas.name}-{sha256(settings.encode()).hexdigest()[:8]}"
    home.mkdir(parents=True, exist_ok=True)
    placed = {member.label: home / f"{member.label}.h5" for member in atlas.members}
    if all(path.exists() for path in placed.values()):
        return placed
    # A folder of its own, because nipype does not expect two runs in one.
    scratch = Path(mkdtemp(dir=home))
    try:
        graph, nodes = _graph(atlas, template, seed, spacing, scratch)
        crashes = execute(
            graph,
            resources=resources,
            crash_dir=crash_dir,
            plugin=plugin,
            names={"place": f"atlas {atlas.name}"},
        )
        for member, node in zip(atlas.members, nodes, strict=True):
            for made in scratch.glob(f"*/place/{node.name}/syn_Composite.h5"):
                os.replace(made, placed[member.label])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if missing := [label for label, path in placed.items() if not path.exists()]:
        reasons = "; ".join(sentence for told in crashes.values() for sentence in told)
        raise RequestError(
            f"{atlas.folder}: {', '.join(missing)} cannot be aligned to the template ({reasons}); "
            "mend or remove it"
        )
    return placed


def _graph(atlas: Atlas, template: Template, seed: int, spacing: float, folder: Path):
    """Return the graph that aligns all heads, and its node for each."""
    place = pe.Workflow(name="place")
    files = {kind: str(path) for kind, path in template.files}
    target = pe.Node(TemplateFiles(files=files), name="template")
    nodes = align_heads(atlas, seed=seed, spacing=spacing)
    for node in nodes:
        place.connect([(target, node, [("t1w", "t1w_brain"), ("mask", "brain_mask")])])
    declare(place, Size(heads=len(nodes)))
    graph = pe.Workflow(name="atlas_wf", base_dir=str(folder))
    graph.add_nodes([place])
    return graph, nodes
