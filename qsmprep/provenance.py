"""What a run says of itself: who made the outputs, from what, where and how."""

from __future__ import annotations

import hashlib
from pathlib import Path
import platform

import qsmprep
from qsmprep.bids.atlas import Atlas
from qsmprep.bids.output import container, write_output_files
from qsmprep.files import atomic_write_text
from qsmprep.protocol import ALGORITHMS
from qsmprep.reports.methods_text import methods_text
from qsmprep.request import Request
from qsmprep.resources import Resources


def code_digest() -> str:
    """
    Return the version with a fingerprint of the source.

    Nipype keeps results by their inputs alone, and would return what older code computed.
    """
    root = Path(qsmprep.__file__).parent
    digest = hashlib.sha256()
    # The graphs are a link in a working copy, and links are not followed by themselves.
    code = {*root.rglob("*.py"), *root.glob("workflows/*.py"), root / "data/qc_windows.toml"}
    for path in sorted(code):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{qsmprep.__version__}-{digest.hexdigest()[:8]}"


def describe_machine(resources: Resources) -> str:
    """Return the machine a run is on, and what of it the run may use, for the log."""
    image = " ".join(container().values())
    return (
        f"{platform.node()}{f' in {image}' if image else ''}, {resources.nprocs} processes of "
        f"{resources.omp_nthreads} threads, {resources.mem_mb} MB, {resources.device}; "
        f"work folder {resources.work_dir}"
    )


def write_head(request: Request, atlas: Atlas | None) -> None:
    """Write all that an output folder says of itself as a whole."""
    folder = request.template.folder
    write_output_files(
        request.out_dir,
        bids_dir=request.bids_dir,
        derivatives={**request.derivatives, **({"templates": folder.parent} if folder else {})},
        protocol_name=request.protocol.name,
        protocol_digest=request.protocol.digest(),
    )
    atomic_write_text(request.out_dir / "logs/protocol.toml", request.protocol.to_toml())
    atomic_write_text(request.out_dir / "CITATION.md", boilerplate(request, atlas))


def boilerplate(request: Request, atlas: Atlas | None) -> str:
    """Return the methods section of what was asked for."""
    return methods_text(
        request.protocol.stages,
        ALGORITHMS,
        name=request.protocol.name,
        digest=request.protocol.digest(),
        labels=atlas.credits if atlas else None,
        container=" ".join(container().values()),
        lesions="lesions" in request.derivatives,
        longitudinal=request.longitudinal,
    )
