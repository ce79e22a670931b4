"""From a plan to maps and tables: the graph, and where it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import logging
from pathlib import Path
import shutil

from qsmprep.bids.atlas import Atlas
from qsmprep.bids.left_out import forget_others, plan_longitudinal
from qsmprep.bids.longitudinal import Longitudinal
from qsmprep.bids.models import Plan
from qsmprep.provenance import code_digest
from qsmprep.request import Request
from qsmprep.scratch import forget, open_scratch

log = logging.getLogger("qsmprep")


def check_memory(request: Request, plan: Plan, atlas: Atlas | None) -> None:
    """Refuse to start what cannot end within the memory given; a cluster has its own."""
    from qsmprep.workflows import cost

    if not request.plugin:
        cost.check_memory(
            plan.acquisitions,
            request.protocol,
            template=request.template,
            heads=len(atlas.members) if atlas else 0,
            resources=request.resources,
            through=longitudinal_of(request, plan),
        )


def open_work_dir(request: Request, plan: Plan) -> Path:
    """Return where intermediate results of exactly this program lie, whatever the protocol."""
    folder = request.resources.work_dir / f"qsmprep-{code_digest()}"
    if request.clean_work_dir and (request.participants or request.sessions):
        forget(folder, parts_of(plan))  # jobs of others may be at work
    elif request.clean_work_dir:
        shutil.rmtree(folder, ignore_errors=True)
    return open_scratch(folder)


def compute(
    request: Request, plan: Plan, atlas: Atlas | None, work_dir: Path
) -> dict[str, list[str]]:
    """Run the graph; return what went wrong, by the name of the part it went wrong in."""
    from qsmprep.interfaces.atlas import prepare_atlas
    from qsmprep.workflows.base import Study, build
    from qsmprep.workflows.execution import configure, draw_graph, execute
    from qsmprep.workflows.locks import holding

    longitudinal = longitudinal_of(request, plan)
    names = parts_of(plan) | {one.name_safe: one.key for one in longitudinal}
    logs = request.out_dir / "logs"
    configure(logs, request.stop_on_first_crash)
    if atlas:
        atlas = prepare_atlas(atlas, work_dir / "atlases")
    study = Study(
        request.bids_dir,
        request.out_dir,
        request.protocol,
        atlas,
        placed=_place(request, plan, atlas, work_dir),
        device=request.resources.device,
        template=request.template,
        longitudinal=longitudinal,
    )
    workflow = build(study, plan.acquisitions, work_dir)
    if request.write_graph:
        draw_graph(workflow, logs / "graph.svg")
    with holding(work_dir, names.values()):
        _forget_broken(request, work_dir, names)
        for one in longitudinal:
            if forget_others(one, request.out_dir, request.bids_dir):
                log.warning(
                    "%s: what was made of other sessions than %s is made anew",
                    one.key, ", ".join(f"ses-{session}" for session in one.sessions),
                )  # fmt: skip
        return execute(
            workflow,
            resources=request.resources,
            crash_dir=logs,
            plugin=request.plugin,
            names=names,
        )


def _forget_broken(request: Request, work_dir: Path, names: Iterable[str]) -> None:
    """Take nothing for done that a power cut has left half-written."""
    from qsmprep.workflows.repair import forget_broken_loops, forget_broken_steps

    forget_broken_loops(request.resources.work_dir / "numba")
    folders = [folder for name in names for folder in work_dir.glob(f"*/{name}")]
    if count := forget_broken_steps(folders):
        log.warning("steps that were left half-written, and are done again: %d", count)


def _place(
    request: Request, plan: Plan, atlas: Atlas | None, work_dir: Path
) -> Mapping[str, Path]:
    """Return the transforms of the atlas to the template, if the protocol goes that way."""
    from qsmprep.workflows.atlas import place_atlas

    settings = request.protocol.segmentation
    needed = atlas and any(acquisition.t1w for acquisition in plan.acquisitions)
    if not (atlas and needed and settings.route == "template" and len(atlas.members) > 1):
        return {}
    return place_atlas(
        atlas,
        request.template,
        seed=settings.seed,
        spacing=settings.spacing,
        folder=work_dir / "atlases",
        resources=request.resources,
        crash_dir=request.out_dir / "logs",
        plugin=request.plugin,
    )


def longitudinal_of(request: Request, plan: Plan) -> tuple[Longitudinal, ...]:
    """Return the participants whose sessions are to be brought together."""
    return plan_longitudinal(plan, request.bids_dir) if request.longitudinal else ()


def parts_of(plan: Plan) -> dict[str, str]:
    """Return what to call each part of the graph, by its name there."""
    parts = [part for a in plan.acquisitions for part in (a, a.t1w) if part is not None]
    return {part.name_safe: part.key for part in parts}
