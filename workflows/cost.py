"""What a step needs: memory, told to the scheduler, and time, to be asked of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
import csv
from dataclasses import astuple, dataclass
from importlib.resources import files
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import nibabel as nb
import numpy as np

from qsmprep.bids.longitudinal import Longitudinal
from qsmprep.bids.models import Acquisition
from qsmprep.bids.template import Template
from qsmprep.errors import RequestError
from qsmprep.protocol import Protocol
from qsmprep.resources import Resources
from qsmprep.workflows.steps import (
    steps_of_anatomy,
    steps_of_lesions,
    steps_of_maps,
    steps_of_regions,
    steps_through_time,
)

if TYPE_CHECKING:  # nipype takes a second, and what a job needs is asked for without it
    from nipype.pipeline import engine as pe


class Cost(NamedTuple):
    """
    What a step needs beside the libraries that a worker process holds anyway.

    Parameters
    ----------
    per_voxel
        Bytes per voxel of the grids it works on (`GRIDS`).
    per_image
        Bytes per voxel and echo, or per voxel of the brain and labelled head.
    seconds
        Of one core, per million voxels.
    """

    per_voxel: float
    per_image: float = 0.0
    seconds: float = 1.0


def _read_costs() -> dict[str, Cost]:
    table = files("qsmprep.data").joinpath("step_costs.tsv").read_text(encoding="utf-8")
    return {
        row["step"]: Cost(float(row["per_voxel"]), float(row["per_image"]), float(row["seconds"]))
        for row in csv.DictReader(table.splitlines(), delimiter="\t")
    }


COSTS: Mapping[str, Cost] = _read_costs()
"""
By interface and, where they differ, method.

