"""An atlas on the template: each of its heads is aligned to it once, for all participants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
import json
import logging
import os
from pathlib import Path
import shutil
from tempfile import mkdtemp

from nipype.pipeline import engine as pe

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.template import Template
from qsmprep.errors import RequestError
from qsmprep.files import locked, replacing
from qsmprep.interfaces.registration import TemplateFiles
from qsmprep.resources import Resources
from qsmprep.workflows.cost import Size, declare
from qsmprep.workflows.execution import execute
from qsmprep.workflows.segmentation import align_heads

log = logging.getLogger("qsmprep")

WAITING = "waiting for another job, which aligns the atlas %s for all; that takes minutes, once"


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

    Jobs that share the folder wait for the first of them, and take what it has made. Where the
    file system knows no locks all do the same work; none sees a file before it is complete.

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
    crashes: Mapping[str, list[str]] = {}
    with locked(home / ".lock", tell=lambda: log.info(WAITING, atlas.name)):
        left = tuple(m for m in atlas.members if not placed[m.label].exists())
        if left:
            crashes = _place(
                replace(atlas, members=left),
                template,
                seed=seed,
                spacing=spacing,
                placed=placed,
                resources=resources,
                crash_dir=crash_dir,
                plugin=plugin,
            )
    if missing := [label for label, path in placed.items() if not path.exists()]:
        reasons = "; ".join(sentence for told in crashes.values() for sentence in told)
        raise RequestError(
            f"{atlas.folder}: {', '.join(missing)} cannot be aligned to the template ({reasons}); "
            "mend or remove it"
        )
    return placed


def _place(
    atlas: Atlas,
    template: Template,
    *,
    seed: int,
    spacing: float,
    placed: Mapping[str, Path],
    **how,
) -> Mapping[str, list[str]]:
    """Align all heads, and keep those that are done, also where the others are not; see above."""
    # A folder of its own, because nipype does not expect two runs in one.
    scratch = Path(mkdtemp(dir=next(iter(placed.values())).parent))
    graph, nodes = _graph(atlas, template, seed, spacing, scratch)
    try:
        return execute(graph, names={"place": f"atlas {atlas.name}"}, **how)
    finally:
        for member, node in zip(atlas.members, nodes, strict=True):
            folder = scratch / f"{graph.name}/place/{node.name}"
            # Nipype's file of inputs is called unfinished until the step has ended well.
            if list(folder.glob("_0x*.json")) and not list(folder.glob("*_unfinished.json")):
                for made in folder.glob("syn_Composite.h5"):
                    with replacing(placed[member.label]) as temporary:
                        os.replace(made, temporary)
        shutil.rmtree(scratch, ignore_errors=True)


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
