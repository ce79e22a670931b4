"""The plan in words, as ``--dry-run`` prints it."""

from __future__ import annotations

from qsmprep.bids.acquisition_check import describe_check, obliqueness
from qsmprep.bids.headers import read_header
from qsmprep.bids.models import Acquisition, GivenLesions, Issue, Plan
from qsmprep.geometry import Geometry


def describe(plan: Plan) -> str:
    """Say what will be done for whom, what will not and why, and how much that is in all."""
    lines = []
    kept = {acquisition.key for acquisition in plan.acquisitions}
    visits = {_visit(a) for a in plan.acquisitions} | {_visit(issue) for issue in plan.issues}
    for visit in sorted(visits):
        lines.append(" ".join(filter(None, visit)))
        for acquisition in plan.acquisitions:
            if _visit(acquisition) == visit:
                lines += _describe_acquisition(acquisition)
        for issue in plan.issues:
            if _visit(issue) == visit:
                verb = "skipped" if issue.key and issue.key not in kept else issue.severity
                lines.append(f"  {verb}: {issue}")
        lines.append("")
    return "\n".join([*lines, summarise(plan)])


def summarise(plan: Plan) -> str:
    """Return the closing line, ``3 acquisitions to do, 1 skipped, 2 warnings``."""
    n_do, n_warnings = len(plan.acquisitions), len(plan.warnings)
    return (
        f"{n_do} acquisition{'s' * (n_do != 1)} to do, {len(plan.skipped)} skipped, "
        f"{n_warnings} warning{'s' * (n_warnings != 1)}"
    )


def _visit(item: Acquisition | Issue) -> tuple[str, str]:
    return f"sub-{item.participant}", f"ses-{item.session}" if item.session else ""


def _describe_acquisition(acquisition: Acquisition) -> list[str]:
    times = ", ".join(f"{1e3 * time:.4g}" for time in acquisition.echo_times)
    n = len(acquisition.echo_times)
    t1w = acquisition.t1w.path.name if acquisition.t1w else "none"
    return [
        f"  {acquisition.key}: {' and '.join(acquisition.parts)}",
        f"    {n} echo{'es' * (n != 1)} at {times} ms, {acquisition.b0:.4g} T",
        f"    {_describe_grid(acquisition)}",
        f"    T1w: {t1w}",
        *_describe_lesions(acquisition.lesions),
        *(f"    note: {note}" for note in acquisition.notes),
        *(f"    {line}" for line in describe_check(acquisition)),
    ]


def _describe_lesions(given: GivenLesions | None) -> list[str]:
    if given is None:
        return []
    names = [image.path.name for image in given.images.values()]
    flair = [f"on {given.flair.name}"] if given.flair else []
    readers = [f"{len(given.readings)} readings"] if given.readings else []
    regions = [f"regions of {given.regions.name}"] if given.regions else []
    return [f"    lesions: {', '.join([*names, *flair, *readers, *regions])}"]


def _describe_grid(acquisition: Acquisition) -> str:
    path = acquisition.files[0]
    header, faults = read_header(path, n_volumes=None)
    if header is None:
        return str(faults[0].fact)
    geometry = Geometry.from_affine(header.affine)
    matrix = "×".join(map(str, header.shape[:3]))
    size = "×".join(f"{edge:.3g}" for edge in geometry.voxel_size)
    return f"{matrix} voxels of {size} mm, {obliqueness(geometry):.1f}° oblique"
