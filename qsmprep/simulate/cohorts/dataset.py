"""A simulated cohort as a study leaves it: a dataset, and the outputs of its participants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import json
from pathlib import Path

import pandas as pd

from qsmprep import __version__
from qsmprep.errors import RequestError
from qsmprep.files import atomic_write_text, replacing

KEYS = ("participant_id", "session_id")
REFERENCE, ATLAS = "csf", "simulated"
ACQUISITION: dict[str, object] = {
    "Manufacturer": "Simulated",
    "ManufacturersModelName": "One",
    "MagneticFieldStrength": 3.0,
    "EchoTimes": [0.006, 0.012, 0.018, 0.024, 0.030],
    "Units": "ppm",
    "Reference": {"name": REFERENCE},
}


@dataclass(frozen=True)
class Cohort:
    """
    The tables of a simulated cohort.

    Parameters
    ----------
    truth
        What was put in, in sentences; it becomes the README of the dataset.
    participants
        A row per participant: ``participant_id`` and covariates.
    regions
        A row per participant (and ``session_id``) and region: ``name``, ``mean`` in ppb, and
        ``volume_mm3``.
    sessions
        A row per session, where there are several: ``participant_id``, ``session_id`` and more.
    phenotype
        Further tables by name, with ``participant_id``.
    acquisitions
        What sidecars say of acquisitions beyond `ACQUISITION`, by participant and session.
    """

    truth: str
    participants: pd.DataFrame
    regions: pd.DataFrame
    sessions: pd.DataFrame | None = None
    phenotype: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    acquisitions: Mapping[tuple[str, str], Mapping[str, object]] = field(default_factory=dict)


def write_cohort(folder: Path, cohort: Cohort) -> tuple[Path, Path]:
    """
    Write a cohort as a BIDS dataset without images, and the tables of its regions.

    Returns
    -------
    dataset, outputs
        ``FOLDER/bids`` and ``FOLDER/out``, the two arguments of ``qsmprep … group``.

    Raises
    ------
    RequestError
        If the folder has something in it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise RequestError(f"{folder}: is not empty; name a new folder")
    bids, out = folder / "bids", folder / "out"
    _write_json(bids / "dataset_description.json", {
        "Name": "Simulated cohort", "BIDSVersion": "1.10.0", "DatasetType": "raw",
        "GeneratedBy": [{"Name": "qsmprep-simulate", "Version": __version__}],
    })  # fmt: skip
    _write_json(out / "dataset_description.json", {
        "Name": "Simulated regional values", "BIDSVersion": "1.10.0", "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "qsmprep-simulate", "Version": __version__}],
    })  # fmt: skip
    atomic_write_text(bids / "README.md", f"# A simulated cohort\n\n{cohort.truth}\n")
    _write_tsv(bids / "participants.tsv", cohort.participants)
    if cohort.sessions is not None:
        for who, rows in cohort.sessions.groupby("participant_id", sort=False):
            table = rows.drop(columns="participant_id")
            _write_tsv(bids / str(who) / f"{who}_sessions.tsv", table)
    for name, table in cohort.phenotype.items():
        _write_tsv(bids / "phenotype" / f"{name}.tsv", table)
    _write_regions(out, cohort)
    return bids, out


def _write_regions(out: Path, cohort: Cohort) -> None:
    regions = cohort.regions
    if "session_id" not in regions:
        regions = regions.assign(session_id="n/a")
    columns = {
        "acquisition": "n/a", "run": "n/a", "atlas": ATLAS, "hemisphere": "B", "map": "Chimap",
        "reference": REFERENCE, "units": "ppb", "flag": "n/a",
    }  # fmt: skip
    index = {name: number + 1 for number, name in enumerate(regions["name"].unique())}
    regions = regions.assign(**columns, index=regions["name"].map(index))
    order = [*KEYS, "acquisition", "run", "atlas", "index", "name", "hemisphere", "map",
             "reference", "units", "volume_mm3", "mean", "flag"]  # fmt: skip
    for (who, session), rows in regions.groupby(list(KEYS), sort=False):
        seen = session != "n/a"
        stem = f"{who}_{session}" if seen else str(who)
        anat = out / str(who) / (f"{session}/anat" if seen else "anat")
        _write_tsv(anat / f"{stem}_seg-{ATLAS}_regions.tsv", rows[order])
        said = cohort.acquisitions.get((str(who), str(session)), {})
        _write_json(anat / f"{stem}_Chimap.json", ACQUISITION | dict(said))


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    atomic_write_text(path, json.dumps(content, indent=2) + "\n")


def _write_tsv(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
