"""The group level: from the tables of the participants to one table and an index page."""

from __future__ import annotations

from dataclasses import asdict
import json
from pathlib import Path
import sys

import pandas as pd

from qsmprep.bids.derivatives import replacing
from qsmprep.bids.status import read_status
from qsmprep.errors import RequestError
from qsmprep.group.tables import join_quality, join_regions
from qsmprep.reports.group import write_group_page


def run_group(out_dir: Path) -> int:
    """
    Join the tables of all participants in an output folder.

    Returns
    -------
    status
        0 if every acquisition has a table, 1 if some have none; these are named.

    Raises
    ------
    RequestError
        If there are no results.
    """
    tables = sorted(out_dir.glob("sub-*/**/anat/*_regions.tsv"))
    if not tables:
        raise RequestError(f"{out_dir}: holds no regional table; run the participants first")
    regions = join_regions(tables)
    quality = join_quality(
        {
            path.name.removesuffix("_desc-qc.json"): json.loads(path.read_text("utf-8"))
            for path in sorted(out_dir.glob("sub-*/**/anat/*_desc-qc.json"))
        }
    )
    for name, table in (("regions", regions), ("qc", quality)):
        with replacing(out_dir / f"group/{name}.tsv") as temporary:
            table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    status = pd.DataFrame([asdict(row) for row in read_status(out_dir)])
    page = write_group_page(out_dir, regions, status)

    without = [row for row in read_status(out_dir) if row.status != "done"]
    for row in without:
        name = "_".join(part for part in row.identity if part != "n/a")
        print(f"{name}: {row.status}: {row.reason}", file=sys.stderr)
    print(f"{len(tables)} tables joined in {out_dir / 'group/regions.tsv'}\nreport: {page}")
    return 1 if without else 0
