"""Several protocols in one run: each its own outputs, and their regions side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from qsmprep.bids.derivatives import write_json
from qsmprep.bids.output import check_output_dir
from qsmprep.errors import ProtocolError
from qsmprep.files import replacing
from qsmprep.request import Request, resolve

TABLE = "multiverse_regions.tsv"


def spread_out(requests: Sequence[Request]) -> tuple[Request, ...]:
    """
    Give every protocol a folder of its own, named for it, below the output folder.

    Raises
    ------
    ProtocolError
        If two protocols have one name, or are the same by another.
    """
    digests: dict[str, str] = {}
    for request in requests:
        name, digest = request.protocol.name, request.protocol.digest()
        if name in digests:
            raise ProtocolError(
                f"--protocol {name}: given twice, or two files of one name; rename one"
            )
        if digest in digests.values():
            (other,) = (key for key, value in digests.items() if value == digest)
            raise ProtocolError(
                f"--protocol {name}: the same as {other}, setting by setting; drop one"
            )
        digests[name] = digest
    return tuple(replace(r, out_dir=r.out_dir / r.protocol.name) for r in requests)


def run_all(
    requests: Sequence[Request], run: Callable[[Request], int], compare_in: Path | None
) -> int:
    """
    Run the protocols one after the other, and lay their regions side by side.

    What protocols have in common is computed once, as the work folder keeps it.

    Parameters
    ----------
    requests
        As `spread_out` returns them.
    run
        What to do with each.
    compare_in
        Where table and figure go; None makes none.

    Returns
    -------
    status
        The gravest of the exit statuses; an interruption ends all.
    """
    for request in requests:  # all of them before the first one costs hours
        resolved, _ = resolve(request)
        check_output_dir(request.out_dir, request.bids_dir, resolved.protocol.digest())
    status = 0
    for request in requests:
        status = max(status, int(run(request)))
        if status > 128:  # ended by a signal
            return status
    if compare_in is not None:
        print(_lay_side_by_side(requests, compare_in))
    return status


def _lay_side_by_side(requests: Sequence[Request], out_dir: Path) -> str:
    """Write the table and the figure that compare the protocols, and say where they are."""
    # Here, as they take a second to load that refusals and --help can do without.
    from qsmprep.group.multiverse import COLUMNS, compare
    from qsmprep.group.outputs import find_outputs
    from qsmprep.group.tables import join_regions
    from qsmprep.reports.multiverse import draw

    tables = {
        request.protocol.name: join_regions(paths)
        for request in requests
        if (paths := [p for one in find_outputs(request.out_dir).values() for p in one.tables])
    }
    if len(tables) < 2:
        return "no regions of two protocols to compare"
    table = compare(tables)
    path = out_dir / TABLE
    with replacing(path) as temporary:
        table.to_csv(
            temporary,
            sep="\t",
            index=False,
            na_rep="n/a",
            float_format="%.8g",
            lineterminator="\n",
        )
    resolved = [resolve(request)[0].protocol for request in requests]
    write_json(
        path.with_suffix(".json"),
        {name: {"Description": text} for name, text in COLUMNS.items()}
        | {
            protocol.name: {
                "Description": "mean susceptibility by this protocol",
                "ProtocolDigest": protocol.digest(),
                "Parameters": protocol.stages,
            }
            for protocol in resolved
        },
    )
    with replacing(path.with_suffix(".svg")) as temporary:
        draw(table, list(tables)).savefig(temporary, format="svg")
    return f"regions of {', '.join(tables)} side by side: {path}"