The column `source` says whether `benchmarks/memory.py` measured it, whether it is the peak of
`benchmarks/speed.py` with what the step reads, or an estimate from the arrays held.
"""

FIXED_MB = 60
"""Of every step, whatever its size."""

WORKER_MB = 400
"""What a worker holds between two steps: libraries, and what the allocator cannot give back."""

PROGRAM_MB = 500
"""The program itself, with graphs, pages and the server that workers come from."""

UNKNOWN = Cost(400.0, 100.0, 20.0)
"""Of a step that is not listed: more than any that is."""

LIGHT = frozenset(
    ["Merge", "Select", "IdentityInterface", "MeasureChange", "SaveDerivatives", "SaveFigures"]
)
"""Interfaces that hold no voxels, or one volume after the other."""

STACKS_HEADS = frozenset({"FuseLabels", "RefineDeepNuclei"})
"""Interfaces whose images are the heads of the atlas, not echoes."""

GRIDS = {
    "coregistration_wf": ("gre", "t1w"),
    "template_wf": ("gre", "template"),
    "anatomy_wf": ("t1w", "template"),
    "segmentation_wf": ("t1w",),
    "participant_template_wf": ("t1w",),
    "participant_space_wf": ("gre", "t1w"),
    "participant_references_wf": ("t1w",),
    "participant_regions_wf": ("t1w",),
    "common": ("t1w",),
    "lesions_wf": ("gre", "t1w"),
    "flair_wf": ("t1w", "t1w"),
    "baseline_space_wf": ("gre", "gre"),
    "place": ("t1w", "template"),
    "regions_quality_wf": ("gre", "t1w", "template"),
}
"""Grids that each part of the graph works on; all others on that of the echoes."""

HEAD_VOXELS = 8_000_000
"""Of a head of an atlas, and of a T1w before its header is read: a brain at 1 mm."""

BRAIN_BOX_MM3 = 6e6
"""A box around any brain, with a margin: the largest are 190 by 155 by 150 mm."""

BUNDLED_VOXELS = 197 * 233 * 189
"""Of the template that comes with nilearn."""


@dataclass(frozen=True)
class Size:
    """
    What a step works on.

    Parameters
    ----------
    gre, t1w, template
        Voxels of each grid.
    brain
        Voxels of a box around the brain in the T1w.
    echoes, heads
        Number of images in a stack.
    """

    gre: int = 0
    t1w: int = HEAD_VOXELS
    template: int = BUNDLED_VOXELS
    brain: int = HEAD_VOXELS
    echoes: int = 1
    heads: int = 0

    @classmethod
    def of(cls, acquisition: Acquisition, *, template: Template, heads: int) -> Size:
        """Return the size of an acquisition, its T1w and the template, from their headers."""
        t1w, target = acquisition.t1w, dict(template.files).get("t1w")
        head, volume = _grid(t1w.path) if t1w else (HEAD_VOXELS, 1.0)
        return cls(
            gre=_grid(acquisition.files[0])[0],
            t1w=head,
            template=_grid(target)[0] if target else BUNDLED_VOXELS,
            brain=min(head, int(BRAIN_BOX_MM3 / volume)),
            echoes=len(acquisition.echo_times),
            heads=heads,
        )

    @classmethod
    def largest(cls, acquisitions: Iterable[Acquisition], template: Template, heads: int) -> Size:
        """Return the size of something that works on several acquisitions."""
        sizes = [cls.of(one, template=template, heads=heads) for one in acquisitions]
        return cls(*(max(column) for column in zip(*map(astuple, sizes), strict=True)))

    def need_mb(self, kind: str, part: str = "") -> float:
        """Return what a step needs beside an idle worker, MB."""
        if kind.split(".")[0] in LIGHT:
            return FIXED_MB
        cost = cost_of(kind)
        held = cost.per_voxel * self.voxels(part) + cost.per_image * self.stack(kind)
        return FIXED_MB + held / 2**20

    def stack(self, kind: str) -> int:
        """Return how many voxels all echoes, or all heads of the atlas, have for a step."""
        if kind.split(".")[0] in STACKS_HEADS:
            return self.heads * self.brain
        return self.echoes * self.gre

    def voxels(self, part: str = "") -> int:
        """Return how many voxels a part of the graph works on."""
        return sum(getattr(self, grid) for grid in GRIDS.get(part, ("gre",)))


def _grid(path: Path) -> tuple[int, float]:
    """Return the number of voxels of an image, and the volume of one, mm³."""
    image = cast(nb.Nifti1Image, nb.load(path))
    return math.prod(image.shape[:3]), abs(float(np.linalg.det(image.affine[:3, :3])))


def cost_of(kind: str) -> Cost:
    """Return the cost of an interface and method; of the interface if none is known of both."""
    return COSTS.get(kind, COSTS.get(kind.split(".")[0], UNKNOWN))


def kind_of(node: pe.Node) -> str:
    """Return what a node is listed as in `COSTS`."""
    interface = type(node.interface).__name__
    method = getattr(node.inputs, "method", None)
    return f"{interface}.{method}" if isinstance(method, str) else interface


def part_of(node: pe.Node) -> str:
    """Return the innermost graph that a node is in, without the mark of its settings."""
    from qsmprep.workflows.sharing import MARK

    return MARK.sub("", (node._hierarchy or "").rpartition(".")[2]).partition("__")[0]


def declare(graph: pe.Workflow, size: Size) -> None:
    """Tell the scheduler what every step of a graph needs."""
    for node in nodes_of(graph):
        node._mem_gb = size.need_mb(kind_of(node), part_of(node)) / 1024


def nodes_of(graph: pe.Workflow) -> Iterator[pe.Node]:
    """Return all nodes of a graph and of those in it."""
    return (graph.get_node(name) for name in graph.list_node_names())


def schedule(graph: pe.Workflow, resources: Resources) -> tuple[int, float]:
    """
    Return how many workers there may be, and what all their steps may need together, GB.

    Workers hold memory between steps, so that there are no more of them than leave enough for
    the largest step; a step that is too large even so runs alone (`check_memory` refuses it).

    Parameters
    ----------
    graph
        With the needs of its steps declared.
    resources
        Steps at once, and memory of all processes together.
    """
    largest = max(node._mem_gb * 1024 for node in nodes_of(graph))
    left = resources.mem_mb - PROGRAM_MB
    workers = max(1, min(resources.nprocs, int((left - largest) // WORKER_MB)))
    return workers, max(left - workers * WORKER_MB, FIXED_MB) / 1024


def check_memory(
    acquisitions: Sequence[Acquisition],
    protocol: Protocol,
    *,
    template: Template,
    heads: int,
    resources: Resources,
    through: Sequence[Longitudinal] = (),
) -> None:
    """
    Refuse to start what cannot end within the memory given.

    Parameters
    ----------
    acquisitions, protocol, template
        What shall be made, how, and on which grid.
    heads
        How many the atlas has.
    resources
        Memory of all processes together.
    through
        Participants whose sessions are brought together.

    Raises
    ------
    RequestError
        If one step alone needs more.
    """
    steps = _steps(acquisitions, protocol, template=template, heads=heads, through=through)
    largest = max(steps, key=lambda step: step.mb)
    least = _rounded(PROGRAM_MB + WORKER_MB + largest.mb, 100)
    if resources.mem_mb < least:
        raise RequestError(
            f"--mem-mb {resources.mem_mb}: {largest.kind} of {largest.key} needs about {least}, "
            "with what the program itself takes; give as much, or more"
        )


class JobCost(NamedTuple):
    """
    What to ask a cluster for.

    Parameters
    ----------
    mem_mb
        Memory, MB.
    minutes
        Time on a slow machine.
    """

    mem_mb: int
    minutes: int


MARGIN = 1.15
"""Of memory: heads differ from those measured, and so do libraries."""

SLOWNESS = 3.0
"""Of time: nodes of a cluster may be that much slower than the machine measured on."""

LEAST_MINUTES = 15
"""Of any job: start, imports, compilation and a slow file system."""


def job_cost(
    acquisitions: Sequence[Acquisition],
    protocol: Protocol,
    *,
    heads: int,
    nprocs: int,
    through: Sequence[Longitudinal] = (),
) -> JobCost:
    """
    Return what the job of one participant needs.

    Memory is that of the largest step, of one of middling size on each other core, and of the
    processes themselves; with less, down to what `schedule` refuses, steps wait for each other.
    Time is that of all steps one after the other, shared by two cores at most, because steps of
    one participant wait for each other; where there are several heads and the protocol goes by
    way of the template, they are aligned to it first, which only the first job does if jobs share
    a work folder.

    Parameters
    ----------
    acquisitions
        Of one participant.
    protocol
        All settings.
    heads
        How many the atlas has, 0 for maps without regions.
    nprocs
        Steps that may run at once.
    through
        The participant, if the sessions are brought together.
    """
    steps = list(_steps(acquisitions, protocol, template=Template(), heads=heads, through=through))
    largest, seconds = max(step.mb for step in steps), sum(step.seconds for step in steps)
    usual = sum(step.mb * step.seconds for step in steps) / seconds
    memory = PROGRAM_MB + nprocs * WORKER_MB + largest + (nprocs - 1) * usual
    minutes = SLOWNESS * seconds / min(nprocs, 2) / 60
    return JobCost(_rounded(MARGIN * memory, 500), max(LEAST_MINUTES, _rounded(minutes, 5)))


class _Step(NamedTuple):
    """A step of an acquisition, what it needs beside an idle worker, and its time."""

    key: str
    kind: str
    mb: float
    seconds: float


def _steps(
    acquisitions: Sequence[Acquisition],
    protocol: Protocol,
    *,
    template: Template,
    heads: int,
    through: Sequence[Longitudinal],
) -> Iterator[_Step]:
    """Return all steps, those of a T1w once."""
    anatomies = set()
    for acquisition in acquisitions:
        size = Size.of(acquisition, template=template, heads=heads)
        steps = list(steps_of_maps(protocol, len(acquisition.echo_times)))
        if acquisition.t1w and protocol.segmentation.atlas != "none":
            steps += steps_of_regions(protocol)
            if acquisition.t1w.key not in anatomies:
                steps += steps_of_anatomy(protocol, heads)
            anatomies.add(acquisition.t1w.key)
            if acquisition.lesions:
                steps += steps_of_lesions(acquisition.lesions)
        for kind, part in steps:
            yield _step(acquisition.key, kind, part, size)
    for one in through:
        size = Size.largest(one.acquisitions, template, heads)
        for kind, part in steps_through_time(one, protocol, heads):
            yield _step(one.key, kind, part, size)


def _step(key: str, kind: str, part: str, size: Size) -> _Step:
    seconds = 1.0 + cost_of(kind).seconds * size.voxels(part) / 1e6
    return _Step(key, kind, size.need_mb(kind, part), seconds)


def _rounded(number: float, step: int) -> int:
    return step * math.ceil(number / step)
